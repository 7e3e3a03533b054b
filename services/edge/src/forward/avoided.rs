//! Servers that failed a short while ago: the ones tried last until then, so that one caller waits for a dead server and not each.
//!
//! | what happened | how long it is avoided |
//! |---|---|
//! | no response at all, no connection, unreachable (RFC 3263 4.3) | as configured |
//! | 503 with Retry-After | as it says (RFC 3261 21.5.4), [`LONGEST`] at most |
//! | 503 without, any other answer | not at all; what was remembered is forgotten |
//!
//! Avoided is not excluded: where every server failed, all are tried in their own order.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use sip_endpoint::Destination;

/// A server may ask to be left alone for so long and not longer.
pub(crate) const LONGEST: Duration = Duration::from_secs(3600);

/// Destinations to avoid, within a bound: the oldest makes room.
#[derive(Debug)]
pub(crate) struct Avoided {
    until: HashMap<Destination, Instant>,
    /// In the order in which they failed. One that failed again, or was forgotten, is in it more often than in the table.
    failed: VecDeque<Destination>,
    span: Duration,
    most: usize,
}

impl Avoided {
    /// Remembers `most` destinations, each for `span` unless it says how long itself.
    pub(crate) fn new(span: Duration, most: usize) -> Self {
        Self { until: HashMap::new(), failed: VecDeque::new(), span, most }
    }

    /// A destination failed, and said how long to leave it alone if it said anything.
    pub(crate) fn note_failure(&mut self, now: Instant, at: Destination, retry_after: Option<Duration>) {
        let span = retry_after.unwrap_or(self.span).min(LONGEST);
        if self.most == 0 || span.is_zero() {
            return;
        }
        if self.until.insert(at, now + span).is_none() {
            self.failed.push_back(at);
        }
        // Twice the bound, for those that answered in between.
        while self.until.len() > self.most || self.failed.len() > self.most.saturating_mul(2) {
            let Some(oldest) = self.failed.pop_front() else { return };
            self.until.remove(&oldest);
        }
    }

    /// A destination answered.
    pub(crate) fn note_answer(&mut self, at: &Destination) {
        if !self.until.is_empty() {
            self.until.remove(at);
        }
    }

    /// Puts those to avoid behind the others, and leaves the order among either.
    pub(crate) fn put_last(&mut self, now: Instant, destinations: &mut [Destination]) {
        if self.until.is_empty() {
            return;
        }
        destinations.sort_by_key(|at| match self.until.get(at) {
            Some(until) if *until > now => true,
            Some(_) => {
                self.until.remove(at);
                false
            }
            None => false,
        });
    }

    /// How many are remembered.
    pub(crate) fn len(&self) -> usize {
        self.until.len()
    }
}

#[cfg(test)]
mod tests {
    use sip_endpoint::Transport;

    use super::*;

    fn at(last: u8) -> Destination {
        Destination { transport: Transport::Udp, address: ([192, 0, 2, last], 5060).into() }
    }

    fn order(avoided: &mut Avoided, now: Instant) -> Vec<u8> {
        let mut all = [at(1), at(2), at(3)];
        avoided.put_last(now, &mut all);
        all.map(|at| match at.address.ip() {
            std::net::IpAddr::V4(ip) => ip.octets()[3],
            std::net::IpAddr::V6(_) => 0,
        })
        .to_vec()
    }

    /// DNS-05
    #[test]
    fn what_failed_is_tried_last_until_its_time_is_over_or_it_answers() {
        let (start, span) = (Instant::now(), Duration::from_secs(60));
        let mut avoided = Avoided::new(span, 10);
        avoided.note_failure(start, at(1), None);
        avoided.note_failure(start, at(2), Some(Duration::from_secs(5)));
        assert_eq!(order(&mut avoided, start), [3, 1, 2]);
        assert_eq!(order(&mut avoided, start + Duration::from_secs(5)), [2, 3, 1]);
        assert_eq!(order(&mut avoided, start + span), [1, 2, 3]);
        assert_eq!(avoided.len(), 0);
        avoided.note_failure(start, at(1), None);
        avoided.note_answer(&at(1));
        assert_eq!(order(&mut avoided, start), [1, 2, 3]);
    }

    #[test]
    fn where_all_failed_their_own_order_is_left() {
        let start = Instant::now();
        let mut avoided = Avoided::new(Duration::from_secs(60), 10);
        for last in [3, 1, 2] {
            avoided.note_failure(start, at(last), None);
        }
        assert_eq!(order(&mut avoided, start), [1, 2, 3]);
    }

    #[test]
    fn nobody_is_avoided_for_ever() {
        let start = Instant::now();
        let mut avoided = Avoided::new(Duration::from_secs(60), 10);
        avoided.note_failure(start, at(1), Some(Duration::MAX));
        assert_eq!(order(&mut avoided, start + LONGEST), [1, 2, 3]);
    }

    #[test]
    fn the_oldest_makes_room_and_nothing_grows() {
        let start = Instant::now();
        let mut avoided = Avoided::new(Duration::from_secs(60), 2);
        for round in 0..1000_u32 {
            avoided.note_failure(start, at((round % 200) as u8), None);
            avoided.note_answer(&at((round % 200) as u8));
        }
        for last in [1, 2, 3] {
            avoided.note_failure(start, at(last), None);
        }
        assert!(avoided.len() <= 2 && avoided.failed.len() <= 4, "{avoided:?}");
        assert_eq!(order(&mut avoided, start)[0], 1, "forgotten for the two that failed after it");
        let mut none = Avoided::new(Duration::from_secs(60), 0);
        none.note_failure(start, at(1), None);
        assert_eq!(none.len(), 0);
    }
}
