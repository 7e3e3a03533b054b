//! What an edge is called, what it serves, and its bounds.

use std::net::IpAddr;
use std::time::Duration;

/// Configuration of one edge.
#[derive(Debug, Clone)]
pub struct Config {
    /// Stable name of this process, unique among edges (the pod name on Kubernetes).
    pub id: String,
    /// Boot epoch: later lives of the same id have a larger one. Milliseconds since 1970 of the start.
    pub epoch: u64,
    /// Domains served.
    pub domains: Vec<String>,
    /// Further `host:port` that lead to this tier: load balancers, the advertised name.
    pub aliases: Vec<String>,
    /// Where other edges of the tier reach this one's SIP listener, `host:port`; empty means the first listener.
    pub internal: String,
    /// Networks whose peers are not challenged. Default none.
    pub trusted: Vec<Network>,
    /// Sockets, transactions and their bounds.
    pub endpoint: sip_endpoint::Config,
    /// How long one branch or group may ring before the next step or the final answer. Default 60 s: three times what
    /// most phones take to give up.
    pub ring_timeout: Duration,
    /// Queueing delay of the driver loop from which on requests outside dialogs are refused, the least important first.
    /// Default 10 ms, the target of CoDel (RFC 8289 4.3).
    pub overload_delay: Duration,
    /// Bounds.
    pub limits: Limits,
}

/// Bounds of one edge; each has a counter of refusals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Requests that are being forwarded or routed. Default 200,000: half of the transactions of an endpoint.
    pub forks: usize,
    /// Branches one request may have. Default 30: half of the Max-Breadth of RFC 5393.
    pub branches: usize,
    /// Calls of call-control with a leg here. Default 100,000.
    pub calls: usize,
    /// Events of one call that wait for call-control. Default 256: a call has about twenty in its life.
    pub events_per_call: usize,
    /// Effects of one call that are remembered. Default 1024.
    pub effects_per_call: usize,
    /// How long events of a call are offered to call-control before the leg is given up. Default 10 min.
    pub event_patience: Duration,
    /// How long a call without any leg activity is remembered after its release. Default 64 s: twice 64*T1, so that a
    /// repeated effect is recognised.
    pub remember_released: Duration,
    /// Messages and decisions that are kept to be looked at. Default 20,000: some thousand calls back; 0 keeps none.
    pub captured_messages: usize,
    /// Octets that they may have together. Default 32 MiB: twice what that many messages of ordinary size take.
    pub captured_octets: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            forks: 200_000,
            branches: 30,
            calls: 100_000,
            events_per_call: 256,
            effects_per_call: 1024,
            event_patience: Duration::from_secs(600),
            remember_released: Duration::from_secs(64),
            captured_messages: 20_000,
            captured_octets: 32 * 1024 * 1024,
        }
    }
}

impl Config {
    /// An edge of this name and life, everything else by default.
    pub fn new(id: impl Into<String>, epoch: u64, endpoint: sip_endpoint::Config) -> Self {
        Self {
            id: id.into(),
            epoch,
            domains: Vec::new(),
            aliases: Vec::new(),
            internal: String::new(),
            trusted: Vec::new(),
            endpoint,
            ring_timeout: Duration::from_secs(60),
            overload_delay: Duration::from_millis(10),
            limits: Limits::default(),
        }
    }
}

/// An IP network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// A text that is no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no network: expected an address or ADDRESS/PREFIX, for example 10.0.0.0/8")]
pub struct BadNetwork(String);

impl Network {
    /// Does the network hold this address?
    pub fn contains(&self, address: IpAddr) -> bool {
        let (network, address, width) = match (self.address, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                (u128::from(network.to_bits()), u128::from(address.to_bits()), 32)
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => (network.to_bits(), address.to_bits(), 128),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return false,
        };
        let host_bits = width - u32::from(self.prefix);
        host_bits >= 128 || network >> host_bits == address >> host_bits
    }
}

impl std::str::FromStr for Network {
    type Err = BadNetwork;

    fn from_str(text: &str) -> Result<Self, BadNetwork> {
        let bad = || BadNetwork(text.to_owned());
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| bad())?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(prefix) => prefix.parse().map_err(|_| bad())?,
            None => width,
        };
        if prefix > width { Err(bad()) } else { Ok(Self { address, prefix }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_network_holds_the_addresses_below_its_prefix() {
        assert!(network("10.0.0.0/8").contains(ip("10.255.0.1")));
        assert!(!network("10.0.0.0/8").contains(ip("11.0.0.1")));
        assert!(network("0.0.0.0/0").contains(ip("203.0.113.9")));
        assert!(network("192.0.2.1").contains(ip("::ffff:192.0.2.1")));
        assert!(network("2001:db8::/32").contains(ip("2001:db8:1::1")));
        assert!(network("::/0").contains(ip("2001:db8::1")));
        assert!(!network("::/0").contains(ip("192.0.2.1")));
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for bad in ["", "10.0.0.0/33", "10/8", "host", "10.0.0.0/x"] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }
}
