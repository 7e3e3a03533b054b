//! How an operation ends: exactly once, with one event, and with nobody left without a party or without an end.

use crate::engine::call::{OutcomeKind, TimerKind};
use crate::engine::event::standard_phrase;
use crate::engine::leg::{DialogState, LegState, Pending};
use crate::engine::offer_answer::refuses_all;
use crate::engine::outcome::{BY_CARILLON, Cause};
use crate::engine::report::CallEventType;
use crate::engine::signal::LegIndex;
use crate::engine::stage::{Stage, Talking};
use crate::engine::transfer::record::{Moving, MovingStep, Nothing, Refused, Word};
use crate::engine::work::Work;

impl Work<'_> {
    /// Brings the answer to the leg whose 2xx waits: the new two are connected. `false` when there is no session in it.
    pub fn meet(&mut self, moving: &Moving, waits: LegIndex, request: &Pending, answer: &[u8]) -> bool {
        let Some(come) = moving.come() else { return false };
        let before = (self.call.first, self.call.second, self.call.lines.clone());
        let pair = self.pair().map(|leg| if leg == moving.leave() { come } else { leg });
        (self.call.first, self.call.second) = (pair[0] as u32, pair[1] as u32);
        let tag = self.leg(waits).remote_tag.clone();
        let fitted = match refuses_all(&request.offer, answer) {
            true => None,
            false => self.fit_answer(waits, &tag, &request.offer, answer, &request.lines),
        };
        let Some(fitted) = fitted else {
            (self.call.first, self.call.second, self.call.lines) = before;
            return false;
        };
        self.ack(waits, &tag, Some(fitted));
        self.moving_succeeded(moving, come);
        true
    }

    fn moving_succeeded(&mut self, moving: &Moving, come: LegIndex) {
        self.stop_moving(moving);
        if self.lift_hold(self.pair()) {
            self.report_by(None, CallEventType::Unheld, (0, ""), BY_CARILLON);
        }
        self.tell_lender(moving, Word::Kept(Nothing {}));
        self.tell_referrer(moving, 200, "OK");
        self.report_on(moving.stay(), CallEventType::TransferSucceeded, 200, "OK");
        if self.call.answer_ms == 0 {
            self.connected();
        }
        if self.leg(come).incoming.is_none() {
            self.report_on(come, CallEventType::PartyJoined, 0, "");
        }
        self.let_go(moving.leave());
    }

    /// The party that leaves is let go; it may have gone already.
    fn let_go(&mut self, leg: LegIndex) {
        if self.leg(leg).state() != LegState::Ended {
            self.report_on(leg, CallEventType::PartyLeft, 0, "");
            let cause = Cause { header: String::new(), ..Cause::failed(200, "OK") };
            self.drop_leg(leg, &cause);
        }
    }

    /// Nothing came of it: whoever was to come is told, or goes back, and the two go on as before.
    pub fn moving_failed(&mut self, status: u32, reason: &str) {
        let Some(Stage::Moving(moving)) = self.call.stage.clone() else { return };
        self.stop_moving(&moving);
        self.moving_is_over(&moving, status, reason);
        self.send_back(&moving, &Cause::failed(status, reason));
        let (stay, leave) = (moving.stay(), moving.leave());
        if !self.go_on_without(leave, status, reason) {
            return;
        }
        let waits = self.leg(stay).chosen().is_some_and(|dialog| dialog.unacked != 0);
        if moving.step() == MovingStep::Offering && waits {
            // Its 2xx waits for an answer: the one that it talked to gives it
            let offer = self.leg(stay).chosen().map(|dialog| dialog.remote_sdp.clone()).unwrap_or_default();
            match self.is_session_on_hold(stay) {
                true => self.stay_held(stay),
                false => self.resume(stay, &offer),
            }
        }
    }

    /// The two are alone again. When the one that was to leave has gone meanwhile, there is no call any more.
    /// The Reason that who stays is told is why nobody came.
    pub fn go_on_without(&mut self, leave: LegIndex, status: u32, reason: &str) -> bool {
        let is_there = self.leg(leave).is_up();
        if !is_there {
            let by = self.leg(leave).leg_id.clone();
            if self.call.answer_ms == 0 {
                self.end(Cause::failed(480, "Temporarily Unavailable"));
                return false;
            }
            let kind = OutcomeKind::Completed;
            let header = Cause::failed(status, reason).header;
            self.end(Cause { kind, header, ..Cause::failed_by(&by, 200, "OK") });
        }
        is_there
    }

    /// The same, for a call that is about to end.
    pub fn moving_ends(&mut self, cause: &Cause) {
        if let Some(Stage::Anchored(stage)) = &self.call.stage {
            if let Some(claiming) = stage.claiming.clone() {
                self.claim_ends(&claiming, cause);
            }
            return;
        }
        if let Some(Stage::Referring(referring)) = self.call.stage.clone() {
            let ((status, reason), stay) = (because(cause), referring.stay as LegIndex);
            self.passing_ends(&referring, status, &reason);
            return self.report_on(stay, CallEventType::TransferFailed, status, &reason);
        }
        let Some(Stage::Moving(moving)) = self.call.stage.clone() else { return };
        let (status, reason) = because(cause);
        self.moving_is_over(&moving, status, &reason);
        if moving.step() == MovingStep::Offering {
            // It may have the new session already
            return self.tell_lender(&moving, Word::Lost(Refused { status, reason }));
        }
        let (told, header) = (Cause::failed(status, &reason), cause.header.clone());
        self.send_back(&moving, &Cause { header, ..told });
    }

    fn moving_is_over(&mut self, moving: &Moving, status: u32, reason: &str) {
        self.tell_referrer(moving, status, reason);
        self.report_on(moving.stay(), CallEventType::TransferFailed, status, reason);
    }

    fn stop_moving(&mut self, moving: &Moving) {
        self.stop_timer(TimerKind::Operation, moving.stay());
        self.stop_timer(TimerKind::Guard, moving.stay());
        if let Some(come) = moving.come() {
            self.stop_timer(TimerKind::Guard, come);
            self.stop_timer(TimerKind::Ring, come);
        }
        self.call.stage = Some(Stage::Talking(Talking {}));
    }

    /// Who was to come does not.
    fn send_back(&mut self, moving: &Moving, cause: &Cause) {
        let Some(come) = moving.come() else {
            // What was not asked yet need not be asked any more
            return self.unask(&moving.lender, moving.operation);
        };
        let is_borrowed = self.leg(come).borrowed.is_some();
        if is_borrowed && self.leg(come).is_up() && !self.has_moved(come) {
            return self.give_back(come, moving.operation);
        }
        self.drop_leg(come, cause);
        if is_borrowed {
            let (status, reason) = (cause.status, cause.reason.clone());
            self.tell_lender(moving, Word::Lost(Refused { status, reason }));
        }
    }

    /// Whether the session of a leg that was borrowed may no longer be the one that its call knows.
    pub fn has_moved(&self, leg: LegIndex) -> bool {
        let on = self.leg(leg);
        let is_agreed = on.chosen().is_none_or(|dialog| dialog.last_ack_ms > 0);
        is_agreed || on.is_busy(&on.remote_tag)
    }

    /// A party is gone. That ends the call, unless the call goes on without it.
    pub fn lose_party(&mut self, leg: LegIndex, mut cause: Cause) {
        if self.lose_member(leg, &cause) || self.lose_server(leg, cause.status, &cause.reason) {
            return;
        }
        if self.leg(leg).returning {
            return self.returning_lost(leg);
        }
        let is_hung_up = cause.kind == OutcomeKind::Completed || cause.status == 487;
        if self.call.answer_ms == 0 && is_hung_up && self.leg(leg).borrowed.is_some() {
            // It was connected where it was before, and hangs up before anybody is connected with it here
            let status = if self.leg(leg).owed { 480 } else { 603 };
            cause = Cause::failed_by(&cause.by, status, standard_phrase(status));
        }
        if self.call.policy.reconnect_to.is_some() && self.may_stop_listening() {
            self.stop_listening();
        }
        let (leave, come) = match &self.call.stage {
            Some(Stage::Moving(moving)) => (moving.leave(), moving.come()),
            // Nobody has been asked for it yet
            Some(Stage::Referring(referring)) if referring.seeks() => return self.end(cause),
            Some(Stage::Referring(referring)) => (referring.leave as LegIndex, None),
            _ if self.is_reconnected(leg, &cause) => return self.reconnect_other(leg),
            _ => return self.end(cause),
        };
        if leg == leave {
            self.report_on(leg, CallEventType::PartyLeft, 0, "");
            if let Some(dialog) = self.leg_dialog_ended(leg) {
                self.end_dialog(leg, &dialog);
            }
            return self.leg_over(leg);
        }
        if come != Some(leg) {
            return self.end(cause);
        }
        let (status, reason) = because(&cause);
        self.moving_failed(status, &reason);
    }

    /// The dialog of a leg, when the peer does not know yet that it is over.
    fn leg_dialog_ended(&self, leg: LegIndex) -> Option<String> {
        let dialog = self.leg(leg).chosen()?;
        (dialog.state() != DialogState::Ended).then(|| dialog.remote_tag.clone())
    }

    /// Reports something about a leg that can happen many times.
    pub fn report_on(&mut self, leg: LegIndex, kind: CallEventType, status: u32, reason: &str) {
        let leg_id = Some(self.leg(leg).leg_id.clone());
        self.report_again(leg_id, kind, status, reason, None);
    }
}

/// With what status an operation fails when a party, or the call, ends for this cause.
fn because(cause: &Cause) -> (u32, String) {
    match cause.kind {
        OutcomeKind::Completed => (487, "Request Terminated".to_owned()),
        _ => (cause.status, cause.reason.clone()),
    }
}
