//! The party that a caller wants to talk to is offered the new session: the far party of a confirmed dialog that is replaced, or, in
//! the call that was picked up, the one that picked it up.
//!
//! | input                              | effects                                                            |
//! |------------------------------------|--------------------------------------------------------------------|
//! | the far party is lent              | re-INVITE with the caller's offer, or without one                  |
//! | 2xx, answer                        | 200 to the caller; ACK; the lender: it stays here                  |
//! | 2xx, offer                         | 200 to the caller with it, whose ACK brings the answer             |
//! | refusal                            | the same to the caller; the leg goes back (UAC-22)                 |
//! | the caller cancels meanwhile       | the leg goes back when its answer has come, with the word that its session may have changed |
//! | the far party hangs up             | 603 to the caller; the lender: it is over                          |

use crate::engine::call::{Timer, TimerKind};
use crate::engine::claim::record::{ClaimStep, Claiming};
use crate::engine::leg::{Leg, Loan, Pending, Purpose};
use crate::engine::offer_answer::refuses_all;
use crate::engine::outcome::Cause;
use crate::engine::send::{Ask, leg_id};
use crate::engine::signal::{A, B, LegIndex, Reply};
use crate::engine::stage::{Anchored, Stage};
use crate::engine::talking::relayed_status;
use crate::engine::transfer::record::{Lent, Refused, Word};
use crate::engine::work::Work;

impl Work<'_> {
    /// A leg of another call comes into this one. Its index.
    pub fn take_in(&mut self, loan: Loan, lent: &Lent) -> LegIndex {
        let come = self.call.legs.len();
        self.call.legs.push(Leg { leg_id: leg_id(come), borrowed: Some(loan), ..lent.leg.clone() });
        for timer in &lent.timers {
            self.call.timers.push(Timer { leg: come as u32, ..timer.clone() });
        }
        come
    }

    /// The call that was named lends its far party. Whether this call had asked for it.
    pub fn on_place_lent(&mut self, from: &str, operation: u64, lent: &Lent) -> bool {
        let Some((mut stage, claiming)) = self.asking(from, operation) else { return false };
        self.stop_timer(TimerKind::Operation, A);
        self.take_in(Loan { call_id: from.to_owned(), operation }, lent);
        stage.claiming = Some(Claiming { step: ClaimStep::Offered.into(), ..claiming });
        self.offer_caller(stage);
        true
    }

    /// Leg b is asked to take the caller's session.
    pub fn offer_caller(&mut self, stage: Anchored) {
        let (headers, offer) = (self.session_headers(), stage.offer.clone());
        let purpose = if offer.is_empty() { Purpose::MoveAsk } else { Purpose::Move };
        self.call.stage = Some(Stage::Anchored(stage));
        if !self.ask(B, Ask { method: "INVITE", headers, purpose, offer, ..Ask::default() }) {
            self.refuse_claim(488);
        }
    }

    /// Its answer.
    pub fn on_caller_offered(&mut self, mut stage: Anchored, request: &Pending, reply: &Reply) {
        if self.retry_later(B, request, reply) {
            return;
        }
        if !reply.is_ok() {
            return match reply.is_gone() {
                true => self.gone(B, reply),
                false => self.refuse_claim(relayed_status(reply.status)),
            };
        }
        let claiming = stage.claiming.clone();
        match reply.sdp.clone() {
            Some(offer) if request.purpose() == Purpose::MoveAsk => self.pass_late_offer(&stage, offer),
            Some(answer) if !refuses_all(&request.offer, &answer) => {
                stage.lines = request.lines.clone();
                self.pass_success(stage, Some(answer));
            }
            _ => {
                let tag = request.request.to_tag.clone();
                self.ack(B, &tag, None);
                self.refuse_claim(488);
            }
        }
        if self.call.outcome.is_some() {
            return;
        }
        if let Some(claiming) = claiming {
            self.tell(&claiming.call_id, claiming.operation, Word::Kept(Default::default()));
        }
        if let Some(Stage::Anchored(stage)) = &mut self.call.stage {
            stage.claiming = None;
        }
    }

    /// The call ends before the caller has its place.
    pub fn claim_ends(&mut self, claiming: &Claiming, cause: &Cause) {
        if self.call.legs.get(B).is_none() {
            return self.unask(&claiming.call_id, claiming.operation);
        }
        let on = self.leg(B);
        if !on.is_up() {
            // It hung up, or is gone
            let is_hung_up = cause.by == on.leg_id && cause.status == 603;
            let status = if is_hung_up { 200 } else { cause.status };
            let refused = Refused { status, reason: cause.reason.clone() };
            self.tell(&claiming.call_id, claiming.operation, Word::Lost(refused));
        } else if on.is_busy(&on.remote_tag) {
            self.leg_mut(B).returning = true;
        } else {
            self.give_back(B, claiming.operation);
        }
    }

    /// What a leg that is to go back was asked last has its answer.
    pub fn on_returning(&mut self, leg: LegIndex, request: &Pending, reply: &Reply) {
        let Some(loan) = self.leg(leg).borrowed.clone().filter(|_| self.leg(leg).returning) else { return };
        if reply.is_ok() {
            let tag = request.request.to_tag.clone();
            let answer = self.reject_answer(leg, &tag);
            self.ack(leg, &tag, answer);
        }
        if reply.is_gone() {
            return self.returning_lost(leg);
        }
        self.leg_mut(leg).returning = false;
        self.give_back(leg, loan.operation);
    }

    /// The phone of a leg that is to go back is gone.
    pub fn returning_lost(&mut self, leg: LegIndex) {
        let on = self.leg_mut(leg);
        on.returning = false;
        let Some(loan) = on.borrowed.clone() else { return };
        let tag = on.remote_tag.clone();
        self.end_dialog(leg, &tag);
        self.leg_over(leg);
        let refused = Refused { status: 481, reason: String::new() };
        self.tell(&loan.call_id, loan.operation, Word::Lost(refused));
    }
}
