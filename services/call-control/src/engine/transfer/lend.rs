//! The side of the call that lends a leg to another one, and may get it back.
//!
//! | the call is                   | is told     | and does                                                             |
//! |-------------------------------|-------------|----------------------------------------------------------------------|
//! | connected, the legs are free  | Borrow      | lends the leg: it asks nothing of it any more                        |
//! | else                          | Borrow      | refuses: 491 when only the moment is wrong, 481 when there is no such leg |
//! | lending                       | Kept        | is over: the other party is let go                                   |
//! | lending                       | GivenBack   | is connected as before                                               |
//! | lending                       | Lost        | is over, like after a hang-up of that leg                            |
//! | ended meanwhile               | GivenBack   | hangs up                                                             |
//!
//! What the phone of the leg sends here before it knows that it is elsewhere: BYE is answered and told to the borrower, and
//! what can be asked again is refused with 491.

use crate::engine::call::{Call, OutcomeKind, SCHEMA, Timer, TimerKind};
use crate::engine::claim::takers::address_of_record;
use crate::engine::effect::{Effect, What};
use crate::engine::event::RequestReceived;
use crate::engine::leg::{DialogState, Invite, InvitePhase, Leg, Loan};
use crate::engine::outcome::{BY_API, Cause};
use crate::engine::signal::LegIndex;
use crate::engine::stage::{Lending, Stage, Talking};
use crate::engine::transfer::record::{Borrow, Lent, Nothing, Refused, Tell, Word};
use crate::engine::work::Work;

/// Timers of a leg that go along with it.
const OF_SESSION: [TimerKind; 2] = [TimerKind::Refresh, TimerKind::Expiry];

impl Work<'_> {
    /// Tells another call something.
    pub fn tell(&mut self, call_id: &str, operation: u64, word: Word) {
        self.call.last_effect += 1;
        let tell = Tell { call_id: call_id.to_owned(), operation, word: Some(word) };
        let effect =
            Effect { number: self.call.last_effect, what: Some(What::Tell(tell)), ..Effect::default() };
        self.call.outbox.push(effect.clone());
        self.effects.push(effect);
    }

    /// Another call says something.
    pub fn on_told(&mut self, from: &str, operation: u64, word: &Word) {
        match word {
            Word::Borrow(wanted) => self.on_borrow(from, operation, wanted),
            Word::Lent(lent) => self.on_lent(from, operation, lent),
            Word::Claim(claim) => self.on_claim(from, operation, claim),
            Word::PickUp(_) => self.on_pick_up(from, operation),
            Word::Place(place) => self.on_place(from, operation, place),
            Word::Meet(meet) => self.on_meet(from, operation, meet),
            Word::Refused(refused) => self.on_lending_refused(from, operation, refused),
            Word::HungUp(_) => self.on_lent_hung_up(from, operation),
            Word::Seek(dialog) => self.on_seek(from, operation, dialog),
            Word::Found(place) => self.on_found(from, operation, place),
            Word::GiveWay(_) => self.give_way(),
            Word::Kept(_) => {
                if let Some(leg) = self.lent_to(from, operation) {
                    self.is_kept(leg);
                }
            }
            Word::GivenBack(lent) => {
                if let Some(leg) = self.lent_to(from, operation) {
                    self.take_back(leg, lent);
                }
            }
            Word::Lost(refused) => {
                if let Some(leg) = self.lent_to(from, operation) {
                    self.is_lost(leg, refused);
                }
            }
        }
    }

    /// The other call is gone, or knows nothing of this.
    pub fn on_untold(&mut self, tell: &Tell) {
        let refused = |status| Refused { status, reason: String::new() };
        match &tell.word {
            Some(Word::Borrow(_) | Word::Claim(_) | Word::Seek(_)) => {
                self.on_lending_refused(&tell.call_id, tell.operation, &refused(481))
            }
            Some(Word::Lent(lent)) => {
                if let Some(leg) = self.lent_to(&tell.call_id, tell.operation) {
                    self.take_back(leg, lent);
                }
            }
            Some(Word::Meet(_)) => self.nobody_meets(&tell.call_id, tell.operation),
            // The phone is left with a dialog of a call that is no more
            Some(Word::GivenBack(_)) => self.end_returned(&tell.call_id, tell.operation),
            Some(
                Word::Refused(_)
                | Word::Kept(_)
                | Word::Lost(_)
                | Word::HungUp(_)
                | Word::PickUp(_)
                | Word::Place(_)
                | Word::Found(_)
                | Word::GiveWay(_),
            )
            | None => {}
        }
    }

    fn on_borrow(&mut self, from: &str, operation: u64, wanted: &Borrow) {
        if self.lent_to(from, operation).is_some() {
            return; // it was told before
        }
        if self.call.call_id.as_str() > from {
            // Two calls that want a leg of each other at once: one of them gets it
            self.yield_to(from);
        }
        let refuse = |status: u32, reason: &str| Refused { status, reason: reason.to_owned() };
        let leg = match self.wanted(wanted) {
            Some(leg) if self.must_be_talking().is_ok() => leg,
            Some(_) => return self.tell(from, operation, Word::Refused(refuse(491, "Request Pending"))),
            None => {
                let reason = "Call/Transaction Does Not Exist";
                return self.tell(from, operation, Word::Refused(refuse(481, reason)));
            }
        };
        if !self.is_free(leg) || from == self.call.call_id {
            return self.tell(from, operation, Word::Refused(refuse(491, "Request Pending")));
        }
        self.lend(leg, from, operation);
    }

    /// Another call gets the leg.
    pub fn lend(&mut self, leg: LegIndex, to: &str, operation: u64) {
        self.stop_listening();
        let lent = self.as_lent(leg);
        self.call.timers.retain(|timer| timer.leg as LegIndex != leg || !OF_SESSION.contains(&timer.kind()));
        self.call.schema = SCHEMA;
        self.leg_mut(leg).lent = Some(Loan { call_id: to.to_owned(), operation });
        self.call.stage = Some(Stage::Lending(Lending { leg: leg as u32 }));
        self.tell(to, operation, Word::Lent(lent));
    }

    /// The leg that another call wants.
    fn wanted(&self, wanted: &Borrow) -> Option<LegIndex> {
        let pair = self.pair();
        if self.call.outcome.is_some() || pair.iter().any(|&leg| leg >= self.call.legs.len()) {
            return None;
        }
        let leg = match (&wanted.replaces, wanted.leg_id.as_str()) {
            (Some(dialog), _) => self.other(pair.into_iter().find(|&leg| self.is_dialog(leg, dialog))?),
            (None, "") => self.call.far_index(&wanted.facing),
            (None, leg_id) => pair.into_iter().find(|&leg| self.leg(leg).leg_id == leg_id)?,
        };
        self.leg(leg).is_up().then_some(leg)
    }

    /// A leg as another call takes it over: its dialog, and nothing that is under way.
    pub fn as_lent(&self, leg: LegIndex) -> Lent {
        let on = self.leg(leg).clone();
        let is_session = |timer: &&Timer| timer.leg as LegIndex == leg && OF_SESSION.contains(&timer.kind());
        let timers = self.call.timers.iter().filter(is_session).cloned().collect();
        let tag = on.remote_tag.clone();
        let mut dialogs = on.dialogs;
        dialogs.retain(|dialog| dialog.remote_tag == tag);
        for dialog in &mut dialogs {
            (dialog.last_ack, dialog.last_ack_ms) = (None, 0);
        }
        // Effect numbers of one call mean nothing in another one
        let invite = on.incoming.is_none().then(|| Invite {
            phase: InvitePhase::Accepted.into(),
            target: on.invite.as_ref().map(|invite| invite.target.clone()).unwrap_or_default(),
            ..Invite::default()
        });
        let leg = Leg {
            dialogs,
            invite,
            pending: Vec::new(),
            served: Vec::new(),
            retry: None,
            given: 0,
            released: false,
            lent: None,
            kept: None,
            borrowed: None,
            returning: false,
            owed: false,
            ..on
        };
        Lent { leg, timers, ..Lent::default() }
    }

    /// The leg that was lent for this operation of another call.
    pub fn lent_to(&self, call_id: &str, operation: u64) -> Option<LegIndex> {
        let loan = Loan { call_id: call_id.to_owned(), operation };
        self.call.legs.iter().position(|leg| leg.lent.as_ref() == Some(&loan))
    }

    /// The borrower keeps the leg: this call has done its part.
    fn is_kept(&mut self, leg: LegIndex) {
        let on = self.leg_mut(leg);
        on.kept = on.lent.clone();
        self.let_lent_go(leg);
        let cause = Cause { header: String::new(), ..Cause::failed(200, "OK") };
        self.end(Cause { kind: OutcomeKind::Completed, by: BY_API.into(), ..cause });
    }

    fn is_lost(&mut self, leg: LegIndex, refused: &Refused) {
        let is_hung_up = !self.leg(leg).is_up() || refused.status == 200;
        self.let_lent_go(leg);
        let leg_id = self.leg(leg).leg_id.clone();
        let (kind, header) = (OutcomeKind::Completed, String::new());
        self.end(match is_hung_up {
            true => Cause { kind, header, ..Cause::failed_by(&leg_id, 200, "OK") },
            false => Cause::failed_by(&leg_id, refused.status, &refused.reason),
        });
    }

    fn let_lent_go(&mut self, leg: LegIndex) {
        let on = self.leg_mut(leg);
        on.lent = None;
        on.dialogs.iter_mut().for_each(|dialog| dialog.state = DialogState::Ended.into());
        self.leg_over(leg);
    }

    /// The leg is back: nothing of its session has changed.
    pub fn take_back(&mut self, leg: LegIndex, lent: &Lent) {
        let on = self.leg_mut(leg);
        on.lent = None;
        on.last_cseq = on.last_cseq.max(lent.leg.last_cseq);
        on.challenges = lent.leg.challenges.clone();
        let tag = on.remote_tag.clone();
        let told = lent.leg.dialogs.iter().find(|dialog| dialog.remote_tag == tag);
        if let (Some(dialog), Some(told)) = (on.dialog_mut(&tag), told) {
            let is_over = dialog.state() == DialogState::Ended;
            *dialog = told.clone();
            if is_over {
                dialog.state = DialogState::Ended.into();
            }
        }
        (on.edge_id, on.edge_epoch, on.flow) =
            (lent.leg.edge_id.clone(), lent.leg.edge_epoch, lent.leg.flow.clone());
        if self.call.outcome.is_some() {
            return self.end_dialog(leg, &tag);
        }
        for timer in &lent.timers {
            self.call.timers.push(Timer { leg: leg as u32, ..timer.clone() });
        }
        self.call.stage = Some(Stage::Talking(Talking {}));
        if self.call.legs.len() < 2 {
            // Who it was to be connected with is not there any more
            return self.end(Cause::failed(480, "Temporarily Unavailable"));
        }
        if lent.moved {
            self.reconnect();
        }
    }

    /// The phone of a leg that another call has asks something here.
    pub fn on_lent_request(&mut self, leg: LegIndex, request: &RequestReceived) {
        let transaction = request.transaction.as_str();
        match request.method.as_str() {
            "BYE" => {
                self.respond(leg, transaction, 200, Vec::new(), None);
                let Some(loan) = self.leg_mut(leg).lent.clone() else { return };
                if let Some(dialog) = self.leg_mut(leg).dialog_mut(&request.from_tag) {
                    dialog.state = DialogState::Ended.into();
                }
                self.tell(&loan.call_id, loan.operation, Word::HungUp(Nothing {}));
            }
            "INVITE" | "UPDATE" => self.respond(leg, transaction, 491, Vec::new(), None),
            "OPTIONS" => self.respond(leg, transaction, 200, Vec::new(), None),
            _ => self.respond(leg, transaction, 480, Vec::new(), None),
        }
    }
}

impl Call {
    /// The leg that is connected with this one.
    pub fn facing(&self, leg_id: &str) -> Option<&Leg> {
        let pair = self.pair();
        let at = pair.into_iter().position(|leg| self.legs.get(leg).is_some_and(|on| on.leg_id == leg_id))?;
        self.legs.get(pair[1 - at])
    }

    /// The connected leg that is not the one of this address of record.
    pub fn far_from(&self, uri: &str) -> Option<&Leg> {
        let far = self.far_index(uri);
        self.legs
            .get(far)
            .filter(|leg| self.pair().into_iter().all(|one| one < self.legs.len()) && leg.is_up())
    }

    fn far_index(&self, uri: &str) -> LegIndex {
        let pair = self.pair();
        let is_second = self
            .legs
            .get(pair[1])
            .is_some_and(|leg| address_of_record(&leg.party.uri) == address_of_record(uri));
        if is_second { pair[0] } else { pair[1] }
    }
}
