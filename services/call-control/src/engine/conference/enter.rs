//! Somebody is called into a conference, and connected with the mixer; and which mixer that is.
//!
//! The first leg that a mixer answers settles where the conference is: until then the next one of the list is asked when one refuses, or
//! says nothing. All who come later go to the same mixer, or do not come in.

use crate::engine::call::{Party, TimerKind};
use crate::engine::conference::MIXER_PATIENCE;
use crate::engine::conference::record::{Conference, Conferring, Member, MemberStep};
use crate::engine::effect::{CancelInvite, Header, What};
use crate::engine::leg::{InvitePhase, LegState};
use crate::engine::outcome::Cause;
use crate::engine::report::CallEventType;
use crate::engine::signal::LegIndex;
use crate::engine::stage::Stage;
use crate::engine::transfer::record::Referral;
use crate::engine::work::Work;

impl Work<'_> {
    /// Calls somebody into the conference (RFC 4579 5.4: dial-out).
    pub(super) fn invite(&mut self, party: Party, referral: Option<Referral>) {
        let leg = self.add_leg(party);
        let member =
            Member { party: leg as u32, step: MemberStep::Dialing.into(), referral, ..Member::default() };
        let Some(conference) = &mut self.call.conference else { return };
        conference.members.push(member);
        let uri = conference.uri.clone();
        let on = self.leg_mut(leg);
        on.state = LegState::Dialing.into();
        if self.is_mixed_locally() || self.is_made_elsewhere() {
            self.introduce(leg, self.pair()[0]);
        } else if self.call.policy.caller_id.is_empty() {
            // RFC 4579 5.5: it is the conference that calls
            self.leg_mut(leg).from_uri = uri;
        }
        self.dial(leg, None, "application/sdp");
        self.roster_changed();
    }

    /// The phone answered: its offer goes to the mixer.
    pub(super) fn mix(&mut self, at: usize, offer: Option<Vec<u8>>) {
        let Some(party) = self.member(at).map(Member::party) else { return };
        self.start_timer(
            TimerKind::Guard,
            party,
            std::time::Duration::from_millis(self.call.policy.guard_ms),
        );
        self.step_to(at, MemberStep::Mixing);
        if self.is_mixed_locally() {
            return match offer {
                Some(offer) => self.dial_mixing_phone(at, &offer),
                None => self.lose_party(party, Cause::failed(488, "No offer")),
            };
        }
        let mixer = self.add_mixer_leg(at);
        let fitted = offer.and_then(|offer| self.fit_first_offer(mixer, &offer));
        let Some(fitted) = fitted else {
            return self.lose_party(party, Cause::failed(488, "No offer"));
        };
        if let Some(member) = self.member_mut(at) {
            member.lines = fitted.lines;
        }
        self.dial_mixer(mixer, Some(fitted.sdp));
    }

    /// The mixer answered: so is the phone.
    pub(super) fn mixed(&mut self, at: usize, answer: Option<Vec<u8>>) {
        let Some(member) = self.member(at).cloned() else { return };
        let (party, mixer) = (member.party(), member.mixer as LegIndex);
        if !self.settle_mixer(&member) {
            return self.lose_party(mixer, Cause::failed(488, "No conference"));
        }
        let tag = self.leg(mixer).remote_tag.clone();
        self.ack(mixer, &tag, None);
        let own = self.leg(party).remote_tag.clone();
        let offer = self.leg(party).chosen().map(|dialog| dialog.remote_sdp.clone()).unwrap_or_default();
        let fitted = answer.and_then(|answer| self.fit_answer(party, &own, &offer, &answer, &member.lines));
        let Some(fitted) = fitted else {
            return self.lose_party(mixer, Cause::failed(488, "No answer of the mixer"));
        };
        self.ack(party, &own, Some(fitted));
        self.stop_timer(TimerKind::Guard, party);
        self.come_in(at);
    }

    /// The mixer is asked for an offer to somebody who talks.
    pub(super) fn ask_mixer(&mut self, at: usize) {
        self.step_to(at, MemberStep::Asking);
        let mixer = self.add_mixer_leg(at);
        self.dial_mixer(mixer, None);
    }

    pub(super) fn add_mixer_leg(&mut self, at: usize) -> LegIndex {
        let Some(conference) = &self.call.conference else { return 0 };
        let uri = match conference.is_settled() {
            true => conference.mixer.clone(),
            false => conference.mixers.first().cloned().unwrap_or_default(),
        };
        let of = self.member(at).map(|member| self.leg(member.party()).party.clone()).unwrap_or_default();
        // RFC 4579 5.4: to a factory of others, it is the party that makes a conference
        let caller = if conference.elsewhere { of.uri } else { conference.uri.clone() };
        let leg = self.add_leg(Party { uri, ..Party::default() });
        let on = self.leg_mut(leg);
        (on.from_uri, on.from_display) = (caller, of.display_name);
        on.state = LegState::Dialing.into();
        if let Some(member) = self.member_mut(at) {
            member.mixer = leg as u32;
        }
        leg
    }

    pub(super) fn dial_mixer(&mut self, leg: LegIndex, offer: Option<Vec<u8>>) {
        self.dial(leg, offer, "application/sdp");
        let others = match &self.call.conference {
            Some(conference) if !conference.is_settled() => {
                conference.mixers.iter().skip(1).cloned().collect()
            }
            _ => Vec::new(),
        };
        if let Some(invite) = &mut self.leg_mut(leg).invite {
            invite.targets = others;
        }
        self.start_timer(TimerKind::Ring, leg, MIXER_PATIENCE);
    }

    /// The mixer that answered is that of the conference. `false` when it is none.
    pub(super) fn settle_mixer(&mut self, member: &Member) -> bool {
        let Some(leg) = member.mixer() else { return true };
        let target = self.leg(leg).invite.as_ref().map(|invite| invite.target.clone()).unwrap_or_default();
        let focus = self.focus_reached(leg);
        let is_open = |conference: &&mut Conference| !conference.local && !conference.is_settled();
        let Some(conference) = self.call.conference.as_mut().filter(is_open) else { return true };
        match focus {
            _ if !conference.elsewhere => conference.mixer = target,
            Some(uri) => (conference.mixer, conference.uri) = (uri.clone(), uri),
            None => return false,
        }
        true
    }

    /// A mixer says nothing: the next one is asked, if there is one. What the first one says later is ended.
    pub fn try_next_mixer(&mut self, leg: LegIndex) -> bool {
        if !self.call.is_to_mixer(leg) || self.is_mixed_locally() {
            return false;
        }
        let Some(invite) = self.leg(leg).invite.clone() else { return false };
        let is_open = matches!(invite.phase(), InvitePhase::Calling | InvitePhase::Proceeding);
        if !is_open || invite.targets.is_empty() {
            return false;
        }
        let waits = self.call.outbox.iter().any(|effect| effect.number == invite.effect);
        if waits {
            self.call.outbox.retain(|effect| effect.number != invite.effect);
        } else {
            let (edge_id, edge_epoch) = (invite.edge_id.clone(), invite.edge_epoch);
            let cancel = CancelInvite { invite_effect: invite.effect, headers: Vec::new() };
            self.put_at(leg, edge_id, edge_epoch, What::Cancel(cancel));
        }
        self.try_next_target(leg)
    }

    /// How long the mixer that is asked now may say nothing.
    pub fn mixer_is_asked(&mut self, leg: LegIndex) {
        if self.call.is_to_mixer(leg) && !self.is_mixed_locally() {
            self.start_timer(TimerKind::Ring, leg, MIXER_PATIENCE);
        }
    }

    /// From now on members come and go.
    pub(super) fn confer(&mut self) {
        self.call.stage = Some(Stage::Conferring(Conferring {}));
    }

    /// What a focus says besides with every message that shows its Contact (RFC 4579 5.1).
    pub fn focus_headers(&self, leg: LegIndex) -> Vec<Header> {
        match self.call.shows_focus(&self.leg(leg).leg_id) {
            true => vec![Header::new("Allow-Events", self.allow_events(leg))],
            false => Vec::new(),
        }
    }

    /// The packages that this side tells of in a dialog, as an answer of its own lists them: how a REFER goes on, and the roster of a
    /// conference. RFC 6665 4.4.4
    pub fn allow_events(&self, leg: LegIndex) -> &'static str {
        if self.call.shows_focus(&self.leg(leg).leg_id) { "conference, refer" } else { "refer" }
    }

    /// Who leaves is told of, if it was there.
    pub(super) fn report_left(&mut self, leg: LegIndex) {
        self.report_on(leg, CallEventType::PartyLeft, 0, "");
    }
}
