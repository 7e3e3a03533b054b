//! INVITEs that no edge took on, and calls that end meanwhile: nobody may be rung for a call that is over.
//!
//! | the INVITE waits in the outbox, and            | what happens                                                          |
//! |------------------------------------------------|-----------------------------------------------------------------------|
//! | no edge was there to take it for some time     | the call ends as FAILED by Carillon, 503                              |
//! | RING passes                                    | the same: no phone was asked, so none failed to answer                |
//! | the call ends, and no edge was named for it    | it is withdrawn, and the leg is over at once                          |
//! | the call ends, and an edge was named for it    | CANCEL follows it; when that edge refuses or is lost, it is withdrawn |
//! | an edge has it in spite of that                | CANCEL by that edge; what answers all the same gets ACK and BYE       |
//!
//! The last row: any replica may have handed the INVITE to an edge whose word about it was lost or is late. A call of which
//! nothing is left cannot say CANCEL; its edge is told so when it delivers, and ends what it sent by itself.

use crate::engine::call::EdgeRef;
use crate::engine::effect::What;
use crate::engine::event::Carried;
use crate::engine::leg::{InvitePhase, Leg, LegState};
use crate::engine::outcome::Cause;
use crate::engine::signal::LegIndex;
use crate::engine::work::Work;

impl Work<'_> {
    /// There was no edge that could take an effect on.
    pub fn on_no_edge(&mut self, number: u64) {
        let is_it = |leg: LegIndex| self.untaken_invite(leg).is_some_and(|found| found == (number, "", 0));
        let Some(leg) = (0..self.call.legs.len()).find(|&leg| is_it(leg)) else { return };
        let leg_id = self.leg(leg).leg_id.clone();
        self.lose_party(leg, Cause::no_edge(&leg_id));
        self.drop_untaken(leg);
    }

    /// Whether the leg's INVITE still waits for an edge to take it on.
    pub fn is_untaken(&self, leg: LegIndex) -> bool {
        self.untaken_invite(leg).is_some()
    }

    /// Whether it waits, and nobody was named to whom it could have been given.
    pub fn is_without_edge(&self, leg: LegIndex) -> bool {
        self.untaken_invite(leg).is_some_and(|(_, edge_id, _)| edge_id.is_empty())
    }

    /// Whether it waits for this life of an edge.
    pub fn is_untaken_by(&self, leg: LegIndex, edge_id: &str, edge_epoch: u64) -> bool {
        self.untaken_invite(leg).is_some_and(|(_, id, epoch)| (id, epoch) == (edge_id, edge_epoch))
    }

    /// The call is ending and the leg's INVITE has no edge any more that could take it on: nobody is to.
    pub fn drop_untaken(&mut self, leg: LegIndex) {
        let Some((number, _, _)) = self.untaken_invite(leg) else { return };
        let cancels = |what: &Option<What>| matches!(what, Some(What::Cancel(cancel)) if cancel.invite_effect == number);
        self.call.outbox.retain(|effect| effect.number != number && !cancels(&effect.what));
        if let Some(invite) = &mut self.leg_mut(leg).invite {
            // Not failed: an edge that has it in spite of that is told to cancel it
            invite.phase = InvitePhase::Cancelling.into();
        }
        self.leg_over(leg);
    }

    /// An edge has an INVITE that was withdrawn: it is cancelled there.
    pub fn on_late_word(&mut self, carried: &Carried) {
        let is_lost =
            |lost: &EdgeRef| lost.edge_id == carried.edge_id && lost.edge_epoch == carried.edge_epoch;
        let is_withdrawn = |leg: &Leg| {
            leg.state() == LegState::Ended
                && leg.invite.as_ref().is_some_and(|invite| {
                    invite.effect == carried.effect
                        && invite.phase() == InvitePhase::Cancelling
                        && invite.edge_id.is_empty()
                })
        };
        let Some(leg) = self.call.legs.iter().position(is_withdrawn) else { return };
        if self.call.lost.iter().any(is_lost) {
            return;
        }
        let on = self.leg_mut(leg);
        on.released = false;
        (on.edge_id, on.edge_epoch) = (carried.edge_id.clone(), carried.edge_epoch);
        if let Some(invite) = &mut on.invite {
            (invite.edge_id, invite.edge_epoch) = (carried.edge_id.clone(), carried.edge_epoch);
        }
        self.cancel(leg);
    }

    /// Number and named edge of the leg's INVITE, while it is in the outbox.
    fn untaken_invite(&self, leg: LegIndex) -> Option<(u64, &str, u64)> {
        let number = self.leg(leg).invite.as_ref()?.effect;
        let effect = self.call.outbox.iter().find(|effect| effect.number == number)?;
        Some((number, effect.edge_id.as_str(), effect.edge_epoch))
    }
}
