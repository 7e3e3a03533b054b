//! Somebody leaves a conference, and the conference ends (RFC 4579 5.7, 5.12; CCL-19).
//!
//! | what                                    | effects                                   | events                                |
//! |-----------------------------------------|-------------------------------------------|---------------------------------------|
//! | BYE of the phone, its session expires   | BYE to the mixer                          | PARTY_LEFT, LEG_ENDED                 |
//! | the mixer's leg is over                 | BYE to the phone                          | PARTY_LEFT, LEG_ENDED                 |
//! | who was called does not answer          | BYE or CANCEL, whatever fits              | LEG_ENDED with its status             |
//! | the last one left; or, by policy, the creator | BYE to all that are left            | ENDED, COMPLETED by the one who left  |

use crate::engine::call::{OutcomeKind, TimerKind};
use crate::engine::conference::record::{Ends, MemberStep};
use crate::engine::outcome::Cause;
use crate::engine::signal::LegIndex;
use crate::engine::stage::Stage;
use crate::engine::work::Work;

impl Work<'_> {
    /// A leg of a conference is over. `false` when the call is none.
    pub fn lose_member(&mut self, leg: LegIndex, cause: &Cause) -> bool {
        match self.call.stage {
            Some(Stage::Gathering(_)) => self.lose_while_gathering(leg, cause.clone()),
            Some(Stage::Conferring(_)) => self.leave(leg, cause),
            _ => return false,
        }
        true
    }

    fn leave(&mut self, leg: LegIndex, cause: &Cause) {
        let Some(conference) = &self.call.conference else { return };
        let Some(at) = conference.find(|member| member.has(leg)) else {
            // One that has left before, or never came
            return self.drop_leg(leg, cause);
        };
        let member = conference.members[at].clone();
        let is_creator = at == 0;
        let was_in = member.step() == MemberStep::In;
        self.step_to(at, MemberStep::Gone);
        let party = member.party();
        // Of two who talked, each is a party
        let who = if self.is_mixed_locally() && is_creator { leg } else { party };
        if was_in {
            self.report_left(who);
        } else {
            let (status, reason) = (cause.status, cause.reason.clone());
            self.tell_of_referral(&member, status, &reason);
        }
        for leg in member.mixer().into_iter().chain([party]) {
            self.stop_timer(TimerKind::Guard, leg);
            self.stop_timer(TimerKind::Ring, leg);
        }
        self.drop_leg(party, cause);
        if let Some(mixer) = member.mixer() {
            let is_over = Cause { header: String::new(), ..cause.clone() };
            self.drop_leg(mixer, &is_over);
        }
        self.roster_changed();
        let by = self.leg(who).leg_id.clone();
        let over =
            Cause { kind: OutcomeKind::Completed, header: String::new(), ..Cause::failed_by(&by, 200, "OK") };
        if self.is_mixed_locally() {
            return self.settle_local(if was_in { over } else { cause.clone() });
        }
        self.end_if_over(is_creator && was_in, if was_in { over } else { cause.clone() });
    }

    /// The policy: when nobody is left, or who made it has gone.
    fn end_if_over(&mut self, has_creator_left: bool, cause: Cause) {
        let Some(conference) = &self.call.conference else { return };
        let is_empty = conference.find(|_| true).is_none();
        if is_empty || (has_creator_left && conference.ends() == Ends::Creator) {
            self.end(cause);
        }
    }

    /// Sends somebody away.
    pub(super) fn expel(&mut self, leg: LegIndex) {
        let cause = Cause { header: String::new(), ..Cause::failed(200, "OK") };
        self.leave(leg, &cause);
    }
}
