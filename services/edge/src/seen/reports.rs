//! The queue of events of proxied calls: in order, at least once, until call-control has committed them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use cluster_api::callcontrol::v1::ProxiedCallEvent;

/// Pure: the shell asks for a batch, offers it, and says how that went.
#[derive(Debug)]
pub(super) struct Reports {
    last_number: u64,
    waiting: VecDeque<ProxiedCallEvent>,
    offered: usize,
    failures: u32,
    /// No batch before this time.
    not_before: Option<Instant>,
    most: usize,
}

/// Events of one report: call-control takes a thousand.
const BATCH: usize = 500;
/// How long events are gathered: what happens to a call within it is one commit.
pub(super) const GATHER: Duration = Duration::from_millis(100);
/// First pause after a failed report.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

impl Reports {
    pub(super) fn new(most: usize) -> Self {
        Self { last_number: 0, waiting: VecDeque::new(), offered: 0, failures: 0, not_before: None, most }
    }

    /// Numbers an event and queues it. `false` when the queue is full; the event is lost then.
    #[must_use]
    pub(super) fn push(&mut self, mut event: ProxiedCallEvent) -> bool {
        if self.waiting.len() >= self.most {
            return false;
        }
        self.last_number += 1;
        event.number = self.last_number;
        self.waiting.push_back(event);
        true
    }

    /// When a timer has to be set for the next batch: once for each, as soon as there is something to offer.
    pub(super) fn arm(&mut self, now: Instant) -> Option<Duration> {
        if self.offered > 0 || self.waiting.is_empty() || self.not_before.is_some() {
            return None;
        }
        self.not_before = Some(now + GATHER);
        Some(GATHER)
    }

    /// The events to offer when the timer has fired.
    pub(super) fn take_batch(&mut self) -> Option<Vec<ProxiedCallEvent>> {
        self.not_before = None;
        if self.offered > 0 || self.waiting.is_empty() {
            return None;
        }
        self.offered = self.waiting.len().min(BATCH);
        Some(self.waiting.iter().take(self.offered).cloned().collect())
    }

    /// What was offered is committed. Gives the next batch at once when as much waits as fits.
    pub(super) fn acknowledge(&mut self) -> Option<Vec<ProxiedCallEvent>> {
        self.waiting.drain(..self.offered);
        self.offered = 0;
        self.failures = 0;
        if self.waiting.len() >= BATCH { self.take_batch() } else { None }
    }

    /// What was offered is perhaps not committed: in how long to offer it again.
    pub(super) fn fail(&mut self, now: Instant) -> Duration {
        self.offered = 0;
        let pause = FIRST_PAUSE * 2_u32.saturating_pow(self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        let pause = pause.min(LONGEST_PAUSE);
        self.not_before = Some(now + pause);
        pause
    }

    /// Whether the events of a further call will find room: those of the calls told so far come first, so that each of them ends.
    pub(super) fn has_room_for_calls(&self) -> bool {
        self.waiting.len() < self.most / 2
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(batch: Option<Vec<ProxiedCallEvent>>) -> Option<Vec<u64>> {
        batch.map(|events| events.iter().map(|event| event.number).collect())
    }

    fn reports_of(count: usize) -> Reports {
        let mut reports = Reports::new(1000);
        for _ in 0..count {
            assert!(reports.push(ProxiedCallEvent::default()));
        }
        reports
    }

    #[test]
    fn events_are_gathered_and_one_batch_is_out_at_a_time() {
        let now = Instant::now();
        let mut reports = reports_of(1);
        assert_eq!(reports.arm(now), Some(GATHER));
        assert_eq!(reports.arm(now), None, "one timer is enough");
        assert!(reports.push(ProxiedCallEvent::default()));
        assert_eq!(numbers(reports.take_batch()), Some(vec![1, 2]));
        assert!(reports.push(ProxiedCallEvent::default()));
        assert_eq!(reports.arm(now), None, "the first batch is still out");
        assert_eq!(reports.take_batch(), None);
        assert_eq!(reports.acknowledge(), None);
        assert_eq!(reports.arm(now), Some(GATHER));
        assert_eq!(numbers(reports.take_batch()), Some(vec![3]));
        reports.acknowledge();
        assert_eq!((reports.len(), reports.arm(now)), (0, None));
    }

    #[test]
    fn a_full_batch_follows_at_once() {
        let mut reports = reports_of(2 * BATCH);
        assert_eq!(numbers(reports.take_batch()).map(|batch| batch.len()), Some(BATCH));
        assert_eq!(numbers(reports.acknowledge()).map(|batch| batch[0]), Some(BATCH as u64 + 1));
    }

    #[test]
    fn a_failed_batch_is_offered_again_with_growing_pauses_and_what_came_meanwhile() {
        let now = Instant::now();
        let mut reports = reports_of(1);
        let mut pauses = Vec::new();
        for _ in 0..7 {
            assert!(reports.take_batch().is_some());
            pauses.push(reports.fail(now).as_millis());
            assert_eq!(reports.arm(now), None);
        }
        assert_eq!(pauses, [200, 400, 800, 1600, 3200, 5000, 5000]);
        assert!(reports.push(ProxiedCallEvent::default()));
        assert_eq!(numbers(reports.take_batch()), Some(vec![1, 2]));
    }

    #[test]
    fn a_full_queue_takes_nothing_more() {
        assert!(reports_of(499).has_room_for_calls() && !reports_of(500).has_room_for_calls());
        let mut reports = reports_of(1000);
        assert!(!reports.push(ProxiedCallEvent::default()));
        assert_eq!(reports.len(), 1000);
    }
}
