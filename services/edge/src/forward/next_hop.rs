//! Which way leads to a target: its flow here, its flow on another edge, its received address, or its URI.

use std::net::SocketAddr;

use bytes::Bytes;
use sip_endpoint::{Hop, Target as HostTarget, Transport};
use sip_message::{Message, Scheme, Uri};
use sip_proxy::{Arrived, BranchFailure};

use super::branch_name::digest;
use super::target::{LookUp, Target};
use crate::edge::{Cx, Edge};
use crate::flow_token::flow_of;

/// A way that can be taken now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) hop: Hop,
    /// A Route value for the edge that holds the flow.
    pub(crate) relay: Option<Bytes>,
    /// The hop is a phone's flow: nothing else reaches it, but for what `size.rs` says of large requests.
    pub(crate) on_flow: bool,
    /// How datagrams of ours reach the phone whose flow another edge has: what it is shown as our name, and the way that is left
    /// when that edge turns out to be gone.
    pub(crate) beyond: Option<Hop>,
    /// The phone whose connection another edge has, and what carries it: what it is shown as our name.
    pub(crate) phone: Option<(Transport, SocketAddr)>,
}

impl Way {
    /// To an address.
    pub(crate) fn to(hop: Hop) -> Self {
        Self { hop, relay: None, on_flow: false, beyond: None, phone: None }
    }

    /// Along a flow of a phone.
    pub(crate) fn along(hop: Hop) -> Self {
        Self { on_flow: true, ..Self::to(hop) }
    }

    /// What the phone at the end of this way is shown of us: the transport and the name that reach this tier from there.
    pub(crate) fn shown<'c>(&self, cx: &'c Cx<'_>) -> Option<(Transport, &'c str)> {
        if let Some((transport, phone)) = self.phone {
            return Some((transport, cx.shown_to(transport, phone)?));
        }
        let toward = self.beyond.unwrap_or(self.hop);
        Some((cx.transport(toward)?, cx.sent_by(toward)?))
    }
}

/// What is known of the way to a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ways {
    /// It can be taken now.
    Ready(Way),
    /// A name has to be resolved first.
    Resolve(HostTarget),
    /// The target is an address of a domain of ours: the registrar knows more.
    LookUp,
    /// The phone sleeps: the registrar has it pushed first.
    Wake,
    /// The trunk's calls are counted: the registrar is asked for room first.
    Seize,
    /// The edge that has the flow is reached in clear only, and the request may not be. RFC 3261 26.2.2
    InClear,
    /// By TLS to a number, which no certificate proves. RFC 5922 7.1
    Unproved,
    /// The edge that has the flow is in no list yet: one that has just begun may be in the next.
    Unlisted,
    /// There is none.
    Failed(BranchFailure),
}

impl Ways {
    /// The name under which it is counted.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::Ready(Way { relay: Some(_), .. }) => "sibling",
            Self::Ready(Way { on_flow: true, .. }) => "flow",
            Self::Ready(_) => "address",
            Self::Resolve(_) => "name",
            Self::LookUp => "lookup",
            Self::Wake => "push",
            Self::Seize => "seize",
            Self::InClear => "no_tls_between_edges",
            Self::Unproved => "unproved",
            Self::Unlisted => "unlisted",
            Self::Failed(_) => "none",
        }
    }
}

/// Why a flow token leads nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoWay {
    /// The flow is gone, or its edge.
    Gone,
    /// Its edge is not in the list, which may be older than that edge.
    Unlisted,
    /// There is no TLS to the edge that has it.
    InClear,
}

/// What decides among servers of equal standing: the same for all requests of a call and in every edge, also where no state is kept of
/// them. RFC 3263 4.4
pub(crate) fn draw(request: &Message) -> u64 {
    request.call_id().map_or(0, digest)
}

impl Edge {
    /// The way to a target whose next hop by URI is `next_hop`; `secure`: by TLS alone.
    pub(crate) fn ways(&self, cx: &mut Cx<'_>, target: &Target, next_hop: &[u8], secure: bool) -> Ways {
        if !target.wake.is_empty() {
            return Ways::Wake;
        }
        if !target.seize.is_empty() {
            return Ways::Seize;
        }
        if target.look_up == LookUp::First && target.flow.is_empty() {
            return Ways::LookUp;
        }
        if !target.flow.is_empty() {
            let moved = self.moved.to(cx.now(), &target.flow);
            let moved = moved.and_then(|moved| self.flow_way(cx, moved, secure).ok());
            match moved.map_or_else(|| self.flow_way(cx, &target.flow, secure), Ok) {
                Ok(way) => return Ways::Ready(way),
                Err(NoWay::InClear) => return Ways::InClear,
                // A flow that is gone leaves the received address of a UDP binding, and nothing of a stream.
                Err(NoWay::Gone | NoWay::Unlisted)
                    if target.received.is_some_and(|(transport, _)| transport == Transport::Udp) => {}
                Err(NoWay::Unlisted) => return Ways::Unlisted,
                Err(NoWay::Gone) => return Ways::Failed(BranchFailure::FlowFailed),
            }
        }
        if let Some((Transport::Udp, address)) = target.received
            && target.routes.is_empty()
        {
            return match cx.hop_to(Transport::Udp, address) {
                Some(hop) => Ways::Ready(Way::along(hop)),
                None => Ways::Failed(BranchFailure::Transport),
            };
        }
        self.uri_ways(cx, target, next_hop)
    }

    /// The way that a flow token stands for. Between edges a request that has to be secure takes TLS, and any other one TCP.
    ///
    /// # Errors
    /// When it is not there, or not for a request that has to be secure.
    pub(crate) fn flow_way(&self, cx: &mut Cx<'_>, token: &str, secure: bool) -> Result<Way, NoWay> {
        let flow = self.cluster.open(token).map_err(|_| NoWay::Gone)?;
        let ours = flow.edge_id == self.config.id && flow.epoch == self.config.epoch;
        if ours && cx.is_alive(flow.hop) {
            return Ok(Way::along(flow.hop));
        }
        // Without the edge that has the flow, datagrams of this one may still get through to the phone.
        let beyond = match flow.hop {
            Hop::Udp { peer, .. } if !secure => cx.hop_to(Transport::Udp, peer),
            Hop::Udp { .. } | Hop::Flow(_) => None,
        };
        // RFC 5626 5.3: the edge that has the flow delivers. A NAT lets datagrams of no other one in either.
        let sibling = self.cluster.sibling(&flow.edge_id, flow.epoch).filter(|_| !ours);
        let (scheme, to) = match (sibling, secure) {
            (None, _) => ("sip", None),
            (Some(sibling), false) => {
                ("sip", sibling.sip.and_then(|sip| Some((sip, cx.hop_to(Transport::Tcp, sip)?))))
            }
            (Some(sibling), true) => {
                let by_tls = sibling.sip_tls.and_then(|sip| Some((sip, cx.hop_to_sibling(sip)?)));
                ("sips", Some(by_tls.ok_or(NoWay::InClear)?))
            }
        };
        match to {
            Some((sip, hop)) => {
                let relay = Bytes::from(format!("<{scheme}:{token}@{sip};lr>"));
                Ok(Way { hop, relay: Some(relay), on_flow: false, beyond, phone: flow.phone })
            }
            None if flow.edge_id != self.config.id && self.cluster.may_be_new(&flow.edge_id, flow.epoch) => {
                beyond.map(Way::along).ok_or(NoWay::Unlisted)
            }
            None => beyond.map(Way::along).ok_or(NoWay::Gone),
        }
    }

    /// Where a request of Carillon's own goes: along its flow while that lives, else along its route set, else to its target. What
    /// is outside a dialog is for the registrar to place.
    pub(crate) fn own_target(&self, cx: &mut Cx<'_>, flow: &str, arrived: &Arrived, initial: bool) -> Target {
        let own_flow = arrived.own_routes.last().and_then(|route| flow_of(route));
        let flow = own_flow.unwrap_or_else(|| flow.to_owned());
        // A phone in a dialog may have come back by another connection.
        let may_have_moved = || {
            let token = self.cluster.open(&flow);
            !initial && token.is_ok_and(|token| matches!(token.hop, Hop::Flow(_)))
        };
        let alive = !flow.is_empty() && (self.flow_way(cx, &flow, false).is_ok() || may_have_moved());
        let look_up = if initial && !arrived.is_routed() { LookUp::First } else { LookUp::Ours };
        Target { flow: if alive { flow } else { String::new() }, look_up, ..Target::of_uri(None) }
    }

    /// The way that a URI names, by RFC 3263.
    fn uri_ways(&self, cx: &mut Cx<'_>, target: &Target, next_hop: &[u8]) -> Ways {
        let Ok(uri) = Uri::parse(next_hop) else { return Ways::Failed(BranchFailure::Refused(400)) };
        match uri.scheme {
            Scheme::Sip | Scheme::Sips if !self.own.is_ours(&uri) => {}
            Scheme::Sip | Scheme::Sips | Scheme::Tel
                if !matches!(target.look_up, LookUp::Never | LookUp::Address) =>
            {
                return Ways::LookUp;
            }
            Scheme::Sip | Scheme::Sips | Scheme::Tel => return Ways::Failed(BranchFailure::Refused(404)),
            Scheme::Other(_) => return Ways::Failed(BranchFailure::Refused(416)),
        }
        // RFC 7118 5: a name under .invalid is only reached by its connection.
        if uri.host.to_ascii_lowercase().ends_with(".invalid") {
            return Ways::Failed(BranchFailure::FlowFailed);
        }
        let Some(host) = HostTarget::of_uri(&uri) else { return Ways::Failed(BranchFailure::Transport) };
        // its address is asked about, as one that DNS says
        if target.look_up == LookUp::Address && self.trunk_addresses {
            return Ways::Resolve(host);
        }
        match host.numeric() {
            Some(destination) if destination.transport.is_secure() => Ways::Unproved,
            Some(destination) => match self.hop_by_uri(cx, destination, None) {
                Some(hop) => Ways::Ready(Way::to(hop)),
                None => Ways::Failed(BranchFailure::Transport),
            },
            None => Ways::Resolve(host),
        }
    }
}
