//! What the caller is told: provisional responses, reliably when it can (RFC 3262 3), the 2xx, a refusal.
//!
//! | what is to be said              | while a reliable 1xx waits for its PRACK     | else                                      |
//! |---------------------------------|----------------------------------------------|-------------------------------------------|
//! | a 1xx                           | waits too, in order                          | leaves: RSeq + 1, or unreliable           |
//! | a 1xx with a preview            | leaves, unreliable                           | leaves, unreliable                        |
//! | a 2xx                           | waits, for GUARD at most, if that 1xx has a session description | leaves; the edge repeats it until the ACK |
//! | a refusal                       | leaves, and nothing else does                | leaves                                    |
//!
//! A caller that requires 100rel gets no preview: to it the same 1xx is one without.
//!
//! Nothing new for a minute (2.5 minutes when it is reliable): the last 1xx is said again, for proxies on the way that count
//! (RFC 3261 13.3.1.1; UAC-26).

use std::time::Duration;

use crate::engine::anchor::record::{CallerPhase, Incoming, Said};
use crate::engine::call::TimerKind;
use crate::engine::effect::{Body, Header, SendResponse, What};
use crate::engine::event::standard_phrase;
use crate::engine::leg::{DialogState, LegState, OpenOffer};
use crate::engine::outcome::{BY_CARILLON, Cause, reason_value};
use crate::engine::report::CallEventType;
use crate::engine::send::ALLOW;
use crate::engine::session_timer::Role;
use crate::engine::signal::{A, B, LegIndex};
use crate::engine::stage::Stage;
use crate::engine::work::Work;

/// Provisional responses that may wait for a PRACK; what comes on top takes the place of the last one.
const MAX_WAITING: usize = 4;
/// The first RSeq is at most this, so that there is room for all that follow below 2^31 (RFC 3262 3).
const FIRST_RSEQ: u64 = (1 << 31) - 10_000;
const REPEAT: Duration = Duration::from_secs(60);
const REPEAT_RELIABLE: Duration = Duration::from_secs(150);

impl Work<'_> {
    /// The INVITE of the leg's peer, while it has no final response.
    pub fn open_caller(&mut self, leg: LegIndex) -> Option<&mut Incoming> {
        let incoming = self.call.legs.get_mut(leg)?.incoming.as_mut()?;
        (incoming.phase() == CallerPhase::Open).then_some(incoming)
    }

    /// Says a 1xx, or keeps it until it may be said.
    pub fn tell_caller(&mut self, mut said: Said) {
        let Some(incoming) = self.open_caller(A) else { return };
        if said.preview && incoming.demands_reliable {
            said.sdp.clear();
            said.preview = false;
        }
        if incoming.takes_reliable && !said.preview {
            let before = incoming.waiting.last().or(incoming.last.as_ref());
            if said.sdp.is_empty() && before.is_some_and(|before| before.status == said.status) {
                return; // it is known, or about to be
            }
            if incoming.unpracked.is_some() {
                if incoming.waiting.len() >= MAX_WAITING
                    && let Some(last) = incoming.waiting.pop()
                    && said.sdp.is_empty()
                {
                    (said.sdp, said.offer, said.lines) = (last.sdp, last.offer, last.lines);
                }
                return incoming.waiting.push(said);
            }
        }
        self.say_provisional(said);
    }

    fn say_provisional(&mut self, said: Said) {
        let first = if said.preview { 0 } else { self.first_rseq() };
        let Some(incoming) = self.open_caller(A) else { return };
        let transaction = incoming.transaction.clone();
        let mut headers = said.headers.clone();
        // CCL-12, IMI-05: it may begin a dialog
        headers.push(Header::new("Supported", self.supported()));
        headers.push(Header::new("Recv-Info", ""));
        let Some(incoming) = self.open_caller(A) else { return };
        let is_reliable = incoming.takes_reliable && !said.preview;
        if is_reliable {
            incoming.rseq = if incoming.rseq == 0 { first } else { incoming.rseq + 1 };
            headers.push(Header::new("Require", "100rel"));
            headers.push(Header::new("RSeq", incoming.rseq.to_string()));
            incoming.unpracked = Some(said.clone());
        }
        // A description that was given reliably is not given again
        let sdp = if is_reliable { Vec::new() } else { said.sdp.clone() };
        incoming.last = Some(Said { sdp, offer: Vec::new(), lines: Vec::new(), ..said.clone() });
        headers.push(Header::new("Allow", ALLOW)); // UPD-01
        if is_reliable
            && said.offer.is_empty()
            && !said.sdp.is_empty()
            && let Some(Stage::Anchored(stage)) = &mut self.call.stage
        {
            stage.settled = true;
        }
        let on = self.leg_mut(A);
        on.sip_status = said.status;
        on.state = if said.status == 180 { LegState::Ringing } else { LegState::Progressing }.into();
        let (edge_id, edge_epoch) = on.served_at(&transaction);
        let to_tag = on.local_tag.clone();
        if !said.offer.is_empty() {
            let tag = on.remote_tag.clone();
            if let Some(dialog) = on.dialog_mut(&tag) {
                dialog.open_offer = OpenOffer::Ours.into();
            }
        }
        let body = (!said.sdp.is_empty()).then(|| Body::sdp(said.sdp));
        let (status, reason) = (said.status, String::new());
        let (is_focus, in_conference) = (self.is_focus_toward(A), false);
        let response =
            SendResponse { transaction, status, reason, to_tag, headers, body, is_focus, in_conference };
        self.put_at(A, edge_id, edge_epoch, What::Respond(response));
        let repeat = if is_reliable { REPEAT_RELIABLE } else { REPEAT };
        self.start_timer(TimerKind::Repeat, A, repeat);
    }

    fn first_rseq(&mut self) -> u32 {
        let is_first = self.open_caller(A).is_some_and(|on| on.takes_reliable && on.rseq == 0);
        if is_first { 1 + self.draw(FIRST_RSEQ) as u32 } else { 0 }
    }

    /// Nothing new has happened for a while.
    pub fn repeat_to_caller(&mut self) {
        let Some(incoming) = self.open_caller(A) else { return };
        if let (Some(last), None) = (incoming.last.clone(), &incoming.unpracked) {
            self.say_provisional(last);
        }
    }

    /// Says what waited for a PRACK, in order.
    pub fn tell_waiting(&mut self) {
        let Some(incoming) = self.open_caller(A) else { return };
        if let Some(held) = incoming.held.take() {
            return self.say_success(held);
        }
        if incoming.unpracked.is_none() && !incoming.waiting.is_empty() {
            let next = incoming.waiting.remove(0);
            self.say_provisional(next);
        }
    }

    /// Says 2xx, or keeps it until it may be said. PRK-06
    pub fn answer_caller(&mut self, said: Said) {
        let Some(incoming) = self.open_caller(A) else { return };
        incoming.waiting.clear();
        if incoming.unpracked.as_ref().is_some_and(|unpracked| !unpracked.sdp.is_empty()) {
            incoming.held = Some(said);
            // Leg b has its ACK and hears nothing: it does not wait for as long as the edge would
            return self.start_timer(TimerKind::Guard, A, Duration::from_millis(self.call.policy.guard_ms));
        }
        self.say_success(said);
    }

    fn say_success(&mut self, said: Said) {
        let is_offer = !said.offer.is_empty();
        if !self.accept_caller(A, said) {
            return;
        }
        if matches!(&self.call.stage, Some(Stage::Anchored(stage)) if stage.is_picking_up()) {
            return;
        }
        if !is_offer {
            return self.connected();
        }
        // RFC 3261 13.3.1.4: leg b's 2xx waits for the answer in the caller's ACK
        self.start_timer(TimerKind::Guard, B, Duration::from_millis(self.call.policy.guard_ms));
    }

    /// The 200 to the INVITE by which the leg's peer called. `false` when that was answered before.
    pub fn accept_caller(&mut self, leg: LegIndex, said: Said) -> bool {
        let now_ms = self.now.millis();
        let Some(incoming) = self.open_caller(leg) else { return false };
        incoming.phase = CallerPhase::Answered.into();
        (incoming.unpracked, incoming.last) = (None, None);
        incoming.waiting.clear();
        let transaction = incoming.transaction.clone();
        let session = std::mem::take(&mut incoming.session_expires);
        let on = self.leg_mut(leg);
        let tag = on.remote_tag.clone();
        on.state = LegState::Answered.into();
        on.accepted_ms = now_ms;
        (on.sip_status, on.sip_reason) = (200, "OK".into());
        if let Some(dialog) = on.dialog_mut(&tag) {
            dialog.state = DialogState::Confirmed.into();
            dialog.agreed = true;
        }
        if let Some(served) = on.served.iter_mut().find(|served| served.transaction == transaction) {
            (served.relayed_offer, served.lines) = (said.offer, said.lines);
        }
        self.stop_timer(TimerKind::Repeat, leg);
        self.stop_timer(TimerKind::Expires, leg);
        self.stop_timer(TimerKind::Guard, leg);
        if !session.is_empty() {
            self.note_session(leg, &tag, &[Header::new("Session-Expires", session)], Role::Server);
        }
        let mut headers = self.answer_headers(leg, &tag);
        headers.push(Header::new("Supported", self.supported()));
        headers.push(Header::new("Recv-Info", "")); // IMI-05
        headers.extend(said.headers);
        let body = (!said.sdp.is_empty()).then(|| Body::sdp(said.sdp));
        self.respond(leg, &transaction, 200, headers, body);
        self.report(leg, CallEventType::LegAnswered, 200, "OK");
        true
    }

    /// Ends a leg whose peer called. `false` when it is another one.
    pub fn drop_caller(&mut self, leg: LegIndex, cause: &Cause) -> bool {
        let on = self.leg_mut(leg);
        let Some(incoming) = &mut on.incoming else { return false };
        let transaction = incoming.transaction.clone();
        let tag = on.remote_tag.clone();
        match incoming.phase() {
            CallerPhase::Open => {
                incoming.phase = CallerPhase::Refused.into();
                (incoming.unpracked, incoming.held) = (None, None);
                incoming.waiting.clear();
                on.end_reason = cause.header.clone();
                // Whom it wanted to come to have hung up: that is no success for who has not come (LAD-7, LAD-8)
                let cause = match cause.status {
                    0..300 => {
                        &Cause { status: 603, reason: standard_phrase(603).to_owned(), ..cause.clone() }
                    }
                    _ => cause,
                };
                (on.sip_status, on.sip_reason) = (cause.status, cause.reason.clone());
                if let Some(dialog) = on.dialog_mut(&tag) {
                    dialog.state = DialogState::Ended.into();
                }
                if self.is_served(leg, &transaction) {
                    let (status, headers) = refusal(cause, &self.leg(leg).leg_id);
                    self.respond(leg, &transaction, status, headers, None);
                }
                self.leg_over(leg);
            }
            CallerPhase::Answered => {
                on.end_reason = cause.header.clone();
                (on.sip_status, on.sip_reason) = (cause.status, cause.reason.clone());
                let is_over = on.dialog(&tag).is_none_or(|dialog| dialog.state() == DialogState::Ended);
                if self.is_served(leg, &transaction) && !is_over {
                    // UAC-18: not before the ACK or its timeout
                    let on = self.leg_mut(leg);
                    on.state = LegState::Ending.into();
                    if let Some(incoming) = &mut on.incoming {
                        incoming.bye_waits = true;
                    }
                    let closing = self.transaction_time() + Duration::from_secs(8);
                    self.start_timer(TimerKind::Closing, leg, closing);
                } else {
                    self.end_dialog(leg, &tag);
                    self.leg_over(leg);
                }
            }
            CallerPhase::Refused => self.leg_over(leg),
        }
        true
    }

    /// The ACK for our 2xx has come, or never will: a leg that is to end ends now.
    pub fn end_caller_if_waiting(&mut self, leg: LegIndex) {
        let on = self.leg_mut(leg);
        if let Some(incoming) = on.incoming.as_mut().filter(|incoming| incoming.bye_waits) {
            incoming.bye_waits = false;
            let tag = on.remote_tag.clone();
            self.end_dialog(leg, &tag);
            self.leg_over(leg);
        }
    }
}

/// What the caller hears of the end of a call that was not answered. RFC 3261 16.7 step 6
fn refusal(cause: &Cause, caller: &str) -> (u32, Vec<Header>) {
    let is_own = cause.by == caller;
    let status = match cause.status {
        // The caller has not cancelled: the callee is not to be had now. That it did not want to wait any longer it said itself
        487 if !is_own && cause.by != BY_CARILLON => 480,
        // About the INVITE that Carillon made, which the caller cannot change
        401 | 407 | 494 if !is_own => 403,
        414 | 416 | 420 | 421 | 422 if !is_own => 500,
        // It would keep the caller from asking Carillon at all
        503 => 500,
        status => status,
    };
    let mut headers = cause.told.clone();
    let has_reason = headers.iter().any(|header| header.name == "Reason");
    if status != cause.status && !has_reason {
        let header =
            if cause.header.is_empty() { reason_value(cause.status, "") } else { cause.header.clone() };
        headers.push(Header::new("Reason", header));
    }
    (status, headers)
}
