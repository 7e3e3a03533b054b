//! The end of a call: whatever state a leg is in, it is ended in the way that fits, and the call ends exactly once.
//!
//! | leg                                  | what ends it                                                             |
//! |--------------------------------------|--------------------------------------------------------------------------|
//! | INVITE that no edge was found for    | nothing: it is withdrawn, see `untaken`                                  |
//! | INVITE without final response        | CANCEL with Reason; over with the final response (a crossing 2xx: ACK, BYE) |
//! | the same, an offer waits for PRACK   | by cause: PRACK that refuses, and CANCEL right after it (LAD-4 d, o)     |
//! | 2xx not acknowledged                 | ACK (refusing an open offer), BYE with Reason                            |
//! | confirmed                            | BYE with Reason; what the peer still waits for gets 487                  |
//! | dialog gone, or ended by the peer    | nothing, but an ACK when a 2xx waits for it                              |
//!
//! A leg counts as over when BYE leaves (RFC 3261 15.1.1); its last transactions end in the background.

use sip_message::Reason;

use crate::engine::call::{Call, CallState, OutcomeKind, TimerKind};
use crate::engine::effect::{ReleaseLeg, What};
use crate::engine::leg::{DialogState, InvitePhase, LegState, Purpose};
use crate::engine::outcome::{BY_API, Cause};
use crate::engine::report::CallEventType;
use crate::engine::signal::LegIndex;
use crate::engine::stage::{Ending, Stage};
use crate::engine::work::Work;

impl Work<'_> {
    /// The application hangs up.
    pub fn hang_up(&mut self, text: &str) {
        let (kind, status, reason) = if self.call.answer_ms != 0 {
            (OutcomeKind::Completed, 200, "OK")
        } else {
            (OutcomeKind::Cancelled, 487, "Request Terminated")
        };
        // Not SIP;cause=200, which tells a ringing phone that somebody else took the call
        let header = match text {
            "" => String::new(),
            text => Reason::print_q850(16, text),
        };
        let cause = Cause::failed(status, reason);
        self.end(Cause { kind, by: BY_API.into(), header, ..cause });
    }

    /// Ends the call for this cause, unless it is ending already: the first cause stands.
    pub fn end(&mut self, cause: Cause) {
        if self.call.outcome.is_some() {
            return;
        }
        let mut cause = match self.edge_lost {
            true => Cause { leg: cause.leg, refuse_early: cause.refuse_early, ..Cause::edge_lost() },
            false => cause,
        };
        if self.call.answer_ms != 0 && cause.kind != OutcomeKind::Completed {
            cause.kind = OutcomeKind::Failed; // BUSY and the like are about calls that were not answered
        }
        self.holdings_end(&cause);
        self.moving_ends(&cause);
        self.conference_ends();
        self.listening_ends();
        self.call.outcome = Some(cause.outcome());
        self.call.stage = Some(Stage::Ending(Ending {}));
        self.call.timers.retain(|timer| matches!(timer.kind(), TimerKind::Accepted | TimerKind::Closing));
        let mut legs: Vec<LegIndex> = (0..self.call.legs.len()).collect();
        // What waits for an ACK is told before anybody is hung up on (LAD-1 g, LAD-3 d)
        for &leg in &legs {
            self.ack_accepted(leg);
        }
        // Who rings stops ringing first, before it can answer; then the leg that caused it, so that the events tell the story in
        // its order
        legs.sort_by_key(|&leg| (!self.is_unanswered(leg), self.leg(leg).leg_id != cause.leg));
        for leg in legs {
            self.drop_leg(leg, &cause);
        }
    }

    fn is_unanswered(&self, leg: LegIndex) -> bool {
        let invite = self.leg(leg).invite.as_ref();
        invite.is_some_and(|invite| matches!(invite.phase(), InvitePhase::Calling | InvitePhase::Proceeding))
    }

    /// Acknowledges the 2xx with which a leg waits, refusing an offer in it.
    fn ack_accepted(&mut self, leg: LegIndex) {
        let on = self.leg(leg);
        let is_accepted = on.invite.as_ref().is_some_and(|invite| invite.phase() == InvitePhase::Accepted);
        if is_accepted && on.chosen().is_some_and(|dialog| dialog.unacked != 0) {
            let tag = on.remote_tag.clone();
            let answer = self.reject_answer(leg, &tag);
            self.ack(leg, &tag, answer);
        }
    }

    /// Ends one leg, in the way that fits.
    pub fn drop_leg(&mut self, leg: LegIndex, cause: &Cause) {
        if self.leg(leg).lent.is_some() {
            // It is another call's to end, or comes back to be ended
            return self.leg_over(leg);
        }
        let is_without_edge = self.is_without_edge(leg);
        let on = self.leg_mut(leg);
        if on.returning {
            return;
        }
        on.retry = None;
        if on.state() == LegState::Ended || self.drop_caller(leg, cause) {
            return;
        }
        let on = self.leg_mut(leg);
        on.end_reason = cause.header.clone();
        let phase = on.invite.as_ref().map_or(InvitePhase::Failed, |invite| invite.phase());
        if phase != InvitePhase::Failed {
            on.sip_status = cause.status;
            on.sip_reason = cause.reason.clone();
        }
        match phase {
            InvitePhase::Calling if is_without_edge => self.drop_untaken(leg),
            InvitePhase::Calling | InvitePhase::Proceeding => {
                let waiting = on.dialogs.iter().find(|dialog| dialog.unpracked);
                let tag = waiting.map(|dialog| dialog.remote_tag.clone()).filter(|_| cause.refuse_early);
                if let Some(tag) = tag {
                    self.refuse_early_offer(leg, &tag, Purpose::PrackPlain);
                }
                // RFC 3261 9.1: a provisional response is all that CANCEL waits for
                self.cancel(leg);
            }
            InvitePhase::Cancelling => {}
            InvitePhase::Accepted => {
                let tag = on.remote_tag.clone();
                self.end_dialog(leg, &tag);
                self.leg_over(leg);
            }
            InvitePhase::Failed => self.leg_over(leg),
        }
    }

    /// Ends a confirmed dialog: ACK when a 2xx waits, then BYE, unless the peer ended it or lost it.
    pub fn end_dialog(&mut self, leg: LegIndex, tag: &str) {
        self.refuse_served(leg, tag);
        let answer = self.reject_answer(leg, tag);
        self.ack(leg, tag, answer);
        let is_over = self.leg(leg).dialog(tag).is_none_or(|dialog| dialog.state() == DialogState::Ended);
        if !is_over {
            self.bye(leg, tag);
        }
    }

    /// The leg is over for the application.
    pub fn leg_over(&mut self, leg: LegIndex) {
        self.stop_timer(TimerKind::Ring, leg);
        self.stop_timer(TimerKind::Retry, leg);
        self.stop_timer(TimerKind::Answer, leg);
        // What it asked in an early dialog that ends with its INVITE
        let tags: Vec<String> = self.leg(leg).served.iter().map(|served| served.remote_tag.clone()).collect();
        tags.iter().for_each(|tag| self.refuse_served(leg, tag));
        let on = self.leg_mut(leg);
        on.state = LegState::Ended.into();
        on.retry = None;
        self.tell_owed_lost(leg);
        self.holding_over(leg);
        let on = self.leg_mut(leg);
        let (status, reason) = (on.sip_status, on.sip_reason.clone());
        self.report(leg, CallEventType::LegEnded, status, &reason);
    }

    /// Neither a response nor a failure came for what ends the leg: the edge owes it, but is not waited for any longer.
    pub fn on_closing(&mut self, leg: LegIndex) {
        let on = self.leg_mut(leg);
        if !matches!(on.state(), LegState::Ending | LegState::Ended) {
            // It was about a fork that is not the leg
            on.pending.retain(|pending| pending.purpose() != Purpose::Bye);
            return;
        }
        let has_invite = on.invite.as_ref().is_some_and(|invite| {
            matches!(invite.phase(), InvitePhase::Calling | InvitePhase::Proceeding | InvitePhase::Cancelling)
        });
        if has_invite {
            self.invite_failed(leg);
        }
        let leg_id = self.leg(leg).leg_id.clone();
        self.call.outbox.retain(|effect| effect.leg_id != leg_id);
        let on = self.leg_mut(leg);
        on.pending.clear();
        on.served.clear();
        if on.state() != LegState::Ended {
            self.leg_over(leg);
        }
    }

    /// Draws the consequences when legs are over: the call ends, and edges forget legs with which nothing can happen any more.
    pub fn settle_ends(&mut self) {
        let is_over = self.call.legs.iter().all(|leg| leg.state() == LegState::Ended);
        if let Some(outcome) = self.call.outcome.clone()
            && is_over
            && self.call.state() != CallState::Ended
        {
            self.call.state = CallState::Ended.into();
            self.call.end_ms = self.now.millis();
            self.report_call(CallEventType::Ended, outcome.sip_status, &outcome.sip_reason);
        }
        for leg in 0..self.call.legs.len() {
            let has_accepted = self.has_timer(TimerKind::Accepted, leg);
            let on = self.leg_mut(leg);
            let is_quiet = on.state() == LegState::Ended && on.pending.is_empty() && on.served.is_empty();
            if is_quiet && !has_accepted && !on.released && on.lent.is_none() {
                on.released = true;
                let is_carried = !on.edge_id.is_empty();
                let leg_id = on.leg_id.clone();
                self.call.outbox.retain(|effect| effect.leg_id != leg_id || effect.refusals == 0);
                self.stop_timer(TimerKind::Closing, leg);
                if is_carried {
                    self.put(leg, What::Release(ReleaseLeg {}));
                }
            }
        }
    }

    /// Whether nothing can happen to the call any more.
    pub fn is_finished(&self) -> bool {
        self.call.is_finished()
    }
}

impl Call {
    /// Whether nothing can happen to it any more.
    pub fn is_finished(&self) -> bool {
        self.state() == CallState::Ended && self.outbox.is_empty() && self.legs.iter().all(|leg| leg.released)
    }
}
