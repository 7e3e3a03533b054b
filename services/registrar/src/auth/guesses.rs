//! How often a password may be guessed (T5): what fails is counted, and beyond a burst only so many tries in a time are looked at.
//! Any other try is answered as a wrong password is, whatever it says, so that who guesses does not even learn that he is held up.
//!
//! | tries that count together | burst | then one in |
//! |---|---|---|
//! | of one source for one user | 10 | 60 s |
//! | of one source for whomever | 100 | 10 s |
//! | for one user from wherever | 100 | 10 s |
//!
//! A source is an IPv4 address or the /64 of an IPv6 one. A nonce does not say where it was asked for, so by UDP anybody can fail in
//! another one's name: hence nobody is held up for longer than a minute after it ends, and who has a binding of the user from this
//! source is not held up at all. Each replica counts for itself; one loses what it knew when it ends.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    net::{IpAddr, Ipv6Addr},
    sync::atomic::{AtomicUsize, Ordering},
};

use cluster_api::{convert::Received, sip::v1::Source};
use parking_lot::Mutex;
use telemetry::{Counter, Counters, Gauge, Metrics};

use crate::record::AorRecord;

/// How many failures are free, and the time in which one more is.
#[derive(Clone, Copy)]
struct Rate {
    burst: u64,
    interval_ms: u64,
}

const OF_PAIR: Rate = Rate { burst: 10, interval_ms: 60_000 };
const OF_SOURCE: Rate = Rate { burst: 100, interval_ms: 10_000 };
const OF_USER: Rate = OF_SOURCE;
/// After this long without a failure nothing is left of any.
const SPAN_MS: u64 = OF_SOURCE.burst * OF_SOURCE.interval_ms;
/// What is remembered, in two generations: about 2 MB each. Whoever failed least recently is forgotten.
const PER_GENERATION: usize = 50_000;

/// The failures of the last quarter of an hour.
pub(crate) struct Guesses {
    failed: Mutex<Generations>,
    /// So that nothing is locked as long as nobody fails.
    count: AtomicUsize,
    hasher: RandomState,
    remembered: Gauge,
    wrong: Counter,
    held: Counter,
}

/// When all of a bucket's burst is free again, by the hash of whose it is.
#[derive(Default)]
struct Generations {
    young: HashMap<u64, u64>,
    old: HashMap<u64, u64>,
    turned_ms: u64,
}

impl Guesses {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let guesses: Counters = metrics.counters(
            "registrar_wrong_passwords_total",
            "Credentials that prove nothing: looked at (wrong), or not, because too many were wrong (held)",
            &["outcome"],
        );
        Self {
            failed: Mutex::default(),
            count: AtomicUsize::new(0),
            hasher: RandomState::new(),
            remembered: metrics.gauge(
                "registrar_guessing",
                "Sources, users and both together for which passwords were wrong lately",
            ),
            wrong: guesses.with_label_values(&["wrong"]),
            held: guesses.with_label_values(&["held"]),
        }
    }

    /// Is a try for this user not looked at?
    pub(super) fn holds(&self, source: Option<&Source>, aor: &str, record: &AorRecord, now_ms: u64) -> bool {
        if self.count.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let network = source.and_then(network);
        let buckets = self.buckets(network, aor);
        let is_spent = {
            let mut failed = self.failed.lock();
            failed.turn(now_ms);
            self.show(&failed);
            buckets.iter().any(|&(key, rate)| failed.is_spent(key, rate, now_ms))
        };
        is_spent && !network.is_some_and(|network| is_bound_from(record, network, now_ms))
    }

    /// Counts one that was not looked at.
    pub(super) fn note_held(&self) {
        self.held.inc();
    }

    /// Counts one that was wrong.
    pub(super) fn note_wrong(&self, source: Option<&Source>, aor: &str, now_ms: u64) {
        self.wrong.inc();
        let buckets = self.buckets(source.and_then(network), aor);
        let mut failed = self.failed.lock();
        failed.turn(now_ms);
        for (key, rate) in buckets {
            failed.fail(key, rate, now_ms);
        }
        self.show(&failed);
    }

    fn buckets(&self, source: Option<IpAddr>, aor: &str) -> [(u64, Rate); 3] {
        [
            (self.hasher.hash_one((source, Some(aor))), OF_PAIR),
            (self.hasher.hash_one((source, None::<&str>)), OF_SOURCE),
            (self.hasher.hash_one(aor), OF_USER),
        ]
    }

    fn show(&self, failed: &Generations) {
        let count = failed.young.len() + failed.old.len();
        self.count.store(count, Ordering::Relaxed);
        self.remembered.set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}

impl Generations {
    /// Forgets who has not failed for so long that it makes no difference, and the older half when there is no room.
    fn turn(&mut self, now_ms: u64) {
        let is_old = now_ms.saturating_sub(self.turned_ms) >= SPAN_MS;
        if is_old || self.young.len() >= PER_GENERATION {
            self.old = std::mem::take(&mut self.young);
            self.turned_ms = now_ms;
        }
    }

    fn free_at(&self, key: u64) -> u64 {
        self.young.get(&key).or_else(|| self.old.get(&key)).copied().unwrap_or_default()
    }

    fn is_spent(&self, key: u64, rate: Rate, now_ms: u64) -> bool {
        self.free_at(key).saturating_sub(now_ms) > (rate.burst - 1) * rate.interval_ms
    }

    fn fail(&mut self, key: u64, rate: Rate, now_ms: u64) {
        // Several tries may have been under way at once: nobody has to wait for more than one interval all the same.
        let free_at = self.free_at(key).max(now_ms) + rate.interval_ms;
        self.young.insert(key, free_at.min(now_ms + rate.burst * rate.interval_ms));
    }
}

/// The part of an address that one customer of a provider has.
fn network(source: &Source) -> Option<IpAddr> {
    source.address.parse().ok().map(of_one_customer)
}

fn of_one_customer(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
        IpAddr::V4(address) => IpAddr::V4(address),
    }
}

fn is_bound_from(record: &AorRecord, network: IpAddr, now_ms: u64) -> bool {
    record.bindings.iter().any(|binding| {
        let from = binding.received.parse::<Received>();
        binding.expires_ms > now_ms && from.is_ok_and(|from| of_one_customer(from.address.ip()) == network)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(address: &str) -> Source {
        Source::new("udp", (address.parse::<IpAddr>().unwrap(), 5060).into(), false)
    }

    fn is_held(guesses: &Guesses, address: &str, aor: &str, now_ms: u64) -> bool {
        guesses.holds(Some(&from(address)), aor, &AorRecord::default(), now_ms)
    }

    /// T5
    #[test]
    fn one_network_is_one_source_whatever_address_it_takes() {
        let guesses = Guesses::new(&Metrics::new());
        for number in 0..10 {
            guesses.note_wrong(Some(&from(&format!("2001:db8::{number}"))), "sip:bob@d", 1_000);
        }
        assert!(is_held(&guesses, "2001:db8::ffff", "sip:bob@d", 1_000));
        assert!(!is_held(&guesses, "2001:db8:0:1::1", "sip:bob@d", 1_000));
        assert!(!is_held(&guesses, "2001:db8::ffff", "sip:alice@d", 1_000));
    }

    /// T5: also when many tries were under way at once, nobody waits for longer than one interval.
    #[test]
    fn one_try_is_free_after_each_interval() {
        let guesses = Guesses::new(&Metrics::new());
        for _ in 0..50 {
            guesses.note_wrong(Some(&from("192.0.2.1")), "sip:bob@d", 1_000);
        }
        assert!(is_held(&guesses, "192.0.2.1", "sip:bob@d", 60_999));
        assert!(!is_held(&guesses, "192.0.2.1", "sip:bob@d", 61_000));
        guesses.note_wrong(Some(&from("192.0.2.1")), "sip:bob@d", 61_000);
        assert!(is_held(&guesses, "192.0.2.1", "sip:bob@d", 61_000));
    }

    /// T5: whoever fails, and however often, the table has its size, and is empty when nobody fails any more.
    #[test]
    fn the_table_is_bounded_and_forgets() {
        let guesses = Guesses::new(&Metrics::new());
        for number in 0..100_000_u32 {
            guesses.note_wrong(Some(&from("192.0.2.1")), &format!("sip:{number}@d"), 1_000);
        }
        let most = guesses.count.load(Ordering::Relaxed);
        assert!((PER_GENERATION..2 * (PER_GENERATION + 3)).contains(&most), "{most}");
        assert!(is_held(&guesses, "192.0.2.1", "sip:new@d", 1_000), "who goes on failing is not forgotten");
        assert!(!is_held(&guesses, "192.0.2.1", "sip:new@d", 1_000 + SPAN_MS));
        assert!(!is_held(&guesses, "192.0.2.1", "sip:new@d", 1_000 + 2 * SPAN_MS));
        assert_eq!(guesses.count.load(Ordering::Relaxed), 0);
    }
}
