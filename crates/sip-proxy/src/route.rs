//! Route information of a request that arrived: which of it is ours, and what is left. RFC 3261 16.4

use bytes::Bytes;
use sip_message::{HeaderId, Message, NameAddr, Scheme, Uri};
use smallvec::SmallVec;

use crate::Own;

/// Where the routing of a request starts, after this proxy has taken itself out of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Arrived {
    /// The Request-URI to go on with, when it is not the one received.
    pub request_uri: Option<Bytes>,
    /// URIs of our own Route values in the order received. An edge reads its flow tokens from them; the last one names
    /// the side to leave by (RFC 5658 6.2).
    pub own_routes: SmallVec<[Bytes; 2]>,
    /// How many Route values stood for us, to be removed from the top.
    pub removed: usize,
    /// Whether the last Route value became the Request-URI.
    pub last_removed: bool,
    /// The first Route value that is not ours.
    pub next_route: Option<Bytes>,
}

impl Arrived {
    /// Reads the Route values of a request.
    ///
    /// # Errors
    /// When a Route value that is needed cannot be read.
    pub fn read(request: &Message, own: &Own) -> Result<Self, sip_message::HeaderError> {
        Self::read_by(request, own, |_| false)
    }

    /// Reads the Route values of a request; ours are also those that `recorded` knows to be recorded by this tier, whatever
    /// host they name.
    ///
    /// # Errors
    /// When a Route value that is needed cannot be read.
    pub fn read_by(
        request: &Message,
        own: &Own,
        recorded: impl Fn(&Uri<'_>) -> bool,
    ) -> Result<Self, sip_message::HeaderError> {
        let is_us = |uri: &Uri<'_>| own.is_us(uri) || recorded(uri);
        let mut arrived = Self::default();
        let request_uri = request.request_uri().unwrap_or_default();
        if !request.has(HeaderId::Route) {
            arrived.request_uri = stripped(request_uri, own);
            return Ok(arrived);
        }
        let routes = request.routes().collect::<Result<SmallVec<[NameAddr<'_>; 4]>, _>>()?;
        let mut end = routes.len();
        // A strict router upstream: our Record-Route value stands in the Request-URI, the target at the end of Route.
        if request_uri.contains(&b';')
            && Uri::parse(request_uri).is_ok_and(|uri| uri.has_param("lr") && is_us(&uri))
            && let Some(last) = routes.last()
        {
            arrived.own_routes.push(Bytes::copy_from_slice(request_uri));
            arrived.request_uri = Some(Bytes::copy_from_slice(last.uri));
            arrived.last_removed = true;
            end -= 1;
        }
        for route in &routes[..end] {
            if !Uri::parse(route.uri).is_ok_and(|uri| is_us(&uri)) {
                break;
            }
            arrived.own_routes.push(Bytes::copy_from_slice(route.uri));
            arrived.removed += 1;
        }
        if arrived.removed < end {
            arrived.next_route =
                request.values(HeaderId::Route).nth(arrived.removed).map(Bytes::copy_from_slice);
        }
        if arrived.request_uri.is_none() {
            arrived.request_uri = stripped(request_uri, own);
        }
        Ok(arrived)
    }

    /// The Request-URI to go on with.
    pub fn request_uri<'a>(&'a self, request: &'a Message) -> &'a [u8] {
        self.request_uri.as_deref().or(request.request_uri()).unwrap_or_default()
    }

    /// Whether the request was sent along a route: ours, or one that goes on from here.
    pub fn is_routed(&self) -> bool {
        !self.own_routes.is_empty() || self.next_route.is_some()
    }
}

/// A Request-URI whose `maddr` names us loses it, and the port and transport that led here with it.
// RFC 3261 16.4
fn stripped(request_uri: &[u8], own: &Own) -> Option<Bytes> {
    if !has_maddr(request_uri) {
        return None;
    }
    let uri = Uri::parse(request_uri).ok()?;
    let maddr = uri.param("maddr")?;
    let port = uri.port.unwrap_or(if uri.is_secure() { 5061 } else { 5060 });
    if !own.serves(maddr) && !own.is_address(maddr, port) {
        return None;
    }
    let mut plain = Vec::with_capacity(request_uri.len());
    plain.extend_from_slice(if uri.scheme == Scheme::Sips { b"sips:" } else { b"sip:" });
    if let Some(user) = uri.user {
        plain.extend_from_slice(user);
        if let Some(password) = uri.password {
            plain.push(b':');
            plain.extend_from_slice(password);
        }
        plain.push(b'@');
    }
    plain.extend_from_slice(uri.host.as_bytes());
    for param in uri.params {
        if !["maddr", "transport"].iter().any(|name| param.name.eq_ignore_ascii_case(name)) {
            plain.push(b';');
            plain.extend_from_slice(param.name.as_bytes());
            if let Some(value) = param.value {
                plain.push(b'=');
                plain.extend_from_slice(value);
            }
        }
    }
    if let Some(headers) = uri.headers {
        plain.push(b'?');
        plain.extend_from_slice(headers);
    }
    Some(plain.into())
}

/// A cheap test before the URI is taken apart: most have no `maddr`.
fn has_maddr(uri: &[u8]) -> bool {
    uri.windows(7).any(|window| window.eq_ignore_ascii_case(b";maddr="))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::invite;

    fn own() -> Own {
        let mut own = Own::new();
        own.add_address("edge.example.com", 5060).add_address("192.0.2.1", 5060).add_domain("example.com");
        own
    }

    fn read(uri: &str, routes: &str) -> Arrived {
        Arrived::read(&invite(uri, routes), &own()).unwrap()
    }

    /// PXY-08, PXY-26
    #[test]
    fn our_own_routes_are_taken_off_the_top_and_remembered() {
        let arrived = read(
            "sip:bob@192.0.2.9",
            "Route: <sip:tok1@edge.example.com;lr>, <sip:tok2@192.0.2.1;lr>\r\nRoute: <sip:p2.example.org;lr>\r\n",
        );
        assert_eq!(arrived.removed, 2);
        assert_eq!(arrived.own_routes[1], "sip:tok2@192.0.2.1;lr");
        assert_eq!(arrived.next_route.unwrap(), "<sip:p2.example.org;lr>");
        assert_eq!(arrived.request_uri, None);
    }

    /// PXY-07, PXY-08
    #[test]
    fn what_the_tier_recorded_is_taken_off_under_whatever_name() {
        let recorded = |uri: &Uri<'_>| uri.param("d") == Some("mark");
        let read =
            |uri: &str, routes: &str| Arrived::read_by(&invite(uri, routes), &own(), recorded).unwrap();
        let arrived = read(
            "sip:bob@192.0.2.9",
            "Route: <sip:tok@198.51.100.2:5070;lr;d=mark>, <sip:198.51.100.3;lr;d=other>\r\n",
        );
        assert_eq!(arrived.own_routes[..], ["sip:tok@198.51.100.2:5070;lr;d=mark"]);
        assert_eq!(arrived.next_route.unwrap(), "<sip:198.51.100.3;lr;d=other>");
        let strict = read("sip:198.51.100.2;lr;d=mark", "Route: <sip:bob@192.0.2.9>\r\n");
        assert_eq!(strict.request_uri.unwrap(), "sip:bob@192.0.2.9");
    }

    /// PXY-08
    #[test]
    fn a_foreign_route_on_top_stays() {
        let arrived =
            read("sip:bob@192.0.2.9", "Route: <sip:p2.example.org;lr>, <sip:edge.example.com;lr>\r\n");
        assert_eq!(arrived.removed, 0);
        assert!(arrived.own_routes.is_empty());
        assert!(arrived.is_routed());
    }

    /// PXY-07
    #[test]
    fn a_strict_router_upstream_is_undone() {
        let arrived =
            read("sip:tok@edge.example.com;lr", "Route: <sip:p2.example.org;lr>, <sip:bob@192.0.2.9>\r\n");
        assert_eq!(arrived.request_uri.unwrap(), "sip:bob@192.0.2.9");
        assert!(arrived.last_removed);
        assert_eq!(arrived.own_routes[0], "sip:tok@edge.example.com;lr");
        assert_eq!(arrived.next_route.unwrap(), "<sip:p2.example.org;lr>");

        let only_target = read("sip:edge.example.com;lr", "Route: <sip:bob@192.0.2.9>\r\n");
        assert_eq!(only_target.request_uri.unwrap(), "sip:bob@192.0.2.9");
        assert_eq!(only_target.next_route, None);
    }

    /// PXY-08
    #[test]
    fn a_maddr_that_names_us_is_stripped_with_its_port_and_transport() {
        let arrived = read("sip:bob@example.com:5060;transport=udp;maddr=192.0.2.1;x=1", "");
        assert_eq!(arrived.request_uri.unwrap(), "sip:bob@example.com;x=1");
        assert_eq!(read("sip:bob@example.com;maddr=203.0.113.1", "").request_uri, None);
    }

    /// PXY-08
    #[test]
    fn a_maddr_names_an_address_of_ours_with_its_port_or_a_domain_of_ours_with_any() {
        for (uri, is_ours) in [
            ("sip:bob@x.example;maddr=192.0.2.1", true),
            ("sip:bob@x.example:5061;maddr=192.0.2.1", false),
            ("sips:bob@x.example;maddr=192.0.2.1", false),
            ("sips:bob@x.example;maddr=192.0.2.2", true),
            ("sip:bob@x.example;maddr=192.0.2.2", false),
            ("sip:bob@x.example:5061;maddr=192.0.2.2", true),
            ("sip:bob@x.example:5099;maddr=example.com", true),
        ] {
            let mut own = own();
            own.add_address("192.0.2.2", 5061);
            let arrived = Arrived::read(&invite(uri, ""), &own).unwrap();
            assert_eq!(arrived.request_uri.is_some(), is_ours, "{uri}");
        }
    }

    #[test]
    fn a_route_that_cannot_be_read_is_an_error() {
        assert!(Arrived::read(&invite("sip:bob@example.com", "Route: <sip:x\r\n"), &own()).is_err());
    }
}
