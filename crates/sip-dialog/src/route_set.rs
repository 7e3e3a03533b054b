//! The route set of a dialog and how a request is laid out along it.

use sip_message::{NameAddr, Uri};

/// Route values in the order in which our requests travel.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct RouteSet(Vec<String>);

/// Request-URI and Route of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// The Request-URI.
    pub request_uri: String,
    /// Route values, top first.
    pub routes: Vec<String>,
}

/// Which side of the dialog keeps the route set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// It sent the request that made the dialog.
    Caller,
    /// It answered that request.
    Callee,
}

impl RouteSet {
    /// The route set that these Record-Route values make: the side that called sees them the other way round.
    /// RFC 3261 12.1.1, 12.1.2
    pub fn of(record_route: impl IntoIterator<Item = String>, side: Side) -> Self {
        let mut values: Vec<String> = record_route.into_iter().collect();
        if side == Side::Caller {
            values.reverse();
        }
        Self(values)
    }

    /// The values in sending order, to be kept elsewhere.
    pub fn into_values(self) -> Vec<String> {
        self.0
    }

    /// Lays a request to `target` out. When the first hop is a strict router (no `lr`) it stands in the Request-URI and
    /// the target goes last. RFC 3261 12.2.1.1
    pub fn lay_out(&self, target: &str) -> Layout {
        match self.0.split_first() {
            Some((first, rest)) if !is_loose(first) => {
                let mut routes = rest.to_vec();
                routes.push(format!("<{target}>"));
                Layout { request_uri: without_headers(uri_of(first)).to_owned(), routes }
            }
            Some(_) | None => Layout { request_uri: target.to_owned(), routes: self.0.clone() },
        }
    }
}

fn uri_of(value: &str) -> &str {
    NameAddr::parse(value.as_bytes())
        .ok()
        .and_then(|address| std::str::from_utf8(address.uri).ok())
        .unwrap_or(value)
}

fn is_loose(value: &str) -> bool {
    Uri::parse(uri_of(value).as_bytes()).is_ok_and(|uri| uri.has_param("lr"))
}

/// Headers in a URI have no place in a Request-URI. RFC 3261 12.2.1.1
fn without_headers(uri: &str) -> &str {
    uri.split_once('?').map_or(uri, |(uri, _)| uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(values: &[&str]) -> RouteSet {
        RouteSet::of(values.iter().map(|value| (*value).to_owned()), Side::Callee)
    }

    /// UAC-15
    #[test]
    fn the_caller_reverses_record_route_and_the_callee_keeps_it() {
        let of =
            |side| RouteSet::of(["<sip:p2;lr>".to_owned(), "<sip:p1;lr>".to_owned()], side).into_values();
        assert_eq!(of(Side::Caller), ["<sip:p1;lr>", "<sip:p2;lr>"]);
        assert_eq!(of(Side::Callee), ["<sip:p2;lr>", "<sip:p1;lr>"]);
    }

    /// UAC-16
    #[test]
    fn a_loose_first_route_leaves_the_target_in_the_request_uri() {
        let layout = set(&["<sip:p1;lr>", "<sip:p2>"]).lay_out("sip:bob@192.0.2.1");
        assert_eq!(layout.request_uri, "sip:bob@192.0.2.1");
        assert_eq!(layout.routes, ["<sip:p1;lr>", "<sip:p2>"]);
    }

    /// UAC-16
    #[test]
    fn a_strict_first_route_becomes_the_request_uri_and_the_target_goes_last() {
        let layout = set(&["\"P\" <sip:p1?x=y>;weird", "<sip:p2;lr>"]).lay_out("sip:bob@192.0.2.1");
        assert_eq!(layout.request_uri, "sip:p1");
        assert_eq!(layout.routes, ["<sip:p2;lr>", "<sip:bob@192.0.2.1>"]);
    }
}
