//! Phones whose connection another edge had that is gone.

use std::sync::{Arc, Mutex};

use cluster_api::registrar::v1::route_response::Plan;
use cluster_api::registrar::v1::{Fork, Group, RegisterResponse, Target};
use cluster_rpc::membership::View;

use crate::rig::{Rig, only_member};
use crate::services::FakeLocation;
use crate::stream::Connection;

/// OBD-04, OBD-07, PXY-09: before the lease of the edge is over nobody knows that it is gone, and its phones are as unreachable as
/// after.
#[tokio::test]
async fn a_phone_of_an_edge_that_refuses_is_unreachable_and_its_next_flow_is_tried() {
    let targets = Arc::new(Mutex::new(Vec::new()));
    let holder = Rig::named("edge-2", location(&targets)).await;
    let entry = Rig::named("edge-1", location(&targets)).await;
    let members = [("edge-1", entry.address), ("edge-2", holder.address)].map(only_member);
    let view = View::fixed(members.to_vec(), vec![9; 32]);
    entry.learns(view.clone());
    holder.learns(view);
    let _first = registered(&holder).await;
    let gone = holder.address;
    drop(holder);
    while tokio::net::TcpStream::connect(gone).await.is_ok() {
        tokio::task::yield_now().await;
    }
    let alice = entry.peer().await;
    alice.request("INVITE sip:bob@example.com", "a1", &INVITE).await;
    alice.receive_status(480).await;
    alice.request("ACK sip:bob@example.com", "a1", &INVITE).await;

    let mut second = registered(&entry).await;
    let next = ["From: <sip:alice@example.com>;tag=at", "To: <sip:bob@example.com>", "Call-ID: c2"];
    alice.request("INVITE sip:bob@example.com", "a2", &next).await;
    second.receive_request("INVITE").await;
}

const BOB: &str = "sip:bob@df7jal23ls0d.invalid;transport=tcp";
const INVITE: [&str; 3] =
    ["From: <sip:alice@example.com>;tag=at", "To: <sip:bob@example.com>", "Call-ID: c1"];

/// The registrar of both edges; each REGISTER is one more flow of the same device.
fn location(targets: &Arc<Mutex<Vec<Target>>>) -> Arc<FakeLocation> {
    let (reader, writer) = (targets.clone(), targets.clone());
    FakeLocation::full(
        move |_| {
            let targets = reader.lock().expect("nobody panics with it").clone();
            let group = Group { targets, ring_time: None, cause: "contact".into() };
            Ok(Plan::Fork(Fork { groups: vec![group], recurse: false }))
        },
        move |request| {
            let (uri, flow) = (BOB.to_owned(), request.flow.clone());
            let target = Target { uri, flow, instance: "<urn:uuid:1>".into(), ..Target::default() };
            writer.lock().expect("nobody panics with it").push(target);
            RegisterResponse { status: 200, ..RegisterResponse::default() }
        },
    )
}

/// Bob, registered over a connection of his.
async fn registered(rig: &Rig) -> Connection {
    let mut bob = Connection::to(rig.address).await;
    let contact = format!("Contact: <{BOB}>");
    let lines = ["From: <sip:bob@example.com>;tag=b", "To: <sip:bob@example.com>", "Call-ID: r1", &contact];
    bob.request("REGISTER sip:example.com", "r1", &lines).await;
    bob.receive_status(200).await;
    bob
}
