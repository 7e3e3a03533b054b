//! What the edge tells call-control of the calls that it merely proxies.

use std::sync::atomic::Ordering;

use cluster_api::callcontrol::v1::ProxiedCallEvent;
use cluster_api::callcontrol::v1::proxied_call_event::Type;
use cluster_api::edge::v1::requests_server::Requests as _;
use cluster_api::edge::v1::{CancelProxiedRequest, ExchangeRequest, SendRequest};
use sip_message::{HeaderId, Message};
use tonic::{Code, Request};

use crate::calls::{INVITE, ring, two_phones, uri_of};
use crate::peer::{Peer, values};

fn kinds(events: &[ProxiedCallEvent]) -> Vec<Type> {
    events.iter().map(ProxiedCallEvent::r#type).collect()
}

/// Bob rings and answers; gives his INVITE.
async fn answer(alice: &Peer, bob: &Peer) -> Message {
    let invite = ring(alice, bob).await;
    let contact = format!("Contact: <{}>", uri_of(bob));
    bob.respond(&invite, "180 Ringing", "bt", &[&contact]).await;
    alice.receive_status(180).await;
    bob.respond(&invite, "200 OK", "bt", &[&contact, "Session-Expires: 1800;refresher=uac"]).await;
    alice.receive_status(200).await;
    invite
}

/// A request inside the dialog, from bob to alice.
async fn from_bob(bob: &Peer, alice: &Peer, method: &str, invite: &Message, more: &[&str]) {
    let route = format!("Route: {}", values(invite, HeaderId::RecordRoute)[0]);
    let mut lines = vec![
        route.as_str(),
        "From: <sip:bob@example.com>;tag=bt",
        "To: <sip:alice@example.com>;tag=at",
        "Call-ID: call-1",
    ];
    lines.extend(more);
    bob.request(&format!("{method} {}", uri_of(alice)), &format!("b-{method}"), &lines).await;
}

/// TMR-04: with the session interval that both agreed on.
#[tokio::test]
async fn a_call_is_told_from_its_invite_to_its_bye() {
    let (rig, alice, bob, location) = two_phones().await;
    // What call-control did not confirm is told again.
    rig.calls.failing.store(2, Ordering::SeqCst);
    let invite = answer(&alice, &bob).await;
    from_bob(&bob, &alice, "BYE", &invite, &["Reason: SIP;cause=200;text=\"Had enough\""]).await;
    let bye = alice.receive_request("BYE").await;
    alice.respond(&bye, "200 OK", "", &[]).await;
    bob.receive_status(200).await;

    let events = rig.calls.at_least(4).await;
    assert_eq!(kinds(&events), [Type::Started, Type::Ringing, Type::Answered, Type::Ended]);
    assert!(events.iter().all(|event| event.call_id == events[0].call_id && event.sip_call_id == "call-1"));
    assert!(events.is_sorted_by(|one, next| one.number < next.number));
    let asked = location.routed.lock().unwrap()[0].call_id.clone();
    assert_eq!(asked, events[0].call_id, "the registrar counts it by the same id");
    let start = &events[0];
    assert_eq!(
        (start.from_uri.as_str(), start.to_uri.as_str()),
        ("sip:alice@example.com", "sip:bob@example.com")
    );
    let answered = &events[2];
    assert_eq!((answered.target.as_str(), answered.sip_status), (uri_of(&bob).as_str(), 200));
    assert_eq!((answered.from_contact.as_str(), answered.to_tag.as_str()), (uri_of(&alice).as_str(), "bt"));
    assert_eq!(answered.session_interval.expect("it was agreed on").seconds, 1800);
    let end = &events[3];
    assert_eq!((end.ended_by.as_str(), end.sip_reason.as_str()), ("b", "Had enough"));
    assert_eq!((end.from_tag.as_str(), end.to_tag.as_str()), ("at", "bt"), "as the caller's side has them");
}

/// TXN-17: whoever is to stop a phone that rings must know its dialog; each phone is told once.
#[tokio::test]
async fn each_phone_that_rings_is_told_with_its_dialog() {
    let (rig, alice, bob, _) = two_phones().await;
    let invite = ring(&alice, &bob).await;
    let contact = format!("Contact: <{}>", uri_of(&bob));
    for tag in ["bt1", "bt1", "bt2"] {
        bob.respond(&invite, "180 Ringing", tag, &[&contact]).await;
        alice.receive_status(180).await;
    }
    bob.respond(&invite, "486 Busy Here", "bt1", &[]).await;
    alice.receive_status(486).await;
    let events = rig.calls.at_least(4).await;
    assert_eq!(kinds(&events), [Type::Started, Type::Ringing, Type::Ringing, Type::Ended]);
    for (event, tag) in events[1..3].iter().zip(["bt1", "bt2"]) {
        assert_eq!((event.to_tag.as_str(), event.to_contact.as_str()), (tag, uri_of(&bob).as_str()));
        assert_eq!(event.to_route.len(), 1, "the way from this tier: {:?}", event.to_route);
    }
}

#[tokio::test]
async fn a_call_that_fails_is_told_with_its_status_and_one_that_is_given_up_with_who_did() {
    let (rig, alice, bob, _) = two_phones().await;
    let invite = ring(&alice, &bob).await;
    bob.respond(&invite, "486 Busy Here", "bt", &[]).await;
    alice.receive_status(486).await;
    let events = rig.calls.at_least(2).await;
    assert_eq!(kinds(&events), [Type::Started, Type::Ended]);
    assert_eq!((events[1].sip_status, events[1].sip_reason.as_str()), (486, "Busy Here"));
    assert_eq!(events[1].ended_by, "b");

    let (rig, alice, bob, _) = two_phones().await;
    let invite = ring(&alice, &bob).await;
    bob.respond(&invite, "180 Ringing", "bt", &[]).await;
    alice.receive_status(180).await;
    let mut lines = INVITE.to_vec();
    lines.push("CSeq: 1 CANCEL");
    alice.request("CANCEL sip:bob@example.com", "a1", &lines).await;
    alice.receive_status(200).await;
    let cancel = bob.receive_request("CANCEL").await;
    bob.respond(&cancel, "200 OK", "bt", &[]).await;
    bob.respond(&invite, "487 Request Terminated", "bt", &[]).await;
    let events = rig.calls.at_least(3).await;
    assert_eq!(kinds(&events), [Type::Started, Type::Ringing, Type::Ended]);
    assert_eq!((events[2].sip_status, events[2].ended_by.as_str()), (487, "a"));
}

/// RFC 3261 12.2.1.2: who moves within the call is found where it says.
#[tokio::test]
async fn a_side_that_moves_is_told() {
    let (rig, alice, bob, _) = two_phones().await;
    let invite = answer(&alice, &bob).await;
    from_bob(&bob, &alice, "UPDATE", &invite, &["Contact: <sip:bob@192.0.2.77>"]).await;
    let update = alice.receive_request("UPDATE").await;
    alice.respond(&update, "200 OK", "", &["Contact: <sip:alice@192.0.2.66>"]).await;
    bob.receive_status(200).await;
    let events = rig.calls.at_least(4).await;
    assert_eq!(events[3].r#type(), Type::Refreshed);
    assert_eq!(events[3].to_contact, "sip:bob@192.0.2.77");
    assert_eq!(events[3].from_contact, "sip:alice@192.0.2.66");
    assert_eq!(events[3].session_interval, None, "the answer has no timer any more");
}

/// API 2 (Hangup): the routes that were told lead a BYE of Carillon's to either side.
#[tokio::test]
async fn a_bye_along_the_told_route_reaches_each_side() {
    let (rig, alice, bob, _) = two_phones().await;
    answer(&alice, &bob).await;
    let events = rig.calls.at_least(3).await;
    let answered = events[2].clone();
    let bye =
        |id: &str, target: &str, route: &[String], from: (&str, &str), to: (&str, &str)| ExchangeRequest {
            exchange_id: id.into(),
            request: Some(SendRequest {
                method: "BYE".into(),
                request_uri: target.into(),
                route: route.to_vec(),
                from_uri: from.0.into(),
                from_tag: from.1.into(),
                to_uri: to.0.into(),
                to_tag: to.1.into(),
                sip_call_id: answered.sip_call_id.clone(),
                cseq: 2_147_483_647,
                ..SendRequest::default()
            }),
        };
    let (a, b) = (
        (answered.from_uri.as_str(), answered.from_tag.as_str()),
        (answered.to_uri.as_str(), answered.to_tag.as_str()),
    );
    let toward_a = bye("x.a", &answered.from_contact, &answered.from_route, b, a);
    let toward_b = bye("x.b", &answered.to_contact, &answered.to_route, a, b);
    for (peer, request) in [(&alice, toward_a), (&bob, toward_b)] {
        let sent = rig.requests.exchange(Request::new(request));
        let seen = async {
            let bye = peer.receive_request("BYE").await;
            assert!(!bye.has(HeaderId::Route), "our own value is used up");
            assert_eq!(bye.cseq().expect("a CSeq").number, 2_147_483_647);
            peer.respond(&bye, "200 OK", "", &[]).await;
        };
        let (answer, ()) = tokio::join!(sent, seen);
        assert_eq!(answer.expect("it was sent").into_inner().status, 200);
    }
}

/// API 2 (Hangup), RFC 3261 12.2.1.2: a BYE that was written for where a party was reaches it where it has just said that it is; who did not
/// move is where it was.
#[tokio::test]
async fn a_bye_of_ours_follows_a_party_that_has_just_moved() {
    let (rig, alice, bob, _) = two_phones().await;
    let invite = answer(&alice, &bob).await;
    let answered = rig.calls.at_least(3).await[2].clone();
    // Nothing of the move is confirmed.
    rig.calls.failing.store(usize::MAX, Ordering::SeqCst);
    let moved = rig.peer().await;
    let contact = format!("Contact: <{}>", uri_of(&moved));
    from_bob(&bob, &alice, "UPDATE", &invite, &[&contact]).await;
    let update = alice.receive_request("UPDATE").await;
    alice.respond(&update, "200 OK", "", &[&format!("Contact: <{}>", uri_of(&alice))]).await;
    bob.receive_status(200).await;
    let bye = |id: &str, target: &str, route: &[String], from: &str, to: &str| ExchangeRequest {
        exchange_id: id.into(),
        request: Some(SendRequest {
            method: "BYE".into(),
            request_uri: target.into(),
            route: route.to_vec(),
            from_uri: "sip:x@example.com".into(),
            from_tag: from.into(),
            to_uri: "sip:y@example.com".into(),
            to_tag: to.into(),
            sip_call_id: answered.sip_call_id.clone(),
            cseq: 1_002,
            ..SendRequest::default()
        }),
    };
    let toward_b = bye("x.b", &answered.to_contact, &answered.to_route, "at", "bt");
    let toward_a = bye("x.a", &answered.from_contact, &answered.from_route, "bt", "at");
    for (peer, request) in [(&moved, toward_b), (&alice, toward_a)] {
        let sent = rig.requests.exchange(Request::new(request));
        let seen = async {
            let bye = peer.receive_request("BYE").await;
            assert_eq!(bye.request_uri(), Some(uri_of(peer).as_bytes()));
            peer.respond(&bye, "200 OK", "", &[]).await;
        };
        let (answer, ()) = tokio::join!(sent, seen);
        assert_eq!(answer.expect("it was sent").into_inner().status, 200);
    }
}

/// RFC 3261 16.10
#[tokio::test]
async fn an_invite_that_rings_is_cancelled_on_request_and_its_caller_told() {
    let (rig, alice, bob, _) = two_phones().await;
    let invite = ring(&alice, &bob).await;
    bob.respond(&invite, "180 Ringing", "bt", &[]).await;
    alice.receive_status(180).await;
    let call_id = rig.calls.at_least(1).await[0].call_id.clone();
    let asked = |call_id: &str, reason: &str| {
        Request::new(CancelProxiedRequest { call_id: call_id.into(), reason: reason.into() })
    };
    let unknown = rig.requests.cancel_proxied(asked("px-0", "")).await.expect_err("no such call");
    assert_eq!(unknown.code(), Code::NotFound);
    let bad = rig.requests.cancel_proxied(asked(&call_id, "SIP\r\nX: y")).await.expect_err("two lines");
    assert_eq!(bad.code(), Code::InvalidArgument);
    rig.requests.cancel_proxied(asked(&call_id, "SIP;cause=200;text=\"Enough\"")).await.expect("it rings");
    let cancel = bob.receive_request("CANCEL").await;
    assert_eq!(values(&cancel, HeaderId::Reason), ["SIP;cause=200;text=\"Enough\""]);
    bob.respond(&cancel, "200 OK", "bt", &[]).await;
    bob.respond(&invite, "487 Request Terminated", "bt", &[]).await;
    alice.receive_status(487).await;
    let events = rig.calls.at_least(3).await;
    assert_eq!((events[2].ended_by.as_str(), events[2].sip_reason.as_str()), ("api", "Enough"));
    let gone = rig.requests.cancel_proxied(asked(&call_id, "")).await.expect_err("it is over");
    assert_eq!(gone.code(), Code::NotFound);
}
