//! What phones wish themselves: one that holds the other, and what is answered while the application's hold stands.
//!
//! The two holds are states of their own. While that of the application stands, the session is Carillon's to change: a phone that makes an
//! offer is answered inactive, whatever it offers (RFC 3264 6.1, RFC 6337 5.3), one that asks for an offer gets that of the hold, and
//! nothing reaches the other party. What the phone wishes is kept, and is so again when the application has lifted its own.

use crate::engine::call::Call;
use crate::engine::effect::Body;
use crate::engine::leg::{Leg, LegState, OpenOffer};
use crate::engine::offer_answer::{Fate, is_hold};
use crate::engine::outcome::BY_CARILLON;
use crate::engine::report::CallEventType;
use crate::engine::signal::LegIndex;
use crate::engine::work::Work;

impl Leg {
    /// Whether Carillon keeps the party on hold: because the application wishes it, or while something plays to the other one.
    pub fn is_kept_on_hold(&self) -> bool {
        // Records of before knew the state alone
        self.held || (self.state() == LegState::Held && !self.holds)
    }
}

impl Call {
    /// Whether a phone of the two holds, or Carillon does.
    fn is_on_hold(&self) -> bool {
        let on = self.pair().into_iter().filter_map(|leg| self.legs.get(leg));
        on.into_iter().any(|leg| leg.holds || leg.is_kept_on_hold())
    }
}

impl Work<'_> {
    /// Whether Carillon keeps the party of a leg on hold.
    pub fn is_held(&self, leg: LegIndex) -> bool {
        self.leg(leg).is_kept_on_hold()
    }

    /// Carillon keeps the party of this leg on hold from now on. Whether that is news of the call, or of the member.
    pub fn keep_on_hold(&mut self, leg: LegIndex) -> bool {
        let was_held = self.leg(leg).state() == LegState::Held;
        let on = self.leg_mut(leg);
        on.state = LegState::Held.into();
        on.held = true;
        match self.call.conference.is_some() {
            true => !was_held,
            false => !std::mem::replace(&mut self.call.held, true),
        }
    }

    /// Nobody is on hold any more, as far as Carillon goes: these have a session again, which this one offered and the other answered.
    /// Whether anybody was.
    pub fn lift_hold(&mut self, pair: [LegIndex; 2]) -> bool {
        let is_member = self.call.conference.is_some();
        let mut was_held = !is_member && std::mem::take(&mut self.call.held);
        for leg in pair {
            let on = self.leg_mut(leg);
            was_held |= is_member && on.state() == LegState::Held;
            on.state = LegState::Answered.into();
            on.held = false;
        }
        was_held
    }

    /// Whether the session of a leg is the application's to change, and not its phone's.
    pub fn is_session_on_hold(&self, leg: LegIndex) -> bool {
        let other = self.other(leg);
        self.call.listener_of(leg).is_none()
            && [leg, other].into_iter().any(|one| one < self.call.legs.len() && self.is_held(one))
    }

    /// A phone changes its session while the application's hold stands, or asks for an offer.
    pub fn answer_on_hold(&mut self, leg: LegIndex, transaction: &str, offer: Option<Vec<u8>>) {
        let tag = self.leg(leg).remote_tag.clone();
        let said = match &offer {
            Some(offer) => self.inactive_answer(leg, &tag, offer),
            None => self.hold_offer(leg),
        };
        let Some(said) = said else { return self.respond(leg, transaction, 488, Vec::new(), None) };
        let headers = self.answer_headers(leg, &tag);
        self.respond(leg, transaction, 200, headers, Some(Body::sdp(said)));
        match offer {
            Some(offer) => self.leg_mut(leg).holds = is_hold(&offer),
            None => {
                if let Some(dialog) = self.leg_mut(leg).dialog_mut(&tag) {
                    dialog.open_offer = OpenOffer::Ours.into();
                }
            }
        }
    }

    /// ACK with the answer to an offer of ours in a 2xx.
    pub fn own_offer_answered(&mut self, leg: LegIndex, answer: Option<&[u8]>) {
        let tag = self.leg(leg).remote_tag.clone();
        let is_ours = |open| open == OpenOffer::Ours;
        if self.leg(leg).chosen().is_some_and(|dialog| is_ours(dialog.open_offer())) {
            self.offer_settled(leg, &tag, answer.map_or(Fate::Refused, Fate::Answered));
        }
    }

    /// Reports that a party put the other one on hold, or took it off: not while the other one holds too, as its answer says.
    pub fn note_hold(&mut self, by: LegIndex, offer: &[u8], answer: &[u8]) {
        if self.call.is_to_mixer(by) || self.call.listening().is_some() {
            return; // it is its own affair whom it lets hear, and who listens to a server is on hold anyway
        }
        let other = self.other(by);
        self.leg_mut(by).holds = is_hold(offer);
        if let Some(other) = self.call.legs.get_mut(other) {
            other.holds &= is_hold(answer);
        }
        self.phones_hold(by);
    }

    /// Tells whether a phone holds, when that is news.
    fn phones_hold(&mut self, by: LegIndex) {
        let is_member = self.call.conference.is_some();
        let (was, is_now) = match is_member {
            true => {
                let on = self.leg(by);
                (on.state() == LegState::Held, on.holds || on.held)
            }
            false => (self.call.held, self.call.is_on_hold()),
        };
        if was == is_now {
            return;
        }
        match is_member {
            true => {
                self.leg_mut(by).state = if is_now { LegState::Held } else { LegState::Answered }.into();
                self.roster_changed();
            }
            false => self.call.held = is_now,
        }
        let kind = if is_now { CallEventType::Held } else { CallEventType::Unheld };
        let leg_id = self.leg(by).leg_id.clone();
        self.report_by(Some(leg_id.clone()), kind, (0, ""), &leg_id);
    }

    /// The leg's offer cannot go further: it is answered, and the call stays on hold (UAC-22), or is from now on.
    pub fn stay_held(&mut self, leg: LegIndex) {
        let tag = self.leg(leg).remote_tag.clone();
        let offer = self.leg(leg).chosen().map(|dialog| dialog.remote_sdp.clone()).unwrap_or_default();
        let answer = self.inactive_answer(leg, &tag, &offer);
        self.ack(leg, &tag, answer);
        if self.keep_on_hold(leg) {
            let leg_id = Some(self.leg(leg).leg_id.clone());
            self.report_by(leg_id, CallEventType::Held, (0, ""), BY_CARILLON);
        }
    }
}
