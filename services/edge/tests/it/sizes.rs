//! Requests that are too large for a datagram.

use std::sync::{Arc, Mutex};

use cluster_api::registrar::v1::route_response::Plan;
use cluster_api::registrar::v1::{Fork, Group, RegisterResponse, Target};
use sip_message::Message;

use crate::peer::{Peer, text};
use crate::rig::Rig;
use crate::services::FakeLocation;
use crate::stream::Connection;

/// TRN-02: the phone registered by datagrams from the place that its Contact names, so RFC 3261 18.1.1 holds for it.
#[tokio::test]
async fn a_large_request_tries_tcp_where_a_datagram_phone_is() {
    let (bob, listener) = Peer::with_tcp().await;
    let (rig, bob) = registered(bob, "").await;
    send_large(&rig).await;
    let connected = tokio::time::timeout(std::time::Duration::from_secs(5), listener.accept()).await;
    let (stream, _) = connected.expect("the edge connects").expect("loopback takes connections");
    let request = Connection::of(stream).receive().await;
    assert_eq!(transport(&request), "TCP", "{}", text(&request));
    bob.expect_nothing().await;
}

/// TRN-02: back to datagrams.
#[tokio::test]
async fn a_large_request_comes_by_datagrams_when_tcp_is_refused() {
    let (bob, listener) = Peer::with_tcp().await;
    drop(listener);
    let (rig, bob) = registered(bob, "").await;
    send_large(&rig).await;
    let request = bob.receive_request("MESSAGE").await;
    assert_eq!(transport(&request), "UDP");
}

/// TRN-02, OBD-05: the exception. What has a flow of RFC 5626 gets everything along it.
#[tokio::test]
async fn a_large_request_stays_on_an_outbound_flow() {
    let (bob, _listener) = Peer::with_tcp().await;
    let (rig, bob) = registered(bob, ";ob").await;
    send_large(&rig).await;
    let request = bob.receive_request("MESSAGE").await;
    assert_eq!(transport(&request), "UDP");
}

/// Bob, registered by datagrams at his own address.
async fn registered(bob: Peer, params: &str) -> (Rig, Peer) {
    let bound = Arc::new(Mutex::new(Target::default()));
    let reader = bound.clone();
    let location = FakeLocation::full(
        move |_| {
            let targets = vec![reader.lock().expect("nobody panics with it").clone()];
            let group = Group { targets, ring_time: None, cause: "contact".into() };
            Ok(Plan::Fork(Fork { groups: vec![group], recurse: false }))
        },
        move |request| {
            let (uri, flow) = (request.contacts[0].uri.clone(), request.flow.clone());
            assert!(!request.contacts[0].by_uri, "the flow leads there");
            *bound.lock().expect("nobody panics with it") = Target { uri, flow, ..Target::default() };
            RegisterResponse { status: 200, ..RegisterResponse::default() }
        },
    );
    let rig = Rig::with(location).await;
    let bob = bob.toward(rig.address);
    let contact = format!("Contact: <sip:bob@{}{params}>", bob.address());
    let lines = ["From: <sip:bob@example.com>;tag=b", "To: <sip:bob@example.com>", "Call-ID: r1", &contact];
    bob.request("REGISTER sip:example.com", "r1", &lines).await;
    bob.receive_status(200).await;
    (rig, bob)
}

async fn send_large(rig: &Rig) {
    let large = format!("Subject: {}", "x".repeat(1400));
    let lines = ["From: <sip:alice@example.com>;tag=at", "To: <sip:bob@example.com>", "Call-ID: m1", &large];
    rig.peer().await.request("MESSAGE sip:bob@example.com", "m1", &lines).await;
}

fn transport(request: &Message) -> &str {
    request.top_via().expect("it has a Via").transport
}
