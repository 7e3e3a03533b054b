//! Handing effects to edges, and telling other calls what they are to know.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use cluster_rpc::{Reason, Refusal};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tonic::{Code, Status};

use super::slots::{Job, Slot};
use super::{ApplyError, How, Runner};
use crate::edges::EdgeLife;
use crate::engine::effect::{Effect, Roster, What};
use crate::engine::event::{Carried, Event};
use crate::engine::transfer::record::Tell;
use crate::wire::effects::carry_request;

/// First pause after a failed try; doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// How long an INVITE waits for any edge to be there: longer than an edge takes to be listed again after a hiccup, and less than
/// people wait for a sign that they are being called.
const EDGE_WAIT: Duration = Duration::from_secs(3);
/// How long an effect waits for earlier ones of other legs to be offered to their edges: far more than an edge takes to say that
/// it has one, and less than anybody notices.
const TURN: Duration = Duration::from_millis(250);
/// Tries to commit what edges said, while the store fails; after that the due work brings the effects up again.
const TELL_ATTEMPTS: u32 = 6;

impl Runner {
    /// Queues effects and makes sure that somebody carries them. `is_sent`: another replica may have sent them to their edges.
    pub(super) fn start_carrying(
        self: &Arc<Self>,
        call_id: &str,
        slot: &Arc<Slot>,
        effects: impl Iterator<Item = Effect>,
        is_sent: bool,
    ) {
        for leg_id in slot.enqueue(effects, is_sent) {
            let work = Arc::clone(self).carry_leg(call_id.to_owned(), leg_id.clone(), Arc::clone(slot));
            if let Err(error) = self.tasks.spawn("carry", work) {
                // The due entry that was committed with the effects brings them up again.
                tracing::warn!(%error, call_id, "effects wait for their lease to end");
                slot.stopped(&leg_id);
            }
        }
    }

    /// Carries whatever is queued for a leg, in order, until nothing is. What one leg gets leaves before what another one gets
    /// later, as the ladders have it, but no leg waits for one whose edge does not answer: see `take_turn`.
    async fn carry_leg(self: Arc<Self>, call_id: String, leg_id: String, slot: Arc<Slot>) {
        while let Some(jobs) = slot.next(&leg_id) {
            self.carry_in_order(&call_id, &slot, jobs).await;
            self.tell(&call_id, &slot).await;
        }
    }

    /// Commits what edges said.
    async fn tell(self: &Arc<Self>, call_id: &str, slot: &Arc<Slot>) {
        let mut pause = FIRST_PAUSE;
        for _ in 0..TELL_ATTEMPTS {
            if !slot.has_results() {
                // Another step took them along.
                return;
            }
            match self.apply(call_id, &[], How::default()).await {
                Err(ApplyError::Store(_) | ApplyError::Contended) => {
                    sleep(pause).await;
                    pause = (2 * pause).min(LONGEST_PAUSE);
                }
                Ok(_) => return,
                Err(_) => break,
            }
        }
        // The effects stay in the outbox, or their call is gone.
        slot.take_results().settle();
    }

    async fn carry_in_order(self: &Arc<Self>, call_id: &str, slot: &Slot, jobs: Vec<Job>) {
        let give_up = Instant::now() + self.config.carry_patience;
        // For effects that were committed while no edge was known: those of one leg go to one edge.
        let mut carrier: Option<EdgeLife> = None;
        let mut jobs = jobs.into_iter();
        for job in jobs.by_ref() {
            let effect = &job.effect;
            let (number, edge) = (effect.number, effect.edge_id.as_str());
            take_turn(slot, effect).await;
            let end = match &effect.what {
                Some(What::Roster(roster)) => self.tell_watchers(slot, effect, roster, give_up).await,
                Some(What::Tell(tell)) => self.tell_other(call_id, slot, effect, tell, give_up).await,
                _ => self.carry_one(call_id, slot, &job, carrier.as_ref(), give_up).await,
            };
            slot.was_offered(effect);
            let outcome = match end {
                End::Carried(edge) => {
                    if !effect.leg_id.is_empty() {
                        carrier = Some(edge.clone());
                    }
                    let carried = Carried { effect: number, edge_id: edge.id, edge_epoch: edge.epoch };
                    slot.add_result(Event::Carried(carried));
                    "carried"
                }
                End::NotCarried => {
                    tracing::warn!(call_id, effect = number, edge, "the edge did not take an effect on");
                    slot.add_result(Event::NotCarried { effect: number });
                    "not_carried"
                }
                End::Unwanted => {
                    slot.drop_effect(effect);
                    "unwanted"
                }
                End::NoEdge => {
                    tracing::warn!(call_id, effect = number, "there is no edge that could send an INVITE");
                    slot.add_result(Event::NoEdge { effect: number });
                    "no_edge"
                }
                End::Unknown => {
                    tracing::warn!(call_id, effect = number, edge, "no word from the edge yet");
                    slot.drop_effect(effect);
                    "unknown"
                }
            };
            self.counts.effects.with_label_values(&[outcome]).inc();
            if matches!(outcome, "unknown" | "no_edge") {
                break;
            }
        }
        // What follows on the leg must not overtake an effect of unknown fate; the due work brings all of it up again.
        for job in jobs {
            slot.was_offered(&job.effect);
            slot.drop_effect(&job.effect);
        }
    }

    /// Tells another call something until that is committed there, or there is no such call.
    async fn tell_other(
        self: &Arc<Self>,
        call_id: &str,
        slot: &Slot,
        effect: &Effect,
        tell: &Tell,
        give_up: Instant,
    ) -> End {
        let Some(word) = tell.word.clone() else { return End::NotCarried };
        let said = [Event::Told { from: call_id.to_owned(), operation: tell.operation, word }];
        let how = How { acknowledged: true, ..How::default() };
        let mut pause = FIRST_PAUSE;
        loop {
            if !slot.is_wanted(effect) {
                return End::Unwanted;
            }
            match self.apply(&tell.call_id, &said, how).await {
                Ok(_) => return End::Carried(EdgeLife { id: String::new(), epoch: 0 }),
                Err(ApplyError::Store(_) | ApplyError::Contended) => {}
                Err(_) => return End::NotCarried,
            }
            if timeout_at(give_up, sleep(pause)).await.is_err() {
                return End::Unknown;
            }
            pause = (2 * pause).min(LONGEST_PAUSE);
        }
    }

    /// Tells presence who is in a conference, until it has committed that. Where there is no presence nobody watches.
    async fn tell_watchers(&self, slot: &Slot, effect: &Effect, roster: &Roster, give_up: Instant) -> End {
        let told = End::Carried(EdgeLife { id: String::new(), epoch: 0 });
        let Some(presence) = self.conferences.get() else { return told };
        let mut pause = FIRST_PAUSE;
        loop {
            if !slot.is_wanted(effect) {
                return End::Unwanted;
            }
            let request = crate::wire::roster::tell_conference(roster);
            match timeout(self.config.carry_timeout, presence.tell_conference(request)).await {
                Ok(Ok(_)) => return told,
                Ok(Err(status)) if status.code() == Code::InvalidArgument => {
                    tracing::error!(effect = effect.number, %status, "presence refuses a roster");
                    return End::NotCarried;
                }
                Ok(Err(_)) | Err(_) => {}
            }
            if timeout_at(give_up, sleep(pause)).await.is_err() {
                return End::Unknown;
            }
            pause = (2 * pause).min(LONGEST_PAUSE);
        }
    }

    /// Tries until the edge takes the effect on or surely did not, nobody wants it any more, or the time is up.
    async fn carry_one(
        &self,
        call_id: &str,
        slot: &Slot,
        job: &Job,
        carrier: Option<&EdgeLife>,
        give_up: Instant,
    ) -> End {
        let effect = &job.effect;
        let Some(request) = carry_request(call_id, effect) else { return End::NotCarried };
        let unreached = Instant::now() + self.config.carry_timeout;
        // Whether an edge may have it although it did not say so.
        let mut is_sent = job.is_sent;
        let mut pause = FIRST_PAUSE;
        let mut last_edge = Instant::now();
        loop {
            if !slot.is_wanted(effect) {
                return End::Unwanted;
            }
            let edge = self.edge_for(call_id, effect, carrier);
            let is_without_edge = edge.is_none() && effect.edge_id.is_empty();
            if is_without_edge {
                self.edges.look_again();
            }
            if let Some(edge) = edge {
                let answer = self.edges.carry(&edge, request.clone());
                let status = match timeout(self.config.carry_timeout, answer).await {
                    Ok(Ok(taken)) => {
                        return End::Carried(EdgeLife { id: taken.edge_id, epoch: taken.edge_epoch });
                    }
                    Ok(Err(status)) if is_refusal(&status) => {
                        tracing::warn!(call_id, effect = effect.number, edge = %edge.id, %status, "refused by the edge");
                        return End::NotCarried;
                    }
                    Ok(Err(status)) => status,
                    Err(_) => Status::deadline_exceeded("no answer"),
                };
                self.counts.carry_failures.inc();
                tracing::debug!(call_id, effect = effect.number, edge = %edge.id, %status, "not carried yet");
                if !is_unreached(&status) {
                    is_sent = true;
                    last_edge = Instant::now();
                }
            }
            slot.is_stuck(&effect.leg_id);
            let is_bare_invite = effect.edge_id.is_empty() && effect.is_first_invite();
            if is_bare_invite && last_edge.elapsed() >= EDGE_WAIT {
                return End::NoEdge;
            }
            if !effect.edge_id.is_empty() && !is_sent && Instant::now() >= unreached {
                return End::NotCarried;
            }
            let again = async {
                match is_without_edge {
                    true => drop(timeout(pause, self.edges_changed.notified()).await),
                    false => sleep(pause).await,
                }
            };
            if timeout_at(give_up, again).await.is_err() {
                return End::Unknown;
            }
            pause = (2 * pause).min(LONGEST_PAUSE);
        }
    }

    /// The edge to ask now; `None` while the one that must carry the effect is not in the member list.
    fn edge_for(&self, call_id: &str, effect: &Effect, carrier: Option<&EdgeLife>) -> Option<EdgeLife> {
        let view = self.edges.view();
        let named = EdgeLife { id: effect.edge_id.clone(), epoch: effect.edge_epoch };
        let carrier = carrier.filter(|edge| view.has(edge));
        match (named.id.is_empty(), carrier) {
            (false, _) => view.has(&named).then_some(named),
            (true, Some(carrier)) => Some(carrier.clone()),
            (true, None) => view.choose(call_id).cloned(),
        }
    }
}

/// Waits until earlier effects of other legs are with their edges: the ACK to one phone leaves before the INVITE to the next,
/// CANCEL before BYE. An edge says that it has an effect when it is on the wire, so that the order holds also where the legs are
/// on two edges; only what an edge must first resolve or relay to the edge of the flow may come later.
async fn take_turn(slot: &Slot, effect: &Effect) {
    let patience = Instant::now() + TURN;
    loop {
        let mut offered = pin!(slot.another_offered());
        offered.as_mut().enable();
        if !slot.is_behind(effect) {
            return;
        }
        if timeout_at(patience, offered).await.is_err() {
            return slot.overtake(effect);
        }
    }
}

/// How the work on an effect ended, for now.
enum End {
    Carried(EdgeLife),
    /// The edge refused it or was never reached.
    NotCarried,
    /// The call has no use for it any more, or wants it from another edge, or another replica was faster.
    Unwanted,
    /// It is an INVITE, and there is no edge that can be reached.
    NoEdge,
    /// The edge may have it or not. It is asked again after the lease, until it says so or is lost.
    Unknown,
}

/// Whether the edge itself said that it does not take the effect.
fn is_refusal(status: &Status) -> bool {
    // That an edge cannot be found says nothing about what it would answer.
    let refuses = [Code::NotFound, Code::FailedPrecondition, Code::InvalidArgument, Code::Unimplemented];
    !is_unreached(status) && refuses.contains(&status.code())
}

/// Whether nothing was sent to the edge.
fn is_unreached(status: &Status) -> bool {
    let reason = Refusal::read(status).map(|refusal| refusal.reason());
    matches!(reason, Some(Reason::EdgeNotFound | Reason::EdgeUnreachable))
}
