//! The events of one call on their way to call-control: in order, at least once, until acknowledged.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use cluster_api::callcontrol::v1::LegEvent;

/// The queue of one call. Pure: the shell asks for a batch, offers it, and says how that went.
#[derive(Debug)]
pub(crate) struct Outbox {
    last_number: u64,
    waiting: VecDeque<LegEvent>,
    offered: usize,
    failures: u32,
    retry_at: Option<Instant>,
    oldest: Option<Instant>,
    limit: usize,
}

/// Events of one delivery: more would only make it slow.
const BATCH: usize = 32;
/// First pause after a failed delivery.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// Longest pause. The lease of a dead replica ends within 2 s, then another one takes the events.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

impl Outbox {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            last_number: 0,
            waiting: VecDeque::new(),
            offered: 0,
            failures: 0,
            retry_at: None,
            oldest: None,
            limit,
        }
    }

    /// Numbers an event and queues it. `false` when the queue is full; the event is lost then.
    #[must_use]
    pub(crate) fn push(&mut self, now: Instant, mut event: LegEvent) -> bool {
        if self.is_full() {
            return false;
        }
        self.last_number += 1;
        event.number = self.last_number;
        self.waiting.push_back(event);
        self.oldest.get_or_insert(now);
        true
    }

    /// The events to offer now; `None` while others are being offered, or it is too early to try again.
    pub(crate) fn take_batch(&mut self, now: Instant) -> Option<Vec<LegEvent>> {
        if self.offered > 0 || self.waiting.is_empty() || self.retry_at.is_some_and(|at| now < at) {
            return None;
        }
        self.retry_at = None;
        self.offered = self.waiting.len().min(BATCH);
        Some(self.waiting.iter().take(self.offered).cloned().collect())
    }

    /// What was offered is committed.
    pub(crate) fn acknowledge(&mut self, now: Instant) {
        self.waiting.drain(..self.offered);
        self.offered = 0;
        self.failures = 0;
        self.oldest = (!self.waiting.is_empty()).then_some(now);
    }

    /// What was offered is perhaps not committed: when to offer it again.
    pub(crate) fn fail(&mut self, now: Instant) -> Instant {
        self.offered = 0;
        let pause = FIRST_PAUSE * 2_u32.saturating_pow(self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        let at = now + pause.min(LONGEST_PAUSE);
        self.retry_at = Some(at);
        at
    }

    /// Since when the oldest event waits.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        self.oldest
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.waiting.len() >= self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(batch: Option<Vec<LegEvent>>) -> Option<Vec<u64>> {
        batch.map(|events| events.iter().map(|event| event.number).collect())
    }

    fn outbox_of(count: usize, now: Instant) -> Outbox {
        let mut outbox = Outbox::new(100);
        for _ in 0..count {
            assert!(outbox.push(now, LegEvent::default()));
        }
        outbox
    }

    #[test]
    fn events_leave_in_order_and_one_batch_at_a_time() {
        let now = Instant::now();
        let mut outbox = outbox_of(2, now);
        assert_eq!(numbers(outbox.take_batch(now)), Some(vec![1, 2]));
        assert!(outbox.push(now, LegEvent::default()));
        assert_eq!(outbox.take_batch(now), None, "the first batch is still out");
        outbox.acknowledge(now);
        assert_eq!(numbers(outbox.take_batch(now)), Some(vec![3]));
        outbox.acknowledge(now);
        assert!(outbox.is_empty());
        assert_eq!(outbox.oldest(), None);
    }

    #[test]
    fn a_failed_batch_is_offered_again_with_growing_pauses() {
        let mut now = Instant::now();
        let mut outbox = outbox_of(1, now);
        let mut pauses = Vec::new();
        for _ in 0..8 {
            assert_eq!(numbers(outbox.take_batch(now)), Some(vec![1]));
            let at = outbox.fail(now);
            assert_eq!(outbox.take_batch(now), None);
            pauses.push((at - now).as_millis());
            now = at;
        }
        assert_eq!(pauses, [50, 100, 200, 400, 800, 1600, 2000, 2000]);
    }

    #[test]
    fn a_retry_takes_what_came_meanwhile_along() {
        let now = Instant::now();
        let mut outbox = outbox_of(1, now);
        outbox.take_batch(now);
        let at = outbox.fail(now);
        assert!(outbox.push(now, LegEvent::default()));
        assert_eq!(numbers(outbox.take_batch(at)), Some(vec![1, 2]));
    }

    #[test]
    fn batches_and_the_queue_are_bounded() {
        let now = Instant::now();
        let mut outbox = outbox_of(100, now);
        assert!(!outbox.push(now, LegEvent::default()));
        assert_eq!(outbox.take_batch(now).unwrap().len(), 32);
        outbox.acknowledge(now);
        assert!(outbox.push(now, LegEvent::default()));
    }
}
