//! Sources that ask for too much, or for nothing but what is refused.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use cluster_api::registrar::v1::{Challenge, Refuse, RegisterResponse, route_response::Plan};
use sip_message::HeaderId;

use crate::rig::Rig;
use crate::services::{FakeLocation, fork_to};
use crate::wires::{EDGE, Wires};

const EVE: &str = "192.0.2.66:5060";
const ALICE: &str = "192.0.2.2:5060";
const BOB: &str = "192.0.2.3:5060";

/// T13: what one source begins beyond its share is not answered, and costs the others nothing; in a second it may go on.
#[tokio::test(start_paused = true)]
async fn a_source_that_begins_too_much_is_not_answered_and_others_are() {
    let challenge = || {
        Plan::Challenge(Challenge {
            challenges: vec!["Digest realm=\"d\", nonce=\"n\"".into()],
            ..Challenge::default()
        })
    };
    let location = FakeLocation::planning(move |_| challenge());
    let (rig, wires) = Rig::on_wires(location.clone(), |config| config.limits.source_requests = 5).await;
    for number in 0..60 {
        wires.bring(vec![request(EVE, "INVITE", number, "")]);
    }
    assert_eq!(answered(&wires, ALICE, "INVITE", 0).await, 407);
    assert_eq!(location.routed.lock().unwrap().len(), 51, "the others cost no question");
    assert_eq!(rig.counted("edge_dropped_total", "source_rate"), 10);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(answered(&wires, EVE, "INVITE", 100).await, 407);
}

/// T13: calls that lead somewhere are no flood, and what belongs to a dialog is never counted.
#[tokio::test(start_paused = true)]
async fn calls_that_succeed_and_dialogs_are_not_counted() {
    let location = FakeLocation::planning(|_| fork_to(&[format!("sip:bob@{BOB}")]));
    let (rig, wires) = Rig::on_wires(location, |config| config.limits.source_requests = 1).await;
    let mut route = String::new();
    for number in 0..50 {
        wires.bring(vec![request(ALICE, "INVITE", number, "")]);
        let invite = sent_to(&wires, BOB).await;
        assert_eq!(invite.method_str(), "INVITE");
        route = crate::peer::values(&invite, HeaderId::RecordRoute).join(", ");
    }
    for number in 0..50 {
        let text = format!(
            "MESSAGE sip:bob@{BOB} SIP/2.0\r\nVia: SIP/2.0/UDP {ALICE};branch=z9hG4bKm{number}\r\nMax-Forwards: 70\r\n\
             From: <sip:a@example.com>;tag=1\r\nTo: <sip:bob@example.com>;tag=b\r\nCall-ID: {ALICE}-49\r\n\
             CSeq: {} MESSAGE\r\nRoute: {route}\r\nContent-Length: 0\r\n\r\n",
            number + 2
        );
        wires.bring(vec![(ALICE.parse().unwrap(), text.into())]);
        assert_eq!(sent_to(&wires, BOB).await.method_str(), "MESSAGE");
    }
    assert_eq!(rig.counted("edge_dropped_total", "source_rate"), 0);
}

/// T18: who is refused again and again is not answered for a minute; a request in a second is looked at, and the right password ends it.
#[tokio::test(start_paused = true)]
async fn a_source_that_is_only_refused_is_not_answered_for_a_minute() {
    let location = FakeLocation::full(
        |_| Ok(Plan::Refuse(Refuse { status: 404, ..Refuse::default() })),
        |request| {
            let is_right = request.authorization.iter().any(|value| value.contains("right"));
            RegisterResponse { status: if is_right { 200 } else { 401 }, ..RegisterResponse::default() }
        },
    );
    let (rig, wires) = Rig::on_wires(location.clone(), |_| {}).await;
    for number in 0..101 {
        assert_eq!(answered(&wires, EVE, "INVITE", number).await, 404);
    }
    for number in 200..210 {
        wires.bring(vec![request(EVE, "INVITE", number, "")]);
    }
    assert_eq!(answered(&wires, ALICE, "INVITE", 0).await, 404);
    assert_eq!(rig.counted("edge_dropped_total", "source_score"), 10);
    assert!(rig.metrics.text().contains("edge_shunned_sources_total 1\n"), "{}", rig.metrics.text());
    // a phone behind the same address, which repeats what is not answered
    tokio::time::advance(Duration::from_secs(1)).await;
    let right = "Authorization: Digest username=\"right\"\r\n";
    wires.bring(vec![request(EVE, "REGISTER", 300, right)]);
    assert_eq!(sent_to(&wires, EVE).await.status(), Some(200));
    assert_eq!(answered(&wires, EVE, "INVITE", 301).await, 404);
}

async fn answered(wires: &Wires, from: &str, method: &str, number: usize) -> u16 {
    wires.bring(vec![request(from, method, number, "")]);
    loop {
        let answer = sent_to(wires, from).await;
        let is_its = answer.first_str(HeaderId::CallId) == Some(&format!("{from}-{number}"));
        if is_its && answer.status().is_some_and(|status| status >= 200) {
            return answer.status().unwrap();
        }
    }
}

/// The next message to this address, past 100.
async fn sent_to(wires: &Wires, whom: &str) -> sip_message::Message {
    loop {
        let (to, message) = wires.sent().await;
        if to.to_string() == whom && message.status() != Some(100) {
            return message;
        }
    }
}

fn request(from: &str, method: &str, number: usize, lines: &str) -> (SocketAddr, Bytes) {
    let text = format!(
        "{method} sip:bob@{EDGE} SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bK{method}{number}\r\nMax-Forwards: 70\r\n\
         From: <sip:a@example.com>;tag=1\r\nTo: <sip:bob@example.com>\r\nCall-ID: {from}-{number}\r\nCSeq: 1 {method}\r\n\
         Contact: <sip:a@{from}>\r\n{lines}Content-Length: 0\r\n\r\n"
    );
    (from.parse().unwrap(), text.into())
}
