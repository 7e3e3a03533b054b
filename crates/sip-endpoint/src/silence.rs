//! Flows whose far end has promised to be heard of: RFC 5626 5.4, as a pure table.
//!
//! Whatever comes by a flow counts, also what is no message: a keep-alive is meant for nothing else. Hearing costs one look into a
//! table, and nothing as long as nobody is watched; the order of deadlines is mended when one of them is reached, not before.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use hashbrown::HashMap;

use crate::hop::Hop;

#[derive(Debug)]
struct Watched {
    allowed: Duration,
    heard: Instant,
    /// Where it stands among the deadlines; never later than it is due.
    visit: Instant,
}

/// Which flows are watched, and until when each may be silent.
#[derive(Debug, Default)]
pub(crate) struct Silence {
    watched: HashMap<Hop, Watched>,
    visits: BTreeSet<(Instant, Hop)>,
}

impl Silence {
    /// Watches a flow from now on, or for another time than before. `false` when `most` others are.
    pub(crate) fn watch(&mut self, now: Instant, hop: Hop, allowed: Duration, most: usize) -> bool {
        if !self.watched.contains_key(&hop) && self.watched.len() >= most {
            return false;
        }
        self.forget(hop);
        let visit = now + allowed;
        self.visits.insert((visit, hop));
        self.watched.insert(hop, Watched { allowed, heard: now, visit });
        true
    }

    pub(crate) fn forget(&mut self, hop: Hop) {
        if let Some(Watched { visit, .. }) = self.watched.remove(&hop) {
            self.visits.remove(&(visit, hop));
        }
    }

    /// Something came.
    pub(crate) fn hear(&mut self, now: Instant, hop: Hop) {
        if !self.watched.is_empty()
            && let Some(watched) = self.watched.get_mut(&hop)
        {
            watched.heard = now;
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.watched.len()
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.visits.first().map(|(visit, _)| *visit)
    }

    /// A flow that was silent for too long; it is not watched any more.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<Hop> {
        while let Some((visit, hop)) = self.visits.first().copied().filter(|(visit, _)| *visit <= now) {
            self.visits.remove(&(visit, hop));
            let Some(watched) = self.watched.get_mut(&hop) else { continue };
            let due = watched.heard + watched.allowed;
            if due <= now {
                self.watched.remove(&hop);
                return Some(hop);
            }
            watched.visit = due;
            self.visits.insert((due, hop));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hop::FlowId;

    const ONE: Hop = Hop::Flow(FlowId(1));
    const TWO: Hop = Hop::Flow(FlowId(2));
    const ALLOWED: Duration = Duration::from_secs(5);

    fn after(start: Instant, millis: u64) -> Instant {
        start + Duration::from_millis(millis)
    }

    /// OBD-06: the time runs anew with everything that is heard, and ends once.
    #[test]
    fn a_flow_is_silent_when_nothing_was_heard_for_the_whole_time() {
        let start = Instant::now();
        let mut silence = Silence::default();
        assert!(silence.watch(start, ONE, ALLOWED, 9));
        assert!(silence.watch(start, TWO, ALLOWED, 9));
        silence.hear(after(start, 4_000), ONE);
        silence.hear(after(start, 4_999), Hop::Flow(FlowId(3)));
        assert_eq!(silence.pop(after(start, 4_999)), None);
        assert_eq!(silence.pop(after(start, 5_000)), Some(TWO));
        assert_eq!(silence.pop(after(start, 8_999)), None);
        assert_eq!(silence.next_deadline(), Some(after(start, 9_000)));
        assert_eq!(silence.pop(after(start, 9_000)), Some(ONE));
        assert_eq!((silence.pop(after(start, 90_000)), silence.len()), (None, 0));
        assert_eq!(silence.next_deadline(), None);
    }

    #[test]
    fn a_flow_that_is_watched_again_or_forgotten_leaves_no_deadline_behind() {
        let start = Instant::now();
        let mut silence = Silence::default();
        assert!(silence.watch(start, ONE, ALLOWED, 9));
        assert!(silence.watch(start, ONE, 2 * ALLOWED, 9));
        assert_eq!(silence.next_deadline(), Some(after(start, 10_000)));
        silence.forget(ONE);
        assert_eq!((silence.next_deadline(), silence.len()), (None, 0));
    }

    #[test]
    fn a_full_table_takes_only_those_it_knows() {
        let start = Instant::now();
        let mut silence = Silence::default();
        assert!(silence.watch(start, ONE, ALLOWED, 1));
        assert!(!silence.watch(start, TWO, ALLOWED, 1));
        assert!(silence.watch(start, ONE, ALLOWED, 1));
    }
}
