//! Forks with forwarding, redirection and failing targets.

use std::sync::Arc;

use cluster_api::edge::v1::carry_request::What as Effect;
use cluster_api::registrar::v1::route_response::Plan;
use cluster_api::registrar::v1::{Fork, Group, Relay, RouteRequest, Target};
use prost_types::Duration as WireDuration;
use sip_endpoint::{Answer, Dns};
use sip_message::HeaderId;
use tokio::net::UdpSocket;

use crate::legs::invite;
use crate::peer::{Peer, values};
use crate::rig::{Rig, fast};
use crate::services::{FakeLocation, fork_to, target};

/// FWD-03, FWD-07, SCN-16, PXY-25
#[tokio::test]
async fn a_busy_callee_is_forwarded_with_a_diversion() {
    let (rig, alice, [bob, carol]) = forwarding("forward-busy", None).await;
    alice.request("INVITE sip:bob@example.com", "a1", &INVITE).await;
    let at_bob = bob.receive_request("INVITE").await;
    assert!(!at_bob.has(HeaderId::Diversion));
    bob.respond(&at_bob, "486 Busy Here", "bt", &[]).await;
    let at_carol = carol.receive_request("INVITE").await;
    assert_eq!(values(&at_carol, HeaderId::Diversion), ["<sip:bob@example.com>;reason=user-busy"]);
    assert_eq!(at_carol.to().unwrap().uri, b"sip:bob@example.com", "To stays as it was dialled");
    carol.respond(&at_carol, "200 OK", "ct", &[]).await;
    let told = alice.receive_status(181).await;
    let answer = alice.receive_status(200).await;
    let tag = |message: &sip_message::Message| message.to().unwrap().tag().map(str::to_owned);
    assert_eq!(tag(&answer).as_deref(), Some("ct"), "as the callee gave it");
    assert!(tag(&told).is_some_and(|own| own != "ct" && own != "bt"), "{told:?}");
    drop(rig);
}

/// FWD-04, SCN-16
#[tokio::test]
async fn a_callee_that_does_not_answer_is_cancelled_and_forwarded() {
    let short = WireDuration { seconds: 0, nanos: 50_000_000 };
    let (_rig, alice, [bob, carol]) = forwarding("forward-no-answer", Some(short)).await;
    alice.request("INVITE sip:bob@example.com", "a1", &INVITE).await;
    let at_bob = bob.receive_request("INVITE").await;
    bob.respond(&at_bob, "180 Ringing", "bt", &[]).await;
    alice.receive_status(180).await;
    let cancel = bob.receive_request("CANCEL").await;
    assert_eq!(values(&cancel, HeaderId::Reason), ["SIP;cause=480;text=\"No answer\""]);
    bob.respond(&cancel, "200 OK", "bt", &[]).await;
    bob.respond(&at_bob, "487 Request Terminated", "bt", &[]).await;
    let at_carol = carol.receive_request("INVITE").await;
    assert_eq!(values(&at_carol, HeaderId::Diversion), ["<sip:bob@example.com>;reason=no-answer"]);
}

/// FWD-05, TRN-08
#[tokio::test]
async fn an_unreachable_callee_is_forwarded_fast() {
    let (_rig, alice, [bob, carol]) = forwarding("forward-unreachable", None).await;
    drop(bob);
    alice.request("INVITE sip:bob@example.com", "a1", &INVITE).await;
    carol.receive_request("INVITE").await;
}

/// PXY-21
#[tokio::test]
async fn a_302_is_followed_when_the_plan_says_so() {
    for recurse in [true, false] {
        let (alice, bob, carol, _rig) = redirecting(recurse).await;
        alice.request("INVITE sip:bob@example.com", "a1", &INVITE).await;
        let at_bob = bob.receive_request("INVITE").await;
        bob.respond(&at_bob, "302 Moved", "bt", &["Contact: <sip:carol@example.com>"]).await;
        if recurse {
            let at_carol = carol.receive_request("INVITE").await;
            assert_eq!(at_carol.request_uri(), Some(uri_of(&carol).as_bytes()));
        } else {
            let moved = alice.receive_status(302).await;
            assert_eq!(values(&moved, HeaderId::Contact), ["<sip:carol@example.com>"]);
            carol.expect_nothing().await;
        }
    }
}

/// CAP-04, PXY-23: who asks for it has the phones that lost ring on until they stop by themselves (RFC 3841 9.1); else they are cancelled.
#[tokio::test]
async fn a_caller_may_have_the_losers_ring_on() {
    for wish in ["Request-Disposition: no-cancel", "Request-Disposition: fork, cancel"] {
        let (desk, cell) = (Peer::unbound().await, Peer::unbound().await);
        let uris = [uri_of(&desk), uri_of(&cell)];
        let rig = Rig::with(FakeLocation::planning(move |_| fork_to(&uris))).await;
        let (alice, desk, cell) = (rig.peer().await, desk.toward(rig.address), cell.toward(rig.address));
        alice.request("INVITE sip:bob@example.com", "a1", &[&INVITE[..], &[wish]].concat()).await;
        let [at_desk, at_cell] = [desk.receive_request("INVITE").await, cell.receive_request("INVITE").await];
        desk.respond(&at_desk, "180 Ringing", "dt", &[]).await;
        alice.receive_status(180).await;
        cell.respond(&at_cell, "200 OK", "ct", &[]).await;
        alice.receive_status(200).await;
        if wish.contains("no-cancel") {
            desk.expect_nothing().await;
        } else {
            desk.receive_request("CANCEL").await;
        }
    }
}

/// PXY-10, PXY-17, PXY-21: a phone that sends its caller to one that rings already, or to the user whose phone it is, leaves the call to it.
#[tokio::test]
async fn a_302_to_a_phone_that_rings_already_leaves_the_call_to_it() {
    for (to_user, answer) in
        [(false, "200 OK"), (false, "486 Busy Here"), (true, "200 OK"), (true, "486 Busy Here")]
    {
        let (desk, cell) = (Peer::unbound().await, Peer::unbound().await);
        let uris = [uri_of(&desk), uri_of(&cell)];
        let rig = Rig::with(FakeLocation::planning(move |_| {
            let Plan::Fork(fork) = fork_to(&uris) else { unreachable!("it is a fork") };
            Plan::Fork(Fork { recurse: true, ..fork })
        }))
        .await;
        let (alice, desk, cell) = (rig.peer().await, desk.toward(rig.address), cell.toward(rig.address));
        alice.request("INVITE sip:bob@example.com", "a1", &INVITE).await;
        let [at_desk, at_cell] = [desk.receive_request("INVITE").await, cell.receive_request("INVITE").await];
        cell.respond(&at_cell, "180 Ringing", "ct", &[]).await;
        alice.receive_status(180).await;
        let moved = if to_user { "sip:bob@example.com".to_owned() } else { uri_of(&cell) };
        desk.respond(&at_desk, "302 Moved", "dt", &[&format!("Contact: <{moved}>")]).await;
        desk.receive_request("ACK").await;
        cell.respond(&at_cell, answer, "ct", &[]).await;
        let status = answer[..3].parse().ok();
        let mut said = alice.receive_past_100().await;
        while said.status() == Some(181) {
            said = alice.receive_past_100().await;
        }
        let tag = said.to().unwrap().tag().map(str::to_owned);
        assert_eq!((said.status(), tag.as_deref()), (status, Some("ct")), "{to_user} {answer}");
    }
}

/// PXY-21: only users of ours are called in the caller's stead; where others are is for the caller, also when one of ours was tried
/// first. RFC 3261 16.5, 16.7 step 4
#[tokio::test]
async fn contacts_elsewhere_are_left_to_the_caller() {
    let (alice, bob, carol, _rig) = redirecting(true).await;
    let elsewhere = format!("<{}>;q=0.9", uri_of(&carol));
    let both = format!("<sip:carol@example.com>, {elsewhere}, <mailto:bob@example.com>");
    for (number, contacts) in [(1, &elsewhere), (2, &both)] {
        let call = format!("Call-ID: c{number}");
        let lines = ["From: <sip:alice@example.com>;tag=at", "To: <sip:bob@example.com>", &call];
        let branch = format!("a{number}");
        alice.request("INVITE sip:bob@example.com", &branch, &lines).await;
        let at_bob = bob.receive_request("INVITE").await;
        bob.respond(&at_bob, "302 Moved", "bt", &[&format!("Contact: {contacts}")]).await;
        bob.receive_request("ACK").await;
        let mut expected = vec![elsewhere.clone()];
        if number == 1 {
            carol.expect_nothing().await;
        } else {
            let at_carol = carol.receive_request("INVITE").await;
            alice.receive_status(181).await;
            carol.respond(&at_carol, "404 Not Found", "ct", &[]).await;
            expected.push("<mailto:bob@example.com>".to_owned());
        }
        let moved = alice.receive_status(302).await;
        assert_eq!(values(&moved, HeaderId::Contact), expected);
        alice.request("ACK sip:bob@example.com", &branch, &lines).await;
    }
}

/// PXY-10, FWD-02: a target that is an address of ours is asked for.
#[tokio::test]
async fn a_target_in_our_own_domain_is_looked_up_and_keeps_its_cause() {
    let carol = Peer::unbound().await;
    let uri = uri_of(&carol);
    let location = FakeLocation::planning(move |request: &RouteRequest| {
        if request.request_uri == "sip:bob@example.com" {
            assert!(!request.internal);
            let target = Target { uri: "sip:carol@example.com".into(), ..Target::default() };
            let group =
                Group { targets: vec![target], ring_time: None, cause: "forward-unconditional".into() };
            Plan::Fork(Fork { groups: vec![group], recurse: false })
        } else {
            assert!(request.internal, "the caller was authorised before");
            fork_to(std::slice::from_ref(&uri))
        }
    });
    let rig = Rig::with(location.clone()).await;
    let (alice, carol) = (rig.peer().await, carol.toward(rig.address));
    alice.request("INVITE sip:bob@example.com", "a1", &INVITE).await;
    let at_carol = carol.receive_request("INVITE").await;
    assert_eq!(values(&at_carol, HeaderId::Diversion), ["<sip:bob@example.com>;reason=unconditional"]);
    let asked = location.routed.lock().unwrap();
    assert_eq!(asked[1].request_uri, "sip:carol@example.com");
}

/// PXY-19
#[tokio::test]
async fn a_lone_503_is_turned_into_500() {
    let (_rig, alice, bob) = plain().await;
    alice.request("INVITE sip:bob@example.com", "a1", &INVITE).await;
    let at_bob = bob.receive_request("INVITE").await;
    bob.respond(&at_bob, "503 Service Unavailable", "bt", &["Retry-After: 60"]).await;
    let answer = alice.receive_status(500).await;
    assert!(!answer.has(HeaderId::RetryAfter));
}

/// PXY-20, MSG-05
#[tokio::test]
async fn challenges_of_all_branches_go_up() {
    let (one, two) = (Peer::unbound().await, Peer::unbound().await);
    let uris = [uri_of(&one), uri_of(&two)];
    let rig = Rig::with(FakeLocation::planning(move |_| fork_to(&uris))).await;
    let (alice, one, two) = (rig.peer().await, one.toward(rig.address), two.toward(rig.address));
    alice.request("INVITE sip:bob@example.com", "a1", &INVITE).await;
    let (at_one, at_two) = (one.receive_request("INVITE").await, two.receive_request("INVITE").await);
    let realm = |realm: &str| format!("Proxy-Authenticate: Digest realm=\"{realm}\"");
    one.respond(&at_one, "407 Proxy Authentication Required", "o", &[&realm("a"), &realm("b")]).await;
    one.receive_request("ACK").await;
    two.respond(&at_two, "407 Proxy Authentication Required", "t", &[&realm("c")]).await;
    let answer = alice.receive_status(407).await;
    let challenges: Vec<&[u8]> = answer.all(HeaderId::ProxyAuthenticate).collect();
    assert_eq!(challenges, [&b"Digest realm=\"a\""[..], b"Digest realm=\"b\"", b"Digest realm=\"c\""]);
}

/// PXY-17, TXN-01
#[tokio::test]
async fn a_silent_target_is_408_for_an_invite() {
    let (_rig, alice, bob) = plain().await;
    alice.request("INVITE sip:bob@example.com", "a1", &INVITE).await;
    alice.receive_status(408).await;
    drop(bob);
}

/// TXN-13
#[tokio::test]
async fn a_silent_target_is_no_answer_at_all_for_another_request() {
    let (_rig, alice, bob) = plain().await;
    alice.request("OPTIONS sip:bob@example.com", "m1", &INVITE).await;
    bob.receive_request("OPTIONS").await;
    // By the time that an INVITE to the same silence has failed, the OPTIONS has too.
    alice
        .request(
            "INVITE sip:bob@example.com",
            "a2",
            &["From: <sip:a@example.com>;tag=2", "To: <sip:bob@example.com>", "Call-ID: c2"],
        )
        .await;
    loop {
        let answer = alice.receive().await;
        assert!(answer.method_str() == "INVITE" || answer.status() == Some(100), "no 408 to OPTIONS");
        if answer.status() == Some(408) {
            break;
        }
    }
}

pub(crate) const INVITE: [&str; 3] =
    ["From: <sip:alice@example.com>;tag=at", "To: <sip:bob@example.com>", "Call-ID: c1"];

/// An edge with short timers whose registrar sends everything to Bob.
async fn plain() -> (Rig, Peer, Peer) {
    let bob = Peer::unbound().await;
    let uri = uri_of(&bob);
    let location = FakeLocation::planning(move |_| fork_to(std::slice::from_ref(&uri)));
    let rig = Rig::configured(location, fast).await;
    let (alice, bob) = (rig.peer().await, bob.toward(rig.address));
    (rig, alice, bob)
}

/// An edge whose registrar tries Bob and then, by this cause, Carol.
async fn forwarding(cause: &'static str, ring_time: Option<WireDuration>) -> (Rig, Peer, [Peer; 2]) {
    let (bob, carol) = (Peer::unbound().await, Peer::unbound().await);
    let uris = [uri_of(&bob), uri_of(&carol)];
    let location: Arc<FakeLocation> = FakeLocation::planning(move |_| {
        let group =
            |uri: &str, cause: &str| Group { targets: vec![target(uri)], ring_time, cause: cause.into() };
        Plan::Fork(Fork { groups: vec![group(&uris[0], "contact"), group(&uris[1], cause)], recurse: false })
    });
    let rig = Rig::with(location).await;
    let alice = rig.peer().await;
    let peers = [bob, carol].map(|peer| peer.toward(rig.address));
    (rig, alice, peers)
}

pub(crate) fn uri_of(peer: &Peer) -> String {
    format!("sip:phone@{}", peer.address())
}

/// DNS-05, PXY-14
#[tokio::test]
async fn a_silent_address_gives_way_to_the_next_one_with_a_new_branch() {
    let (far, silent) = at_one_port().await;
    let port = far.address().port();
    let location = FakeLocation::planning(|_| Plan::Relay(Relay {}));
    // What listens at 127.0.0.2 never answers.
    let dns = TwoAddresses(["127.0.0.2", "127.0.0.1"].map(|ip| ip.parse().expect("an address")));
    let rig = Rig::resolving(location, Arc::new(dns), fast).await;
    let (alice, far) = (rig.peer().await, far.toward(rig.address));
    alice.request(&format!("INVITE sip:bob@far.example:{port}"), "a1", &INVITE).await;
    let mut first = [0; 4096];
    let (length, _) = silent.recv_from(&mut first).await.expect("the first address is tried first");
    let first = String::from_utf8_lossy(&first[..length]).into_owned();
    let second = far.receive_request("INVITE").await;
    let branch = second.top_via().unwrap().branch.unwrap();
    assert!(!first.contains(branch), "{first}");
    far.respond(&second, "200 OK", "ft", &[]).await;
    alice.receive_status(200).await;
}

/// A peer, and a socket at 127.0.0.2 with the same port: the first that is free there too.
async fn at_one_port() -> (Peer, UdpSocket) {
    let mut taken = Vec::new();
    loop {
        let peer = Peer::unbound().await;
        match UdpSocket::bind(("127.0.0.2", peer.address().port())).await {
            Ok(other) => return (peer, other),
            // Held, so that the next one is another.
            Err(_) => taken.push(peer),
        }
    }
}

/// One name with two addresses.
struct TwoAddresses([std::net::IpAddr; 2]);

impl Dns for TwoAddresses {
    fn addresses<'a>(&'a self, _: &'a str) -> Answer<'a, Vec<std::net::IpAddr>> {
        Box::pin(async move { Ok(self.0.to_vec()) })
    }
}

/// AUT-11, AUT-06: an INVITE with credentials for two realms passes with those of the other one, and so does its ACK.
#[tokio::test]
async fn credentials_of_our_own_realm_go_no_further() {
    let bob = Peer::unbound().await;
    let uri = uri_of(&bob);
    let location = FakeLocation::planning(move |_| fork_to(std::slice::from_ref(&uri)));
    let rig = Rig::configured(location.clone(), |config| config.realms = vec!["example.com".into()]).await;
    let (alice, bob) = (rig.peer().await, bob.toward(rig.address));
    let other = "Proxy-Authorization: Digest username=\"a\", realm=\"example.org\", nonce=\"n\", uri=\"x\", response=\"0\"";
    let own = other.replace("example.org", "example.com");
    let broken = "Proxy-Authorization: Digest realm=\"example.com\", response=";
    let mut lines = INVITE.to_vec();
    let contact = format!("Contact: <{}>", uri_of(&alice));
    lines.extend([own.as_str(), other, broken, &contact]);
    alice.request("INVITE sip:bob@example.com", "a1", &lines).await;
    let at_bob = bob.receive_request("INVITE").await;
    let expected = [other.strip_prefix("Proxy-Authorization: ").unwrap()];
    let passed = |request: &sip_message::Message| -> Vec<String> {
        request.all(HeaderId::ProxyAuthorization).map(|v| String::from_utf8_lossy(v).into_owned()).collect()
    };
    assert_eq!(passed(&at_bob), expected);
    assert_eq!(
        location.routed.lock().unwrap()[0].proxy_authorization.len(),
        3,
        "the registrar sees them all"
    );

    bob.respond(&at_bob, "200 OK", "bt", &[&format!("Contact: <{}>", uri_of(&bob))]).await;
    let answer = alice.receive_status(200).await;
    let route = format!("Route: {}", values(&answer, HeaderId::RecordRoute).join(", "));
    let to = format!("To: {}", answer.first_str(HeaderId::To).unwrap());
    let lines = [INVITE[0], &to, INVITE[2], &route, "CSeq: 1 ACK", &own, other];
    alice.request(&format!("ACK {}", uri_of(&bob)), "a2", &lines).await;
    // On a slow machine the INVITE may have been repeated.
    let ack = loop {
        let request = bob.receive().await;
        if request.method_str() == "ACK" {
            break request;
        }
    };
    assert_eq!(passed(&ack), expected);
}

/// FWD-01, SCN-18, PXY-21: a 305 leads the same request by way of the proxy that it names, to the same callee, who is not diverted. RFC 3261
/// 21.3.4
#[tokio::test]
async fn a_305_leads_by_way_of_the_proxy_where_the_plan_follows() {
    for recurse in [true, false] {
        let (alice, bob, proxy, _rig) = redirecting(recurse).await;
        alice.request("INVITE sip:bob@example.com", "a1", &INVITE).await;
        let at_bob = bob.receive_request("INVITE").await;
        let contact = format!("Contact: <sip:{}>", proxy.address());
        bob.respond(&at_bob, "305 Use Proxy", "bt", &[&contact]).await;
        if recurse {
            let at_proxy = proxy.receive_request("INVITE").await;
            assert_eq!(at_proxy.request_uri(), at_bob.request_uri());
            assert_eq!(values(&at_proxy, HeaderId::Route), [format!("<sip:{};lr>", proxy.address())]);
            assert!(!at_proxy.has(HeaderId::Diversion), "nobody else is called");
            proxy.respond(&at_proxy, "486 Busy Here", "pt", &[]).await;
            alice.receive_status(486).await;
        } else {
            let handed_on = alice.receive_status(305).await;
            assert_eq!(values(&handed_on, HeaderId::Contact).len(), 1);
        }
    }
}

/// FWD-01, PXY-21: 380 describes other services to the caller, and leads nobody to its contacts; 300 and 301 do. RFC 3261 21.3
#[tokio::test]
async fn a_380_is_handed_on_and_other_redirections_are_followed() {
    for status in ["300 Multiple Choices", "301 Moved Permanently", "380 Alternative Service"] {
        let (alice, bob, carol, _rig) = redirecting(true).await;
        alice.request("INVITE sip:bob@example.com", "a1", &INVITE).await;
        let at_bob = bob.receive_request("INVITE").await;
        bob.respond(&at_bob, status, "bt", &["Contact: <sip:carol@example.com>"]).await;
        if status.starts_with("380") {
            alice.receive_status(380).await;
            carol.expect_nothing().await;
        } else {
            carol.receive_request("INVITE").await;
        }
    }
}

/// Alice, Bob, whom everything is for, a third one, and their edge.
async fn redirecting(recurse: bool) -> (Peer, Peer, Peer, Rig) {
    let (bob, third) = (Peer::unbound().await, Peer::unbound().await);
    let (at_bob, at_third) = (uri_of(&bob), uri_of(&third));
    let rig = Rig::with(FakeLocation::planning(move |request: &RouteRequest| {
        let is_for_bob = request.request_uri.starts_with("sip:bob@");
        let uri = if is_for_bob { &at_bob } else { &at_third };
        let Plan::Fork(fork) = fork_to(std::slice::from_ref(uri)) else { unreachable!("it is a fork") };
        Plan::Fork(Fork { recurse, ..fork })
    }))
    .await;
    let (bob, third) = (bob.toward(rig.address), third.toward(rig.address));
    (rig.peer().await, bob, third, rig)
}

/// MSG-17: of a call that is forwarded, and of a leg of call-control.
#[tokio::test]
async fn headers_and_method_of_a_contact_stay_out_of_the_request() {
    let bob = Peer::unbound().await;
    let plain = format!("sip:bob@{}", bob.address());
    let contact = format!("{plain};method=MESSAGE?Route=evil&Subject=x");
    let rig = Rig::with(FakeLocation::planning(move |_| fork_to(std::slice::from_ref(&contact)))).await;
    let (alice, bob) = (rig.peer().await, bob.toward(rig.address));
    alice.request("INVITE sip:bob@example.com", "a1", &INVITE).await;
    let forwarded = bob.receive_request("INVITE").await;
    bob.respond(&forwarded, "486 Busy Here", "bt", &[]).await;
    alice.receive_status(486).await;
    rig.carry(1, Effect::Send(invite())).await;
    let ack = bob.receive_request("ACK").await;
    assert_eq!(ack.request_uri(), Some(plain.as_bytes()), "as the INVITE had it");
    let dialled = bob.receive_request("INVITE").await;
    for request in [forwarded, dialled] {
        assert_eq!(request.request_uri(), Some(plain.as_bytes()));
        assert!(!request.has(HeaderId::Route) && !request.has(HeaderId::Subject));
    }
}
