//! The copy of a request that goes out on one branch, made by splicing. RFC 3261 16.6

use bytes::Bytes;
use sip_message::{BuildError, Edit, HeaderId, Message, NameAddr, Uri};

use crate::{Arrived, as_request_uri};

/// What is changed in the copy; everything else leaves as it came.
#[derive(Debug, Clone, Copy)]
pub struct Forwarding<'a> {
    /// What was ours in the route.
    pub arrived: &'a Arrived,
    /// The target, when it is not the Request-URI to go on with (16.6 step 2).
    pub request_uri: Option<&'a [u8]>,
    /// Route values to put on top, first hop first: the Path of a binding (16.6 step 6).
    pub routes: &'a [Bytes],
    /// Record-Route values, topmost first; two when the two sides differ (16.6 step 4, RFC 5658).
    pub record_routes: &'a [String],
    /// Max-Breadth of this branch (RFC 5393 5.3.3).
    pub max_breadth: u32,
    /// The Via value (16.6 step 8).
    pub via: &'a str,
}

impl Forwarding<'_> {
    /// The URI that decides where the copy is sent (16.6 step 7).
    pub fn next_hop<'m>(&'m self, request: &'m Message) -> &'m [u8] {
        match self.first_route() {
            Some(route) => uri_of(route),
            None => self.request_uri.unwrap_or_else(|| self.arrived.request_uri(request)),
        }
    }

    /// Makes the copy; `more` may change it further before it is written.
    ///
    /// # Errors
    /// When a value must not go out, or the copy becomes too large.
    pub fn apply(&self, request: &Message, more: impl FnOnce(&mut Edit<'_>)) -> Result<Message, BuildError> {
        let mut edit = request.edit();
        self.set_route(request, &mut edit);
        // 16.6 step 3, MSG-10
        match request.max_forwards()? {
            Some(hops) => edit.replace_first_number(HeaderId::MaxForwards, hops.saturating_sub(1).min(255)),
            None => edit.push_front(HeaderId::MaxForwards, "70"),
        };
        edit.replace_first_number(HeaderId::MaxBreadth, self.max_breadth);
        for value in self.record_routes.iter().rev() {
            edit.push_front(HeaderId::RecordRoute, value);
        }
        more(&mut edit);
        edit.prepend_via(self.via);
        edit.finish()
    }

    fn set_route(&self, request: &Message, edit: &mut Edit<'_>) {
        for _ in 0..self.arrived.removed {
            edit.remove_first_value(HeaderId::Route);
        }
        if self.arrived.last_removed {
            edit.remove_last_value(HeaderId::Route);
        }
        for value in self.routes.iter().rev() {
            edit.push_front(HeaderId::Route, value);
        }
        let received = request.request_uri().unwrap_or_default();
        let target = self.request_uri.unwrap_or_else(|| self.arrived.request_uri(request));
        let target = as_request_uri(target);
        match self.first_route().and_then(strict_router) {
            // A strict router downstream wants itself in the Request-URI and the target last (16.6 step 6).
            Some(route) => {
                edit.remove_first_value(HeaderId::Route);
                append_route(edit, &target);
                edit.set_request_uri(route);
            }
            None => {
                if *target != *received {
                    edit.set_request_uri(target);
                }
            }
        }
    }

    fn first_route(&self) -> Option<&[u8]> {
        self.routes.first().or(self.arrived.next_route.as_ref()).map(|route| route.as_ref())
    }
}

/// Adds a Route value below all others: header lines of one name count in the order they stand.
fn append_route(edit: &mut Edit<'_>, target: &[u8]) {
    let mut value = Vec::with_capacity(target.len() + 2);
    value.push(b'<');
    value.extend_from_slice(target);
    value.push(b'>');
    edit.append(HeaderId::Route, value);
}

/// The URI inside a Route value; the value itself when it is none.
fn uri_of(route: &[u8]) -> &[u8] {
    NameAddr::parse(route).map_or(route, |address| address.uri)
}

/// The URI of a first Route value that names a strict router: it takes the place of the Request-URI when the request leaves (16.6 step 6).
pub fn strict_router(route: &[u8]) -> Option<&[u8]> {
    let uri = uri_of(route);
    (!Uri::parse(uri).is_ok_and(|uri| uri.has_param("lr"))).then_some(uri)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Own;
    use crate::samples::invite;

    const VIA: &str = "SIP/2.0/UDP edge.example.com;branch=z9hG4bK2";

    fn text(message: &Message) -> String {
        String::from_utf8(message.bytes().to_vec()).unwrap()
    }

    fn own() -> Own {
        let mut own = Own::new();
        own.add_address("edge.example.com", 5060);
        own
    }

    fn read(request: &Message) -> Arrived {
        Arrived::read(request, &own()).unwrap()
    }

    fn plain(arrived: &Arrived) -> Forwarding<'_> {
        Forwarding { arrived, request_uri: None, routes: &[], record_routes: &[], max_breadth: 60, via: VIA }
    }

    /// PXY-11, PXY-02, MSG-06, MSG-10
    #[test]
    fn what_is_not_understood_leaves_byte_for_byte() {
        let request = invite("sip:bob@example.com", "Max-Forwards: 9\r\ns : odd\r\n");
        let arrived = read(&request);
        let forwarding = Forwarding { request_uri: Some(b"sip:bob@192.0.2.9"), ..plain(&arrived) };
        let copy = text(&forwarding.apply(&request, |_| {}).unwrap());
        assert_eq!(
            copy,
            "INVITE sip:bob@192.0.2.9 SIP/2.0\r\n\
             Via: SIP/2.0/UDP edge.example.com;branch=z9hG4bK2\r\n\
             Via: SIP/2.0/UDP client.example;branch=z9hG4bK1\r\n\
             Max-Forwards: 8\r\n\
             s : odd\r\n\
             From: <sip:alice@example.com>;tag=a\r\n\
             To: <sip:bob@example.com>\r\n\
             Call-ID: c1\r\n\
             CSeq: 7 INVITE\r\n\
             X-Foo:  kept ;weird=1\r\n\
             Content-Length: 4\r\n\
             Max-Breadth: 60\r\n\r\nbody"
        );
    }

    /// PXY-02, MSG-10
    #[test]
    fn a_missing_max_forwards_is_added() {
        let request = invite("sip:bob@example.com", "");
        let copy = plain(&read(&request)).apply(&request, |_| {}).unwrap();
        assert_eq!(copy.max_forwards(), Ok(Some(70)));
    }

    /// PXY-02, MSG-10
    #[test]
    fn max_forwards_goes_down_by_one_and_never_out_of_its_range() {
        for (came, goes) in [(255, 254), (256, 255), (4_000, 255), (1, 0), (0, 0)] {
            let request = invite("sip:bob@example.com", &format!("Max-Forwards: {came}\r\n"));
            let copy = plain(&read(&request)).apply(&request, |_| {}).unwrap();
            assert_eq!(copy.max_forwards(), Ok(Some(goes)), "{came}");
        }
    }

    /// PXY-12
    #[test]
    fn two_record_routes_stand_above_the_others() {
        let request = invite("sip:bob@example.com", "Record-Route: <sip:p1.example.org;lr>\r\n");
        let values = ["<sip:b@edge.example.com;lr>".to_owned(), "<sip:a@edge.example.com;lr>".to_owned()];
        let arrived = read(&request);
        let forwarding = Forwarding { record_routes: &values, ..plain(&arrived) };
        let copy = forwarding.apply(&request, |_| {}).unwrap();
        let seen: Vec<&[u8]> = copy.values(HeaderId::RecordRoute).collect();
        assert_eq!(seen, [values[0].as_bytes(), values[1].as_bytes(), b"<sip:p1.example.org;lr>"]);
    }

    /// PXY-08, PXY-14, PXY-26
    #[test]
    fn our_route_is_removed_and_the_next_one_is_the_next_hop() {
        let request = invite(
            "sip:bob@192.0.2.9",
            "Route: <sip:edge.example.com;lr>, <sip:p2.example.org;lr>\r\nRoute: <sip:p3.example.org;lr>\r\n",
        );
        let arrived = read(&request);
        assert_eq!(plain(&arrived).next_hop(&request), b"sip:p2.example.org;lr");
        let copy = plain(&arrived).apply(&request, |_| {}).unwrap();
        let routes: Vec<&[u8]> = copy.values(HeaderId::Route).collect();
        assert_eq!(routes, [&b"<sip:p2.example.org;lr>"[..], b"<sip:p3.example.org;lr>"]);
        assert_eq!(copy.request_uri(), Some(&b"sip:bob@192.0.2.9"[..]));
    }

    /// PXY-07
    #[test]
    fn what_a_strict_router_upstream_did_is_undone() {
        let request =
            invite("sip:edge.example.com;lr", "Route: <sip:p2.example.org;lr>, <sip:bob@192.0.2.9>\r\n");
        let copy = plain(&read(&request)).apply(&request, |_| {}).unwrap();
        assert_eq!(copy.request_uri(), Some(&b"sip:bob@192.0.2.9"[..]));
        let routes: Vec<&[u8]> = copy.values(HeaderId::Route).collect();
        assert_eq!(routes, [&b"<sip:p2.example.org;lr>"[..]]);
    }

    /// PXY-13
    #[test]
    fn a_strict_router_downstream_gets_the_old_layout() {
        let request =
            invite("sip:bob@192.0.2.9", "Route: <sip:strict.example.org>, <sip:p3.example.org;lr>\r\n");
        let arrived = read(&request);
        assert_eq!(plain(&arrived).next_hop(&request), b"sip:strict.example.org");
        let copy = plain(&arrived).apply(&request, |_| {}).unwrap();
        assert_eq!(copy.request_uri(), Some(&b"sip:strict.example.org"[..]));
        let routes: Vec<&[u8]> = copy.values(HeaderId::Route).collect();
        assert_eq!(routes, [&b"<sip:p3.example.org;lr>"[..], b"<sip:bob@192.0.2.9>"]);
    }

    /// MSG-17
    #[test]
    fn headers_and_method_never_leave_in_a_request_uri() {
        for (received, target) in [
            ("sip:bob@example.com", Some(&b"sip:b2@192.0.2.9;method=INVITE?Route=evil"[..])),
            ("sip:b2@192.0.2.9;method=INVITE?Route=evil", None),
        ] {
            let request = invite(received, "");
            let arrived = read(&request);
            let copy = Forwarding { request_uri: target, ..plain(&arrived) }.apply(&request, |_| {}).unwrap();
            assert_eq!(copy.request_uri(), Some(&b"sip:b2@192.0.2.9"[..]));
            assert!(!copy.has(HeaderId::Route));
        }
        let strict = invite("sip:b2@192.0.2.9;method=INVITE", "Route: <sip:strict.example.org>\r\n");
        let copy = plain(&read(&strict)).apply(&strict, |_| {}).unwrap();
        assert_eq!(copy.values(HeaderId::Route).collect::<Vec<_>>(), [&b"<sip:b2@192.0.2.9>"[..]]);
    }

    /// REG-20
    #[test]
    fn the_path_of_a_binding_stands_above_the_route() {
        let request = invite("sip:bob@example.com", "");
        let path =
            [Bytes::from_static(b"<sip:p1.example.org;lr>"), Bytes::from_static(b"<sip:p2.example.org;lr>")];
        let arrived = read(&request);
        let forwarding =
            Forwarding { routes: &path, request_uri: Some(b"sip:bob@192.0.2.9"), ..plain(&arrived) };
        assert_eq!(forwarding.next_hop(&request), b"sip:p1.example.org;lr");
        let copy = forwarding.apply(&request, |_| {}).unwrap();
        let routes: Vec<&[u8]> = copy.values(HeaderId::Route).collect();
        assert_eq!(routes, [path[0].as_ref(), path[1].as_ref()]);
        assert_eq!(copy.request_uri(), Some(&b"sip:bob@192.0.2.9"[..]));
    }

    /// MSG-17
    #[test]
    fn a_value_with_a_line_end_never_goes_out() {
        let request = invite("sip:bob@example.com", "");
        let arrived = Arrived::default();
        let forwarding = Forwarding { request_uri: Some(b"sip:bob@192.0.2.9\r\nX: y"), ..plain(&arrived) };
        assert!(forwarding.apply(&request, |_| {}).is_err());
    }
}
