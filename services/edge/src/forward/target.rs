//! A place that a request may be sent to, as the edge knows it.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use cluster_api::convert::Received;
use cluster_api::registrar::v1::Charge;
use sip_endpoint::{Destination, Target as HostTarget, Transport};
use sip_message::{NameAddr, Uri};

use super::lineage::Lineage;
use crate::trunk_mark::TrunkSide;

/// One target of a plan, of a redirection, or of a routed request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// The Request-URI for it; `None` leaves the one that the request has.
    pub(crate) uri: Option<Bytes>,
    /// Flow token of the binding; empty when it has none.
    pub(crate) flow: String,
    /// The address of record whose binding it is; empty when it is none.
    pub(crate) aor: Arc<str>,
    /// Route values, top first.
    pub(crate) routes: Vec<Bytes>,
    /// Where UDP reaches it from any edge.
    pub(crate) received: Option<(Transport, SocketAddr)>,
    /// `+sip.instance`, when the binding has one.
    pub(crate) instance: Option<Arc<str>>,
    /// Why it is tried: "contact", "forward-busy", …
    pub(crate) cause: Arc<str>,
    /// Whether the registrar is asked about it.
    pub(crate) look_up: LookUp,
    /// How the request came to it.
    pub(crate) lineage: Lineage,
    /// The trunk whose challenges the registrar answers for it; empty when it is none.
    pub(crate) trunk: Arc<str>,
    /// The trunk to which the dialog of the request leads, by its route: its challenges too are answered, where it is.
    pub(crate) trunk_side: Option<TrunkSide>,
    /// The binding, while its phone sleeps: nothing reaches it before it is woken. Empty otherwise.
    pub(crate) wake: Arc<str>,
    /// The trunk, until there is room among the calls that it may have. Empty otherwise.
    pub(crate) seize: Arc<str>,
    /// The account whose forwarding or redirection led here (T6); empty for its own bindings, and where nobody led it.
    pub(crate) led_by: Arc<str>,
    /// Whether who sends the request within a dialog may lead it to a gateway: the registrar was asked.
    pub(crate) is_cleared: bool,
    /// Whom the call is charged to, for the registrar that is asked for the room.
    pub(crate) charge: Option<Arc<Charge>>,
}

/// When the registrar is asked about a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LookUp {
    /// It was asked already.
    Never,
    /// Only whether it may be sent to its address, which the registrar has not seen: a proxy that a phone named.
    Address,
    /// When the URI turns out to be of a domain of ours.
    Ours,
    /// In any case, before anything is sent.
    First,
}

impl Target {
    /// The peer of a trunk that is given by address.
    pub(crate) fn numeric_trunk(&self) -> Option<Destination> {
        self.trunk_peer()?.numeric()
    }

    /// The peer of a trunk that is given by name, as far as that tells one from another.
    pub(crate) fn named_trunk(&self) -> Option<Box<str>> {
        let peer = self.trunk_peer().filter(|peer| peer.numeric().is_none())?;
        let transport = peer.transport.map_or("", Transport::as_str);
        Some(format!("{};{};{transport}", peer.host.to_ascii_lowercase(), peer.port.unwrap_or(0)).into())
    }

    fn trunk_peer(&self) -> Option<HostTarget> {
        if !self.cause.starts_with("trunk") {
            return None;
        }
        let route = self.routes.first().and_then(|route| NameAddr::parse(route).ok()).map(|route| route.uri);
        let uri = Uri::parse(route.or(self.uri.as_deref())?).ok()?;
        HostTarget::of_uri(&uri)
    }

    /// The account that answers for where this target leads (T6): it has it as its contact, or led here.
    pub(crate) fn answerable(&self) -> &Arc<str> {
        if self.aor.is_empty() { &self.led_by } else { &self.aor }
    }

    /// A target that is only a URI.
    pub(crate) fn of_uri(uri: Option<Bytes>) -> Self {
        Self {
            uri,
            flow: String::new(),
            aor: Arc::from(""),
            routes: Vec::new(),
            received: None,
            instance: None,
            cause: Arc::from(""),
            look_up: LookUp::Never,
            lineage: Lineage::default(),
            trunk: Arc::from(""),
            trunk_side: None,
            wake: Arc::from(""),
            seize: Arc::from(""),
            led_by: Arc::from(""),
            is_cleared: false,
            charge: None,
        }
    }
}

impl sip_proxy::Target for Target {
    fn same_as(&self, other: &Self) -> bool {
        // Two flows of one contact are two targets. RFC 5626 7
        if self.flow != other.flow && !self.flow.is_empty() && !other.flow.is_empty() {
            return false;
        }
        // So are the bindings of two phones that sleep, whatever they are called.
        if self.wake != other.wake && !self.wake.is_empty() && !other.wake.is_empty() {
            return false;
        }
        // So is one place by way of two proxies, say of two peers of a trunk to a domain.
        if self.routes != other.routes {
            return false;
        }
        match (&self.uri, &other.uri) {
            (Some(one), Some(two)) => {
                one == two
                    || matches!((Uri::parse(one), Uri::parse(two)), (Ok(one), Ok(two)) if one.equivalent(&two))
            }
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        }
    }

    fn device(&self) -> Option<&str> {
        self.instance.as_deref()
    }

    fn is_elsewhere(&self) -> bool {
        self.aor.is_empty()
    }
}

/// Where UDP reaches a binding, as the registrar says it.
pub(crate) fn parse_received(text: &str) -> Option<(Transport, SocketAddr)> {
    let received: Received = text.parse().ok()?;
    let transport = [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Ws, Transport::Wss]
        .into_iter()
        .find(|known| known.as_str().eq_ignore_ascii_case(&received.transport))?;
    Some((transport, received.address))
}

#[cfg(test)]
mod tests {
    use sip_proxy::Target as _;

    use super::*;

    fn target(uri: &str, flow: &str) -> Target {
        Target { flow: flow.into(), ..Target::of_uri(Some(Bytes::copy_from_slice(uri.as_bytes()))) }
    }

    /// PXY-10
    #[test]
    fn equal_uris_are_one_target_and_two_flows_are_two() {
        assert!(target("sip:%61@H;x=1", "").same_as(&target("sip:a@h", "f1")));
        assert!(!target("sip:a@h;transport=tcp", "").same_as(&target("sip:a@h", "")));
        assert!(!target("sip:a@h", "f1").same_as(&target("sip:a@h", "f2")));
    }

    /// DNS-05: a domain is tried by way of each peer of its trunk.
    #[test]
    fn one_uri_by_way_of_two_proxies_is_two_targets() {
        let by = |proxy: &str| Target {
            routes: vec![Bytes::copy_from_slice(proxy.as_bytes())],
            ..target("sip:a@far.example", "")
        };
        assert!(by("<sip:one;lr>").same_as(&by("<sip:one;lr>")));
        assert!(!by("<sip:one;lr>").same_as(&by("<sip:two;lr>")));
        assert!(!by("<sip:one;lr>").same_as(&target("sip:a@far.example", "")));
    }

    #[test]
    fn every_transport_of_a_received_address_is_known() {
        for known in [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Ws, Transport::Wss] {
            let text = format!("{}:192.0.2.1:5060", known.as_str());
            assert_eq!(parse_received(&text), Some((known, "192.0.2.1:5060".parse().unwrap())));
        }
        assert_eq!(parse_received(""), None);
    }
}
