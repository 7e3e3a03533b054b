//! A CANCEL that a balancer sends to another edge than its INVITE.

use cluster_api::callcontrol::v1::leg_event::What;
use cluster_api::registrar::v1::HandToCallControl;
use cluster_api::registrar::v1::route_response::Plan;
use cluster_rpc::membership::View;
use sip_message::HeaderId;

use crate::peer::{Peer, text, values};
use crate::rig::{Rig, only_member};
use crate::services::{FakeLocation, fork_to};

const LINES: [&str; 3] = ["From: <sip:alice@example.com>;tag=at", "To: <sip:bob@example.com>", "Call-ID: c1"];

/// PXY-22, LAD-10 R8: it is confirmed, the phone stops ringing, and the caller gets 487 from the edge that has the INVITE.
#[tokio::test]
async fn a_cancel_at_another_edge_reaches_its_invite() {
    let bob = Peer::unbound().await;
    let uri = format!("sip:bob@{}", bob.address());
    let [has_it, other, third] = tier(move |_| fork_to(std::slice::from_ref(&uri))).await;
    let (alice, bob) = (has_it.peer().await, bob.toward(has_it.address));
    alice.request("INVITE sip:bob@example.com", "a1", &LINES).await;
    let invite = bob.receive_request("INVITE").await;
    bob.respond(&invite, "180 Ringing", "bt", &[]).await;
    alice.receive_status(180).await;

    let alice = alice.toward(other.address);
    let reason = ["Reason: SIP;cause=200;text=\"elsewhere\"", "CSeq: 1 CANCEL"];
    alice.request("CANCEL sip:bob@example.com", "a1", &[&LINES[..], &reason].concat()).await;
    let cancel = bob.receive_request("CANCEL").await;
    assert_eq!(cancel.top_via().unwrap().branch, invite.top_via().unwrap().branch);
    assert_eq!(values(&cancel, HeaderId::Reason), ["SIP;cause=200;text=\"elsewhere\""]);
    bob.respond(&cancel, "200 OK", "bt", &[]).await;
    bob.respond(&invite, "487 Request Terminated", "bt", &[]).await;
    let mut answers = [alice.receive_past_100().await, alice.receive_past_100().await];
    answers.sort_by_key(|answer| answer.status());
    let found = answers.each_ref().map(|answer| (answer.method_str().to_owned(), answer.status()));
    assert_eq!(found, [("CANCEL".into(), Some(200)), ("INVITE".into(), Some(487))]);
    assert!(answers.iter().all(|answer| answer.vias().count() == 1), "{}", text(&answers[0]));
    assert_eq!(has_it.counted("edge_astray_cancels_total", "found"), 1);
    assert_eq!(other.counted("edge_astray_cancels_total", "passed_on"), 1);
    drop(third);
}

/// PXY-22, UAC-09, LAD-10 R8: who has no INVITE of it says so, and what a sibling passed on goes no further.
#[tokio::test]
async fn a_cancel_of_nothing_is_481_from_a_tier_too() {
    let edges = tier(|_| fork_to(&["sip:bob@127.0.0.1:9".to_owned()])).await;
    let alice = edges[0].peer().await;
    alice.request("CANCEL sip:bob@example.com", "a1", &LINES).await;
    alice.receive_status(481).await;
    assert_eq!(
        edges.each_ref().map(|edge| edge.counted("edge_astray_cancels_total", "passed_on")),
        [1, 0, 0]
    );
    assert_eq!(edges.each_ref().map(|edge| edge.counted("edge_rejects_total", "does_not_exist")), [1, 1, 1]);
}

/// PXY-22: nobody cancels what came from another address, neither where the INVITE is nor by way of a sibling; the balancer itself
/// changes none. Who is there may.
#[tokio::test]
async fn a_cancel_from_another_address_reaches_nothing() {
    let bob = Peer::unbound().await;
    let uri = format!("sip:bob@{}", bob.address());
    let [has_it, other, _third] = tier(move |_| fork_to(std::slice::from_ref(&uri))).await;
    let (alice, bob) = (has_it.peer().await, bob.toward(has_it.address));
    alice.request("INVITE sip:bob@example.com", "a1", &LINES).await;
    let invite = bob.receive_request("INVITE").await;
    bob.respond(&invite, "180 Ringing", "bt", &[]).await;
    alice.receive_status(180).await;
    let socket = tokio::net::UdpSocket::bind("127.0.0.3:0").await.expect("loopback has a free port");
    let cancel = format!(
        "CANCEL sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP {};rport;branch=z9hG4bKa1\r\n{}\r\nCSeq: 1 CANCEL\r\n\
         Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n",
        alice.address(),
        LINES.join("\r\n")
    );
    for edge in [&other, &has_it] {
        socket.send_to(cancel.as_bytes(), edge.address).await.expect("loopback takes datagrams");
        let mut answer = [0; 2048];
        let (length, _) = socket.recv_from(&mut answer).await.expect("an answer comes");
        let answer = String::from_utf8_lossy(&answer[..length]);
        assert!(answer.starts_with("SIP/2.0 481"), "{answer}");
        bob.expect_nothing().await;
    }
    assert_eq!(has_it.counted("edge_astray_cancels_total", "foreign"), 1);
    alice.request("CANCEL sip:bob@example.com", "a1", &LINES).await;
    bob.receive_request("CANCEL").await;
}

/// PXY-22, LAD-10 R8: the caller of a call that Carillon answers itself, too.
#[tokio::test]
async fn call_control_is_told_of_a_cancel_at_another_edge() {
    let [has_it, other, _third] = tier(|_| Plan::CallControl(HandToCallControl::default())).await;
    let alice = has_it.peer().await;
    let invite = [&LINES[..], &["Contact: <sip:alice@192.0.2.1>"]].concat();
    alice.request("INVITE sip:bob@example.com", "a1", &invite).await;
    has_it.events.next().await;
    let alice = alice.toward(other.address);
    alice.request("CANCEL sip:bob@example.com", "a1", &LINES).await;
    alice.receive_status(200).await;
    assert!(matches!(has_it.events.next_what().await, What::Cancel(_)));
}

/// Three edges that know each other.
async fn tier(
    plan: impl Fn(&cluster_api::registrar::v1::RouteRequest) -> Plan + Clone + Send + Sync + 'static,
) -> [Rig; 3] {
    let edge = async |id: &str| Rig::named(id, FakeLocation::planning(plan.clone())).await;
    let edges = [edge("edge-1").await, edge("edge-2").await, edge("edge-3").await];
    let members = [("edge-1", &edges[0]), ("edge-2", &edges[1]), ("edge-3", &edges[2])];
    let members = members.map(|(id, edge)| only_member((id, edge.address)));
    for edge in &edges {
        edge.learns(View::fixed(members.to_vec(), vec![9; 32]));
    }
    edges
}
