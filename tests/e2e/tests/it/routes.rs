//! Routes as other proxies and old phones lay them out, on the wire.

use test_support::Starting;

use crate::wire::{Wire, header, status};

fn trusting() -> test_support::Carillon {
    Starting::with(&["--auth", "none"], &[("CARILLON_EDGE_TRUSTED", "127.0.0.0/8")]).ready()
}

/// PXY-06: what a proxy is required to know and does not is named, and goes no further.
#[test]
fn an_extension_that_the_proxy_does_not_know_is_named() {
    let carillon = trusting();
    let [alice, next] = [(); 2].map(|()| Wire::of(&carillon));
    let route = format!("Route: <sip:{};lr>", next.address());
    let call_id = alice.request("INVITE sip:bob@far.test", &[&route, "Proxy-Require: foo, pref"]);
    let refused = alice.answer_to(&call_id);
    assert_eq!((status(&refused), header(&refused, "Unsupported")), (420, Some("foo")), "{refused}");
    next.expect_nothing();
}

/// PXY-07, PXY-08: a strict router upstream wrote our own address into the Request-URI, and where it goes to at the end of the Route.
#[test]
fn a_request_laid_out_by_a_strict_router_reaches_its_target() {
    let carillon = trusting();
    let [alice, bob] = [(); 2].map(|()| Wire::of(&carillon));
    let target = format!("sip:bob@{}", bob.address());
    let call_id =
        alice.request(&format!("MESSAGE sip:{};lr", carillon.sip), &[&format!("Route: <{target}>")]);
    let request = bob.receive_request("MESSAGE");
    assert!(request.starts_with(&format!("MESSAGE {target} SIP/2.0\r\n")), "{request}");
    assert_eq!(header(&request, "Route"), None, "{request}");
    bob.respond(&request, "200 OK", &[]);
    assert_eq!(status(&alice.answer_to(&call_id)), 200);
}

/// PXY-08, PXY-13: our own Route goes; a next hop without `lr` gets the layout of RFC 2543.
#[test]
fn a_strict_router_downstream_gets_the_old_layout() {
    let carillon = trusting();
    let [alice, strict] = [(); 2].map(|()| Wire::of(&carillon));
    let hop = format!("sip:{}", strict.address());
    let route = format!("Route: <sip:{};lr>, <{hop}>, <sip:p3.far.test;lr>", carillon.sip);
    let call_id = alice.request("MESSAGE sip:bob@far.test", &[&route]);
    let request = strict.receive_request("MESSAGE");
    assert!(request.starts_with(&format!("MESSAGE {hop} SIP/2.0\r\n")), "{request}");
    let routes: Vec<&str> = request
        .lines()
        .filter_map(|line| line.strip_prefix("Route: "))
        .flat_map(|value| value.split(", "))
        .collect();
    assert_eq!(routes, ["<sip:p3.far.test;lr>", "<sip:bob@far.test>"], "{request}");
    strict.respond(&request, "200 OK", &[]);
    assert_eq!(status(&alice.answer_to(&call_id)), 200);
}
