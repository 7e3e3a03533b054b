//! INVITE with Join where no phone of the call mixes: all meet at a conference (RFC 3911 4, 5; LAD-8, CCL-15).
//!
//! | conferences are                                     | what follows                                                             |
//! |-----------------------------------------------------|--------------------------------------------------------------------------|
//! | Carillon's own (`mixers`)                           | 302 to the URI of one; when the caller has come there, the two are moved  |
//! | the same, and the call is one already               | 302 to its URI                                                           |
//! | made elsewhere (`conference_factory`)               | one is made, and the far party moved; 302; then the party is moved        |
//! | neither; or the call is of two who do not talk yet  | 488                                                                      |
//!
//! Own conferences move nobody before the third one is there, so that who never comes changes nothing. Who goes to a conference elsewhere
//! is seen by nobody here: there the order of RFC 3911 5 holds. What goes wrong before the 302 is a 488 to who wanted to join, and the two
//! talk as before.

use std::time::Duration;

use crate::engine::StepError;
use crate::engine::call::TimerKind;
use crate::engine::claim::record::Meet;
use crate::engine::conference::MAX_LEGS;
use crate::engine::conference::record::{Meeting, MemberStep};
use crate::engine::effect::Header;
use crate::engine::event::standard_phrase;
use crate::engine::outcome::Cause;
use crate::engine::signal::{A, LegIndex};
use crate::engine::stage::Stage;
use crate::engine::transfer::record::{Refused, Word};
use crate::engine::work::Work;

/// How long who was led to a conference of Carillon's may take to call it (LAD-8: "never reaches F within 32 s").
const COMING: Duration = Duration::from_secs(32);

impl Work<'_> {
    /// Whether the call is a conference at a mixer.
    pub(super) fn is_conferring(&self) -> bool {
        matches!(self.call.stage, Some(Stage::Conferring(_))) && !self.is_mixed_locally()
    }

    /// Whether who joins the party of this leg can be led to a conference, or with what status it is refused.
    pub(super) fn may_meet(&self, leg: LegIndex) -> Result<(), u32> {
        if self.is_conferring() {
            let member = self.call.member_of(leg);
            let is_in = member.is_some_and(|on| on.party() == leg && on.step() == MemberStep::In);
            return is_in.then_some(()).ok_or(491);
        }
        if !self.context.mixing.is_there() || self.call.legs.len() + 4 > MAX_LEGS {
            return Err(488);
        }
        // Who does not talk yet can be moved neither by REFER nor by re-INVITE
        let is_free = self.must_be_talking().and_then(|()| self.must_be_free(&self.pair()));
        is_free.map_err(|error| if error == StepError::Conflict { 491 } else { 488 })
    }

    /// Who joins the party of this leg is led to a conference.
    pub(super) fn meet_at_mixer(&mut self, leg: LegIndex, from: &str, operation: u64) {
        if self.is_conferring() {
            let uri = self.call.conference.as_ref().map(|conference| conference.uri.clone());
            return self.tell(from, operation, Word::Meet(Meet { uri: uri.unwrap_or_default() }));
        }
        let members = [self.other(leg), leg];
        self.begin_gathering(members, Some(Meeting { call_id: from.to_owned(), operation, told: false }));
        match self.is_made_elsewhere() {
            true => self.gather_next(),
            false => {
                self.tell_meeting();
                self.start_timer(TimerKind::Operation, members[0], COMING);
            }
        }
    }

    /// Whether this was asked for before.
    pub(super) fn is_to_meet(&self, from: &str, operation: u64) -> bool {
        self.meeting().is_some_and(|meeting| meeting.call_id == from && meeting.operation == operation)
    }

    /// The call whose caller is led to the conference that the parties are moved to.
    pub fn meeting(&self) -> Option<&Meeting> {
        match &self.call.stage {
            Some(Stage::Gathering(gathering)) => gathering.meeting.as_ref(),
            _ => None,
        }
    }

    /// Tells that call where the conference is, once.
    pub fn tell_meeting(&mut self) {
        let uri = self.call.conference.as_ref().map(|conference| conference.uri.clone()).unwrap_or_default();
        if let Some(meeting) = self.take_untold_meeting() {
            self.tell(&meeting.call_id, meeting.operation, Word::Meet(Meet { uri }));
        }
    }

    /// Tells it that there is none, unless it was told where one is.
    pub fn refuse_meeting(&mut self, status: u32) {
        if let Some(meeting) = self.take_untold_meeting() {
            let refused = Refused { status, reason: standard_phrase(status).to_owned() };
            self.tell(&meeting.call_id, meeting.operation, Word::Refused(refused));
        }
    }

    fn take_untold_meeting(&mut self) -> Option<Meeting> {
        let Some(Stage::Gathering(gathering)) = &mut self.call.stage else { return None };
        let meeting = gathering.meeting.as_mut().filter(|meeting| !meeting.told)?;
        meeting.told = true;
        Some(meeting.clone())
    }

    /// Who wanted to join has given up before it was led there.
    pub fn nobody_meets(&mut self, call_id: &str, operation: u64) {
        // A phone that was asked to call the conference may be there already
        if self.is_to_meet(call_id, operation) && self.referring().is_none() {
            self.gathering_failed(487, "Request Terminated");
        }
    }

    /// The caller of this call finds those whom it wants to join at a conference.
    pub fn on_meet(&mut self, from: &str, operation: u64, meet: &Meet) {
        if self.asking(from, operation).is_none() {
            return;
        }
        let told = vec![Header::new("Contact", format!("<{}>;isfocus", meet.uri))];
        let caller = self.leg(A).leg_id.clone();
        self.end(Cause { told, ..Cause::failed_by(&caller, 302, standard_phrase(302)) });
    }
}
