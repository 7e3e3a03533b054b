//! The queue of events of proxied calls: in order, at least once, until call-control has committed them.

use std::sync::Arc;
use std::time::Duration;

use cluster_api::callcontrol::v1::ProxiedCallEvent;

use crate::gathered::Gathered;

/// Numbered events, as many as there is room for.
#[derive(Debug)]
pub(super) struct Reports {
    last_number: u64,
    waiting: Gathered<Arc<ProxiedCallEvent>>,
    most: usize,
}

/// Events of one report: as many as call-control takes. The more of them, the more calls share a commit.
const BATCH: usize = 1000;
/// Octets of one report: a server of gRPC takes 4 MiB, and what a caller writes into its request must not hold up the reports.
const LARGEST: usize = 1 << 20;
/// How long events are gathered: what happens to a call within it is one commit.
const GATHER: Duration = Duration::from_millis(100);

impl Reports {
    pub(super) fn new(most: usize) -> Self {
        Self { last_number: 0, waiting: Gathered::new(GATHER, BATCH).within(LARGEST, octets), most }
    }

    /// Numbers an event and queues it. `false` when the queue is full; the event is lost then.
    #[must_use]
    pub(super) fn push(&mut self, mut event: ProxiedCallEvent) -> bool {
        if self.len() >= self.most {
            return false;
        }
        self.last_number += 1;
        event.number = self.last_number;
        self.waiting.push(event.into());
        true
    }

    /// What waits to be told.
    pub(super) fn waiting(&mut self) -> &mut Gathered<Arc<ProxiedCallEvent>> {
        &mut self.waiting
    }

    /// Whether the events of a further call will find room: those of the calls told so far come first, so that each of them ends.
    pub(super) fn has_room_for_calls(&self) -> bool {
        self.len() < self.most / 2
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }
}

/// What an event takes in a report, a little more or less: what phones write decides.
fn octets(event: &Arc<ProxiedCallEvent>) -> usize {
    let texts = [
        &event.sip_call_id,
        &event.from_uri,
        &event.from_display,
        &event.from_tag,
        &event.to_uri,
        &event.to_tag,
        &event.target,
        &event.sip_reason,
        &event.from_contact,
        &event.to_contact,
        &event.to_aor,
    ];
    let routes = event.from_route.iter().chain(&event.to_route);
    texts.into_iter().chain(routes).map(|text| text.len() + 4).sum::<usize>() + 100
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(batch: &[Arc<ProxiedCallEvent>]) -> Vec<u64> {
        batch.iter().map(|event| event.number).collect()
    }

    const MOST: usize = 4 * BATCH;

    fn reports_of(count: usize) -> Reports {
        let mut reports = Reports::new(MOST);
        for _ in 0..count {
            assert!(reports.push(ProxiedCallEvent::default()));
        }
        reports
    }

    #[test]
    fn events_are_gathered_and_one_batch_is_out_at_a_time() {
        let mut reports = reports_of(1);
        assert_eq!(reports.waiting().arm(), Some(GATHER));
        assert_eq!(reports.waiting().arm(), None, "one timer is enough");
        assert!(reports.push(ProxiedCallEvent::default()));
        assert_eq!(numbers(&reports.waiting().take_batch()), vec![1, 2]);
        assert!(reports.push(ProxiedCallEvent::default()));
        assert_eq!(reports.waiting().arm(), None, "the first batch is still out");
        assert_eq!(reports.waiting().take_batch(), []);
        assert_eq!(reports.waiting().acknowledge(), []);
        assert_eq!(reports.waiting().arm(), Some(GATHER));
        assert_eq!(numbers(&reports.waiting().take_batch()), vec![3]);
        reports.waiting().acknowledge();
        assert_eq!((reports.len(), reports.waiting().arm()), (0, None));
    }

    #[test]
    fn a_full_batch_follows_at_once() {
        let mut reports = reports_of(2 * BATCH);
        assert_eq!(numbers(&reports.waiting().take_batch()).len(), BATCH);
        assert_eq!(numbers(&reports.waiting().acknowledge()).first(), Some(&(BATCH as u64 + 1)));
    }

    #[test]
    fn a_batch_of_large_events_is_short_enough_to_be_taken() {
        let mut reports = Reports::new(1000);
        for size in [60_000, LARGEST + 1, 10] {
            for _ in 0..20 {
                let from_uri = "x".repeat(size);
                assert!(reports.push(ProxiedCallEvent { from_uri, ..ProxiedCallEvent::default() }));
            }
        }
        let mut sizes = Vec::new();
        while reports.len() > 0 {
            let batch = reports.waiting().take_batch();
            assert!(batch.len() == 1 || batch.iter().map(octets).sum::<usize>() <= LARGEST);
            sizes.push(batch.len());
            reports.waiting().acknowledge();
        }
        assert_eq!(sizes.iter().sum::<usize>(), 60);
        assert_eq!((sizes[0], sizes[2], sizes.last()), (17, 1, Some(&20)));
    }

    #[test]
    fn a_failed_batch_is_offered_again_with_growing_pauses_and_what_came_meanwhile() {
        let mut reports = reports_of(1);
        let mut pauses = Vec::new();
        for _ in 0..7 {
            assert_eq!(reports.waiting().take_batch().len(), 1);
            pauses.push(reports.waiting().fail().as_millis());
            assert_eq!(reports.waiting().arm(), None);
        }
        assert_eq!(pauses, [200, 400, 800, 1600, 3200, 5000, 5000]);
        assert!(reports.push(ProxiedCallEvent::default()));
        assert_eq!(numbers(&reports.waiting().take_batch()), vec![1, 2]);
    }

    #[test]
    fn a_full_queue_takes_nothing_more() {
        assert!(reports_of(MOST / 2 - 1).has_room_for_calls() && !reports_of(MOST / 2).has_room_for_calls());
        let mut reports = reports_of(MOST);
        assert!(!reports.push(ProxiedCallEvent::default()));
        assert_eq!(reports.len(), MOST);
    }
}
