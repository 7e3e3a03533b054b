//! Neighbours that are trusted because their certificate proves a domain that the operator trusts. RFC 5922 7.4
//!
//! Who shows no certificate is nobody, as one that a number alone would vouch for.

use std::collections::HashSet;

use sip_endpoint::{FlowId, Hop, is_identity};

/// The connections of trusted neighbours: as many as there are connections at most.
#[derive(Debug, Default)]
pub(crate) struct Proved(HashSet<FlowId>);

impl Proved {
    /// A connection is up, and its peer has proved to be these domains.
    pub(crate) fn note(&mut self, flow: FlowId, domains: &[Box<str>], trusted: &[String]) {
        if trusted.iter().any(|trusted| is_identity(domains, trusted)) {
            self.0.insert(flow);
        }
    }

    /// A connection is gone.
    pub(crate) fn forget(&mut self, flow: FlowId) {
        self.0.remove(&flow);
    }

    /// Is the sender of what came by this flow trusted?
    pub(crate) fn is_trusted(&self, flow: Hop) -> bool {
        !self.0.is_empty() && flow.flow().is_some_and(|flow| self.0.contains(&flow))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SEC-03
    #[test]
    fn a_peer_is_trusted_for_a_domain_that_it_has_proved_and_as_long_as_its_connection_is_there() {
        let trusted = ["Peer.example".to_owned()];
        let proved = |domains: &[&str]| {
            let mut proved = Proved::default();
            let domains: Vec<Box<str>> = domains.iter().map(|domain| Box::from(*domain)).collect();
            proved.note(FlowId(7), &domains, &trusted);
            proved
        };
        let is_trusted = |domains: &[&str]| proved(domains).is_trusted(Hop::Flow(FlowId(7)));
        assert!(is_trusted(&["other.example", "peer.example"]));
        assert!(!is_trusted(&["sip.peer.example", "example"]));
        assert!(!is_trusted(&[]));
        let mut peer = proved(&["peer.example"]);
        assert!(!peer.is_trusted(Hop::Flow(FlowId(8))));
        let datagrams = Hop::Udp { socket: sip_endpoint::SocketId(7), peer: "192.0.2.7:7".parse().unwrap() };
        assert!(!peer.is_trusted(datagrams));
        peer.forget(FlowId(7));
        assert!(!peer.is_trusted(Hop::Flow(FlowId(7))));
    }
}
