//! Calls between two phones through the edge.

use cluster_api::registrar::v1::route_response::Plan;
use cluster_api::registrar::v1::{Challenge, Refuse};
use sip_message::{HeaderId, Message};

use crate::peer::{Peer, text, values};
use crate::rig::Rig;
use crate::services::{FakeLocation, fork_groups, fork_to};

/// PXY-12, PXY-16, PXY-26, PXY-02, SCN-06
#[tokio::test]
async fn a_call_is_set_up_and_ended_through_the_edge_with_one_question() {
    let (rig, alice, bob, location) = two_phones().await;
    let invite = ring(&alice, &bob).await;
    assert_eq!(invite.request_uri(), Some(uri_of(&bob).as_bytes()));
    assert_eq!(invite.max_forwards(), Ok(Some(69)));
    assert_eq!(invite.vias().count(), 2);
    let record_route = values(&invite, HeaderId::RecordRoute);
    assert_eq!(record_route.len(), 1, "{record_route:?}");
    assert!(record_route[0].starts_with(&format!("<sip:{};lr;d=", rig.address)), "{record_route:?}");

    let contact = format!("Contact: <{}>", uri_of(&bob));
    bob.respond(&invite, "180 Ringing", "bt", &[&contact]).await;
    let ringing = alice.receive_status(180).await;
    assert_eq!(ringing.vias().count(), 1);
    bob.respond(&invite, "200 OK", "bt", &[&contact]).await;
    let answered = alice.receive_status(200).await;
    assert_eq!(values(&answered, HeaderId::RecordRoute), record_route);

    let in_dialog = [
        format!("Route: {}", record_route[0]),
        "From: <sip:alice@example.com>;tag=at".to_owned(),
        "To: <sip:bob@example.com>;tag=bt".to_owned(),
        "Call-ID: call-1".to_owned(),
    ];
    let mut lines: Vec<&str> = in_dialog.iter().map(String::as_str).collect();
    lines.push("CSeq: 1 ACK");
    alice.request(&format!("ACK {}", uri_of(&bob)), "a2", &lines).await;
    let ack = bob.receive_request("ACK").await;
    assert!(!ack.has(HeaderId::Route), "{}", text(&ack));

    let back = [
        format!("Route: {}", record_route[0]),
        "From: <sip:bob@example.com>;tag=bt".to_owned(),
        "To: <sip:alice@example.com>;tag=at".to_owned(),
        "Call-ID: call-1".to_owned(),
    ];
    let lines: Vec<&str> = back.iter().map(String::as_str).collect();
    bob.request(&format!("BYE {}", uri_of(&alice)), "b1", &lines).await;
    let bye = alice.receive_request("BYE").await;
    alice.respond(&bye, "200 OK", "", &[]).await;
    bob.receive_status(200).await;
    assert_eq!(location.routed.lock().unwrap().len(), 1, "only the INVITE needed a decision");
}

/// PRK-04: a PRACK goes to the phone that knows whether it matches. RAck passes as it stands, and so does what that phone says.
#[tokio::test]
async fn a_prack_is_answered_by_the_phone_that_rings() {
    let (_rig, alice, bob, location) = two_phones().await;
    let invite = ring(&alice, &bob).await;
    let route = format!("Route: {}", values(&invite, HeaderId::RecordRoute)[0]);
    let contact = format!("Contact: <{}>", uri_of(&bob));
    let reliable = [contact.as_str(), "Require: 100rel", "RSeq: 17"];
    bob.respond(&invite, "183 Session Progress", "bt", &reliable).await;
    let early = alice.receive_status(183).await;
    assert_eq!(values(&early, HeaderId::RSeq), ["17"]);
    let cases = [
        ("17 1 INVITE", "200 OK", 200),
        ("18 1 INVITE", "481 No Such Response", 481),
        ("17 2 INVITE", "481 No Such Response", 481),
        ("17 1 UPDATE", "481 No Such Response", 481),
    ];
    for (number, (rack, said, status)) in (2..).zip(cases) {
        let lines = [
            route.clone(),
            "From: <sip:alice@example.com>;tag=at".to_owned(),
            "To: <sip:bob@example.com>;tag=bt".to_owned(),
            "Call-ID: call-1".to_owned(),
            format!("CSeq: {number} PRACK"),
            format!("RAck: {rack}"),
        ];
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        alice.request(&format!("PRACK {}", uri_of(&bob)), &format!("p{number}"), &lines).await;
        let prack = bob.receive_request("PRACK").await;
        assert_eq!(values(&prack, HeaderId::RAck), [rack]);
        bob.respond(&prack, said, "", &[]).await;
        assert_eq!(alice.receive_status(status).await.method_str(), "PRACK", "{rack}");
    }
    assert_eq!(location.routed.lock().unwrap().len(), 1, "only the INVITE needed a decision");
}

/// PXY-22, LAD-10 R2, UAC-24
#[tokio::test]
async fn a_cancel_reaches_the_ringing_phone_with_its_reason() {
    let (_rig, alice, bob, _) = two_phones().await;
    let invite = ring(&alice, &bob).await;
    bob.respond(&invite, "180 Ringing", "bt", &[]).await;
    alice.receive_status(180).await;
    let mut lines = INVITE.to_vec();
    lines.extend(["CSeq: 1 CANCEL", "Reason: SIP;cause=487;text=\"Changed her mind\""]);
    alice.request("CANCEL sip:bob@example.com", "a1", &lines).await;
    assert_eq!(alice.receive_status(200).await.method_str(), "CANCEL");
    let cancel = bob.receive_request("CANCEL").await;
    assert_eq!(values(&cancel, HeaderId::Reason), ["SIP;cause=487;text=\"Changed her mind\""]);
    assert_eq!(cancel.top_via(), invite.top_via());
    bob.respond(&cancel, "200 OK", "bt", &[]).await;
    bob.respond(&invite, "487 Request Terminated", "bt", &[]).await;
    bob.receive_request("ACK").await;
    let terminated = alice.receive_status(487).await;
    assert_eq!(terminated.to().unwrap().tag(), Some("bt"));
}

/// PXY-16, PXY-23, LAD-10 R6
#[tokio::test]
async fn of_two_phones_that_ring_the_slower_one_is_cancelled() {
    let (alice, bob, desk) = (Peer::unbound().await, Peer::unbound().await, Peer::unbound().await);
    let uris = [uri_of(&bob), uri_of(&desk)];
    let rig = Rig::with(FakeLocation::planning(move |_| fork_to(&uris))).await;
    let [alice, bob, desk] = [alice, bob, desk].map(|peer| peer.toward(rig.address));
    let at_bob = ring(&alice, &bob).await;
    let at_desk = desk.receive_request("INVITE").await;
    assert_ne!(at_bob.top_via().unwrap().branch, at_desk.top_via().unwrap().branch);
    desk.respond(&at_desk, "180 Ringing", "dt", &[]).await;
    alice.receive_status(180).await;
    bob.respond(&at_bob, "200 OK", "bt", &[]).await;
    alice.receive_status(200).await;
    let cancel = desk.receive_request("CANCEL").await;
    assert_eq!(values(&cancel, HeaderId::Reason), ["SIP;cause=200;text=\"Call completed elsewhere\""]);
    // The other phone answers all the same: both 200s go up.
    desk.respond(&at_desk, "200 OK", "dt", &[]).await;
    assert_eq!(alice.receive_status(200).await.to().unwrap().tag(), Some("dt"));
}

/// PXY-24, PXY-17
#[tokio::test]
async fn the_next_group_is_tried_when_the_first_is_busy() {
    let (alice, bob, desk) = (Peer::unbound().await, Peer::unbound().await, Peer::unbound().await);
    let groups = [[uri_of(&bob)], [uri_of(&desk)]];
    let rig = Rig::with(FakeLocation::planning(move |_| fork_groups(&[&groups[0], &groups[1]]))).await;
    let [alice, bob, desk] = [alice, bob, desk].map(|peer| peer.toward(rig.address));
    let at_bob = ring(&alice, &bob).await;
    bob.respond(&at_bob, "486 Busy Here", "bt", &[]).await;
    bob.receive_request("ACK").await;
    let at_desk = desk.receive_request("INVITE").await;
    desk.respond(&at_desk, "404 Not Found", "dt", &[]).await;
    assert_eq!(alice.receive_past_100().await.status(), Some(486), "busy says more than not found");
}

/// AUT-01, AUT-05, AUT-06
#[tokio::test]
async fn a_challenged_invite_is_acknowledged_and_forgotten() {
    let challenge =
        Challenge { challenges: vec!["Digest realm=\"example.com\"".into()], ..Challenge::default() };
    let rig = Rig::with(FakeLocation::planning(move |_| Plan::Challenge(challenge.clone()))).await;
    let alice = rig.peer().await;
    alice.request("INVITE sip:bob@example.com", "a1", &INVITE).await;
    let answer = alice.receive_status(407).await;
    assert_eq!(values(&answer, HeaderId::ProxyAuthenticate), ["Digest realm=\"example.com\""]);
    let to = format!("To: <sip:bob@example.com>;tag={}", answer.to().unwrap().tag().unwrap());
    let lines = ["From: <sip:alice@example.com>;tag=at", &to, "Call-ID: call-1", "CSeq: 1 ACK"];
    alice.request("ACK sip:bob@example.com", "a1", &lines).await;
    alice.expect_nothing().await;
}

/// PXY-09
#[tokio::test]
async fn a_refusal_of_the_registrar_is_passed_on() {
    let refuse = Refuse { status: 404, reason: String::new(), headers: Vec::new() };
    let rig = Rig::with(FakeLocation::planning(move |_| Plan::Refuse(refuse.clone()))).await;
    let alice = rig.peer().await;
    alice.request("MESSAGE sip:nobody@example.com", "a1", &INVITE).await;
    alice.receive_status(404).await;
}

/// PXY-25, PXY-26: what phones say of their tags goes up as they say it, be it nothing; and the ACK of a failure is for the edge alone, which has
/// acknowledged it to the phone itself.
#[tokio::test]
async fn tags_are_the_phones_own_and_the_ack_of_a_failure_goes_no_further() {
    let (_rig, alice, bob, _) = two_phones().await;
    let invite = ring(&alice, &bob).await;
    for (tag, told) in [("", None), ("bt", Some("bt")), ("other", Some("other"))] {
        bob.respond(&invite, "183 Session Progress", tag, &[]).await;
        assert_eq!(alice.receive_status(183).await.to().unwrap().tag(), told);
    }
    bob.respond(&invite, "486 Busy Here", "bt", &[]).await;
    let refused = alice.receive_status(486).await;
    assert_eq!(refused.to().unwrap().tag(), Some("bt"));
    bob.receive_request("ACK").await;
    let to = "To: <sip:bob@example.com>;tag=bt";
    alice.request("ACK sip:bob@example.com", "a1", &[INVITE[0], to, INVITE[2], "CSeq: 1 ACK"]).await;
    bob.expect_nothing().await;
}

/// Dialled by Alice; Call-ID `call-1`, her tag `at`.
pub(crate) const INVITE: [&str; 3] =
    ["From: <sip:alice@example.com>;tag=at", "To: <sip:bob@example.com>", "Call-ID: call-1"];

/// Alice, Bob, and an edge whose registrar sends everything to Bob.
pub(crate) async fn two_phones() -> (Rig, Peer, Peer, std::sync::Arc<FakeLocation>) {
    let (alice, bob) = (Peer::unbound().await, Peer::unbound().await);
    let uri = uri_of(&bob);
    let location = FakeLocation::planning(move |_| fork_to(std::slice::from_ref(&uri)));
    let rig = Rig::with(location.clone()).await;
    let [alice, bob] = [alice, bob].map(|peer| peer.toward(rig.address));
    (rig, alice, bob, location)
}

/// Alice dials; what reaches Bob.
pub(crate) async fn ring(alice: &Peer, bob: &Peer) -> Message {
    let contact = format!("Contact: <{}>", uri_of(alice));
    let mut lines = INVITE.to_vec();
    lines.push(&contact);
    alice.request("INVITE sip:bob@example.com", "a1", &lines).await;
    bob.receive_request("INVITE").await
}

pub(crate) fn uri_of(peer: &Peer) -> String {
    format!("sip:phone@{}", peer.address())
}

/// PXY-16: the caller has heard a failure, and acknowledged it; then the phone that was silent answers.
#[tokio::test]
async fn a_success_goes_up_even_after_a_failure_did() {
    let bob = Peer::unbound().await;
    let uri = uri_of(&bob);
    let short = |config: &mut edge::Config| config.ring_timeout = std::time::Duration::from_millis(50);
    let rig =
        Rig::configured(FakeLocation::planning(move |_| fork_to(std::slice::from_ref(&uri))), short).await;
    let (alice, bob) = (rig.peer().await, bob.toward(rig.address));
    let contact = format!("Contact: <{}>", uri_of(&bob));
    alice.request("INVITE sip:bob@example.com", "a1", &INVITE).await;
    let invite = bob.receive_request("INVITE").await;
    let failed = alice.receive_status(408).await;
    for acknowledged in [false, true] {
        if acknowledged {
            let to = format!("To: {}", failed.first_str(HeaderId::To).unwrap());
            let ack = [INVITE[0], to.as_str(), INVITE[2], "CSeq: 1 ACK"];
            alice.request("ACK sip:bob@example.com", "a1", &ack).await;
        }
        bob.respond(&invite, "200 OK", "bt", &[&contact]).await;
        let success = receive_other_than(&alice, 408).await;
        assert_eq!(success.status(), Some(200), "{}", text(&success));
        assert_eq!(success.to().unwrap().tag(), Some("bt"));
        assert_eq!(success.vias().count(), 1);
    }
}

/// PXY-16: a proxy further on had a failure from one phone and then an answer from another one.
#[tokio::test]
async fn a_success_of_a_branch_that_failed_before_goes_up() {
    let (_rig, alice, bob, _) = two_phones().await;
    let invite = ring(&alice, &bob).await;
    bob.respond(&invite, "486 Busy Here", "b1", &[]).await;
    alice.receive_status(486).await;
    bob.respond(&invite, "200 OK", "b2", &[]).await;
    assert_eq!(receive_other_than(&alice, 486).await.to().unwrap().tag(), Some("b2"));
}

/// The next response; a final one that nobody has acknowledged is repeated.
async fn receive_other_than(peer: &Peer, status: u16) -> sip_message::Message {
    loop {
        let response = peer.receive_past_100().await;
        if response.status() != Some(status) {
            return response;
        }
    }
}
