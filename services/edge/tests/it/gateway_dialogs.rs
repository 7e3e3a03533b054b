//! Requests within a dialog that are led to the gateway of a trunk: by a dialog with that gateway alone, and by the number that it began with.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cluster_api::registrar::v1::route_response::Plan;
use cluster_api::registrar::v1::{Fork, Group, Refuse, Relay, RouteRequest, Target};
use cluster_rpc::membership::View;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use sip_message::{HeaderId, Message};

use crate::peer::{Peer, text, values};
use crate::rig::Rig;
use crate::services::{FakeLocation, fork_to};

const ALICE: &str = "sip:alice@example.com";
const KEY: [u8; 32] = [9; 32];

/// T6: the mark of a dialog with somebody else leads nothing to a gateway that could begin a call there, by whatever names it; nor does a
/// tag without any mark. What only a dialog gives a meaning goes on.
#[tokio::test]
async fn a_dialog_with_somebody_else_leads_to_no_gateway() {
    let stage = Stage::new().await;
    let call = stage.call("sip:bob@example.com", "b1", &stage.bob).await;
    let gateway = stage.gateway.address();
    let further = [
        (format!("sip:+33123@{gateway}"), ""),
        (format!("sip:sbc-7@{gateway}"), ""),
        (format!("sip:+33123@innocent.test:{};maddr=127.0.0.1", gateway.port()), ""),
        ("sip:+33123@gw.test".to_owned(), ""),
        ("sip:+33123@elsewhere.test".to_owned(), &*format!("Route: <sip:{gateway};lr>")),
    ];
    for (number, (uri, route)) in further.iter().enumerate() {
        for method in ["INVITE", "REFER", "SUBSCRIBE"] {
            let answer = stage.within(&call, method, uri, route, number).await;
            assert_eq!(answer.status(), Some(403), "{method} {uri}");
            assert!(values(&answer, HeaderId::Warning)[0].contains("by the trunk"), "{answer:?}");
        }
    }
    let unmarked = Call { route: String::new(), ..call.clone() };
    let to_gateway = format!("sip:+33123@{gateway}");
    assert_eq!(stage.within(&unmarked, "INVITE", &to_gateway, "", 7).await.status(), Some(403));
    stage.gateway.expect_nothing().await;
    assert_eq!(stage.location.routed.lock().unwrap().len(), 1, "nobody was asked about them");
    stage.passes(&call, &stage.bob, &format!("sip:bob@{}", stage.bob.address())).await;
}

/// T6: a call by a trunk goes on to its gateway by the number that it began with, in either edge, and by a name; by another number who sends
/// it is asked whether he may call that. The gateway's mark is no good in another dialog.
#[tokio::test]
async fn a_call_by_a_trunk_goes_on_by_the_number_that_it_began_with() {
    let stage = Stage::new().await;
    let call = stage.call("sip:+4930@example.com", "g1", &stage.gateway).await;
    let gateway = stage.gateway.address();
    assert!(call.route.contains(";g="), "{}", call.route);
    for user in ["+4930", "4930", "004930", "sbc-7", "%2B49-30"] {
        stage.passes(&call, &stage.gateway, &format!("sip:{user}@{gateway}")).await;
    }
    // another edge of the tier has the same key, and asks nobody either
    let other = Rig::with(stage.location.clone()).await;
    other.learns(gateways(&stage.gateway));
    let by_other = Stage { alice: other.peer().await, gateway: stage.gateway.toward(other.address), ..stage };
    by_other.passes(&call, &by_other.gateway, &format!("sip:+4930@{gateway}")).await;
    let to_first = by_other.rig.address;
    let stage = Stage {
        alice: by_other.alice.toward(to_first),
        gateway: by_other.gateway.toward(to_first),
        ..by_other
    };
    assert_eq!(stage.location.routed.lock().unwrap().len(), 1);

    let another = format!("sip:+33123@{gateway}");
    *stage.location.identity.lock().unwrap() = ALICE.into();
    assert_eq!(stage.within(&call, "INVITE", &another, "", 50).await.status(), Some(403));
    let asked = stage.location.routed.lock().unwrap().last().unwrap().clone();
    assert!(asked.at_gateway && asked.in_dialog && asked.request_uri == another, "{asked:?}");
    stage.passes(&call, &stage.gateway, &format!("sip:+4966@{gateway}")).await;

    let with_bob = stage.call("sip:bob@example.com", "b2", &stage.bob).await;
    let mark = call.route.split(";g=").nth(1).and_then(|rest| rest.split('>').next()).unwrap();
    let borrowed = Call { route: with_bob.route.replacen('>', &format!(";g={mark}>"), 1), ..with_bob };
    assert_eq!(stage.within(&borrowed, "INVITE", &another, "", 60).await.status(), Some(403));
    stage.gateway.expect_nothing().await;
}

/// T6, RFC 3261 12.2: a call that came by a trunk goes on in both directions, and its target may be where no peer is.
#[tokio::test]
async fn a_call_from_a_trunk_goes_on_both_ways() {
    let stage = Stage::new().await;
    stage.location.is_from_trunk.store(true, std::sync::atomic::Ordering::SeqCst);
    let gateway = stage.gateway.address();
    let contact = format!("Contact: <sip:+4930@{gateway}>");
    let from = "From: <sip:+4930@gw.test>;tag=at";
    let lines = [from, "To: <sip:bob@example.com>", "Call-ID: in1", &contact];
    stage.gateway.request("INVITE sip:bob@example.com", "in1", &lines).await;
    let invite = stage.bob.receive_request("INVITE").await;
    let contact = format!("Contact: <sip:bob@{}>", stage.bob.address());
    stage.bob.respond(&invite, "200 OK", "bt", &[&contact]).await;
    let answered = stage.gateway.receive_status(200).await;
    let route = format!("Route: {}", values(&answered, HeaderId::RecordRoute).join(", "));
    let by_bob = Call {
        from: "From: <sip:bob@example.com>;tag=bt".into(),
        to: "To: <sip:+4930@gw.test>;tag=at".into(),
        call_id: "in1".into(),
        route: route.clone(),
    };
    let as_bob = Stage { alice: stage.bob, bob: stage.alice, ..stage };
    as_bob.passes(&by_bob, &as_bob.gateway, &format!("sip:+4930@{gateway}")).await;
    // another host of the same carrier
    let further = as_bob.rig.peer().await;
    as_bob.passes(&by_bob, &further, &format!("sip:+4930@{}", further.address())).await;
    // and the gateway to Bob, whose extension looks like a number, beside the gateway
    let (gateway, bob) = (as_bob.gateway, as_bob.alice);
    let lines = [from, "To: <sip:bob@example.com>;tag=bt", "Call-ID: in1", &route, "CSeq: 90 INVITE"];
    gateway.request(&format!("INVITE sip:1000@{}", bob.address()), "back", &lines).await;
    assert!(text(&bob.receive_request("INVITE").await).contains("CSeq: 90"));
    assert_eq!(as_bob.location.routed.lock().unwrap().len(), 1);
}

/// T6, PXY-13, RFC 3261 16.6: a Route without `lr` stands in the Request-URI when the request leaves, so that its number is judged too; a strict
/// router that calls nobody at a gateway is none of their business.
#[tokio::test]
async fn a_strict_router_is_no_way_to_another_number() {
    let stage = Stage::new().await;
    let by_trunk = stage.call("sip:+4930@example.com", "s1", &stage.gateway).await;
    let with_bob = stage.call("sip:bob@example.com", "s2", &stage.bob).await;
    *stage.location.identity.lock().unwrap() = ALICE.into();
    let gateway = stage.gateway.address();
    let (to_gateway, to_bob) = (format!("sip:{gateway}"), format!("sip:bob@{}", stage.bob.address()));
    let by = |place: &str| format!("Route: <sip:+33123@{place}>");
    let (at_port, by_name) = (by(&gateway.to_string()), by("gw.test"));
    let beside = by(&format!("{}:{}", gateway.ip(), if gateway.port() == 9 { 10 } else { 9 }));
    for (number, method) in ["INVITE", "MESSAGE", "REFER"].into_iter().enumerate() {
        for (at, (call, uri, route)) in [
            (&by_trunk, &to_gateway, &at_port),
            (&by_trunk, &to_gateway, &by_name),
            (&by_trunk, &to_gateway, &beside),
            (&with_bob, &to_bob, &at_port),
            (&with_bob, &to_bob, &beside),
        ]
        .into_iter()
        .enumerate()
        {
            let answer = stage.within(call, method, uri, route, 200 + 10 * number + at).await;
            assert_eq!(answer.status(), Some(403), "{method} {route}");
        }
    }
    stage.gateway.expect_nothing().await;
    let asked = stage.location.routed.lock().unwrap().last().unwrap().clone();
    assert!(asked.at_gateway && beside.contains(&asked.next_route), "{asked:?}");

    let asked = stage.location.routed.lock().unwrap().len();
    let strict = format!("{}, <sip:strict@{}>", with_bob.route, stage.bob.address());
    stage.passes(&Call { route: strict, ..with_bob }, &stage.bob, &to_bob).await;
    assert_eq!(stage.location.routed.lock().unwrap().len(), asked, "nobody was asked about it");
}

/// T6: with a tag that no edge gave, a Route to the host of a gateway leads nowhere, as outside a dialog.
#[tokio::test]
async fn an_invented_dialog_leads_by_no_route_to_the_host_of_a_gateway() {
    let stage = Stage::new().await;
    *stage.location.identity.lock().unwrap() = ALICE.into();
    let gateway = stage.gateway.address();
    let beside = if gateway.port() == 9 { 10 } else { 9 };
    let invented = Call {
        from: format!("From: <{ALICE}>;tag=at"),
        to: "To: <sip:x@gw.test>;tag=xt".into(),
        call_id: "x1".into(),
        route: format!("Route: <sip:{};lr>, <sip:x@{}:{beside};lr>", stage.rig.address, gateway.ip()),
    };
    let uri = format!("sip:+49900123@{gateway}");
    assert_eq!(stage.within(&invented, "INVITE", &uri, "", 300).await.status(), Some(403));
    assert!(stage.location.routed.lock().unwrap().is_empty(), "nobody was asked about it");
}

/// ADR 10: of a dialog that began before marks told of gateways nothing is known: a number is asked about, a name goes on.
#[tokio::test]
async fn a_dialog_of_an_earlier_version_is_asked_about() {
    let stage = Stage::new().await;
    let began = stage.call("sip:+4930@example.com", "o1", &stage.gateway).await;
    let mark = began.route.split(";d=").nth(1).and_then(|rest| rest.split(';').next()).unwrap();
    let route = format!("Route: <sip:{};lr;d={}>", stage.rig.address, earlier(mark, &began));
    let call = Call { route, ..began };
    let gateway = stage.gateway.address();
    *stage.location.identity.lock().unwrap() = ALICE.into();
    stage.passes(&call, &stage.gateway, &format!("sip:sbc-7@{gateway}")).await;
    stage.passes(&call, &stage.gateway, &format!("sip:+4930@{gateway}")).await;
    assert!(stage.location.routed.lock().unwrap().last().unwrap().at_gateway);
    let denied = format!("sip:+33123@{gateway}");
    assert_eq!(stage.within(&call, "INVITE", &denied, "", 70).await.status(), Some(403));
}

/// The same mark as an edge made it that told of no gateways.
fn earlier(mark: &str, call: &Call) -> String {
    let octets = URL_SAFE_NO_PAD.decode(mark).unwrap();
    let mut said = octets[..8].to_vec();
    said[0] &= 0x7f;
    let mut mac = Hmac::<Sha256>::new_from_slice(&KEY).unwrap();
    mac.update(b"dialog ");
    mac.update(&said);
    mac.update(format!("{} at", call.call_id).as_bytes());
    said.extend_from_slice(&mac.finalize().into_bytes()[..10]);
    URL_SAFE_NO_PAD.encode(said)
}

/// A dialog from the side of who sends within it.
#[derive(Clone)]
struct Call {
    from: String,
    to: String,
    call_id: String,
    route: String,
}

/// Alice, Bob, and the gateway of a trunk, at the address and by a name.
struct Stage {
    rig: Rig,
    location: Arc<FakeLocation>,
    alice: Peer,
    bob: Peer,
    gateway: Peer,
    number: std::cell::Cell<u32>,
}

fn gateways(gateway: &Peer) -> View {
    let places: Vec<String> = vec![gateway.address().to_string(), "gw.test".into()];
    View { gateways: places.into(), ..View::fixed(Vec::new(), KEY.to_vec()) }
}

impl Stage {
    async fn new() -> Self {
        let (bob, gateway) = (Peer::unbound().await, Peer::unbound().await);
        let contact = format!("sip:bob@{}", bob.address());
        let number = format!("sip:+4930@{};user=phone", gateway.address());
        let plan = move |request: &RouteRequest| match request.request_uri.as_str() {
            uri if request.at_gateway && (uri.contains("+33") || request.next_route.contains("+33")) => {
                Plan::Refuse(Refuse { status: 403, ..Refuse::default() })
            }
            _ if request.at_gateway => Plan::Relay(Relay {}),
            "sip:bob@example.com" => fork_to(std::slice::from_ref(&contact)),
            _ => {
                let targets = vec![Target { uri: number.clone(), ..Target::default() }];
                let group = Group { targets, cause: "trunk".into(), ring_time: None };
                Plan::Fork(Fork { groups: vec![group], recurse: false })
            }
        };
        let location = FakeLocation::planning(plan);
        let rig = Rig::with(location.clone()).await;
        rig.learns(gateways(&gateway));
        let alice = rig.peer().await;
        let (bob, gateway) = (bob.toward(rig.address), gateway.toward(rig.address));
        Self { rig, location, alice, bob, gateway, number: 1.into() }
    }

    /// Alice calls somebody, who answers.
    async fn call(&self, to: &str, call_id: &str, callee: &Peer) -> Call {
        let (from, to, id) =
            (format!("From: <{ALICE}>;tag=at"), format!("To: <{to}>"), format!("Call-ID: {call_id}"));
        let contact = format!("Contact: <sip:alice@{}>", self.alice.address());
        let start = format!("INVITE {}", &to[5..to.len() - 1]);
        self.alice.request(&start, call_id, &[&from, &to, &id, &contact]).await;
        let invite = callee.receive_request("INVITE").await;
        let contact = format!("Contact: <sip:x@{}>", callee.address());
        callee.respond(&invite, "200 OK", "bt", &[&contact]).await;
        let answered = self.alice.receive_status(200).await;
        let route = format!("Route: {}", values(&answered, HeaderId::RecordRoute).join(", "));
        Call { from, to: format!("{to};tag=bt"), call_id: call_id.into(), route }
    }

    /// Sends a request within the call, and waits for its answer.
    async fn within(&self, call: &Call, method: &str, uri: &str, route: &str, number: usize) -> Message {
        let cseq = format!("CSeq: {number} {method}");
        let id = format!("Call-ID: {}", call.call_id);
        let mut lines = vec![&*call.from, &*call.to, &*id, &*cseq];
        lines.extend([&*call.route, route].into_iter().filter(|line| !line.is_empty()));
        let branch = format!("w{number}{method}{}", call.call_id);
        self.alice.request(&format!("{method} {uri}"), &branch, &lines).await;
        loop {
            let answer = self.alice.receive_past_100().await;
            if text(&answer).contains(&cseq) {
                if method == "INVITE" {
                    self.acknowledge(call, uri, &branch, number).await;
                }
                return answer;
            }
        }
    }

    /// Sends an INVITE within the call, which reaches somebody.
    async fn passes(&self, call: &Call, to: &Peer, uri: &str) {
        let number = self.number.get() + 100;
        self.number.set(number);
        let id = format!("Call-ID: {}", call.call_id);
        let cseq = format!("CSeq: {number} INVITE");
        let lines = [&*call.from, &*call.to, &*id, &*cseq, &*call.route];
        let branch = format!("p{number}");
        self.alice.request(&format!("INVITE {uri}"), &branch, &lines).await;
        let request = to.receive_request("INVITE").await;
        assert!(text(&request).contains(&cseq), "{request:?}");
        to.respond(&request, "488 Not Acceptable Here", "", &[]).await;
        let ack = to.receive_request("ACK").await;
        assert!(text(&ack).contains(&format!("CSeq: {number} ACK")), "{ack:?}");
        self.alice.receive_status(488).await;
        self.acknowledge(call, uri, &branch, number as usize).await;
    }

    async fn acknowledge(&self, call: &Call, uri: &str, branch: &str, number: usize) {
        let (id, cseq) = (format!("Call-ID: {}", call.call_id), format!("CSeq: {number} ACK"));
        self.alice.request(&format!("ACK {uri}"), branch, &[&call.from, &call.to, &id, &cseq]).await;
    }
}
