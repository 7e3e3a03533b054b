//! 181 to the caller when the call is led to somebody else. RFC 3261 21.1.3, RFC 5359 2.7

use std::sync::Arc;

use sip_message::{HeaderId, Method};
use sip_proxy::BranchId;

use super::fork::Fork;
use super::history;
use super::upstream::Upstream;
use crate::edge::{Cx, Edge};

impl Edge {
    /// Tells the caller of a forwarding, once, as the user agent that led the call elsewhere: with a tag of our own, for the
    /// callee's is the callee's (RFC 3261 16.7 step 6).
    pub(crate) fn announce(&mut self, cx: &mut Cx<'_>, fork: &mut Fork, branch: BranchId) {
        let Upstream::Server { key, .. } = fork.upstream else { return };
        let Some(running) = fork.branches.get(branch.0 as usize) else { return };
        let Some(diverted) = running.target.lineage.diverted.clone() else { return };
        let is_told = fork.announced.as_ref().is_some_and(|told| Arc::ptr_eq(told, &diverted));
        // RFC 3262 3: who requires reliable provisional responses gets no other, and this one is worth no retransmission.
        let must_be_reliable = fork.request.has_option_tag(HeaderId::Require, "100rel");
        if is_told || must_be_reliable || fork.request.method() != Method::Invite {
            return;
        }
        fork.announced = Some(diverted);
        if let Ok(response) = self.tags.answer(&fork.request, 181, "", []) {
            // Answered meanwhile: nobody waits for it.
            let _ = cx.respond(key, history::answered(fork, response, &self.own));
        }
    }
}
