//! What a replica remembers about the calls it works on: the record as last seen, and effects under way. All of it is a
//! convenience; the store is the truth.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::edges::EdgeLife;
use crate::engine::effect::Effect;
use crate::engine::event::Event;
use crate::repository::Loaded;

const SHARDS: usize = 16;

/// The slots of all calls.
pub(super) struct Slots {
    shards: Vec<Mutex<HashMap<String, Arc<Slot>>>>,
    hasher: RandomState,
    /// How often it was looked for slots that nobody uses.
    rounds: AtomicU64,
    /// Slots in one shard at most, those in use not counted.
    limit: usize,
}

/// One call.
#[derive(Default)]
pub(super) struct Slot {
    /// The record as last read or written; locked while the call is stepped, so that one replica does not compete with itself.
    pub(super) state: tokio::sync::Mutex<Option<Arc<Loaded>>>,
    /// The round in which it was asked for last.
    used: AtomicU64,
    carrier: Mutex<Carrier>,
    /// Effects were offered to their edges: others may have their turn.
    offered: Notify,
}

#[derive(Default)]
struct Carrier {
    legs: HashMap<String, LegQueue>,
    /// Effects that are queued, under way, or carried and not committed yet, with the edge for each.
    known: HashMap<u64, EdgeLife>,
    /// The outbox of the record as last seen: nothing else is wanted, nor by another edge.
    wanted: HashMap<u64, EdgeLife>,
    /// What edges said, not committed yet.
    results: Vec<Event>,
}

#[derive(Default)]
struct LegQueue {
    jobs: Vec<Job>,
    running: bool,
    /// Effects that no edge was asked to take yet, and that later ones of other legs let go first.
    unoffered: BTreeSet<u64>,
}

/// An effect to carry.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) effect: Effect,
    /// Another replica may have sent it to its edge already.
    pub(super) is_sent: bool,
}

impl Slots {
    pub(super) fn new(limit: usize) -> Slots {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Slots {
            shards,
            hasher: RandomState::new(),
            rounds: AtomicU64::new(0),
            limit: (limit / SHARDS).max(1),
        }
    }

    pub(super) fn get(&self, call_id: &str) -> Arc<Slot> {
        let round = self.rounds.load(Ordering::Relaxed);
        let mut shard = self.shard(call_id).lock();
        if let Some(slot) = shard.get(call_id) {
            slot.used.store(round, Ordering::Relaxed);
            return Arc::clone(slot);
        }
        if shard.len() >= self.limit {
            // Whoever uses a slot holds it; the others cost at most one read from the store.
            shard.retain(|_, slot| Arc::strong_count(slot) > 1);
        }
        let slot = Slot { used: AtomicU64::new(round), ..Slot::default() };
        Arc::clone(shard.entry(call_id.to_owned()).or_insert_with(|| Arc::new(slot)))
    }

    /// Forgets the calls for which nothing has happened since the round before the last: most of the time two people just talk, and a
    /// record as it is worked on takes several times the room of what the store has of it.
    pub(super) fn forget_quiet(&self) {
        let round = self.rounds.fetch_add(1, Ordering::Relaxed);
        for shard in &self.shards {
            let mut shard = shard.lock();
            shard.retain(|_, slot| {
                Arc::strong_count(slot) > 1 || slot.used.load(Ordering::Relaxed) >= round || slot.has_work()
            });
            if shard.len() < shard.capacity() / 4 {
                shard.shrink_to_fit();
            }
        }
    }

    pub(super) fn remove(&self, call_id: &str) {
        self.shard(call_id).lock().remove(call_id);
    }

    fn shard(&self, call_id: &str) -> &Mutex<HashMap<String, Arc<Slot>>> {
        &self.shards[self.hasher.hash_one(call_id) as usize % SHARDS]
    }
}

impl Slot {
    /// The outbox of the record as it now is.
    pub(super) fn set_wanted(&self, outbox: &[Effect]) {
        self.carrier.lock().wanted = outbox.iter().map(|effect| (effect.number, edge_of(effect))).collect();
    }

    /// Whether an effect is still in the outbox, for the same edge.
    pub(super) fn is_wanted(&self, effect: &Effect) -> bool {
        self.carrier.lock().wanted.get(&effect.number) == Some(&edge_of(effect))
    }

    /// Adds effects that are not known yet; the legs for which a carrier must be started.
    pub(super) fn enqueue(&self, effects: impl Iterator<Item = Effect>, is_sent: bool) -> Vec<String> {
        let mut carrier = self.carrier.lock();
        let Carrier { legs, known, .. } = &mut *carrier;
        let mut start = Vec::new();
        for effect in effects {
            let edge = edge_of(&effect);
            // The same effect for another edge replaces the one that is under way, which notices that it is not wanted.
            if known.insert(effect.number, edge.clone()) == Some(edge) {
                continue;
            }
            let leg = legs.entry(effect.leg_id.clone()).or_default();
            if !std::mem::replace(&mut leg.running, true) {
                start.push(effect.leg_id.clone());
            }
            leg.unoffered.insert(effect.number);
            leg.jobs.push(Job { effect, is_sent });
        }
        start
    }

    /// What is to be carried next on a leg, in the order of numbers; ends the carrier when there is nothing.
    pub(super) fn next(&self, leg_id: &str) -> Option<Vec<Job>> {
        let mut carrier = self.carrier.lock();
        let leg = carrier.legs.get_mut(leg_id)?;
        let mut jobs = std::mem::take(&mut leg.jobs);
        jobs.sort_by_key(|job| job.effect.number);
        leg.running = !jobs.is_empty();
        if !leg.running {
            leg.unoffered.clear();
        }
        leg.running.then_some(jobs)
    }

    /// Whether an earlier effect of another leg waits to be offered to its edge.
    pub(super) fn is_behind(&self, effect: &Effect) -> bool {
        let carrier = self.carrier.lock();
        let mut others = carrier.legs.iter().filter(|(leg_id, _)| **leg_id != effect.leg_id);
        others.any(|(_, leg)| leg.unoffered.first().is_some_and(|first| *first < effect.number))
    }

    /// Returns when effects were offered after it was first polled.
    pub(super) fn another_offered(&self) -> Notified<'_> {
        self.offered.notified()
    }

    /// The edge of an effect took it on, or nobody asks it any more.
    pub(super) fn was_offered(&self, effect: &Effect) {
        if let Some(leg) = self.carrier.lock().legs.get_mut(&effect.leg_id) {
            leg.unoffered.remove(&effect.number);
        }
        self.offered.notify_waiters();
    }

    /// The leg does not get on: no other one waits for it.
    pub(super) fn is_stuck(&self, leg_id: &str) {
        if let Some(leg) = self.carrier.lock().legs.get_mut(leg_id) {
            leg.unoffered.clear();
        }
        self.offered.notify_waiters();
    }

    /// Effects before this one were waited for long enough.
    pub(super) fn overtake(&self, effect: &Effect) {
        for leg in self.carrier.lock().legs.values_mut() {
            leg.unoffered = leg.unoffered.split_off(&effect.number);
        }
        self.offered.notify_waiters();
    }

    /// The carrier of a leg could not be started.
    pub(super) fn stopped(&self, leg_id: &str) {
        let mut carrier = self.carrier.lock();
        let dropped = carrier.legs.remove(leg_id).unwrap_or_default();
        for job in dropped.jobs {
            carrier.known.remove(&job.effect.number);
        }
        drop(carrier);
        self.offered.notify_waiters();
    }

    /// An effect is not carried any more, without a result.
    pub(super) fn drop_effect(&self, effect: &Effect) {
        let mut carrier = self.carrier.lock();
        if carrier.known.get(&effect.number) == Some(&edge_of(effect)) {
            carrier.known.remove(&effect.number);
        }
    }

    /// What an edge said about an effect.
    pub(super) fn add_result(&self, result: Event) {
        self.carrier.lock().results.push(result);
    }

    /// What edges said, to be committed.
    pub(super) fn take_results(&self) -> Results<'_> {
        Results { slot: self, events: std::mem::take(&mut self.carrier.lock().results) }
    }

    /// Whether there are effects under way, or results that are not committed.
    fn has_work(&self) -> bool {
        let carrier = self.carrier.lock();
        !carrier.results.is_empty() || !carrier.known.is_empty()
    }

    pub(super) fn has_results(&self) -> bool {
        !self.carrier.lock().results.is_empty()
    }
}

/// What edges said, taken out to be committed; goes back when it is dropped unsettled.
pub(super) struct Results<'a> {
    slot: &'a Slot,
    events: Vec<Event>,
}

impl Results<'_> {
    pub(super) fn events(&self) -> &[Event] {
        &self.events
    }

    /// It is committed, or will not be.
    pub(super) fn settle(mut self) {
        let mut carrier = self.slot.carrier.lock();
        for number in std::mem::take(&mut self.events).iter().filter_map(effect_number) {
            carrier.known.remove(&number);
        }
    }
}

impl Drop for Results<'_> {
    fn drop(&mut self) {
        if !self.events.is_empty() {
            let mut carrier = self.slot.carrier.lock();
            let later = std::mem::replace(&mut carrier.results, std::mem::take(&mut self.events));
            carrier.results.extend(later);
        }
    }
}

fn edge_of(effect: &Effect) -> EdgeLife {
    EdgeLife { id: effect.edge_id.clone(), epoch: effect.edge_epoch }
}

fn effect_number(event: &Event) -> Option<u64> {
    match event {
        Event::Carried(carried) => Some(carried.effect),
        Event::NotCarried { effect } | Event::NoEdge { effect } => Some(*effect),
        Event::Leg(_) | Event::Due | Event::EdgeLost { .. } | Event::Command(_) | Event::Told { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quiet_call_is_forgotten_and_one_that_is_used_is_not() {
        let slots = Slots::new(1_000);
        let is_known = |slots: &Slots, call_id: &str| slots.shard(call_id).lock().contains_key(call_id);
        for call_id in ["quiet", "asked for", "held"] {
            slots.get(call_id);
        }
        let _held = slots.get("held");
        for _ in 0..3 {
            slots.forget_quiet();
            slots.get("asked for");
        }
        assert_eq!(
            ["quiet", "asked for", "held"].map(|call_id| is_known(&slots, call_id)),
            [false, true, true]
        );
    }
}
