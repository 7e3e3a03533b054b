//! The parties of a connected call are moved into a conference, one after the other and only when the one who joins is there: until
//! then they talk as before. When one of them cannot be moved, nobody is: who came is let go, and who was moved is connected with the
//! other one as before (CCL-15: "X untouched").
//!
//! Who asked by Join comes by itself, see `claim::meet`; where the conference is one of others, see `elsewhere`.

use crate::engine::call::TimerKind;
use crate::engine::conference::record::{Gathering, Meeting, Member, MemberStep};
use crate::engine::leg::Purpose;
use crate::engine::outcome::{BY_CARILLON, Cause};
use crate::engine::report::CallEventType;
use crate::engine::signal::LegIndex;
use crate::engine::stage::{Stage, Talking};
use crate::engine::work::Work;

impl Work<'_> {
    /// Two who talk are to be moved, in this order; and who goes there by itself.
    pub fn begin_gathering(&mut self, parties: [LegIndex; 2], meeting: Option<Meeting>) {
        self.stop_listening();
        let waiting = |leg: LegIndex| Member {
            party: leg as u32,
            step: MemberStep::Waiting.into(),
            ..Member::default()
        };
        self.make_conference(parties.map(waiting).to_vec());
        self.call.stage = Some(Stage::Gathering(Gathering { meeting, leading: None }));
    }

    /// Moves the next one, or everybody is there.
    pub fn gather_next(&mut self) {
        let Some(conference) = &self.call.conference else { return };
        let is_there = !conference.uri.is_empty();
        let next = conference.find(|member| member.step() == MemberStep::Waiting);
        if is_there {
            self.tell_meeting();
        }
        match next {
            Some(at) if self.lead_to_conference(at) => {}
            Some(at) => self.ask_mixer(at),
            None => self.gathered(),
        }
    }

    fn gathered(&mut self) {
        self.confer();
        let Some(conference) = &self.call.conference else { return };
        // Who joined is the last one: the two were there before. Who went to a conference elsewhere by itself has no leg here
        let last = conference.members.len().saturating_sub(1);
        if std::mem::take(&mut self.call.held) {
            self.report_by(None, CallEventType::Unheld, (0, ""), BY_CARILLON);
        }
        if last > 1 {
            self.joined(last);
        }
    }

    /// Nobody is moved after all.
    pub fn gathering_failed(&mut self, status: u32, reason: &str) {
        let Some(Stage::Gathering(_)) = self.call.stage else { return };
        let pair = self.pair();
        self.refuse_meeting(488);
        if let Some(leg) = self.stop_leading() {
            self.report_on(leg, CallEventType::TransferFailed, status, reason);
        }
        pair.into_iter().for_each(|leg| self.stop_timer(TimerKind::Operation, leg));
        let conference = self.call.conference.take();
        self.call.stage = Some(Stage::Talking(Talking {}));
        let cause = Cause::failed(status, reason);
        let mut is_moved = false;
        for member in conference.into_iter().flat_map(|conference| conference.members) {
            let party = member.party();
            let was_there = pair.contains(&party);
            if was_there {
                is_moved |= member.step() == MemberStep::In;
                self.unask_to_move(party);
            } else {
                self.stop_timer(TimerKind::Ring, party);
                self.drop_leg(party, &cause);
            }
            if let Some(mixer) = member.mixer() {
                self.stop_timer(TimerKind::Guard, mixer);
                self.stop_timer(TimerKind::Ring, mixer);
                self.drop_leg(mixer, &Cause { header: String::new(), ..cause.clone() });
            }
        }
        if is_moved {
            self.reconnect();
        }
    }

    /// A re-INVITE with the mixer's offer that waits for its turn is not sent any more. To one that is out, whatever the call then is
    /// answers, and brings the two together again.
    fn unask_to_move(&mut self, leg: LegIndex) {
        let waits = self.leg(leg).retry.as_ref().is_some_and(|retry| retry.purpose() == Purpose::Move);
        if waits {
            self.leg_mut(leg).retry = None;
            self.stop_timer(TimerKind::Retry, leg);
        }
    }

    /// A leg is over while the parties are being moved.
    pub(super) fn lose_while_gathering(&mut self, leg: LegIndex, cause: Cause) {
        if self.is_ahead_of(leg) {
            if let Some(leg) = self.stop_leading() {
                self.report_on(leg, CallEventType::TransferFailed, cause.status, &cause.reason);
            }
            return self.go_on_with_conference(leg);
        }
        // Who wanted to talk to the other one does not any more: nobody is left for who joins
        if self.pair().contains(&leg) {
            return self.end(cause);
        }
        self.gathering_failed(cause.status, &cause.reason);
    }

    /// The call ends while they are being moved, or as a conference.
    pub fn conference_ends(&mut self) {
        self.refuse_meeting(603);
        if let Some(leg) = self.stop_leading() {
            self.report_on(leg, CallEventType::TransferFailed, 487, "Request Terminated");
        }
        let Some(conference) = self.call.conference.clone() else { return };
        for member in conference.members.iter().filter(|member| !member.is_gone()) {
            if member.step() != MemberStep::In {
                self.tell_of_referral(member, 487, "Request Terminated");
            }
        }
        self.tell_roster_ended();
    }

    /// Somebody has come into the conference.
    pub(super) fn joined(&mut self, at: usize) {
        let Some(member) = self.member(at).cloned() else { return };
        self.tell_of_referral(&member, 200, "OK");
        self.report_on(member.party(), CallEventType::PartyJoined, 0, "");
        self.roster_changed();
    }
}
