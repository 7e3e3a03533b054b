//! Which connection a request toward a neighbour takes instead of a new one.
//!
//! | connection | is taken for |
//! |---|---|
//! | TCP, opened by us or by the peer | its far address |
//! | TLS, opened by us | its far address and the domain that the server has proved to be, as long as we are the same domain |
//! | TLS, accepted, the peer proved its domains and asked for it by `alias` | the address it came from with the port of its Via, and each of those domains; toward them we are the domain that the peer has seen |
//! | any other | nothing: only what leads to it by name of the flow |
//!
//! So the tables of two domains of ours, or of theirs, never mix. RFC 5923 5, 8, 9

use std::collections::HashMap;
use std::net::SocketAddr;

use crate::hop::{FlowId, Transport};
use crate::tls::{Secured, normal};

/// Whom a connection reaches.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Reached {
    pub(crate) transport: Transport,
    pub(crate) address: SocketAddr,
    /// The domain of the far end; empty without TLS.
    pub(crate) domain: Box<str>,
    /// The domain of ours.
    ours: Box<str>,
}

impl Reached {
    /// Whoever is at an address.
    pub(crate) fn openly(transport: Transport, address: SocketAddr) -> Self {
        Self { transport, address, domain: Box::default(), ours: Box::default() }
    }

    /// A domain at an address; `None` when that is no name, which no certificate can prove.
    pub(crate) fn as_domain(address: SocketAddr, domain: &str, ours: &str) -> Option<Self> {
        let domain = normal(domain)?.into_boxed_str();
        Some(Self { transport: Transport::Tls, address, domain, ours: ours.into() })
    }
}

/// The table.
#[derive(Debug, Default)]
pub(crate) struct Reused {
    by_peer: HashMap<Reached, FlowId>,
    of_flow: HashMap<FlowId, Vec<Reached>>,
}

/// Ports that one connection may stand for: a neighbour has one, and a few more when it is moved.
const PORTS: usize = 4;

impl Reused {
    pub(crate) fn get(&self, reached: &Reached) -> Option<FlowId> {
        self.by_peer.get(reached).copied()
    }

    /// Enters a connection; the newest to a place is the one most likely to be alive.
    pub(crate) fn enter(&mut self, reached: Reached, id: FlowId) {
        self.of_flow.entry(id).or_default().push(reached.clone());
        self.by_peer.insert(reached, id);
    }

    /// A peer has asked to be reached by its own connection, at this address.
    pub(crate) fn alias(&mut self, id: FlowId, address: SocketAddr, secured: &Secured) {
        let known = self.of_flow.get(&id).map_or(&[][..], Vec::as_slice);
        if known.iter().any(|reached| reached.address == address) || known.len() >= PORTS * secured.peer.len()
        {
            return;
        }
        for domain in secured.peer.iter() {
            let reached = Reached::as_domain(address, domain, &secured.ours);
            if let Some(reached) = reached {
                self.enter(reached, id);
            }
        }
    }

    /// A connection is gone.
    pub(crate) fn forget(&mut self, id: FlowId) {
        for reached in self.of_flow.remove(&id).unwrap_or_default() {
            if self.by_peer.get(&reached) == Some(&id) {
                self.by_peer.remove(&reached);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secured(peer: &[&str], ours: &str) -> Secured {
        Secured { peer: peer.iter().map(|name| Box::from(*name)).collect(), ours: ours.into() }
    }

    fn reached(reused: &Reused, domain: &str, ours: &str) -> Option<FlowId> {
        reused.get(&Reached::as_domain("192.0.2.7:5061".parse().unwrap(), domain, ours).unwrap())
    }

    /// SEC-05
    #[test]
    fn an_alias_holds_for_the_domains_that_both_ends_have_shown_and_no_others() {
        let mut reused = Reused::default();
        let (flow, other) = (FlowId(1), FlowId(2));
        let address = "192.0.2.7:5061".parse().unwrap();
        reused.alias(flow, address, &secured(&["a.example", "b.example"], "ours.example"));
        assert_eq!(reached(&reused, "A.example", "ours.example"), Some(flow));
        assert_eq!(reached(&reused, "b.example", "ours.example"), Some(flow));
        assert_eq!(reached(&reused, "c.example", "ours.example"), None);
        assert_eq!(reached(&reused, "a.example", "other-of-ours.example"), None);
        reused.alias(other, address, &secured(&["b.example"], "ours.example"));
        assert_eq!(reached(&reused, "b.example", "ours.example"), Some(other));
        reused.forget(flow);
        assert_eq!(reached(&reused, "a.example", "ours.example"), None);
        assert_eq!(reached(&reused, "b.example", "ours.example"), Some(other));
        reused.forget(other);
        assert!(reused.by_peer.is_empty() && reused.of_flow.is_empty());
    }

    /// SEC-05
    #[test]
    fn a_peer_without_a_certificate_has_no_alias_and_one_with_it_only_a_few() {
        let mut reused = Reused::default();
        let address = |port| SocketAddr::from(([192, 0, 2, 7], port));
        reused.alias(FlowId(1), address(5061), &secured(&[], "ours.example"));
        assert!(reused.by_peer.is_empty());
        for port in 1..100 {
            reused.alias(FlowId(1), address(port), &secured(&["a.example"], "ours.example"));
            reused.alias(FlowId(1), address(port), &secured(&["a.example"], "ours.example"));
        }
        assert_eq!(reused.by_peer.len(), PORTS);
    }

    /// SEC-02
    #[test]
    fn no_certificate_proves_a_number() {
        assert_eq!(Reached::as_domain("192.0.2.7:5061".parse().unwrap(), "192.0.2.7", ""), None);
    }
}
