//! The call that an INVITE with Replaces or Join names: whether it gives what is wanted, and to whom.
//!
//! A party that rings and is picked up is cancelled at once, and who picked it up takes its place:
//!
//! | the call                              | what follows                                                             |
//! |---------------------------------------|--------------------------------------------------------------------------|
//! | leg a called, b rings                 | re-INVITE of the new party with the caller's offer; its answer in the 200 |
//! | leg a rings first                     | the call goes on as if leg a had answered: b is dialled                  |
//! | leg a is up, b rings                  | as after a transfer: re-INVITE of a, and of the new party with its offer  |
//!
//! Who joins is mixed by the phone of the far party, when that lists `join`, else by that of the party that was named. When neither
//! phone has a mixer, all meet at one elsewhere, see `meet`.

use std::time::Duration;

use crate::engine::call::{SCHEMA, TimerKind};
use crate::engine::claim::record::{Claim, Place};
use crate::engine::event::standard_phrase;
use crate::engine::leg::{DialogState, InvitePhase, LegState, Loan, OpenOffer, Purpose};
use crate::engine::outcome::{Cause, reason_value};
use crate::engine::report::CallEventType;
use crate::engine::send::Ask;
use crate::engine::signal::{A, B, LegIndex};
use crate::engine::stage::{Anchored, Stage};
use crate::engine::text::lists;
use crate::engine::transfer::record::{DialogId, Lent, Moving, MovingStep, Refused, Word};
use crate::engine::work::Work;

/// What a claim gets.
enum Grant {
    /// This leg is lent.
    Leg(LegIndex),
    /// The party of this leg, which rings, is picked up.
    PickUp(LegIndex),
    /// This phone mixes.
    Place(Box<Place>),
    /// They meet at a mixer, to which the party of this leg is moved last.
    Meet(LegIndex),
}

impl Work<'_> {
    /// Another call's caller wants a place in this one.
    pub fn on_claim(&mut self, from: &str, operation: u64, claim: &Claim) {
        if self.lent_to(from, operation).is_some() || self.is_to_meet(from, operation) {
            return; // it was told before
        }
        match self.grant(claim) {
            Ok(Grant::Leg(leg)) => self.lend(leg, from, operation),
            Ok(Grant::PickUp(_)) => self.tell(from, operation, Word::PickUp(Default::default())),
            Ok(Grant::Place(place)) => self.tell(from, operation, Word::Place(*place)),
            Ok(Grant::Meet(leg)) => self.meet_at_mixer(leg, from, operation),
            Err(status) => {
                let refused = Refused { status, reason: standard_phrase(status).to_owned() };
                self.tell(from, operation, Word::Refused(refused));
            }
        }
    }

    /// What it gets, or with what status it is refused. CCL-09, CCL-10, CCL-11, CCL-13
    fn grant(&self, claim: &Claim) -> Result<Grant, u32> {
        let is_it = |leg: &LegIndex| self.is_dialog(*leg, &claim.dialog);
        let mut found = (0..self.call.legs.len()).filter(is_it);
        let (Some(leg), None) = (found.next(), found.next()) else { return Err(481) };
        let on = self.leg(leg);
        let state = on.dialog(&claim.dialog.from_tag).map_or(DialogState::Ended, |dialog| dialog.state());
        let is_over = matches!(on.state(), LegState::Ending | LegState::Ended);
        if self.call.outcome.is_some() || is_over || state == DialogState::Ended {
            return Err(603);
        }
        let far = self.call.legs.get(self.other(leg));
        let far_uri = far.map_or(self.call.to.uri.as_str(), |far| far.party.uri.as_str());
        if !claim.is_authorised(&on.party.uri, far_uri) {
            return Err(403);
        }
        if claim.join && self.is_conferring() {
            return self.may_meet(leg).map(|()| Grant::Meet(leg));
        }
        if on.lent.is_some() || on.returning || !self.pair().contains(&leg) {
            return Err(491);
        }
        match state {
            _ if claim.join => match self.place_beside(leg) {
                Some(place) => Ok(Grant::Place(Box::new(place))),
                None => self.may_meet(leg).map(|()| Grant::Meet(leg)),
            },
            DialogState::Confirmed if claim.dialog.early_only => Err(486),
            DialogState::Confirmed => {
                let far = self.other(leg);
                let is_free = self.must_be_talking().is_ok() && self.is_free(far);
                is_free.then_some(Grant::Leg(far)).ok_or(491)
            }
            _ if on.incoming.is_some() => Err(481),
            _ => self.may_be_picked_up(leg).then_some(Grant::PickUp(leg)).ok_or(491),
        }
    }

    /// CCL-09: only with the tags this way round.
    pub fn is_dialog(&self, leg: LegIndex, dialog: &DialogId) -> bool {
        let on = self.leg(leg);
        on.sip_call_id == dialog.call_id
            && on.local_tag == dialog.to_tag
            && on.dialog(&dialog.from_tag).is_some()
    }

    fn may_be_picked_up(&self, leg: LegIndex) -> bool {
        let rings =
            self.leg(leg).invite.as_ref().is_some_and(|invite| {
                matches!(invite.phase(), InvitePhase::Calling | InvitePhase::Proceeding)
            });
        let fits = match &self.call.stage {
            Some(Stage::DialA(_)) => leg == A,
            Some(Stage::Anchored(stage)) => leg == B && stage.claiming.is_none(),
            Some(
                Stage::DialB(_)
                | Stage::Ringback(_)
                | Stage::Prack(_)
                | Stage::Early(_)
                | Stage::OfferB(_)
                | Stage::AskOffer(_),
            ) => leg == B && self.leg(A).is_up(),
            Some(
                Stage::Connect(_)
                | Stage::Talking(_)
                | Stage::Ending(_)
                | Stage::Moving(_)
                | Stage::Lending(_)
                | Stage::Referring(_)
                | Stage::Gathering(_)
                | Stage::Listening(_)
                | Stage::Conferring(_),
            )
            | None => false,
        };
        rings && fits
    }

    /// The phone that mixes whoever joins the party of this leg. CCL-14
    fn place_beside(&self, leg: LegIndex) -> Option<Place> {
        let mixers = [self.other(leg), leg].into_iter().filter(|&leg| leg < self.call.legs.len());
        mixers.filter(|&leg| self.mixes(leg)).find_map(|leg| self.place_of(leg))
    }

    /// Whether the phone of a leg takes whoever joins.
    pub fn mixes(&self, leg: LegIndex) -> bool {
        let on = self.leg(leg);
        let dialog = on.chosen().or_else(|| on.dialogs.first());
        dialog.is_some_and(|dialog| lists(&dialog.supported, "join") && dialog.state() != DialogState::Ended)
            && on.lent.is_none()
    }

    /// Where the phone of a leg is reached, and how it knows its dialog.
    pub fn place_of(&self, leg: LegIndex) -> Option<Place> {
        let on = self.leg(leg);
        let dialog = on.chosen().or_else(|| on.dialogs.first())?;
        (!dialog.remote_target.is_empty()).then(|| Place {
            party_uri: on.party.uri.clone(),
            display_name: on.party.display_name.clone(),
            target: dialog.remote_target.clone(),
            route: dialog.route.clone(),
            flow: on.flow_to(&dialog.remote_tag),
            join: format!("{};to-tag={};from-tag={}", on.sip_call_id, dialog.remote_tag, on.local_tag),
        })
    }

    /// Who picked a party up is here: `false` when that party cannot be picked up any more.
    pub fn on_picked_up(&mut self, from: &str, operation: u64, lent: &Lent, claim: &Claim) -> bool {
        let Ok(Grant::PickUp(leave)) = self.grant(claim) else { return false };
        let come = self.take_in(Loan { call_id: from.to_owned(), operation }, lent);
        self.call.schema = SCHEMA;
        self.report_on(come, CallEventType::PartyJoined, 0, "");
        self.report_on(leave, CallEventType::PartyLeft, 0, "");
        // RFC 3326 2: the phone that stops ringing has missed nothing
        let header = reason_value(200, "Call completed elsewhere");
        self.drop_leg(leave, &Cause { header, ..Cause::failed(200, "OK") });
        match self.call.stage.clone() {
            Some(Stage::Anchored(stage)) => {
                self.swap_legs(leave, come);
                self.leg_mut(B).owed = true;
                self.offer_caller(Anchored { lines: Vec::new(), ..stage });
            }
            Some(Stage::DialA(_)) => {
                self.swap_legs(leave, come);
                self.leg_mut(A).owed = true;
                self.choose_flow();
                self.dial_b();
            }
            _ => self.move_to_picker(leave, come, from, operation),
        }
        true
    }

    /// Leg a is up, and is connected with the new party as after a transfer.
    fn move_to_picker(&mut self, leave: LegIndex, come: LegIndex, from: &str, operation: u64) {
        self.report_on(A, CallEventType::TransferStarted, 0, "");
        let waits = self
            .leg(A)
            .chosen()
            .filter(|dialog| dialog.unacked != 0 && dialog.open_offer() == OpenOffer::Theirs);
        let offer = waits.map(|dialog| dialog.remote_sdp.clone());
        let step = if offer.is_some() { MovingStep::Offering } else { MovingStep::Asking };
        let moving = Moving {
            stay: A as u32,
            leave: leave as u32,
            come: come as u32,
            step: step.into(),
            operation,
            lender: from.to_owned(),
            referral: None,
        };
        self.call.stage = Some(Stage::Moving(moving));
        match offer {
            Some(offer) => {
                self.start_timer(TimerKind::Guard, A, Duration::from_millis(self.call.policy.guard_ms));
                self.ask_to_move(come, &offer);
            }
            None => {
                let (headers, purpose) = (self.session_headers(), Purpose::MoveAsk);
                self.ask(A, Ask { method: "INVITE", headers, purpose, ..Ask::default() });
            }
        }
    }

    /// Two legs take each other's place in the record.
    pub fn swap_legs(&mut self, one: LegIndex, other: LegIndex) {
        self.call.legs.swap(one, other);
        let swap = |leg: &mut u32| match *leg as LegIndex {
            at if at == one => *leg = other as u32,
            at if at == other => *leg = one as u32,
            _ => {}
        };
        self.call.timers.iter_mut().for_each(|timer| swap(&mut timer.leg));
        for leg in &mut self.call.legs {
            let retry = leg.retry.iter_mut();
            leg.pending.iter_mut().chain(retry).for_each(|pending| swap(&mut pending.relay_leg));
        }
        self.call.lines.clear();
    }

    /// The calls that gave the legs of those who are connected are told that these stay.
    pub fn tell_owed(&mut self) {
        for leg in self.pair() {
            let on = self.leg_mut(leg);
            if let Some(loan) = on.borrowed.clone().filter(|_| std::mem::take(&mut on.owed)) {
                self.tell(&loan.call_id, loan.operation, Word::Kept(Default::default()));
            }
        }
    }

    /// The call that gave a leg which ends is told so, if it was not told before that the leg stays.
    pub fn tell_owed_lost(&mut self, leg: LegIndex) {
        let on = self.leg_mut(leg);
        if let Some(loan) = on.borrowed.clone().filter(|_| std::mem::take(&mut on.owed)) {
            let refused = Refused { status: on.sip_status, reason: on.sip_reason.clone() };
            self.tell(&loan.call_id, loan.operation, Word::Lost(refused));
        }
    }
}
