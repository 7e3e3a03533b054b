//! Servers that failed a short while ago: the ones tried last until then, so that one caller waits for a dead server and not each.
//!
//! | what happened | how long it is avoided |
//! |---|---|
//! | no response at all, no connection, unreachable (RFC 3263 4.3) | as configured |
//! | 503 with Retry-After | as it says (RFC 3261 21.5.4), [`LONGEST`] at most |
//! | 503 without, any other answer | not at all; what was remembered is forgotten |
//!
//! Avoided is not excluded: where every server failed, all are tried in their own order. When the time is over one request tries the
//! server again, and the others leave it alone until that one knows: a server that stays silent costs one caller a wait, not all who
//! call in that moment. A trunk that is given by name, and none of whose addresses served, is remembered by that name in the same way.

use std::borrow::Borrow;
use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::time::{Duration, Instant};

use sip_endpoint::Destination;

/// A server may ask to be left alone for so long and not longer.
pub(crate) const LONGEST: Duration = Duration::from_secs(3600);

/// Destinations to avoid, within a bound: the oldest makes room.
#[derive(Debug, Clone)]
pub(crate) struct Avoided<K = Destination> {
    until: HashMap<K, Avoid>,
    /// In the order in which they failed. One that failed again, or was forgotten, is in it more often than in the table.
    failed: VecDeque<K>,
    span: Duration,
    trial: Duration,
    most: usize,
}

/// Until when a destination is tried last.
#[derive(Debug, Clone, Copy)]
struct Avoid {
    until: Instant,
    /// One request tries it meanwhile.
    is_tried: bool,
}

impl<K: Clone + Eq + Hash> Avoided<K> {
    /// Remembers `most` destinations, each for `span` unless it says how long itself; who tries one again knows after `trial`.
    pub(crate) fn new(span: Duration, trial: Duration, most: usize) -> Self {
        Self { until: HashMap::new(), failed: VecDeque::new(), span, trial, most }
    }

    /// A destination failed, and said how long to leave it alone if it said anything.
    pub(crate) fn note_failure(&mut self, now: Instant, at: K, retry_after: Option<Duration>) {
        let span = retry_after.unwrap_or(self.span).min(LONGEST);
        if self.most == 0 || span.is_zero() {
            return;
        }
        if self.until.insert(at.clone(), Avoid { until: now + span, is_tried: false }).is_none() {
            self.failed.push_back(at);
        }
        // Twice the bound, for those that answered in between.
        while self.until.len() > self.most || self.failed.len() > self.most.saturating_mul(2) {
            let Some(oldest) = self.failed.pop_front() else { return };
            self.until.remove(&oldest);
        }
    }

    /// A destination answered.
    pub(crate) fn note_answer<Q: Eq + Hash + ?Sized>(&mut self, at: &Q)
    where
        K: Borrow<Q>,
    {
        if !self.until.is_empty() {
            self.until.remove(at);
        }
    }

    /// Puts those to avoid behind the others, and leaves the order among either. The caller is the one who tries again what has been
    /// avoided long enough.
    pub(crate) fn put_last(&mut self, now: Instant, destinations: &mut [K]) {
        self.put_last_by(now, destinations, |at| Some(at.clone()));
    }

    /// The same for things of which each has a destination, or is not to be avoided.
    pub(crate) fn put_last_by<T>(&mut self, now: Instant, of: &mut [T], at: impl Fn(&T) -> Option<K>) {
        let tried = Avoid { until: now + self.trial, is_tried: true };
        let may_try = !self.trial.is_zero();
        self.order(now, of, at, |known| (may_try && !known.is_tried).then_some(tried));
    }

    /// The same for a request of whose fate nothing is heard: it tries nothing.
    pub(crate) fn put_last_unheard(&mut self, now: Instant, destinations: &mut [K]) {
        self.order(now, destinations, |at| Some(at.clone()), Some);
    }

    /// `over`: what becomes of one whose time is over.
    fn order<T>(
        &mut self,
        now: Instant,
        of: &mut [T],
        at: impl Fn(&T) -> Option<K>,
        over: impl Fn(Avoid) -> Option<Avoid>,
    ) {
        if self.until.is_empty() {
            return;
        }
        of.sort_by_cached_key(|one| {
            let Some(at) = at(one) else { return false };
            let Some(known) = self.until.get(&at).copied() else { return false };
            if known.until > now {
                return true;
            }
            match over(known) {
                Some(tried) => drop(self.until.insert(at, tried)),
                None => drop(self.until.remove(&at)),
            }
            false
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

    const TRIAL: Duration = Duration::from_secs(4);

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
        let mut avoided = Avoided::new(span, TRIAL, 10);
        avoided.note_failure(start, at(1), None);
        avoided.note_failure(start, at(2), Some(Duration::from_secs(5)));
        assert_eq!(order(&mut avoided, start), [3, 1, 2]);
        assert_eq!(order(&mut avoided, start + Duration::from_secs(5)), [2, 3, 1]);
        assert_eq!(order(&mut avoided, start + span), [1, 2, 3]);
        avoided.note_answer(&at(1));
        assert_eq!(avoided.len(), 0);
        avoided.note_failure(start, at(1), None);
        avoided.note_answer(&at(1));
        assert_eq!(order(&mut avoided, start), [1, 2, 3]);
    }

    /// DNS-05: who comes while another one tries a server again does not wait for it too; a trial that nobody tells of ends.
    #[test]
    fn one_request_at_a_time_tries_what_failed() {
        let (start, span) = (Instant::now(), Duration::from_secs(60));
        let mut avoided = Avoided::new(span, TRIAL, 10);
        avoided.note_failure(start, at(1), None);
        let over = start + span;
        let mut unheard = [at(1), at(2)];
        avoided.put_last_unheard(over, &mut unheard);
        assert_eq!(unheard, [at(1), at(2)]);
        assert_eq!(order(&mut avoided, over), [1, 2, 3], "the first one tries");
        assert_eq!(order(&mut avoided, over), [2, 3, 1], "the others do not");
        avoided.note_failure(over + TRIAL, at(1), None);
        assert_eq!(order(&mut avoided, over + TRIAL), [2, 3, 1], "it was in vain");
        assert_eq!(order(&mut avoided, over + TRIAL + span), [1, 2, 3], "and once more");
        assert_eq!(order(&mut avoided, over + TRIAL + span + TRIAL), [1, 2, 3], "nobody told of the end");
        assert_eq!(avoided.len(), 0);
    }

    #[test]
    fn where_all_failed_their_own_order_is_left() {
        let start = Instant::now();
        let mut avoided = Avoided::new(Duration::from_secs(60), TRIAL, 10);
        for last in [3, 1, 2] {
            avoided.note_failure(start, at(last), None);
        }
        assert_eq!(order(&mut avoided, start), [1, 2, 3]);
    }

    #[test]
    fn nobody_is_avoided_for_ever() {
        let start = Instant::now();
        let mut avoided = Avoided::new(Duration::from_secs(60), TRIAL, 10);
        avoided.note_failure(start, at(1), Some(Duration::MAX));
        assert_eq!(order(&mut avoided, start + LONGEST), [1, 2, 3]);
    }

    #[test]
    fn the_oldest_makes_room_and_nothing_grows() {
        let start = Instant::now();
        let mut avoided = Avoided::new(Duration::from_secs(60), TRIAL, 2);
        for round in 0..1000_u32 {
            avoided.note_failure(start, at((round % 200) as u8), None);
            avoided.note_answer(&at((round % 200) as u8));
        }
        for last in [1, 2, 3] {
            avoided.note_failure(start, at(last), None);
        }
        assert!(avoided.len() <= 2 && avoided.failed.len() <= 4, "{avoided:?}");
        assert_eq!(order(&mut avoided, start)[0], 1, "forgotten for the two that failed after it");
        let mut none = Avoided::new(Duration::from_secs(60), TRIAL, 0);
        none.note_failure(start, at(1), None);
        assert_eq!(none.len(), 0);
    }
}
