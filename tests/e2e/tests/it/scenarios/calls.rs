//! RFC 3665 3: sessions.

use std::time::Duration;

use scripted_phone::{Answer, Happening, Remote, Script};
use test_support::TestPhone;

use super::Places;
use crate::wire::{Wire, header};

async fn phones(places: &Places, answer: Answer) -> (TestPhone, TestPhone) {
    let alice =
        TestPhone::registered(&places.near().sip, "sip:alice@localhost", "secret", Script::default()).await;
    let script = Script { answer, ..Script::default() };
    let bob = TestPhone::registered(&places.far().sip, "sip:bob@localhost", "secret", script).await;
    (alice, bob)
}

/// The Call-ID of the call that came last.
fn call_of(phone: &TestPhone) -> String {
    let of = |h: &Happening| match h {
        Happening::Incoming { call_id, .. } => Some(call_id.clone()),
        _ => None,
    };
    phone.seen().iter().rev().find_map(of).expect("a call came")
}

/// SCN-06, SCN-07: to a user of another edge, ended by the callee.
#[tokio::test]
async fn a_call_is_answered_and_ended() {
    for places in Places::all(&[]) {
        let (mut alice, mut bob) = phones(&places, Answer::After(Duration::ZERO)).await;
        alice.act(Remote::Dial("sip:bob@localhost".into())).await;
        alice.wait_for("ringing", |h| matches!(h, Happening::Progress { status: 180 })).await;
        alice.wait_for("the answer", |h| *h == Happening::Connected).await;
        bob.wait_for("the ACK", |h| *h == Happening::Connected).await;
        bob.act(Remote::Hangup).await;
        alice.wait_for("the BYE", |h| matches!(h, Happening::Ended { by_peer: true, .. })).await;
        bob.wait_for("the end", |h| matches!(h, Happening::Ended { by_peer: false, .. })).await;
        let messages = places.read_by_tshark(&[&call_of(&bob)]);
        for message in ["INVITE", "407", "180", "200", "ACK", "BYE"] {
            assert!(messages.iter().any(|found| found == message), "{message} in {messages:?}");
        }
    }
}

/// SCN-13: busy, and temporarily unavailable, reach the caller as the callee said them.
#[tokio::test]
async fn a_refusal_reaches_the_caller() {
    for places in Places::all(&[]) {
        for status in [486, 480] {
            let (mut alice, mut bob) = phones(&places, Answer::Refuse(Duration::ZERO, status)).await;
            alice.act(Remote::Dial("sip:bob@localhost".into())).await;
            let refused = alice.wait_for("a refusal", |h| matches!(h, Happening::Refused { .. })).await;
            assert!(
                matches!(refused, Happening::Refused { status: said, .. } if said == status),
                "{refused:?}"
            );
            bob.wait_for("the call", |h| matches!(h, Happening::Incoming { .. })).await;
            assert!(places.read_by_tshark(&[&call_of(&bob)]).contains(&status.to_string()));
        }
    }
}

/// SCN-13: nobody answers, and the caller gives up: the callee stops ringing.
#[tokio::test]
async fn a_caller_gives_up() {
    for places in Places::all(&[]) {
        let (mut alice, mut bob) = phones(&places, Answer::Never).await;
        alice.act(Remote::Dial("sip:bob@localhost".into())).await;
        alice.wait_for("ringing", |h| matches!(h, Happening::Progress { status: 180 })).await;
        alice.act(Remote::Hangup).await;
        bob.wait_for("the CANCEL", |h| matches!(h, Happening::Ended { by_peer: true, .. })).await;
        alice.wait_for("487", |h| matches!(h, Happening::Refused { status: 487, .. })).await;
        assert!(places.read_by_tshark(&[&call_of(&bob)]).contains(&"CANCEL".to_owned()));
    }
}

/// SCN-13: the phone is there no more: the caller hears so within the ring time.
#[tokio::test]
async fn a_phone_that_is_silent_is_given_up() {
    for places in Places::all(&[("CARILLON_EDGE_RING_TIMEOUT", "1s")]) {
        let (mut alice, _bob) = phones(&places, Answer::Silent).await;
        alice.act(Remote::Dial("sip:bob@localhost".into())).await;
        let refused = alice.wait_for("a refusal", |h| matches!(h, Happening::Refused { .. })).await;
        assert!(matches!(refused, Happening::Refused { status: 408 | 480, .. }), "{refused:?}");
    }
}

/// SCN-12: bob moves to another address within the call; what alice sends then goes there.
#[test]
fn a_party_changes_its_address_by_re_invite() {
    for places in Places::all(&[("CARILLON_AUTH", "none")]) {
        let [alice, bob, moved] = [places.near(), places.far(), places.far()].map(Wire::of);
        let at = |name: &str, wire: &Wire| format!("Contact: <sip:{name}@{}>", wire.address());
        let registered = bob.request(
            "REGISTER sip:localhost",
            &["From: <sip:bob@localhost>;tag=r", "To: <sip:bob@localhost>", &at("bob", &bob)],
        );
        bob.answer_to(&registered);
        let call_id = alice.request("INVITE sip:bob@localhost", &[&at("alice", &alice)]);
        let invite = bob.receive_request("INVITE");
        bob.respond(&invite, "200 OK", &[&at("bob", &bob)]);
        let answer = alice.answer_to(&call_id);
        let tagged = header(&answer, "To").expect("a To").to_owned();
        let record_routes = |text: &str| -> Vec<String> {
            text.lines().filter_map(|line| line.strip_prefix("Record-Route: ")).map(str::to_owned).collect()
        };
        let mut toward_bob = record_routes(&answer);
        toward_bob.reverse();
        let toward_alice = record_routes(&invite).join(", ");
        let (same_call, caller) = (format!("Call-ID: {call_id}"), "<sip:alice@localhost>;tag=a");

        // From the new address, about which nobody knows yet.
        let lines = [
            format!("From: {tagged}"),
            format!("To: {caller}"),
            same_call.clone(),
            format!("Route: {toward_alice}"),
            "CSeq: 14 INVITE".to_owned(),
            at("bob", &moved),
        ];
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        moved.request(&format!("INVITE sip:alice@{}", alice.address()), &lines);
        let again = alice.receive_request("INVITE");
        let target = header(&again, "Contact").expect("a Contact").trim_matches(['<', '>']).to_owned();
        assert_eq!(target, format!("sip:bob@{}", moved.address()));
        alice.respond(&again, "200 OK", &[&at("alice", &alice)]);
        moved.answer_to(&call_id);

        let route = format!("Route: {}", toward_bob.join(", "));
        let from = format!("From: {caller}");
        let to = format!("To: {tagged}");
        alice.request(&format!("BYE {target}"), &[&from, &to, &same_call, &route, "CSeq: 2 BYE"]);
        let bye = moved.receive_request("BYE");
        moved.respond(&bye, "200 OK", &[]);
        alice.answer_to(&call_id);
        places.read_by_tshark(&[&registered, &call_id]);
    }
}
