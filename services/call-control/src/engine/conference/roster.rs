//! Who is in a conference, for those who watch it (RFC 4575): told as a whole after each change, under a version that grows.

use crate::engine::conference::record::{Conference, Member, MemberStep};
use crate::engine::effect::{Effect, Roster, RosterEntry, What};
use crate::engine::leg::LegState;
use crate::engine::stage::Stage;
use crate::engine::work::Work;

/// The queue of effects in which rosters stand: that of no leg.
const QUEUE: &str = "roster";

impl Work<'_> {
    /// Somebody has come, gone, or got further.
    pub fn roster_changed(&mut self) {
        self.tell_roster(false);
    }

    /// The conference is over.
    pub(super) fn tell_roster_ended(&mut self) {
        self.tell_roster(true);
    }

    fn tell_roster(&mut self, is_over: bool) {
        // Before everybody is moved there is no conference yet, and there may never be one
        let is_held = matches!(self.call.stage, Some(Stage::Conferring(_)));
        let Some(conference) = &mut self.call.conference else { return };
        if !is_held || conference.local || conference.elsewhere || (is_over && conference.version == 0) {
            return;
        }
        conference.version += 1;
        let conference = conference.clone();
        let entries = match is_over {
            true => Vec::new(),
            false => self.entries(&conference),
        };
        let roster = Roster { uri: conference.uri, version: conference.version, entries, is_over };
        // A roster is the whole of it: what was not told yet need not be
        self.call.outbox.retain(|effect| !matches!(effect.what, Some(What::Roster(_))));
        self.effects.retain(|effect| !matches!(effect.what, Some(What::Roster(_))));
        self.call.last_effect += 1;
        let effect = Effect {
            number: self.call.last_effect,
            leg_id: QUEUE.to_owned(),
            what: Some(What::Roster(roster)),
            ..Effect::default()
        };
        self.call.outbox.push(effect.clone());
        self.effects.push(effect);
    }

    fn entries(&self, conference: &Conference) -> Vec<RosterEntry> {
        conference
            .members
            .iter()
            .filter(|member| member.step() != MemberStep::Gone)
            .map(|member| self.entry(member))
            .collect()
    }

    fn entry(&self, member: &Member) -> RosterEntry {
        let leg = self.leg(member.party());
        RosterEntry {
            uri: leg.party.uri.clone(),
            display_name: leg.party.display_name.clone(),
            endpoint: leg.chosen().map(|dialog| dialog.remote_target.clone()).unwrap_or_default(),
            is_in: member.step() == MemberStep::In,
            is_held: leg.state() == LegState::Held,
            is_ringing: leg.state() == LegState::Ringing,
            has_called: leg.incoming.is_some(),
            joined_ms: member.joined_ms,
            sip_call_id: leg.sip_call_id.clone(),
            local_tag: leg.local_tag.clone(),
            remote_tag: leg.remote_tag.clone(),
        }
    }
}
