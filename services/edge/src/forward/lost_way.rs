//! Phones that ring over datagrams at another edge when that edge dies: no CANCEL follows their INVITE any more, so each is told by BYE.
//!
//! For a leg call-control does it. A proxied caller cannot: it gets the end of its INVITE, and knows nothing of the way. RFC 3261 15 lets
//! the caller's side end an early dialog by BYE, and the phone then answers its INVITE 487 (15.1.2), which nobody waits for.

use cluster_api::callcontrol::v1::proxied_call_event::Type;
use cluster_api::edge::v1::SendRequest;
use sip_message::{Message, Method};
use sip_proxy::BranchId;

use super::branch::Branch;
use super::fork::{Fork, NewFork};
use super::plan::only;
use super::upstream::Upstream;
use crate::compose;
use crate::edge::{Cx, Edge};
use crate::seen::{Party, event};

/// Phones of one branch that are remembered: where the other edge forks, it is by a few.
const MOST_RINGING: usize = 4;

/// How far the caller may have counted on since its INVITE: PRACK, UPDATE and the like of an early dialog. A gap is no error. RFC 3261
/// 12.2.2
const UNSEEN: u32 = 1_000;
/// RFC 3261 8.1.1.5
const LAST_CSEQ: u32 = (1 << 31) - 1;

/// Remembers that a phone rings. RFC 3261 12.1
pub(super) fn note_ringing(branch: &mut Branch, response: &Message) {
    let tag = |response: &Message| response.to().ok().and_then(|to| to.tag().map(str::to_owned));
    let is_dialog = matches!(response.status(), Some(101..200)) && response.contacts().next().is_some();
    let Some(new) = tag(response).filter(|_| is_dialog) else { return };
    if branch.ringing.len() < MOST_RINGING
        && branch.ringing.iter().all(|known| tag(known).as_ref() != Some(&new))
    {
        branch.ringing.push(response.clone());
    }
}

impl Edge {
    /// The way of a branch to the edge that has its phones' flow is lost.
    pub(super) fn stop_ringing(&mut self, cx: &mut Cx<'_>, fork: &mut Fork, branch: BranchId) {
        let is_proxied = matches!(fork.upstream, Upstream::Server { .. });
        let Some(running) = fork.branches.get_mut(branch.0 as usize) else { return };
        let (ringing, flow) = (std::mem::take(&mut running.ringing), running.target.flow.clone());
        if !is_proxied || fork.request.method() != Method::Invite {
            return;
        }
        for response in ringing {
            let bye = self.bye_for(&fork.request, &response);
            let Ok(request) = compose::request(&bye) else { continue };
            let Ok(arrived) = self.read_route(&request) else { continue };
            let target = self.own_target(cx, &flow, &arrived, false);
            self.open_fork(cx, NewFork::of_ours(Upstream::Nobody, request, arrived), vec![only(target)]);
        }
    }

    fn bye_for(&self, invite: &Message, ringing: &Message) -> SendRequest {
        let mut dialog = event::of_request(invite, Party::Caller, Type::Ringing);
        event::answered(&mut dialog, ringing, Party::Caller);
        event::routes(&mut dialog, ringing, |uri| self.own.is_ours(uri) || self.is_marked(invite, uri));
        SendRequest {
            method: "BYE".into(),
            request_uri: dialog.to_contact,
            route: dialog.to_route,
            from_uri: dialog.from_uri,
            from_tag: dialog.from_tag,
            to_uri: dialog.to_uri,
            to_tag: dialog.to_tag,
            sip_call_id: dialog.sip_call_id,
            cseq: dialog.from_cseq.saturating_add(UNSEEN).min(LAST_CSEQ),
            ..SendRequest::default()
        }
    }
}
