//! The Record-Route values of a dialog that crosses this edge: one when both sides are alike, two when they differ.
//!
//! The value of a side holds the flow token of the phone there, when only its flow reaches it. A request from the other
//! side pops both; the last one popped names the flow to leave by. RFC 5626 5.3, RFC 5658

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use sip_endpoint::{Arrival, Hop, Transport};
use sip_message::{HeaderId, Message, Uri};
use sip_proxy::{Arrived, Own};

use super::next_hop::Way;
use super::target::Target;
use crate::compose::{GATEWAY, MARK, TRUNK, TlsForm, uri_form};
use crate::dialog_mark::Dialog;
use crate::edge::{Cx, Edge};
use crate::flow_token::{FlowToken, flow_of};
use crate::gateway_mark::Numbers;
use crate::gateways;
use crate::reach::{Reach, Sender};
use crate::trunk_mark::TrunkSide;

/// One side of a dialog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Side {
    pub(crate) transport: Transport,
    /// `host:port` that reaches us on this side.
    pub(crate) sent_by: String,
    /// Token of the flow that reaches the neighbour; `None` when its URI or Route does.
    pub(crate) token: Option<String>,
    /// Mark of the trunk that the neighbour is, where its challenges can be answered.
    pub(crate) trunk: Option<String>,
    /// What is dialled to reach it, of the peer of a trunk: empty where it has a name. `None` for anybody else.
    pub(crate) gateway: Option<String>,
}

/// The values in the order in which they stand in the forwarded request; `mark` proves later that the dialog was let in.
pub(crate) fn values(caller: &Side, callee: &Side, tls: TlsForm, mark: &str) -> Vec<String> {
    if caller.token.is_none() && callee.token.is_none() && caller.transport == callee.transport {
        let trunk = callee.trunk.clone().or_else(|| caller.trunk.clone());
        vec![Side { trunk, ..callee.clone() }.value(tls, mark)]
    } else {
        vec![callee.value(tls, mark), caller.value(tls, mark)]
    }
}

/// The mark in a URI that we gave to a dialog.
pub(crate) fn mark_of<'a>(uri: &Uri<'a>) -> Option<&'a str> {
    uri.param(MARK)
}

impl Side {
    fn value(&self, tls: TlsForm, mark: &str) -> String {
        let (scheme, param) = uri_form(self.transport, tls);
        let (token, at) = self.token.as_deref().map_or(("", ""), |token| (token, "@"));
        let [and, key, is, trunk] = self.trunk.as_deref().map_or([""; 4], |trunk| [";", TRUNK, "=", trunk]);
        let place = &*self.sent_by;
        ["<", scheme, ":", token, at, place, param, ";lr;", MARK, "=", mark, and, key, is, trunk, ">"]
            .concat()
    }
}

/// Is the flow that a dialog-forming request came on the only way back to its sender?
///
/// Not when another proxy recorded itself, and not when its Contact leads there. A Contact of our own domain is a GRUU, which
/// says nothing about where the sender is (RFC 5627 5.1).
pub(crate) fn needs_flow(request: &Message, arrival: &Arrival, own: &Own) -> bool {
    if request.has(HeaderId::RecordRoute) {
        return false;
    }
    let contact = request.contacts().next().and_then(Result::ok);
    let Some(uri) = contact.and_then(|contact| Uri::parse(contact.uri).ok()) else { return true };
    if is_reached(&uri, arrival.transport, arrival.source) {
        return false;
    }
    let reach = Sender::of(request, arrival).reach(&uri, false);
    own.is_ours(&uri) || reach != Reach::Uri
}

/// The flow of a target that a request went to, when nothing else leads back to the phone. `peer` is where datagrams went.
pub(crate) fn only_flow(target: &Target, transport: Transport, peer: Option<SocketAddr>) -> Option<&str> {
    let leads_there = |uri: &Bytes, peer| Uri::parse(uri).is_ok_and(|uri| is_reached(&uri, transport, peer));
    let reached = target.uri.as_ref().zip(peer).is_some_and(|(uri, peer)| leads_there(uri, peer));
    // A device with an instance may have a GRUU and put it into Contact, which only its flow leads back to.
    let plain = reached && target.instance.is_none();
    (!target.flow.is_empty() && !plain).then_some(&*target.flow)
}

impl Edge {
    /// How URIs of ours say that TLS leads to them, in what is for a `sips` URI or along a `sips` Route, and in all else.
    // RFC 3261 16.6 step 4 wants `sips` for the former, and none in Record-Route for the latter.
    pub(crate) fn tls_form(&self, is_secure: bool) -> TlsForm {
        if self.config.transport_tls && !is_secure { TlsForm::Parameter } else { TlsForm::Scheme }
    }

    /// The callee's side of the Record-Route: with the flow's token when nothing else leads back to the phone.
    pub(super) fn callee_side(
        &self,
        cx: &Cx<'_>,
        request: &Message,
        target: &Target,
        way: &Way,
    ) -> Option<Side> {
        let (transport, sent_by) = way.shown(cx)?;
        let peer = match way.hop {
            Hop::Udp { peer, .. } => Some(peer),
            Hop::Flow(_) => None,
        };
        let token = only_flow(target, transport, peer).map(|flow| self.named(target, flow));
        let trunk = self.trunk_at(request, &target.trunk, far_address(cx, way.hop));
        let uri = target.uri.as_deref().or(request.request_uri()).unwrap_or_default();
        let gateway = target.cause.starts_with("trunk").then(|| number_of(uri));
        Some(Side { transport, sent_by: sent_by.to_owned(), token, trunk, gateway })
    }

    /// The mark of the dialog that a request begins between these sides, for Record-Route.
    pub(super) fn mark_between(&self, request: &Message, caller: &Side, callee: &Side) -> String {
        let mark = self.mark(request);
        let numbers = Numbers { caller: caller.gateway.as_deref(), callee: callee.gateway.as_deref() };
        match self.cluster.gateway_mark(&Dialog::begun_by_sender(request), numbers) {
            Some(gateway) => [&mark, ";", GATEWAY, "=", &gateway].concat(),
            None => mark,
        }
    }

    /// The mark of the trunk at this address, for the dialog that the request begins.
    pub(crate) fn trunk_at(&self, request: &Message, trunk: &str, at: Option<IpAddr>) -> Option<String> {
        let at = at.filter(|_| !trunk.is_empty())?;
        let side = TrunkSide { trunk: trunk.to_owned(), at };
        Some(self.cluster.trunk_mark(&Dialog::begun_by_sender(request), &side))
    }

    /// The trunk that our route names for the dialog of this request, whichever side began it.
    pub(crate) fn trunk_of_route(&self, request: &Message, arrived: &Arrived) -> Option<TrunkSide> {
        let marks = arrived.own_routes.iter().filter_map(|route| Uri::parse(route).ok()?.param(TRUNK));
        let read = |dialog: &Dialog<'_>, mark| self.cluster.read_trunk_mark(dialog, mark);
        let mut sides = marks.filter_map(|mark| {
            read(&Dialog::begun_by_sender(request), mark)
                .or_else(|| read(&Dialog::begun_by_receiver(request)?, mark))
        });
        sides.next()
    }

    /// The token of a flow, with what the URI of its target says: that it leads to the same place.
    fn named(&self, target: &Target, flow: &str) -> String {
        let uri = target.uri.as_ref().and_then(|uri| Uri::parse(uri).ok());
        match (uri, self.cluster.open(flow)) {
            (Some(uri), Ok(token)) if leads_along(&uri, token.hop) => {
                self.cluster.seal(&FlowToken { is_named: true, ..token })
            }
            (Some(_) | None, Ok(_) | Err(_)) => flow.to_owned(),
        }
    }

    /// The flow that the last of our routes names. Not when the phone was where it said, and says now that it is elsewhere: the Route
    /// of a dialog stays what it was, and its target does not (RFC 3261 12.2.1.2). `ob` asks for
    /// the flow (RFC 5626 4.3), and a GRUU says nothing about where the phone is.
    pub(crate) fn flow_of_route(&self, request: &Message, arrived: &Arrived) -> Option<String> {
        let flow = arrived.own_routes.last().and_then(|route| flow_of(route))?;
        let named = self.cluster.open(&flow).ok().filter(|token| token.is_named);
        let has_moved =
            named.zip(Uri::parse(arrived.request_uri(request)).ok()).is_some_and(|(token, uri)| {
                let asks_for_flow = uri.has_param("ob") || self.own.is_ours(&uri);
                !asks_for_flow && !leads_along(&uri, token.hop)
            });
        (!has_moved).then_some(flow)
    }
}

/// What a gateway would dial for a URI; empty for a name.
pub(crate) fn number_of(uri: &[u8]) -> String {
    Uri::parse(uri).ok().as_ref().and_then(gateways::dialled).unwrap_or_default()
}

/// Where a hop ends.
pub(crate) fn far_address(cx: &Cx<'_>, hop: Hop) -> Option<IpAddr> {
    match hop {
        Hop::Udp { peer, .. } => Some(peer.ip().to_canonical()),
        Hop::Flow(flow) => cx.flow(flow).map(|view| view.peer.ip().to_canonical()),
    }
}

/// Does the URI lead to where this flow does?
fn leads_along(uri: &Uri<'_>, hop: Hop) -> bool {
    match hop {
        Hop::Udp { peer, .. } => is_reached(uri, Transport::Udp, peer),
        Hop::Flow(_) => false,
    }
}

/// Does the URI lead to this very address by datagram?
pub(crate) fn is_reached(uri: &Uri<'_>, transport: Transport, address: SocketAddr) -> bool {
    transport == Transport::Udp
        && uri.param("transport").is_none_or(|transport| transport.eq_ignore_ascii_case("udp"))
        && !uri.is_secure()
        && uri.port.unwrap_or(5060) == address.port()
        && uri.host_ip().map(|ip: IpAddr| ip.to_canonical()) == Some(address.ip().to_canonical())
}

#[cfg(test)]
mod tests {
    use sip_endpoint::SocketId;
    use sip_message::Limits;

    use super::*;

    fn side(transport: Transport, token: Option<&str>) -> Side {
        Side {
            transport,
            sent_by: "edge.example.com:5060".into(),
            token: token.map(str::to_owned),
            trunk: None,
            gateway: None,
        }
    }

    /// PXY-12
    #[test]
    fn sides_that_are_alike_share_one_value() {
        let plain = side(Transport::Udp, None);
        assert_eq!(values(&plain, &plain, TlsForm::Scheme, "m"), ["<sip:edge.example.com:5060;lr;d=m>"]);
    }

    /// AUT-13
    #[test]
    fn the_side_of_a_trunk_says_so_also_when_both_share_a_value() {
        let plain = side(Transport::Udp, None);
        let trunk = Side { trunk: Some("t".into()), ..plain.clone() };
        let expected = ["<sip:edge.example.com:5060;lr;d=m;k=t>"];
        assert_eq!(values(&plain, &trunk, TlsForm::Scheme, "m"), expected);
        assert_eq!(values(&trunk, &plain, TlsForm::Scheme, "m"), expected);
    }

    /// PXY-12
    #[test]
    fn a_change_of_transport_or_a_flow_makes_two_values_the_callees_on_top() {
        assert_eq!(
            values(&side(Transport::Udp, None), &side(Transport::Ws, Some("tok")), TlsForm::Scheme, "m"),
            ["<sip:tok@edge.example.com:5060;transport=ws;lr;d=m>", "<sip:edge.example.com:5060;lr;d=m>"]
        );
        assert_eq!(
            values(&side(Transport::Udp, Some("a")), &side(Transport::Udp, None), TlsForm::Scheme, "m").len(),
            2
        );
    }

    /// TRN-09
    #[test]
    fn tls_is_named_by_the_scheme_unless_the_operator_wants_the_parameter() {
        let values = |tls| values(&side(Transport::Tls, None), &side(Transport::Tcp, None), tls, "m");
        let tcp = "<sip:edge.example.com:5060;transport=tcp;lr;d=m>";
        assert_eq!(values(TlsForm::Scheme), [tcp, "<sips:edge.example.com:5060;lr;d=m>"]);
        assert_eq!(values(TlsForm::Parameter), [tcp, "<sip:edge.example.com:5060;transport=tls;lr;d=m>"]);
    }

    /// OBD-05, TRN-12
    #[test]
    fn a_contact_that_leads_to_the_caller_needs_no_flow() {
        let source: SocketAddr = "192.0.2.7:5060".parse().unwrap();
        let mut own = Own::new();
        own.add_domain("example.com");
        let needs = |transport: Transport, headers: &str| {
            let via = transport.as_str();
            let text = format!(
                "INVITE sip:b@h SIP/2.0\r\nVia: SIP/2.0/{via} 192.0.2.7;branch=z9hG4bK1\r\n{headers}Content-Length: 0\r\n\r\n"
            );
            let request = Message::parse(text.into_bytes().into(), &Limits::default()).unwrap();
            let hop = Hop::Udp { socket: SocketId(0), peer: source };
            needs_flow(&request, &Arrival { hop, flow: hop, source, local: source, transport }, &own)
        };
        assert!(!needs(Transport::Udp, "Contact: <sip:a@192.0.2.7>\r\n"));
        assert!(!needs(Transport::Udp, "Contact: <sip:a@192.0.2.7:5060;ob>\r\n"));
        assert!(!needs(Transport::Udp, "Contact: <sip:a@192.0.2.7:5062>\r\n"));
        assert!(needs(Transport::Udp, "Contact: <sip:a@10.0.0.1>\r\n"));
        assert!(needs(Transport::Udp, "Contact: <sip:a@example.com;gr=1>\r\n"));
        assert!(needs(Transport::Tcp, "Contact: <sip:a@192.0.2.7;transport=tcp>\r\n"));
        assert!(needs(Transport::Udp, ""));
        assert!(!needs(Transport::Tcp, "Record-Route: <sip:p.example.org;lr>\r\n"));
    }
}
