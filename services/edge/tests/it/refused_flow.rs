//! Phones on datagrams whose port is closed: what ICMP says of a flow.

use std::sync::{Arc, Mutex};

use cluster_api::registrar::v1::route_response::Plan;
use cluster_api::registrar::v1::{
    Fork, Group, RegisterContact, RegisterResponse, RegisteredContact, RouteRequest, Target,
};
use cluster_api::sip::v1::Header;
use cluster_rpc::membership::View;
use sip_message::HeaderId;

use crate::peer::{Peer, values};
use crate::rig::{Rig, only_member};
use crate::services::FakeLocation;

const AOR: &str = "sip:bob@example.com";
const INVITE: [&str; 3] =
    ["From: <sip:alice@example.com>;tag=at", "To: <sip:bob@example.com>", "Call-ID: c1"];

/// OBD-05, OBD-04, TRN-08: the flow is over for the registrar too, and the next flow of the device is tried at once.
#[tokio::test]
async fn a_closed_port_ends_the_binding_and_the_next_flow_of_the_device_is_tried_at_once() {
    let (location, _) = registrar();
    let rig = Rig::with(location.clone()).await;
    let gone = registered(&rig).await;
    let second = registered(&rig).await;
    let flow = location.registered.lock().unwrap()[0].flow.clone();
    drop(gone);
    let alice = rig.peer().await;
    alice.request("INVITE sip:bob@example.com", "a1", &INVITE).await;
    second.receive_request("INVITE").await;
    let ended = location.ended(1).await;
    assert_eq!((ended[0].to_uri.as_str(), &ended[0].flow), (AOR, &flow));
    assert_eq!(rig.counted("edge_ended_flows_total", "refused"), 1);
}

/// OBD-05: without another flow the caller hears at once that nobody is there, and why.
#[tokio::test]
async fn the_caller_of_a_closed_port_is_told_at_once() {
    let (location, _) = registrar();
    let rig = Rig::with(location.clone()).await;
    drop(registered(&rig).await);
    let alice = rig.peer().await;
    alice.request("INVITE sip:bob@example.com", "a1", &INVITE).await;
    let answer = alice.receive_status(480).await;
    let warnings = values(&answer, HeaderId::Warning);
    assert!(warnings[0].contains("Nobody listens"), "{warnings:?}");
    location.ended(1).await;
}

/// OBD-05, OBD-07, OBD-04: the edge that has the flow does not know whose it is; the one that the call came to does, tells the
/// registrar, and tries the next flow.
#[tokio::test]
async fn a_closed_port_at_another_edge_ends_the_binding_too() {
    let (location, targets) = registrar();
    let holder = Rig::named("edge-2", location.clone()).await;
    let entry = Rig::named("edge-1", location.clone()).await;
    let members = [("edge-1", entry.address), ("edge-2", holder.address)].map(only_member);
    let view = View::fixed(members.to_vec(), vec![9; 32]);
    entry.learns(view.clone());
    holder.learns(view);
    let gone = registered(&holder).await;
    let second = registered(&entry).await;
    let flow = targets.lock().unwrap()[0].flow.clone();
    drop(gone);
    let alice = entry.peer().await;
    alice.request("INVITE sip:bob@example.com", "a1", &INVITE).await;
    second.receive_request("INVITE").await;
    let ended = location.ended(1).await;
    assert_eq!((ended[0].to_uri.as_str(), &ended[0].flow), (AOR, &flow));
}

/// OBD-05: whoever else keeps a flow to the same port is not there either: the bindings of all of them go.
#[tokio::test]
async fn a_closed_port_ends_the_bindings_of_all_who_keep_it_alive() {
    let flows = Arc::new(Mutex::new(String::new()));
    let (reader, writer) = (flows.clone(), flows.clone());
    let plan = move |_: &RouteRequest| {
        let flow = reader.lock().expect("nobody panics with it").clone();
        let targets =
            vec![Target { uri: "sip:bob@192.0.2.7".into(), flow, aor: AOR.into(), ..Target::default() }];
        let group = Group { targets, ring_time: None, cause: "contact".into() };
        Ok(Plan::Fork(Fork { groups: vec![group], recurse: false }))
    };
    let location = FakeLocation::full(plan, move |request| {
        writer.lock().expect("nobody panics with it").clone_from(&request.flow);
        let bound =
            |contact: &RegisterContact| RegisteredContact { uri: contact.uri.clone(), ..Default::default() };
        RegisterResponse {
            status: 200,
            contacts: request.contacts.iter().map(bound).collect(),
            headers: vec![Header { name: "Require".into(), value: "outbound".into() }],
            ..RegisterResponse::default()
        }
    });
    let rig = Rig::with(location.clone()).await;
    let lines = rig.peer().await;
    for user in ["carol", "bob"] {
        let (from, to) =
            (format!("From: <sip:{user}@example.com>;tag={user}"), format!("To: <sip:{user}@example.com>"));
        let contact =
            format!("Contact: <sip:{user}@192.0.2.7:5060>;+sip.instance=\"<urn:uuid:{user}>\";reg-id=1");
        let call = format!("Call-ID: {user}");
        let register = [&*from, &*to, &*call, &*contact, "Supported: outbound"];
        lines.request("REGISTER sip:example.com", user, &register).await;
        lines.receive_status(200).await;
    }
    drop(lines);
    let alice = rig.peer().await;
    alice.request("INVITE sip:bob@example.com", "a1", &INVITE).await;
    alice.receive_status(480).await;
    let ended = location.ended(3).await;
    assert!(ended.iter().any(|ended| ended.to_uri.contains("bob")), "{ended:?}");
    assert!(ended.iter().any(|ended| ended.to_uri.contains("carol")), "{ended:?}");
}

/// OBD-05: a phone that says 430 itself, in the words of an edge or not, is a phone that answers: no flow of its has ended.
#[tokio::test]
async fn what_a_phone_says_of_its_flow_ends_nothing() {
    let (location, _) = registrar();
    let rig = Rig::with(location.clone()).await;
    let bob = registered(&rig).await;
    let alice = rig.peer().await;
    alice.request("INVITE sip:bob@example.com", "a1", &INVITE).await;
    let invite = bob.receive_request("INVITE").await;
    let warning = "Warning: 399 carillon \"Nobody listens where the phone registered from\"";
    bob.respond(&invite, "430 Flow Failed", "bt", &[warning]).await;
    alice.receive_status(480).await;
    assert_eq!(rig.counted("edge_ended_flows_total", "refused"), 0);
}

/// A registrar for which each REGISTER is one more flow of the same device.
fn registrar() -> (Arc<FakeLocation>, Arc<Mutex<Vec<Target>>>) {
    let targets = Arc::new(Mutex::new(Vec::<Target>::new()));
    let (reader, writer) = (targets.clone(), targets.clone());
    let plan = move |_: &RouteRequest| {
        let targets = reader.lock().expect("nobody panics with it").clone();
        let group = Group { targets, ring_time: None, cause: "contact".into() };
        Ok(Plan::Fork(Fork { groups: vec![group], recurse: false }))
    };
    let location = FakeLocation::full(plan, move |request| {
        let target = Target {
            uri: request.contacts[0].uri.clone(),
            flow: request.flow.clone(),
            aor: AOR.into(),
            instance: "<urn:uuid:1>".into(),
            ..Target::default()
        };
        writer.lock().expect("nobody panics with it").push(target);
        RegisterResponse { status: 200, ..RegisterResponse::default() }
    });
    (location, targets)
}

/// Bob, registered from a socket of his.
async fn registered(rig: &Rig) -> Peer {
    let bob = rig.peer().await;
    let contact = format!("Contact: <sip:bob@{};ob>", bob.address());
    let lines = ["From: <sip:bob@example.com>;tag=b", "To: <sip:bob@example.com>", "Call-ID: r1", &contact];
    bob.request("REGISTER sip:example.com", "r1", &lines).await;
    bob.receive_status(200).await;
    bob
}
