//! Trunks that challenge calls.

use std::sync::Arc;
use std::time::Duration;

use cluster_api::registrar::v1::route_response::Plan;
use cluster_api::registrar::v1::{Fork, Group, Target};
use sip_message::{HeaderId, Limits, Message};
use tokio::net::UdpSocket;

use crate::peer::{Peer, response_to, values};
use crate::rig::Rig;
use crate::services::{FakeLocation, OTHER, fork_to};

const CHALLENGE: &str = "Proxy-Authenticate: Digest realm=\"carrier\", nonce=\"n\", qop=\"auth\"";

/// Two trunks, of which there are credentials for the first.
async fn two_trunks() -> (Rig, Arc<FakeLocation>, Peer, [Peer; 2]) {
    let trunks = [Peer::unbound().await, Peer::unbound().await];
    let uris = trunks.each_ref().map(|trunk| format!("sip:+49@{};user=phone", trunk.address()));
    let location = FakeLocation::planning(move |_| {
        let group = |(cause, trunk, uri): (&str, &str, &String)| Group {
            targets: vec![Target { uri: uri.clone(), trunk: trunk.into(), ..Target::default() }],
            cause: cause.into(),
            ring_time: None,
        };
        let groups = [("trunk", "carrier", &uris[0]), ("trunk-failover", "", &uris[1])];
        Plan::Fork(Fork { groups: groups.into_iter().map(group).collect(), recurse: false })
    });
    let rig = Rig::with(location.clone()).await;
    let alice = rig.peer().await;
    let trunks = trunks.map(|trunk| trunk.toward(rig.address));
    (rig, location, alice, trunks)
}

async fn invite(alice: &Peer) {
    invite_as(alice, "c").await;
}

async fn invite_as(alice: &Peer, call: &str) {
    let call_id = format!("Call-ID: {call}");
    let lines =
        ["From: <sip:alice@example.com>;tag=a", "To: <sip:+49@example.com>", &call_id, "Contact: <sip:a@h>"];
    alice.request("INVITE sip:+49@example.com", &format!("one{call}"), &lines).await;
}

fn credentials(location: &FakeLocation, given: &[&str]) {
    let given = given.iter().map(|&value| vec![value.to_owned()]);
    location.credentials.lock().unwrap().extend(given);
}

fn header(message: &Message, id: HeaderId) -> Option<String> {
    message.first(id).map(|value| String::from_utf8_lossy(value).into_owned())
}

/// AUT-13: the registrar answers; the same request goes again on a new branch, its ACK on the old one, and the caller
/// hears nothing of it.
#[tokio::test]
async fn a_challenge_of_a_trunk_is_answered_for_the_caller() {
    let (_rig, location, alice, [trunk, other]) = two_trunks().await;
    credentials(&location, &["Digest username=\"u\""]);
    invite(&alice).await;
    let first = trunk.receive_request("INVITE").await;
    assert_eq!(header(&first, HeaderId::ProxyAuthorization), None);
    trunk.respond(&first, "407 Proxy Authentication Required", "t", &[CHALLENGE]).await;
    let ack = trunk.receive_request("ACK").await;
    assert_eq!(header(&ack, HeaderId::Via), header(&first, HeaderId::Via));
    let second = trunk.receive_request("INVITE").await;
    assert_eq!(header(&second, HeaderId::ProxyAuthorization).as_deref(), Some("Digest username=\"u\""));
    assert_ne!(header(&second, HeaderId::Via), header(&first, HeaderId::Via), "a new branch");
    for same in [HeaderId::CSeq, HeaderId::CallId, HeaderId::From] {
        assert_eq!(header(&second, same), header(&first, same));
    }
    let asked = location.challenged.lock().unwrap().clone();
    assert_eq!((asked.len(), asked[0].trunk.as_str(), asked[0].method.as_str()), (1, "carrier", "INVITE"));
    assert_eq!(asked[0].request_uri.as_bytes(), second.request_uri().unwrap_or_default());
    assert!(!asked[0].again);
    trunk.respond(&second, "486 Busy Here", "t2", &[]).await;
    alice.receive_status(486).await;
    trunk.receive_request("ACK").await;
    other.expect_nothing().await;
}

/// AUT-13, UAC-13: a stale nonce is answered once more; then the trunk does not serve, and the next one is tried. The caller is never
/// asked for the credentials of a trunk.
#[tokio::test]
async fn a_trunk_that_refuses_our_credentials_is_passed_over() {
    let (_rig, location, alice, [trunk, other]) = two_trunks().await;
    credentials(&location, &["Digest realm=\"carrier\", one", "Digest realm=\"carrier\", two"]);
    invite(&alice).await;
    let stale = format!("{CHALLENGE}, stale=true");
    for (number, challenge) in [(None, CHALLENGE), (Some("one"), &stale), (Some("two"), &stale)] {
        let request = trunk.receive_request("INVITE").await;
        let value = number.map(|number| format!("Digest realm=\"carrier\", {number}"));
        assert_eq!(header(&request, HeaderId::ProxyAuthorization), value);
        trunk.respond(&request, "407 Proxy Authentication Required", "t", &[challenge]).await;
        trunk.receive_request("ACK").await;
    }
    let request = other.receive_request("INVITE").await;
    assert_eq!(header(&request, HeaderId::ProxyAuthorization), None, "they are the first one's");
    other.respond(&request, "486 Busy Here", "t", &[]).await;
    alice.receive_status(486).await;
    let asked = location.challenged.lock().unwrap().clone();
    let told: Vec<_> = asked.iter().map(|asked| (asked.again, asked.challenges.len())).collect();
    assert_eq!(told, [(false, 1), (false, 1), (true, 0)]);
}

/// AUT-13, RFC 3261 22.3: the carrier's proxy and the gateway behind it both challenge, under one name. Both are answered, and what the
/// proxy was answered with stays.
#[tokio::test]
async fn two_challengers_in_a_row_are_both_answered() {
    let (_rig, location, alice, [trunk, other]) = two_trunks().await;
    let (proxy, gateway) = ("Digest realm=\"carrier\", proxy", "Digest realm=\"carrier\", gateway");
    credentials(&location, &[proxy, gateway]);
    invite(&alice).await;
    let request = trunk.receive_request("INVITE").await;
    trunk.respond(&request, "407 Proxy Authentication Required", "t", &[CHALLENGE]).await;
    trunk.receive_request("ACK").await;
    let request = trunk.receive_request("INVITE").await;
    let challenge = CHALLENGE.replacen("Proxy", "WWW", 1);
    trunk.respond(&request, "401 Unauthorized", "t", &[&challenge]).await;
    trunk.receive_request("ACK").await;
    let request = trunk.receive_request("INVITE").await;
    assert_eq!(header(&request, HeaderId::ProxyAuthorization).as_deref(), Some(proxy));
    assert_eq!(header(&request, HeaderId::Authorization).as_deref(), Some(gateway));
    assert!(location.challenged.lock().unwrap().iter().all(|asked| !asked.again));
    trunk.respond(&request, "486 Busy Here", "t2", &[]).await;
    alice.receive_status(486).await;
    trunk.receive_request("ACK").await;
    other.expect_nothing().await;
}

/// A trunk without credentials of ours challenges its caller, who may have some (RFC 3261 16.7 step 7); one with others than it wants
/// does not serve.
#[tokio::test]
async fn what_cannot_be_answered_is_passed_on_or_over() {
    let (_rig, _location, alice, [trunk, other]) = two_trunks().await;
    invite(&alice).await;
    let request = trunk.receive_request("INVITE").await;
    let challenge = CHALLENGE.replacen("Proxy", "WWW", 1);
    trunk.respond(&request, "401 Unauthorized", "t", &[&challenge]).await;
    trunk.receive_request("ACK").await;
    let request = other.receive_request("INVITE").await;
    other.respond(&request, "407 Proxy Authentication Required", "t", &[CHALLENGE]).await;
    let refused = alice.receive_status(407).await;
    assert!(header(&refused, HeaderId::ProxyAuthenticate).is_some());
}

/// AUT-13, RFC 3261 22.3: who finds two challenges of two kinds in one response answers both at once.
#[tokio::test]
async fn both_kinds_of_challenges_in_one_response_are_answered() {
    let (_rig, location, alice, [trunk, _other]) = two_trunks().await;
    credentials(&location, &["Digest realm=\"carrier\", first"]);
    invite(&alice).await;
    let request = trunk.receive_request("INVITE").await;
    let server = "WWW-Authenticate: Digest realm=\"gateway\", nonce=\"m\", qop=\"auth\"";
    trunk.respond(&request, "407 Proxy Authentication Required", "t", &[CHALLENGE, server]).await;
    trunk.receive_request("ACK").await;
    let request = trunk.receive_request("INVITE").await;
    let first = "Digest realm=\"carrier\", first";
    assert_eq!(header(&request, HeaderId::ProxyAuthorization).as_deref(), Some(first));
    assert_eq!(header(&request, HeaderId::Authorization).as_deref(), Some(OTHER));
    let asked = location.challenged.lock().unwrap().clone();
    assert_eq!((asked.len(), asked[0].challenges.len(), asked[0].other_challenges.len()), (1, 1, 1));
}

/// AUT-13: the call goes on through the trunk, which challenges every request of it: re-INVITE, the small ones, REFER and BYE.
#[tokio::test]
async fn a_challenge_inside_a_dialog_is_answered_too() {
    let (_rig, location, alice, [trunk, _other]) = two_trunks().await;
    let lines = in_dialog_through(&alice, &trunk).await;
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    for (number, method) in (2..).zip(["INVITE", "UPDATE", "PRACK", "INFO", "REFER", "BYE"]) {
        let given = format!("Digest realm=\"carrier\", for {method}");
        credentials(&location, &[&given]);
        let cseq = format!("CSeq: {number} {method}");
        let start = format!("{method} sip:gw@{}", trunk.address());
        alice.request(&start, &format!("in{method}"), &[&lines[..], &[cseq.as_str()]].concat()).await;
        let first = trunk.receive_request(method).await;
        assert_eq!(header(&first, HeaderId::ProxyAuthorization), None);
        trunk.respond(&first, "407 Proxy Authentication Required", "t", &[CHALLENGE]).await;
        if method == "INVITE" {
            trunk.receive_request("ACK").await;
        }
        let second = trunk.receive_request(method).await;
        assert_eq!(header(&second, HeaderId::ProxyAuthorization), Some(given));
        assert_eq!(header(&second, HeaderId::CSeq), header(&first, HeaderId::CSeq));
        let status = if method == "INVITE" { ("488 Not Acceptable Here", 488) } else { ("200 OK", 200) };
        trunk.respond(&second, status.0, "t", &[]).await;
        alice.receive_status(status.1).await;
        if method == "INVITE" {
            trunk.receive_request("ACK").await;
        }
        let asked = location.challenged.lock().unwrap().pop().expect("it was asked");
        assert_eq!((asked.trunk.as_str(), asked.method.as_str()), ("carrier", method));
    }
}

/// AUT-13: so are challenges to what goes back along a call that came from the trunk.
#[tokio::test]
async fn a_trunk_that_called_challenges_what_comes_back() {
    let (bob, trunk) = (Peer::unbound().await, Peer::unbound().await);
    let uri = format!("sip:bob@{}", bob.address());
    let location = FakeLocation::planning(move |_| fork_to(std::slice::from_ref(&uri)));
    *location.from_trunk.lock().unwrap() = "carrier".into();
    let rig = Rig::with(location.clone()).await;
    let (bob, trunk) = (bob.toward(rig.address), trunk.toward(rig.address));
    let contact = format!("Contact: <sip:gw@{}>", trunk.address());
    let lines = ["From: <sip:+49@h>;tag=g", "To: <sip:bob@example.com>", "Call-ID: c", &contact];
    trunk.request("INVITE sip:bob@example.com", "one", &lines).await;
    let invite = bob.receive_request("INVITE").await;
    bob.respond(&invite, "200 OK", "b", &[&format!("Contact: <sip:bob@{}>", bob.address())]).await;
    trunk.receive_status(200).await;
    credentials(&location, &["Digest realm=\"carrier\", back"]);
    let route = format!("Route: {}", values(&invite, HeaderId::RecordRoute).join(", "));
    let lines = ["From: <sip:bob@example.com>;tag=b", "To: <sip:+49@h>;tag=g", "Call-ID: c", &route];
    bob.request(&format!("BYE sip:gw@{}", trunk.address()), "bye", &lines).await;
    let bye = trunk.receive_request("BYE").await;
    trunk.respond(&bye, "401 Unauthorized", "g", &[&CHALLENGE.replacen("Proxy", "WWW", 1)]).await;
    let bye = trunk.receive_request("BYE").await;
    let given = "Digest realm=\"carrier\", back";
    assert_eq!(header(&bye, HeaderId::Authorization).as_deref(), Some(given));
    trunk.respond(&bye, "200 OK", "g", &[]).await;
    bob.receive_status(200).await;
}

/// AUT-13: who leads a request of the dialog elsewhere gets no credentials there, whatever the mark of the trunk says, and none by the
/// mark of another dialog.
#[tokio::test]
async fn credentials_leave_for_the_trunk_alone() {
    let (_rig, location, alice, [trunk, _other]) = two_trunks().await;
    credentials(&location, &["Digest realm=\"carrier\", never"]);
    let lines = in_dialog_through(&alice, &trunk).await;
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let stranger = UdpSocket::bind("127.0.0.2:0").await.expect("loopback has a free port");
    let to = format!("BYE sip:gw@{}", stranger.local_addr().expect("it is bound"));
    alice.request(&to, "astray", &[&lines[..], &["CSeq: 2 BYE"]].concat()).await;
    let mut buffer = vec![0; 65_535];
    let wait = tokio::time::timeout(Duration::from_secs(5), stranger.recv_from(&mut buffer));
    let (length, edge) = wait.await.expect("it comes").expect("the socket is fine");
    let bye = Message::parse(buffer[..length].to_vec().into(), &Limits::default()).unwrap();
    let refusal = response_to(&bye, "407 Proxy Authentication Required", "t", &[CHALLENGE]);
    stranger.send_to(refusal.as_bytes(), edge).await.expect("loopback takes datagrams");
    let refused = alice.receive_status(407).await;
    assert!(header(&refused, HeaderId::ProxyAuthenticate).is_some());

    // a mark of the dialog that is to be, and the trunk's of another one
    invite_as(&alice, "d").await;
    let second = trunk.receive_request("INVITE").await;
    let other = lines.iter().find(|line| line.starts_with("Route:")).expect("it has a route");
    let other = other.split(";k=").nth(1).and_then(|rest| rest.split('>').next()).expect("a trunk's");
    let route = values(&second, HeaderId::RecordRoute).join(", ");
    let own = route.split(";k=").nth(1).and_then(|rest| rest.split('>').next()).expect("a trunk's");
    let route = format!("Route: {}", route.replace(own, other));
    let lines = ["From: <sip:alice@example.com>;tag=a", "To: <sip:+49@example.com>;tag=t", "Call-ID: d"];
    let start = format!("BYE sip:gw@{}", trunk.address());
    alice.request(&start, "copied", &[&lines[..], &[&route, "CSeq: 2 BYE"]].concat()).await;
    let bye = loop {
        let request = trunk.receive().await;
        if request.method_str() == "BYE" {
            break request;
        }
    };
    trunk.respond(&bye, "407 Proxy Authentication Required", "t", &[CHALLENGE]).await;
    loop {
        let answer = alice.receive().await;
        if answer.method_str() == "BYE" {
            break assert_eq!(answer.status(), Some(407));
        }
    }
    assert!(location.challenged.lock().unwrap().is_empty(), "nobody was asked");
}

/// A call of Alice through the trunk, answered; what her requests of it begin with.
async fn in_dialog_through(alice: &Peer, trunk: &Peer) -> Vec<String> {
    invite(alice).await;
    let request = trunk.receive_request("INVITE").await;
    trunk.respond(&request, "200 OK", "t", &[&format!("Contact: <sip:gw@{}>", trunk.address())]).await;
    let answer = alice.receive_status(200).await;
    let mut route = values(&answer, HeaderId::RecordRoute);
    route.reverse();
    vec![
        "From: <sip:alice@example.com>;tag=a".to_owned(),
        "To: <sip:+49@example.com>;tag=t".to_owned(),
        "Call-ID: c".to_owned(),
        "Contact: <sip:a@h>".to_owned(),
        format!("Route: {}", route.join(", ")),
    ]
}
