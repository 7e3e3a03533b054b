//! Which hosts and domains are this proxy's own.

use std::borrow::Cow;
use std::net::IpAddr;

use hashbrown::{HashMap, HashSet};
use sip_message::{Scheme, Uri};

/// The names and addresses under which this proxy is reached, and the domains it is responsible for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Own {
    /// By port.
    addresses: HashMap<u16, Hosts>,
    domains: Hosts,
}

/// Hosts compare without case and without the dot of the root; an address however it is written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Hosts {
    addresses: HashSet<IpAddr>,
    names: HashSet<String>,
}

/// A host that is looked for in several places, read once.
enum Wanted<'a> {
    Address(IpAddr),
    Name(Cow<'a, str>),
}

impl Own {
    /// A proxy that is nobody yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a host and port that lead here.
    pub fn add_address(&mut self, host: &str, port: u16) -> &mut Self {
        self.addresses.entry(port).or_default().add(host);
        self
    }

    /// Adds a domain that is served here.
    pub fn add_domain(&mut self, domain: &str) -> &mut Self {
        self.domains.add(domain);
        self
    }

    /// Is this domain served here?
    pub fn serves(&self, host: &str) -> bool {
        self.domains.has(&Wanted::of(host))
    }

    /// Does this host and port lead here?
    pub fn is_address(&self, host: &str, port: u16) -> bool {
        self.has_address(&Wanted::of(host), port)
    }

    fn has_address(&self, host: &Wanted<'_>, port: u16) -> bool {
        self.addresses.get(&port).is_some_and(|hosts| hosts.has(host))
    }

    /// Does the URI name this proxy: one of its addresses, or a served domain without a foreign port?
    pub fn is_us(&self, uri: &Uri<'_>) -> bool {
        self.is_wanted_us(uri, &Wanted::of(uri.host))
    }

    fn is_wanted_us(&self, uri: &Uri<'_>, host: &Wanted<'_>) -> bool {
        let default_port = match uri.scheme {
            Scheme::Sip => 5060,
            Scheme::Sips => 5061,
            Scheme::Tel | Scheme::Other(_) => return false,
        };
        if self.has_address(host, uri.port.unwrap_or(default_port)) {
            return true;
        }
        uri.port.is_none_or(|port| port == default_port) && self.domains.has(host)
    }

    /// Is the URI in a domain that is served here, whatever its port? An address of this proxy counts as such a domain. A `maddr` that names
    /// somebody else leads to that one alone. RFC 3261 16.5
    pub fn is_ours(&self, uri: &Uri<'_>) -> bool {
        if !matches!(uri.scheme, Scheme::Sip | Scheme::Sips) {
            return false;
        }
        let is_here = |host: &Wanted<'_>| self.domains.has(host) || self.is_wanted_us(uri, host);
        is_here(&Wanted::of(uri.host))
            && uri
                .param("maddr")
                .filter(|maddr| !maddr.is_empty())
                .is_none_or(|maddr| is_here(&Wanted::of(maddr)))
    }
}

impl Hosts {
    fn add(&mut self, host: &str) {
        match sip_message::host_ip(host) {
            Some(address) => self.addresses.insert(address),
            None => self.names.insert(normal(host).into_owned()),
        };
    }

    fn has(&self, host: &Wanted<'_>) -> bool {
        match host {
            Wanted::Address(address) => self.addresses.contains(address),
            Wanted::Name(name) => self.names.contains(&**name),
        }
    }
}

impl<'a> Wanted<'a> {
    fn of(host: &'a str) -> Self {
        sip_message::host_ip(host).map_or_else(|| Self::Name(normal(host)), Self::Address)
    }
}

/// Most are written so already.
fn normal(name: &str) -> Cow<'_, str> {
    let name = name.strip_suffix('.').unwrap_or(name);
    match name.bytes().any(|octet| octet.is_ascii_uppercase()) {
        true => name.to_ascii_lowercase().into(),
        false => name.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> Own {
        let mut own = Own::new();
        own.add_address("192.0.2.1", 5070).add_address("[2001:db8::1]", 5060).add_domain("Example.com");
        own
    }

    /// PXY-08
    #[test]
    fn addresses_need_their_port_and_domains_the_default_one() {
        let own = own();
        let is_us = |uri: &str| own.is_us(&Uri::parse(uri.as_bytes()).unwrap());
        assert!(is_us("sip:192.0.2.1:5070;lr"));
        assert!(!is_us("sip:192.0.2.1"));
        assert!(is_us("sip:x@[2001:DB8:0::1];lr"));
        assert!(is_us("sip:EXAMPLE.com."));
        assert!(is_us("sips:example.com:5061"));
        assert!(!is_us("sip:example.com:5080"));
        assert!(!is_us("tel:+123"));
    }

    /// PXY-09
    #[test]
    fn a_served_domain_is_ours_on_any_port() {
        let own = own();
        let is_ours = |uri: &str| own.is_ours(&Uri::parse(uri.as_bytes()).unwrap());
        assert!(is_ours("sip:bob@example.com:5080"));
        assert!(!is_ours("sip:bob@example.org"));
        assert!(!is_ours("sip:bob@example.com;maddr=203.0.113.1"));
        assert!(!is_ours("sip:bob@example.com;maddr=192.0.2.1"), "at another port than ours");
        for of_us in ["sip:bob@example.com:5070;maddr=192.0.2.1", "sip:bob@example.com;MADDR=example.com"] {
            assert!(is_ours(of_us), "{of_us}");
        }
        assert!(is_ours("sip:bob@example.com;maddr="));
    }
}
