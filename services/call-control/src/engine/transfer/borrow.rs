//! The side of the call that has a leg of another one.

use crate::engine::call::OutcomeKind;
use crate::engine::effect::What;
use crate::engine::leg::{DialogState, Loan, Purpose};
use crate::engine::outcome::Cause;
use crate::engine::send::Ask;
use crate::engine::signal::LegIndex;
use crate::engine::stage::Stage;
use crate::engine::transfer::record::{Lent, Moving, MovingStep, Refused, Word};
use crate::engine::work::Work;

impl Work<'_> {
    /// The other call lends its leg: the party that stays is asked for an offer.
    pub fn on_lent(&mut self, from: &str, operation: u64, lent: &Lent) {
        let loan = Loan { call_id: from.to_owned(), operation };
        if self.call.legs.iter().any(|leg| leg.borrowed.as_ref() == Some(&loan)) {
            return; // it was told before
        }
        let is_taken = match &lent.claim {
            Some(claim) => self.on_picked_up(from, operation, lent, claim),
            None => self.on_place_lent(from, operation, lent),
        };
        if is_taken {
            return;
        }
        let Some(mut moving) = self.borrowing(from, operation) else {
            return self.tell(from, operation, Word::GivenBack(lent.clone()));
        };
        let come = self.take_in(loan, lent);
        moving.come = come as u32;
        moving.step = MovingStep::Asking.into();
        let stay = moving.stay();
        self.call.stage = Some(Stage::Moving(moving));
        let (headers, purpose) = (self.session_headers(), Purpose::MoveAsk);
        self.ask(stay, Ask { method: "INVITE", headers, purpose, ..Ask::default() });
    }

    /// The operation that waits for a leg of this call.
    fn borrowing(&self, lender: &str, operation: u64) -> Option<Moving> {
        match &self.call.stage {
            Some(Stage::Moving(moving))
                if moving.step() == MovingStep::Borrowing
                    && moving.operation == operation
                    && moving.lender == lender =>
            {
                Some(moving.clone())
            }
            _ => None,
        }
    }

    /// The other call does not lend its leg.
    pub fn on_lending_refused(&mut self, from: &str, operation: u64, refused: &Refused) {
        if self.on_claim_refused(from, operation, refused) || self.on_sought_in_vain(from, operation) {
            return;
        }
        if self.borrowing(from, operation).is_some() {
            self.moving_failed(refused.status, &refused.reason);
        }
    }

    /// It took too long.
    pub fn on_operation_late(&mut self) {
        match &self.call.stage {
            Some(Stage::Moving(moving)) if moving.step() == MovingStep::Borrowing => {
                self.moving_failed(504, "Server Time-out");
            }
            Some(Stage::Referring(referring)) => match referring.seeks() {
                true => self.send_passed(),
                false => self.referring_failed(408, "Request Timeout"),
            },
            Some(Stage::Anchored(stage)) if stage.claiming.is_some() => self.refuse_claim(504),
            Some(Stage::Gathering(gathering)) => match gathering.leading.is_some() {
                true => self.referring_failed(408, "Request Timeout"),
                // Who was led to the conference has not come
                false => self.gathering_failed(408, "Request Timeout"),
            },
            Some(Stage::Listening(_)) => self.listening_late(),
            _ => {}
        }
    }

    /// Another call wants a leg of this one, which wants one of it: this one gives way.
    pub fn yield_to(&mut self, borrower: &str) {
        if let Some(Stage::Moving(moving)) = &self.call.stage
            && moving.step() == MovingStep::Borrowing
            && moving.lender == borrower
        {
            self.moving_failed(491, "Request Pending");
        }
    }

    /// What the lender was to be told is not told any more, if nobody has begun to.
    pub fn unask(&mut self, lender: &str, operation: u64) {
        if lender.is_empty() {
            return;
        }
        self.call.outbox.retain(|effect| match &effect.what {
            Some(What::Tell(tell)) => {
                tell.call_id != lender
                    || tell.operation != operation
                    || !matches!(tell.word, Some(Word::Borrow(_) | Word::Claim(_) | Word::Seek(_)))
            }
            _ => true,
        });
    }

    /// Tells the call that lent a leg what became of it.
    pub fn tell_lender(&mut self, moving: &Moving, word: Word) {
        if !moving.lender.is_empty() {
            self.tell(&moving.lender, moving.operation, word);
        }
    }

    /// A leg goes back, as it now is.
    pub fn give_back(&mut self, leg: LegIndex, operation: u64) {
        let lent = Lent { moved: self.has_moved(leg), ..self.as_lent(leg) };
        let Some(loan) = self.leg(leg).borrowed.clone() else { return };
        self.call.timers.retain(|timer| timer.leg as LegIndex != leg);
        let on = self.leg_mut(leg);
        on.retry = None;
        on.dialogs.iter_mut().for_each(|dialog| dialog.state = DialogState::Ended.into());
        self.leg_over(leg);
        self.tell(&loan.call_id, operation, Word::GivenBack(lent));
    }

    /// The call to which a leg was given back is no more: its phone is told.
    pub fn end_returned(&mut self, lender: &str, operation: u64) {
        let loan = Loan { call_id: lender.to_owned(), operation };
        let Some(leg) = self.call.legs.iter().position(|leg| leg.borrowed.as_ref() == Some(&loan)) else {
            return;
        };
        let on = self.leg_mut(leg);
        on.released = false;
        let tag = on.remote_tag.clone();
        if let Some(dialog) = on.dialog_mut(&tag) {
            dialog.state = DialogState::Confirmed.into();
        }
        self.end_dialog(leg, &tag);
    }

    /// The phone of a leg that was borrowed hung up where the leg was before.
    pub fn on_lent_hung_up(&mut self, from: &str, operation: u64) {
        let loan = Loan { call_id: from.to_owned(), operation };
        let Some(leg) = self.call.legs.iter().position(|leg| leg.borrowed.as_ref() == Some(&loan)) else {
            return;
        };
        let on = self.leg_mut(leg);
        let tag = on.remote_tag.clone();
        let Some(dialog) = on.dialog_mut(&tag) else { return };
        if dialog.state() == DialogState::Ended {
            return;
        }
        dialog.state = DialogState::Ended.into();
        let leg_id = on.leg_id.clone();
        let kind = OutcomeKind::Completed;
        self.lose_party(leg, Cause { kind, header: String::new(), ..Cause::failed_by(&leg_id, 200, "OK") });
    }
}
