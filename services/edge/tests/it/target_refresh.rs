//! A phone moves to another address within a call: what goes there later, whatever flow the call began on. RFC 3261 12.2.1.2

use std::sync::{Arc, Mutex};

use cluster_api::registrar::v1::route_response::Plan;
use cluster_api::registrar::v1::{Fork, Group, RegisterResponse, Target};
use cluster_rpc::membership::View;
use sip_message::HeaderId;

use crate::peer::{Peer, text, values};
use crate::rig::{Rig, only_member};
use crate::services::FakeLocation;

/// SCN-12: the call crossed two edges, so its Record-Route names the flow of the phone; the URI of the phone counts more.
#[tokio::test]
async fn what_follows_a_move_goes_to_the_new_address_over_two_edges() {
    let (entry, holder) = two_edges("").await;
    for contact_of_move in [true, false] {
        let call = called(&entry, &holder, "").await;
        let moved = Peer::of(entry.address).await;
        let target = if contact_of_move { &moved } else { &call.bob };
        call.send("ACK", target, "").await;
        call.send("BYE", target, "").await;
        for method in ["ACK", "BYE"] {
            let request = target.receive_request(method).await;
            // To where the phone was, its own edge delivers: no NAT lets datagrams of another one in.
            let edges = if contact_of_move { 1 } else { 2 };
            assert_eq!(request.vias().count(), edges + 1, "{}", text(&request));
        }
    }
}

/// SCN-12, GRU-03: a device that could have a GRUU is on its flow too, and moves as any other.
#[tokio::test]
async fn a_device_with_an_instance_moves_and_a_gruu_does_not() {
    const INSTANCE: &str = "<urn:uuid:0b1c2d3e-0000-4000-8000-000000000001>";
    let (rig, _) = two_edges(INSTANCE).await;
    let call = called(&rig, &rig, INSTANCE).await;
    let moved = rig.peer().await;
    call.send("INFO", &moved, "").await;
    moved.receive_request("INFO").await;
    call.send("INFO", &moved, ";ob").await;
    call.bob.receive_request("INFO").await;
    let gruu = "sip:bob@example.com;gr=urn:uuid:0b1c2d3e-0000-4000-8000-000000000001";
    call.send_to("INFO", gruu).await;
    let info = call.bob.receive_request("INFO").await;
    assert_eq!(info.request_uri(), Some(gruu.as_bytes()));
}

/// A call that is up.
struct Call {
    alice: Peer,
    bob: Peer,
    route: String,
    sent: std::cell::Cell<u32>,
}

impl Call {
    /// Alice sends a request to what Bob said last: that he is where this peer is.
    async fn send(&self, method: &str, at: &Peer, parameters: &str) {
        self.send_to(method, &format!("sip:bob@{}{parameters}", at.address())).await;
    }

    async fn send_to(&self, method: &str, uri: &str) {
        self.sent.set(self.sent.get() + 1);
        let number = self.sent.get();
        let cseq = format!("CSeq: {} {method}", if method == "ACK" { 1 } else { number + 1 });
        let call_id = format!("Call-ID: c{}", self.alice.address().port());
        let dialog = ["From: <sip:alice@example.com>;tag=at", "To: <sip:bob@example.com>;tag=bt"];
        let lines = [&dialog[..], &[&*call_id, &*cseq, &*self.route]].concat();
        let branch = format!("in{}x{number}", self.alice.address().port());
        self.alice.request(&format!("{method} {uri}"), &branch, &lines).await;
    }
}

/// Bob registers at one edge, Alice calls by another one.
async fn called(entry: &Rig, holder: &Rig, instance: &str) -> Call {
    let (alice, bob) = (entry.peer().await, holder.peer().await);
    let contact = format!("Contact: <sip:bob@{}>", bob.address());
    let instance = if instance.is_empty() { String::new() } else { format!(";+sip.instance=\"{instance}\"") };
    let registered = format!("{contact}{instance}");
    let lines =
        ["From: <sip:bob@example.com>;tag=b", "To: <sip:bob@example.com>", "Call-ID: r1", &registered];
    bob.request("REGISTER sip:example.com", &format!("r{}", bob.address().port()), &lines).await;
    bob.receive_status(200).await;

    let caller = format!("Contact: <sip:alice@{}>", alice.address());
    let call_id = format!("Call-ID: c{}", alice.address().port());
    let lines = ["From: <sip:alice@example.com>;tag=at", "To: <sip:bob@example.com>", &call_id, &caller];
    let branch = format!("a{}", alice.address().port());
    alice.request("INVITE sip:bob@example.com", &branch, &lines).await;
    let invite = bob.receive_request("INVITE").await;
    bob.respond(&invite, "200 OK", "bt", &[&contact]).await;
    let mut route = values(&alice.receive_status(200).await, HeaderId::RecordRoute);
    route.reverse();
    Call { alice, bob, route: format!("Route: {}", route.join(", ")), sent: std::cell::Cell::new(0) }
}

/// Two edges that know each other, and one registrar, which knows Bob by his last REGISTER.
async fn two_edges(instance: &'static str) -> (Rig, Rig) {
    let binding = Arc::new(Mutex::new(Target::default()));
    let location = || {
        let (reader, writer) = (binding.clone(), binding.clone());
        FakeLocation::full(
            move |_| {
                let target = reader.lock().expect("nobody panics with it").clone();
                let group = Group { targets: vec![target], ring_time: None, cause: "contact".into() };
                Ok(Plan::Fork(Fork { groups: vec![group], recurse: false }))
            },
            move |request| {
                let contact = request.contacts.first().expect("Bob has one");
                let uri = contact.uri.clone();
                let flow = request.flow.clone();
                *writer.lock().expect("nobody panics with it") =
                    Target { uri, flow, instance: instance.into(), ..Target::default() };
                RegisterResponse { status: 200, ..RegisterResponse::default() }
            },
        )
    };
    let (entry, holder) = (Rig::named("edge-1", location()).await, Rig::named("edge-2", location()).await);
    let members = [("edge-1", entry.address), ("edge-2", holder.address)].map(only_member);
    let view = View::fixed(members.to_vec(), vec![9; 32]);
    entry.learns(view.clone());
    holder.learns(view);
    (entry, holder)
}
