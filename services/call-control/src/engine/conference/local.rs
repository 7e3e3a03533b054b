//! A third party is mixed by the phone of one of two who talk, when that lists `join` (RFC 3911; LAD-7, asked for by the application).
//!
//! Who joins is called, and then the phone that mixes is called for it, with its own dialog in Join: to that phone it is as if who joins had
//! called. The two go on as they were; what changes for them, their phone that mixes says by re-INVITE, which is relayed with `isfocus`.
//!
//! | step    | input                          | effects                                              | next    |
//! |---------|--------------------------------|------------------------------------------------------|---------|
//! | -       | Join                           | INVITE j, no body                                    | Dialing |
//! | Dialing | 2xx j, offer                   | INVITE to the phone that mixes, Join, offer'         | Mixing  |
//! | Dialing | refusal of j, RING             | CANCEL j                                             | Gone    |
//! | Mixing  | 2xx of that phone, answer      | ACK; ACK j, answer'                                  | In      |
//! | Mixing  | refusal of that phone, GUARD   | ACK j refusing, BYE j                                | Gone    |
//! | In      | BYE of j, or in j's session with that phone | BYE to the other of the two             | Gone    |
//!
//! Each member is a session of two: the first is that of the two who talked, the others are that of who joined with the phone that
//! mixes. When one session is left it is a call of two like any other; when the first one ends before anybody has come, the call ends.

use crate::engine::call::{Party, SCHEMA};
use crate::engine::claim::record::Place;
use crate::engine::conference::record::{Conference, Member, MemberStep};
use crate::engine::effect::Header;
use crate::engine::leg::LegState;
use crate::engine::outcome::Cause;
use crate::engine::signal::LegIndex;
use crate::engine::stage::{Stage, Talking};
use crate::engine::work::Work;

impl Work<'_> {
    /// Whether a phone of the call mixes, or is asked to.
    pub fn is_mixed_locally(&self) -> bool {
        self.call.conference.as_ref().is_some_and(|conference| conference.local)
    }

    /// Where the phone is that mixes, and how it knows its dialog.
    pub(super) fn local_place(&self) -> Option<Place> {
        let sessions: Vec<[LegIndex; 2]> = match &self.call.conference {
            None => vec![self.pair()],
            Some(conference) => {
                let is_in = |member: &&Member| member.step() == MemberStep::In;
                let members = conference.members.iter().filter(is_in);
                members.filter_map(|member| Some([member.party(), member.mixer()?])).collect()
            }
        };
        let mut legs = sessions.into_iter().flatten().filter(|&leg| leg < self.call.legs.len());
        let leg = legs.find(|&leg| self.mixes(leg) && self.leg(leg).is_up())?;
        self.place_of(leg)
    }

    /// Two who talk become the first session.
    pub(super) fn begin_local(&mut self) {
        self.call.schema = SCHEMA;
        let [party, mixer] = self.pair().map(|leg| leg as u32);
        let lines = std::mem::take(&mut self.call.lines);
        let joined_ms = self.call.answer_ms;
        let step = MemberStep::In.into();
        let talking = Member { party, mixer, step, lines, joined_ms, ..Member::default() };
        self.call.conference =
            Some(Conference { members: vec![talking], local: true, ..Conference::default() });
        self.confer();
    }

    /// Calls the phone that mixes for who joins.
    pub(super) fn dial_mixing_phone(&mut self, at: usize, offer: &[u8]) {
        let Some(party) = self.member(at).map(Member::party) else { return };
        let Some(place) = self.local_place() else {
            return self.lose_party(party, Cause::failed(488, "No phone mixes"));
        };
        let headers = vec![Header::new("Join", &place.join), Header::new("Require", "join")];
        let (uri, display_name) = (place.party_uri.clone(), place.display_name.clone());
        let leg = self.add_leg(Party { uri, display_name, headers, ..Party::default() });
        // RFC 3911 7.1: as if it had called itself
        let of = self.leg(party).party.clone();
        let on = self.leg_mut(leg);
        (on.from_uri, on.from_display) = (of.uri, of.display_name);
        on.state = LegState::Dialing.into();
        let Some(fitted) = self.fit_first_offer(leg, offer) else {
            return self.lose_party(party, Cause::failed(488, "No offer"));
        };
        if let Some(member) = self.member_mut(at) {
            member.mixer = leg as u32;
            member.lines = fitted.lines;
        }
        self.dial_at(leg, Some(fitted.sdp), "application/sdp", Some(&place));
    }

    /// Somebody has left: one session is a call of two again, and without one that is connected there is nobody to come to.
    pub(super) fn settle_local(&mut self, cause: Cause) {
        let Some(conference) = &self.call.conference else { return };
        let mut left = conference.members.iter().filter(|member| !member.is_gone());
        let (first, more) = (left.next().cloned(), left.next().is_some());
        let is_connected = conference.find(|member| member.step() == MemberStep::In).is_some();
        match first {
            Some(member) if is_connected && !more => {
                (self.call.first, self.call.second) = (member.party, member.mixer);
                self.call.lines = member.lines;
                self.call.conference = None;
                self.call.stage = Some(Stage::Talking(Talking {}));
            }
            Some(_) if is_connected => {}
            _ => self.end(cause),
        }
    }
}
