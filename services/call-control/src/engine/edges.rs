//! Edges that take effects on, and edges that die.
//!
//! | of a lost edge                              | what happens                                                          |
//! |---------------------------------------------|-----------------------------------------------------------------------|
//! | effect not taken on yet, any edge can do it | goes to any edge                                                      |
//! | INVITE not taken on yet, of a call that ends | withdrawn, see `untaken`                                             |
//! | CANCEL, response, release not taken on yet  | forgotten: what they are about died with the edge                     |
//! | INVITE without final response               | the leg ends as 503, the call as FAILED by Carillon; early dialogs get BYE by another edge (RFC 3261 15) |
//! | the connection that such an INVITE went on  | the same: another edge had the phone's flow and died, while the leg's own lives |
//! | INVITE accepted in the last 64*T1            | other forks that rang get BYE: a 2xx of theirs would not be heard     |
//! | BYE without response                        | sent again by another edge                                            |
//! | ACK of the last 64*T1                       | sent again by another edge                                            |
//! | other request without response              | fails as 503                                                          |
//! | INVITE of a caller, before its ACK          | the call ends: nobody else has its transaction                        |
//! | request of the peer                         | forgotten: the peer repeats it through another edge                   |
//! | confirmed dialog                            | goes on by any edge, along the flow of its phone or what took its place |
//!
//! An edge that was given up may come back as the same life: what it takes on then is with it, and it is no longer lost.
//!
//! An effect that an edge refused goes to another one. When there is none, the request counts as failed with 503; ACK and BYE
//! wait for an edge. A response can go nowhere else, see `unsaid`.

use crate::engine::call::{EdgeRef, TimerKind};
use crate::engine::effect::{Effect, SendRequest, What};
use crate::engine::event::{Carried, FailureCause};
use crate::engine::leg::{
    Dialog, DialogState, InvitePhase, Leg, LegState, OpenOffer, Pending, Purpose, Served,
};
use crate::engine::outcome::Cause;
use crate::engine::signal::{LegIndex, Reply, Signal};
use crate::engine::work::Work;

/// How many lost edge epochs a record remembers.
const MAX_LOST: usize = 8;

impl Work<'_> {
    /// An edge took an effect on: it leaves the outbox.
    pub fn on_carried(&mut self, carried: &Carried) {
        let Some(at) = self.call.outbox.iter().position(|effect| effect.number == carried.effect) else {
            return self.on_late_word(carried);
        };
        let effect = self.call.outbox.remove(at);
        let Some(leg) = self.call.legs.iter().position(|leg| leg.leg_id == effect.leg_id) else { return };
        if !matches!(effect.what, Some(What::Send(_))) {
            return;
        }
        let (edge_id, edge_epoch) = (carried.edge_id.as_str(), carried.edge_epoch);
        // What follows on this leg and had no edge yet goes where the leg now is
        for waiting in self.call.outbox.iter_mut().filter(|waiting| waiting.leg_id == effect.leg_id) {
            if waiting.edge_id.is_empty() {
                (waiting.edge_id, waiting.edge_epoch) = (edge_id.to_owned(), edge_epoch);
            }
        }
        let on = self.leg_mut(leg);
        (on.edge_id, on.edge_epoch) = (edge_id.to_owned(), edge_epoch);
        if let Some(invite) = on.invite.as_mut().filter(|invite| invite.effect == carried.effect) {
            (invite.edge_id, invite.edge_epoch) = (edge_id.to_owned(), edge_epoch);
        }
        if let Some(pending) = on.pending.iter_mut().find(|pending| pending.effect == carried.effect) {
            (pending.edge_id, pending.edge_epoch) = (edge_id.to_owned(), edge_epoch);
        }
        let taker = EdgeRef { edge_id: edge_id.to_owned(), edge_epoch };
        if !self.call.lost.contains(&taker) {
            return;
        }
        if self.context.edges.contains(&taker) {
            // It was away longer than its lease and is back, the same life of it. Sent again, the request would come to it once more, and
            // again. If it is lost after all, the call is told so a second time.
            self.call.lost.retain(|lost| *lost != taker);
        } else {
            self.edge_lost = true;
            self.leave_edge(leg, edge_id, edge_epoch);
        }
    }

    /// The edge did not take an effect on.
    pub fn on_not_carried(&mut self, number: u64) {
        let Some(at) = self.call.outbox.iter().position(|effect| effect.number == number) else { return };
        let is_invite = |leg: &Leg| leg.invite.as_ref().is_some_and(|invite| invite.effect == number);
        if self.call.outcome.is_some()
            && let Some(leg) = self.call.legs.iter().position(is_invite)
        {
            return self.drop_untaken(leg);
        }
        let mut effect = self.call.outbox.remove(at);
        match &effect.what {
            Some(What::Tell(tell)) => return self.on_untold(&tell.clone()),
            // Nobody who watches can make anything of it
            Some(What::Roster(_)) => return,
            _ => {}
        }
        let is_bound = effect.is_bound_to_edge();
        if !is_bound
            && (effect.refusals as usize) < self.context.edges.len()
            && let Some(other) = self.choose_edge(&effect.edge_id)
        {
            effect.refusals += 1;
            self.redirect(&mut effect, other);
            self.call.outbox.insert(at, effect.clone());
            return self.effects.push(effect);
        }
        if matches!(&effect.what, Some(What::Send(request)) if matches!(request.method.as_str(), "ACK" | "BYE"))
        {
            // What ends or completes a dialog is owed to the peer: it stays in the outbox until the leg is given up
            effect.refusals += 1;
            return self.call.outbox.insert(at, effect);
        }
        let Some(leg) = self.call.legs.iter().position(|leg| leg.leg_id == effect.leg_id) else { return };
        if let Some(What::Respond(response)) = &effect.what {
            return self.on_unsaid(leg, &effect, response);
        }
        let on = self.leg_mut(leg);
        if on.invite.as_ref().is_some_and(|invite| invite.effect == number) {
            self.on_invite_silence(leg, FailureCause::Transport);
        } else if let Some(at) = on.pending.iter().position(|pending| pending.effect == number) {
            let request = on.pending.remove(at);
            self.finish_request(leg, request, Reply { status: 503, unsent: true, ..Reply::default() });
        }
    }

    /// One life of an edge is over.
    pub fn on_edge_lost(&mut self, edge_id: &str, edge_epoch: u64) {
        self.edge_lost = true;
        let lost = EdgeRef { edge_id: edge_id.to_owned(), edge_epoch };
        if !self.call.lost.contains(&lost) {
            self.call.lost.push(lost);
            if self.call.lost.len() > MAX_LOST {
                self.call.lost.remove(0);
            }
        }
        self.call.outbox.retain(|effect| {
            !(effect.is_bound_to_edge() && effect.edge_id == edge_id && effect.edge_epoch == edge_epoch)
        });
        for leg in 0..self.call.legs.len() {
            if self.call.outcome.is_some() && self.is_untaken_by(leg, edge_id, edge_epoch) {
                self.drop_untaken(leg);
            }
            self.repeat_acks(leg, edge_id, edge_epoch);
        }
        let mut outbox = std::mem::take(&mut self.call.outbox);
        for effect in &mut outbox {
            if effect.edge_id == edge_id && effect.edge_epoch == edge_epoch {
                let other = self.choose_edge(edge_id).unwrap_or_default();
                self.redirect(effect, other);
                self.effects.push(effect.clone());
            }
        }
        self.call.outbox = outbox;
        for leg in 0..self.call.legs.len() {
            self.leave_edge(leg, edge_id, edge_epoch);
        }
    }

    /// Sends the last ACK of every dialog on the lost edge again, while its 2xx may still be repeated, before anything else.
    fn repeat_acks(&mut self, leg: LegIndex, edge_id: &str, edge_epoch: u64) {
        let oldest = self.now.millis().saturating_sub(64 * self.call.policy.t1_ms);
        let on = self.leg(leg);
        if on.state() == LegState::Ended || on.edge_id != edge_id || on.edge_epoch != edge_epoch {
            return;
        }
        let leg_id = on.leg_id.clone();
        let recent = on.dialogs.iter().filter(|dialog| dialog.last_ack_ms >= oldest);
        let acks: Vec<SendRequest> = recent.filter_map(|dialog| dialog.last_ack.clone()).collect();
        for ack in acks {
            let waits = |effect: &Effect| {
                let number = |what: &Option<What>| match what {
                    Some(What::Send(request)) if request.method == "ACK" => request.cseq,
                    _ => 0,
                };
                effect.leg_id == leg_id && number(&effect.what) == ack.cseq
            };
            if self.call.outbox.iter().any(waits) {
                continue;
            }
            let at = self.call.outbox.iter().position(|effect| effect.leg_id == leg_id);
            self.put(leg, What::Send(ack));
            if let Some(at) = at {
                self.call.outbox[at..].rotate_right(1);
            }
        }
    }

    /// Gives an effect that was not carried to another edge, with its leg.
    fn redirect(&mut self, effect: &mut Effect, edge: EdgeRef) {
        if let Some(on) = self.call.legs.iter_mut().find(|leg| leg.leg_id == effect.leg_id)
            && on.edge_id == effect.edge_id
        {
            (on.edge_id, on.edge_epoch) = (edge.edge_id.clone(), edge.edge_epoch);
        }
        // Within a dialog any edge follows the flow to where its phone is, also when the flow has ended with this edge (ADR 18). What
        // begins one is placed anew.
        if let Some(What::Send(request)) = &mut effect.what
            && request.to_tag.is_empty()
        {
            request.flow.clear();
        }
        (effect.edge_id, effect.edge_epoch) = (edge.edge_id, edge.edge_epoch);
    }

    fn leave_edge(&mut self, leg: LegIndex, edge_id: &str, edge_epoch: u64) {
        let on = self.leg_mut(leg);
        if on.edge_id == edge_id && on.edge_epoch == edge_epoch {
            on.edge_id.clear();
            on.edge_epoch = 0;
        }
        let on = self.leg_mut(leg);
        let (gone, kept): (Vec<Served>, Vec<Served>) = on
            .served
            .drain(..)
            .partition(|served| served.edge_id == edge_id && served.edge_epoch == edge_epoch);
        on.served = kept;
        if gone.iter().any(|served| served.initial) {
            self.signals.push_back(Signal::CallerLost { leg });
        }
        let on = self.leg_mut(leg);
        for served in gone.iter().filter(|served| served.offer && !served.answered) {
            if let Some(dialog) = on.dialog_mut(&served.remote_tag) {
                dialog.open_offer = OpenOffer::None.into();
            }
        }
        let invite =
            on.invite.as_ref().filter(|invite| invite.edge_id == edge_id && invite.edge_epoch == edge_epoch);
        let phase = invite.map(|invite| invite.phase());
        let lost = |pending: &&Pending| pending.edge_id == edge_id && pending.edge_epoch == edge_epoch;
        let requests: Vec<_> = on.pending.iter().filter(lost).cloned().collect();
        on.pending.retain(|pending| pending.edge_id != edge_id || pending.edge_epoch != edge_epoch);
        match phase {
            Some(InvitePhase::Calling | InvitePhase::Proceeding | InvitePhase::Cancelling) => {
                return self.lose_invite(leg);
            }
            Some(InvitePhase::Accepted) if self.has_timer(TimerKind::Accepted, leg) => self.lose_forks(leg),
            Some(InvitePhase::Accepted | InvitePhase::Failed) | None => {}
        }
        for request in requests {
            if request.purpose() == Purpose::Bye {
                self.send_pending(leg, request);
            } else {
                self.finish_request(leg, request, Reply { status: 503, lost: true, ..Reply::default() });
            }
        }
    }

    /// A 2xx of another fork would not be heard any more: every fork that rang is told by BYE.
    fn lose_forks(&mut self, leg: LegIndex) {
        let on = self.leg(leg);
        let is_fork =
            |dialog: &&Dialog| dialog.state() == DialogState::Early && dialog.remote_tag != on.remote_tag;
        let forks: Vec<String> =
            on.dialogs.iter().filter(is_fork).map(|fork| fork.remote_tag.clone()).collect();
        self.end_ringing(leg, &forks);
    }

    /// Tells by BYE what no CANCEL reaches any more, and why. A CANCEL that was on its way had a reason of its own, or none.
    fn end_ringing(&mut self, leg: LegIndex, tags: &[String]) {
        let lost = if self.edge_lost { Cause::edge_lost() } else { Cause::failed(503, "") };
        let on = self.leg_mut(leg);
        let is_cancelled = on.invite.as_ref().is_some_and(|invite| invite.phase() == InvitePhase::Cancelling);
        let own = on.end_reason.clone();
        if !is_cancelled {
            on.end_reason = lost.header;
        }
        for tag in tags {
            self.bye(leg, tag);
        }
        self.leg_mut(leg).end_reason = own;
    }

    /// The INVITE's transaction died with its edge, or the connection that it was sent on broke: no CANCEL follows it any more,
    /// but what rings can be told by BYE. RFC 3261 15
    pub fn lose_invite(&mut self, leg: LegIndex) {
        let on = self.leg(leg);
        match on.invite.as_ref().map(|invite| invite.phase()) {
            Some(InvitePhase::Calling | InvitePhase::Proceeding | InvitePhase::Cancelling) => {}
            Some(InvitePhase::Accepted | InvitePhase::Failed) | None => return,
        }
        let ringing: Vec<String> = on.dialogs.iter().map(|dialog| dialog.remote_tag.clone()).collect();
        self.end_ringing(leg, &ringing);
        let (dialogs, pending) = {
            let on = self.leg_mut(leg);
            (std::mem::take(&mut on.dialogs), std::mem::take(&mut on.pending))
        };
        self.on_invite_silence(leg, FailureCause::Transport);
        let on = self.leg_mut(leg);
        on.dialogs = dialogs;
        on.pending = pending;
        for dialog in &mut on.dialogs {
            dialog.state = DialogState::Ended.into();
        }
        debug_assert!(on.state() != LegState::Answered);
    }
}
