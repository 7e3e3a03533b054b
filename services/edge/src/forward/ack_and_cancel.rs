//! ACK and CANCEL, the two requests that are never answered, or answered at once.

use bytes::Bytes;
use sip_endpoint::{Arrival, CancelTarget, ServerKey};
use sip_message::{HeaderId, Message, Uri};

use crate::arrive::along_route::Stray;
use crate::edge::{Cx, Edge, ServerUse};
use crate::legs;
use crate::reject::Reject;

impl Edge {
    /// An ACK that no INVITE transaction of ours absorbed: for a 2xx, and so for somebody further on. PXY-26
    pub(crate) fn take_ack(&mut self, cx: &mut Cx<'_>, key: Option<ServerKey>, ack: Message) {
        // For an answer of our own that we did not keep.
        if self.tags.gave(&ack) {
            return;
        }
        if let Some(key) = key
            && let Some(ServerUse::Leg(call)) = self.servers.get(&key)
        {
            let call = call.clone();
            return self.take_leg_ack(cx, &call, Some(key), &ack);
        }
        let Ok(arrived) = self.read_route(&ack) else { return self.drop_stray() };
        let is_ours = |uri: &Uri<'_>| self.own.is_ours(uri) || self.is_marked(&ack, uri);
        let address = Uri::parse(arrived.request_uri(&ack)).ok().filter(is_ours);
        if arrived.next_route.is_none()
            && let Some(address) = address.and_then(|uri| legs::Address::of(&uri))
        {
            return self.take_leg_ack(cx, &address.call_id, None, &ack);
        }
        // An ACK cannot be challenged. It passes within a dialog that was let in, or when its INVITE is still known here; a
        // stranger's reaches nobody. PXY-27
        let in_dialog = ack.to().is_ok_and(|to| to.tag().is_some());
        if key.is_none() && !(in_dialog && self.was_let_in(&ack, &arrived)) {
            return self.drop_stray();
        }
        let flow = self.flow_of_route(&ack, &arrived);
        self.forward_stray(cx, Stray::passing(ack, arrived, flow));
    }

    /// A CANCEL. It is answered at once, never challenged, and reaches the branches of what it cancels.
    // RFC 3261 9.2, 16.10
    pub(crate) fn take_cancel(
        &mut self,
        cx: &mut Cx<'_>,
        key: ServerKey,
        target: CancelTarget,
        cancel: Message,
        arrival: &Arrival,
    ) {
        let invite = match target {
            // RFC 3261 22.1: a CANCEL cannot be challenged, so it counts from the hop that sent the INVITE. Whoever else has seen a Via
            // ends no calls; a neighbour that is trusted may send from several addresses.
            CancelTarget::Invite(invite)
                if self.came_from(invite, &cancel) || self.source(arrival).trusted =>
            {
                invite
            }
            CancelTarget::Invite(_) => return self.refuse_foreign_cancel(cx, key, &cancel),
            // LAD-10 R12: it has no effect on other requests.
            CancelTarget::NonInvite(_) => return self.confirm_cancel(cx, key, &cancel),
            CancelTarget::Unknown => return self.take_astray_cancel(cx, key, &cancel, arrival),
        };
        self.confirm_cancel(cx, key, &cancel);
        self.carry_out_cancel(cx, invite, &cancel);
    }

    /// Carries a CANCEL out that was confirmed.
    pub(super) fn carry_out_cancel(&mut self, cx: &mut Cx<'_>, invite: ServerKey, cancel: &Message) {
        match self.servers.get(&invite).cloned() {
            // Nothing was sent on yet: the INVITE ends here.
            Some(ServerUse::Deciding) => self.end_undecided(cx, invite, cancel),
            Some(ServerUse::Fork(fork)) => {
                let reasons = cancel.all(HeaderId::Reason).map(unfolded).collect();
                self.with_fork(cx, fork, |_, cx, fork| {
                    fork.cancel_reasons = reasons;
                    Self::see_cancel(fork, "a");
                    fork.context.cancel(cx.now());
                });
            }
            Some(ServerUse::Leg(call)) => self.take_leg_cancel(cx, &call, invite, cancel),
            // Answered already: the CANCEL crossed the final response. LAD-10 R4
            None => {}
        }
    }

    /// A CANCEL from elsewhere than its INVITE. It is forgotten at once: the caller's own one has the same branch, and would be taken for
    /// its repetition.
    fn refuse_foreign_cancel(&mut self, cx: &mut Cx<'_>, key: ServerKey, cancel: &Message) {
        self.meters.astray_cancels.with_label_values(&["foreign"]).inc();
        let status = Reject::DoesNotExist.status();
        match self.answer_within(Self::room(cx, key, cancel), cancel, (status, ""), &[]) {
            Ok(Some(answer)) => self.respond_once(cx, key, answer),
            Ok(None) => self.stay_silent(cx, key),
            Err(_) => self.meters.dropped.with_label_values(&["response"]).inc(),
        }
    }

    pub(super) fn confirm_cancel(&mut self, cx: &mut Cx<'_>, key: ServerKey, cancel: &Message) {
        match self.answer_within(Self::room(cx, key, cancel), cancel, (200, ""), &[]) {
            Ok(Some(response)) => self.respond(cx, key, response),
            Ok(None) => self.stay_silent(cx, key),
            Err(_) => self.meters.dropped.with_label_values(&["response"]).inc(),
        }
    }

    /// The CANCEL has the From, To, Call-ID and CSeq number of its INVITE, but the answer to the INVITE names INVITE in
    /// CSeq; so it is made from the INVITE that waits.
    fn end_undecided(&mut self, cx: &mut Cx<'_>, invite: ServerKey, cancel: &Message) {
        let Ok(cseq) = cancel.cseq() else { return };
        let mut edit = cancel.edit();
        edit.replace_first_fmt(HeaderId::CSeq, format_args!("{} INVITE", cseq.number));
        let answer = edit
            .finish()
            .ok()
            .and_then(|invite| self.tags.answer(&invite, Reject::Cancelled.status(), "", []).ok());
        self.servers.remove(&invite);
        match answer {
            Some(response) => self.respond(cx, invite, response),
            None => self.meters.dropped.with_label_values(&["response"]).inc(),
        }
    }
}

fn unfolded(value: &[u8]) -> Bytes {
    value.iter().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte }).collect()
}
