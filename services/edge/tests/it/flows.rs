//! Phones that only their connection reaches, on this edge or on another one.

use std::sync::{Arc, Mutex};

use cluster_api::cluster::v1::Member;
use cluster_api::edge::v1::{SendRequest, carry_request::What as Effect};
use cluster_api::registrar::v1::route_response::Plan;
use cluster_api::registrar::v1::{Fork, Group, RegisterResponse, RouteRequest, Target};
use cluster_rpc::membership::View;
use sip_message::{HeaderId, Uri};

use crate::legs::invite;
use crate::peer::{Peer, text, values};
use crate::rig::{Rig, only_member};
use crate::services::FakeLocation;
use crate::stream::Connection;

/// PXY-12, OBD-05, TRN-12
#[tokio::test]
async fn a_phone_behind_a_connection_is_called_and_calls_back_over_it() {
    let bindings = Bindings::default();
    let rig = Rig::with(bindings.location()).await;
    let alice = rig.peer().await;
    let mut bob = registered(&rig).await;
    let invite = dial(&alice, &mut bob).await;
    assert_eq!(invite.request_uri(), Some(BOB.as_bytes()));
    let record_route = values(&invite, HeaderId::RecordRoute);
    assert_eq!(record_route.len(), 2, "two sides that differ: {record_route:?}");
    assert!(record_route[0].contains(";transport=tcp") && record_route[0].contains('@'), "{record_route:?}");

    bob.respond(&invite, "200 OK", "bt", &[&format!("Contact: <{BOB}>")]).await;
    let answered = alice.receive_status(200).await;
    let mut route = values(&answered, HeaderId::RecordRoute);
    route.reverse();
    let route = format!("Route: {}", route.join(", "));
    let dialog =
        [&route, "From: <sip:alice@example.com>;tag=at", "To: <sip:bob@example.com>;tag=bt", "Call-ID: c1"];
    let mut ack = dialog.to_vec();
    ack.push("CSeq: 1 ACK");
    alice.request(&format!("ACK {BOB}"), "a2", &ack).await;
    let ack = bob.receive_request("ACK").await;
    assert!(!ack.has(HeaderId::Route), "{}", text(&ack));

    let route = format!("Route: {}", record_route.join(", "));
    let back =
        [&route, "From: <sip:bob@example.com>;tag=bt", "To: <sip:alice@example.com>;tag=at", "Call-ID: c1"];
    bob.request(&format!("BYE sip:alice@{}", alice.address()), "b1", &back).await;
    let bye = alice.receive_request("BYE").await;
    alice.respond(&bye, "200 OK", "", &[]).await;
    bob.receive_status(200).await;
}

/// OBD-05: never a new connection to the contact.
#[tokio::test]
async fn a_closed_connection_makes_its_binding_unreachable_at_once() {
    let bindings = Bindings::default();
    let rig = Rig::with(bindings.location()).await;
    let alice = rig.peer().await;
    drop(registered(&rig).await);
    // The edge learns of the end of the connection while it answers other requests.
    loop {
        alice.request("INVITE sip:bob@example.com", &format!("a{}", bindings.asked()), &INVITE).await;
        if alice.receive_past_100().await.status() == Some(480) {
            break;
        }
    }
}

/// OBD-07
#[tokio::test]
async fn a_phone_on_another_edge_is_reached_through_that_edge_and_back() {
    let bindings = Bindings::default();
    let holder = Rig::named("edge-2", bindings.location()).await;
    let entry = Rig::named("edge-1", bindings.location()).await;
    let members: Arc<[Member]> =
        [("edge-1", entry.address), ("edge-2", holder.address)].map(only_member).into();
    let view = View::fixed(members, vec![9; 32]);
    entry.learns(view.clone());
    holder.learns(view);

    let alice = entry.peer().await;
    let mut bob = registered(&holder).await;
    let invite = dial(&alice, &mut bob).await;
    assert_eq!(invite.vias().count(), 3, "{}", text(&invite));
    assert!(!invite.has(HeaderId::Route), "{}", text(&invite));
    bob.respond(&invite, "200 OK", "bt", &[&format!("Contact: <{BOB}>")]).await;
    alice.receive_status(200).await;
    let route = format!("Route: {}", values(&invite, HeaderId::RecordRoute).join(", "));
    let back =
        [&route, "From: <sip:bob@example.com>;tag=bt", "To: <sip:alice@example.com>;tag=at", "Call-ID: c1"];
    bob.request(&format!("BYE sip:alice@{}", alice.address()), "b1", &back).await;
    // Bob's edge serves the dialog itself, though the other one recorded the route.
    let alice = alice.toward(holder.address);
    let bye = alice.receive_request("BYE").await;
    assert_eq!(bye.vias().count(), 2, "{}", text(&bye));
    alice.respond(&bye, "200 OK", "", &[]).await;
    bob.receive_status(200).await;
}

/// LAD-1, OBD-07: whatever edge carries the leg.
#[tokio::test]
async fn the_leg_to_a_phone_on_another_edge_lives_on_that_phones_flow() {
    let bindings = Bindings::default();
    let holder = Rig::named("edge-2", bindings.location()).await;
    let entry = Rig::named("edge-1", bindings.location()).await;
    let members: Arc<[Member]> =
        [("edge-1", entry.address), ("edge-2", holder.address)].map(only_member).into();
    let view = View::fixed(members, vec![9; 32]);
    entry.learns(view.clone());
    holder.learns(view);

    let mut bob = registered(&holder).await;
    entry.carry(1, Effect::Send(invite())).await;
    let invited = bob.receive_request("INVITE").await;
    bob.respond(&invited, "200 OK", "bt", &[&format!("Contact: <{BOB}>")]).await;
    let (_, answered) = entry.events.next().await;
    assert_eq!(answered.flow, bindings.flow());
    for (effect, method, cseq) in [(2, "ACK", 1), (3, "BYE", 2)] {
        let flow = answered.flow.clone();
        let to_bob = SendRequest { method: method.into(), request_uri: BOB.into(), cseq, flow, ..invite() };
        entry.carry(effect, Effect::Send(SendRequest { to_tag: "bt".into(), ..to_bob })).await;
        let request = bob.receive_request(method).await;
        assert!(!request.has(HeaderId::Route), "{}", text(&request));
    }
}

/// FWD-05, design 5: a token of a dead edge fails at once.
#[tokio::test]
async fn a_flow_of_an_edge_that_is_gone_is_unreachable_at_once() {
    let bindings = Bindings::default();
    let holder = Rig::named("edge-2", bindings.location()).await;
    let _bob = registered(&holder).await;
    let entry = Rig::named("edge-1", bindings.location()).await;
    let alice = entry.peer().await;
    alice.request("INVITE sip:bob@example.com", "a1", &INVITE).await;
    alice.receive_status(480).await;
}

/// OBD-01
#[tokio::test]
async fn an_altered_flow_token_is_refused() {
    let bindings = Bindings::default();
    let rig = Rig::with(bindings.location()).await;
    let alice = rig.peer().await;
    let _bob = registered(&rig).await;
    let flow = bindings.flow();
    let altered = format!("{}{}", if flow.starts_with('B') { 'C' } else { 'B' }, &flow[1..]);
    for (token, status) in [(&altered, 403), (&flow, 0)] {
        let route = format!("Route: <sip:{token}@{};lr>", rig.address);
        let mut lines = INVITE.to_vec();
        lines.push(&route);
        alice.request(&format!("MESSAGE {BOB}"), &format!("m{status}"), &lines).await;
        if status != 0 {
            alice.receive_status(status).await;
        }
    }
    assert_eq!(bindings.asked(), 0, "a flow token needs no decision");
}

const BOB: &str = "sip:bob@df7jal23ls0d.invalid;transport=tcp";
const INVITE: [&str; 3] =
    ["From: <sip:alice@example.com>;tag=at", "To: <sip:bob@example.com>", "Call-ID: c1"];

/// The bindings of Bob, which every edge's registrar shares.
#[derive(Default, Clone)]
struct Bindings {
    flow: Arc<Mutex<String>>,
    asked: Arc<Mutex<usize>>,
}

impl Bindings {
    fn location(&self) -> Arc<FakeLocation> {
        let (flow, reader, asked) = (self.flow.clone(), self.flow.clone(), self.asked.clone());
        FakeLocation::full(
            move |_: &RouteRequest| {
                *asked.lock().unwrap() += 1;
                let target =
                    Target { uri: BOB.into(), flow: reader.lock().unwrap().clone(), ..Target::default() };
                let group = Group { targets: vec![target], ring_time: None, cause: "contact".into() };
                Ok(Plan::Fork(Fork { groups: vec![group], recurse: false }))
            },
            move |request| {
                *flow.lock().unwrap() = request.flow.clone();
                RegisterResponse { status: 200, ..RegisterResponse::default() }
            },
        )
    }

    fn flow(&self) -> String {
        self.flow.lock().unwrap().clone()
    }

    fn asked(&self) -> usize {
        *self.asked.lock().unwrap()
    }
}

/// Bob, registered over a connection of his.
async fn registered(rig: &Rig) -> Connection {
    let mut bob = Connection::to(rig.address).await;
    let contact = format!("Contact: <{BOB}>");
    assert!(Uri::parse(BOB.as_bytes()).is_ok());
    let lines = ["From: <sip:bob@example.com>;tag=b", "To: <sip:bob@example.com>", "Call-ID: r1", &contact];
    bob.request("REGISTER sip:example.com", "r1", &lines).await;
    bob.receive_status(200).await;
    bob
}

/// Alice dials; what reaches Bob.
async fn dial(alice: &Peer, bob: &mut Connection) -> sip_message::Message {
    let contact = format!("Contact: <sip:alice@{}>", alice.address());
    let mut lines = INVITE.to_vec();
    lines.push(&contact);
    alice.request("INVITE sip:bob@example.com", "a1", &lines).await;
    bob.receive_request("INVITE").await
}
