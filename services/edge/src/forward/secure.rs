//! What `sips` forbids, and for whom a TLS connection is made. RFC 3261 26.2.2, RFC 5630 5, RFC 5922 7.3

use sip_endpoint::{Destination, Hop};
use sip_message::{HeaderId, Message, Uri};
use sip_proxy::Arrived;

use crate::edge::Cx;

/// Whom a request that follows a URI goes to, and from whom.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Toward<'a> {
    /// The name that resolution began with: what a server has to prove by TLS.
    pub(crate) domain: &'a str,
    /// The request, whose sender's domain is who we are to that server.
    pub(crate) from: &'a Message,
}

impl Toward<'_> {
    /// The hop to a destination that the domain has led to.
    pub(crate) fn hop(self, cx: &mut Cx<'_>, to: Destination) -> Option<Hop> {
        let from = self.from.from().ok();
        let ours = from.as_ref().map_or("", |from| domain_of(from.uri));
        cx.hop_to_domain(to.transport, to.address, self.domain, ours)
    }
}

/// The host of a SIP URI; empty for any other.
pub(crate) fn domain_of(uri: &[u8]) -> &str {
    Uri::parse(uri).map_or("", |uri| uri.host)
}

/// Whether a request may leave by this hop: one to a `sips` URI, or along a `sips` Route, by TLS alone.
pub(crate) fn may_leave(cx: &Cx<'_>, copy: &Message, hop: Hop) -> bool {
    !is_secure(copy) || cx.transport(hop).is_some_and(|transport| transport.is_secure())
}

/// Does the URI ask for TLS on every hop?
pub(crate) fn is_sips(uri: &[u8]) -> bool {
    uri.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"sips:"))
}

/// Is it a tel URI that came along a `sips` Route of ours, or to which a request led that was to `sips`? It has no scheme of its own to say so.
/// RFC 5630 5
pub(crate) fn is_secure_number(uri: &str, request: &Message, arrived: &Arrived) -> bool {
    let is_tel = uri.get(..4).is_some_and(|scheme| scheme.eq_ignore_ascii_case("tel:"));
    is_tel && (is_sips(arrived.request_uri(request)) || arrived.own_routes.iter().any(|route| is_sips(route)))
}

fn is_secure(copy: &Message) -> bool {
    let next = copy.addresses(HeaderId::Route).next().and_then(Result::ok);
    copy.request_uri().is_some_and(is_sips) || next.is_some_and(|route| is_sips(route.uri))
}

#[cfg(test)]
mod tests {
    use sip_message::Limits;

    use super::*;

    /// TRN-09
    #[test]
    fn a_request_is_secure_by_its_uri_or_by_its_next_route() {
        let secure = |uri: &str, routes: &str| {
            let text = format!("INVITE {uri} SIP/2.0\r\n{routes}Content-Length: 0\r\n\r\n");
            is_secure(&Message::parse(text.into_bytes().into(), &Limits::default()).unwrap())
        };
        assert!(secure("sips:bob@h", ""));
        assert!(secure("SIPS:bob@h", "Route: <sip:p;lr>\r\n"));
        assert!(secure("sip:bob@h", "Route: <sips:p;lr>\r\n"));
        assert!(!secure("sip:bob@h", "Route: <sip:p;lr>, <sips:q;lr>\r\n"));
        assert!(!secure("sip:bob@h;transport=tls", ""));
        assert!(!secure("tel:+1", ""));
    }

    #[test]
    fn the_domain_of_a_uri_is_its_host() {
        assert_eq!(domain_of(b"sips:bob@example.com:5061;lr"), "example.com");
        assert_eq!(domain_of(b"tel:+1"), "");
    }
}
