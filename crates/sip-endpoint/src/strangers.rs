//! Accepted connections that carry nothing: nothing was let in or asked by them yet.
//!
//! | there is no room for another connection | what gives way |
//! |---|---|
//! | at all | the oldest stranger of all |
//! | for another stranger of its source | the oldest one of this source, when it has had its time to say something; else the new one is turned away |
//!
//! A source is an IPv4 address or the /64 of an IPv6 one ([`source_of`]). Whoever registers, proves to be somebody or is a trusted neighbour is no
//! stranger any more and makes room for the next one, so that a source has any number of phones, as far as connections go.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use crate::hop::FlowId;

/// How often it is said in the log that a source has too many.
const SAID_EVERY: Duration = Duration::from_secs(60);

/// Whom an address stands for: an IPv6 source has a /64 to itself (RFC 6177 2).
pub fn source_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address => address,
    }
}

/// The strangers, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Strangers {
    all: BTreeSet<FlowId>,
    of_source: HashMap<IpAddr, BTreeSet<FlowId>>,
    said: Option<Instant>,
}

impl Strangers {
    pub(crate) fn enter(&mut self, id: FlowId, address: IpAddr) {
        self.all.insert(id);
        self.of_source.entry(source_of(address)).or_default().insert(id);
    }

    pub(crate) fn remove(&mut self, id: FlowId, address: IpAddr) {
        if !self.all.remove(&id) {
            return;
        }
        let source = source_of(address);
        if let Some(same) = self.of_source.get_mut(&source) {
            same.remove(&id);
            if same.is_empty() {
                self.of_source.remove(&source);
            }
        }
    }

    pub(crate) fn has(&self, id: FlowId) -> bool {
        self.all.contains(&id)
    }

    /// The one that is there for the longest time.
    pub(crate) fn oldest(&self) -> Option<FlowId> {
        self.all.first().copied()
    }

    /// The same of a source that has `most` or more.
    pub(crate) fn oldest_of_full(&self, address: IpAddr, most: usize) -> Option<FlowId> {
        let same = self.of_source.get(&source_of(address))?;
        same.first().copied().filter(|_| same.len() >= most)
    }

    /// Says that a source has too many, seldom.
    pub(crate) fn say_full(&mut self, now: Instant, address: IpAddr, most: usize) {
        if self.said.is_none_or(|said| now.saturating_duration_since(said) >= SAID_EVERY) {
            self.said = Some(now);
            let source = source_of(address);
            tracing::warn!(%source, most, "connections are turned away: nobody registered or called by any of those that this source has open");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// T14: an IPv6 source is a /64, an IPv4 one its address, also where it is written as an IPv6 one.
    #[test]
    fn a_source_has_so_many_strangers_whatever_address_of_its_network_they_have() {
        let mut strangers = Strangers::default();
        let (one, same, other) = (ip("2001:db8:1:2::1"), ip("2001:db8:1:2:ffff::9"), ip("2001:db8:1:3::1"));
        strangers.enter(FlowId(1), one);
        strangers.enter(FlowId(2), same);
        strangers.enter(FlowId(3), ip("::ffff:192.0.2.1"));
        assert_eq!(strangers.oldest_of_full(ip("2001:db8:1:2::77"), 2), Some(FlowId(1)));
        assert_eq!(strangers.oldest_of_full(same, 3), None);
        assert_eq!(strangers.oldest_of_full(other, 1), None);
        assert_eq!(strangers.oldest_of_full(ip("192.0.2.1"), 1), Some(FlowId(3)));
        assert_eq!(strangers.oldest_of_full(ip("192.0.2.2"), 1), None);
        strangers.remove(FlowId(1), one);
        assert_eq!(
            (strangers.oldest(), strangers.oldest_of_full(one, 1)),
            (Some(FlowId(2)), Some(FlowId(2)))
        );
        strangers.remove(FlowId(2), same);
        strangers.remove(FlowId(2), same);
        strangers.remove(FlowId(3), ip("192.0.2.1"));
        assert_eq!((strangers.oldest(), strangers.of_source.len()), (None, 0));
    }
}
