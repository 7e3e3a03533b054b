//! Where a Contact is reached later: at the URI that it names, or only by the flow that its sender opened.
//!
//! RFC 3261 16.6 sends a request to the URI of the target. A phone behind a NAT names an address that nobody else can send to;
//! it is reached by the connection or the pair of addresses that its own request came by (RFC 5626 5.3, RFC 3581 4). So the URI
//! counts, unless there is evidence against it, and the first line of this table that fits decides:
//!
//! | what is seen | reached by |
//! |---|---|
//! | Contact is no SIP URI | URI |
//! | its host ends in `.invalid` (RFC 7118 5) | flow |
//! | another element passed the request on, or it registers somebody else: the source is not the phone | URI |
//! | the sender asks for it by `ob` or `reg-id` (RFC 5626 4.2, 5.4) | flow |
//! | a transport that we do not know, or `sips` over a clear one | URI, which fails honestly |
//! | TLS, WebSocket | flow |
//! | it names a host instead of an address: | |
//! | – a NAT changed the sender's address | flow |
//! | – a connection that it does not rule out by its transport | flow |
//! | – the name and port that the sender sends from and calls itself by in Via | flow, which is the same place |
//! | – any other name | URI |
//! | it names the address that the request came from: | |
//! | – a connection that it does not rule out by its transport | flow: no second one is opened to the same phone |
//! | – the very port | flow, which is the same place |
//! | – the port that Via claims and another one was seen, with `rport`: a NAT changed the port | flow |
//! | – any other port or transport: one socket sends and another one listens | URI |
//! | it names another address: | |
//! | – the one in Via, and a NAT changed that | flow |
//! | – one that does not reach as far as the source, say a private one from a public source | flow |
//! | – any other: the phone listens elsewhere | URI |

use std::net::{IpAddr, SocketAddr};

use sip_endpoint::{Arrival, Target as Host, Transport};
use sip_message::{HeaderId, Message, Rport, Scheme, Uri, Via, host_ip};

/// How a Contact is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// By the flow that the request came by.
    Flow,
    /// By its URI, as RFC 3263 resolves it.
    Uri,
}

/// Who named the Contact, as far as the network shows.
#[derive(Debug, Clone)]
pub(crate) struct Sender<'a> {
    transport: Transport,
    source: SocketAddr,
    /// The request, whose topmost Via is the sender's; a response shows only ours.
    request: Option<&'a Message>,
    /// The source is somebody else than the phone.
    is_another: bool,
}

impl<'a> Sender<'a> {
    /// The sender of a request.
    pub(crate) fn of(request: &'a Message, arrival: &Arrival) -> Self {
        let passed_on = request.values(HeaderId::Via).nth(1).is_some() || request.has(HeaderId::Path);
        let (transport, source) = (arrival.transport, arrival.source);
        Self { transport, source, request: Some(request), is_another: passed_on }
    }

    /// The sender of a response.
    pub(crate) fn answering(response: &Message, arrival: &Arrival) -> Self {
        let passed_on = response.has(HeaderId::RecordRoute);
        let (transport, source) = (arrival.transport, arrival.source);
        Self { transport, source, request: None, is_another: passed_on }
    }

    /// The sender of a REGISTER, with the URIs of From and To. A third party's REGISTER names contacts that are not its own. RFC 3261 10.2, RFC 5626 4.2.3
    pub(crate) fn registering(mut self, from: Option<&[u8]>, to: Option<&[u8]>) -> Self {
        let aor = |uri: &[u8]| Uri::parse(uri).ok().and_then(|uri| uri.aor());
        // Nearly always both are written alike.
        self.is_another |= from != to && from.and_then(aor) != to.and_then(aor);
        self
    }

    /// The one decision; the table above. `wants_flow`: the Contact has a `reg-id`.
    pub(crate) fn reach(&self, contact: &Uri<'_>, wants_flow: bool) -> Reach {
        if !matches!(contact.scheme, Scheme::Sip | Scheme::Sips) {
            return Reach::Uri;
        }
        let host = contact.param("maddr").filter(|maddr| !maddr.is_empty()).unwrap_or(contact.host);
        if is_invalid(host) {
            return Reach::Flow;
        }
        if self.is_another {
            return Reach::Uri;
        }
        if wants_flow || contact.has_param("ob") {
            return Reach::Flow;
        }
        let Some(named) = Host::of_uri(contact) else { return Reach::Uri };
        let is_encrypted = matches!(self.transport, Transport::Tls | Transport::Wss);
        if named.secure && !is_encrypted {
            return Reach::Uri;
        }
        if is_encrypted || self.transport == Transport::Ws {
            return Reach::Flow;
        }
        let by_flow = match host_ip(host).map(|ip| ip.to_canonical()) {
            None => self.is_translated() || self.keeps(&named) || self.is_called(host, &named),
            Some(ip) if ip == self.source.ip().to_canonical() => self.keeps(&named) || self.has_port(&named),
            Some(ip) => (self.is_translated() && self.sent_by() == Some(ip)) || self.is_out_of_reach(ip),
        };
        if by_flow { Reach::Flow } else { Reach::Uri }
    }

    /// Read where it decides, which is seldom.
    fn via(&self) -> Option<Via<'a>> {
        self.request?.top_via().ok()
    }

    fn sent_by(&self) -> Option<IpAddr> {
        self.via()?.host_ip().map(|ip| ip.to_canonical())
    }

    /// Did a NAT change the address on the way?
    fn is_translated(&self) -> bool {
        self.sent_by().is_some_and(|ip| ip != self.source.ip().to_canonical())
    }

    /// Is there a connection, and does the Contact not ask for another transport?
    fn keeps(&self, named: &Host) -> bool {
        self.transport.is_reliable() && named.transport.is_none_or(|transport| transport == self.transport)
    }

    /// Is this the name that the sender gives itself, at the port that it sends from?
    fn is_called(&self, host: &str, named: &Host) -> bool {
        self.via().is_some_and(|via| via.host.eq_ignore_ascii_case(host)) && self.has_port(named)
    }

    /// Is this the port that the sender sends from, or the one that a NAT put another one in place of?
    fn has_port(&self, named: &Host) -> bool {
        let transport = named.transport_or_default();
        let port = named.port.unwrap_or(transport.default_port());
        // The endpoint has filled in what the sender left open. RFC 3581 4
        let is_claimed =
            |via: Via<'_>| via.rport == Rport::Port(self.source.port()) && port == via.port_or_default();
        transport == self.transport && (port == self.source.port() || self.via().is_some_and(is_claimed))
    }

    /// Can the source be reached from further away than this address?
    fn is_out_of_reach(&self, ip: IpAddr) -> bool {
        scope(ip) < scope(self.source.ip().to_canonical())
    }
}

/// RFC 7118 5
fn is_invalid(host: &str) -> bool {
    const INVALID: &[u8] = b".invalid";
    let host = host.trim_end_matches('.').as_bytes();
    let start = host.len().saturating_sub(INVALID.len());
    host[start..].eq_ignore_ascii_case(INVALID)
}

/// How far away an address has a meaning: this host, this link or site, everywhere. RFC 6890
fn scope(ip: IpAddr) -> u8 {
    let (host, site) = match ip {
        IpAddr::V4(ip) => {
            // RFC 6598
            let shared = ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64;
            (ip.is_loopback() || ip.is_unspecified(), ip.is_private() || ip.is_link_local() || shared)
        }
        IpAddr::V6(ip) => {
            let local = ip.is_unique_local() || ip.is_unicast_link_local();
            (ip.is_loopback() || ip.is_unspecified(), local)
        }
    };
    match (host, site) {
        (true, _) => 0,
        (false, true) => 1,
        (false, false) => 2,
    }
}

#[cfg(test)]
mod tests;
