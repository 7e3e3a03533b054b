//! Trunks that challenge calls.

use std::sync::Arc;

use cluster_api::registrar::v1::route_response::Plan;
use cluster_api::registrar::v1::{Fork, Group, Target};
use sip_message::{HeaderId, Message};

use crate::peer::Peer;
use crate::rig::Rig;
use crate::services::FakeLocation;

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
    let lines = [
        "From: <sip:alice@example.com>;tag=a",
        "To: <sip:+49@example.com>",
        "Call-ID: c",
        "Contact: <sip:a@h>",
    ];
    alice.request("INVITE sip:+49@example.com", "one", &lines).await;
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
