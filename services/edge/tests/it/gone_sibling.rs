//! Phones whose connection, or flow of datagrams, another edge had that is gone.

use std::sync::{Arc, Mutex};

use cluster_api::callcontrol::v1::leg_event::What;
use cluster_api::callcontrol::v1::request_failed::Cause;
use cluster_api::edge::v1::{SendRequest, carry_request::What as Effect};
use cluster_api::registrar::v1::route_response::Plan;
use cluster_api::registrar::v1::{EdgeLife, EndedFlow, Fork, Group, RegisterResponse, Target};
use cluster_rpc::membership::View;

use crate::legs::invite;
use crate::peer::text;
use crate::rig::{Rig, only_member, steady};
use crate::services::FakeLocation;
use crate::stream::Connection;
use crate::tier::{KEY, NOWHERE, Tier, lines, sent_by, until_refused};

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

/// F5, OBD-05: an edge that has just begun has phones before the others have it in their lists; who calls one of them asks for the list.
#[tokio::test]
async fn a_phone_of_an_edge_that_has_just_begun_is_called() {
    let targets = Arc::new(Mutex::new(Vec::new()));
    let holder = Rig::named("edge-2", location(&targets)).await;
    let entry = Rig::named("edge-1", location(&targets)).await;
    let members = [("edge-1", entry.address), ("edge-2", holder.address)].map(only_member);
    let view = View::fixed(members.to_vec(), vec![9; 32]);
    holder.learns(view.clone());
    entry.learns_when_asked(view);
    let mut bob = registered(&holder).await;
    let alice = entry.peer().await;
    alice.request("INVITE sip:bob@example.com", "a1", &INVITE).await;
    bob.receive_request("INVITE").await;
}

/// F1, OBD-05: an edge that no list has is gone; it is asked for once, and its phones are unreachable at once from then on.
#[tokio::test]
async fn an_edge_that_is_in_no_list_is_asked_for_once() {
    let targets = Arc::new(Mutex::new(Vec::new()));
    let holder = Rig::named("edge-2", location(&targets)).await;
    let entry = Rig::named("edge-1", location(&targets)).await;
    let _bob = registered(&holder).await;
    let alice = entry.peer().await;
    for number in [1, 2] {
        let call = format!("Call-ID: c{number}");
        let lines = ["From: <sip:alice@example.com>;tag=at", "To: <sip:bob@example.com>", &call];
        let branch = format!("a{number}");
        alice.request("INVITE sip:bob@example.com", &branch, &lines).await;
        alice.receive_status(480).await;
        alice.request("ACK sip:bob@example.com", &branch, &lines).await;
        let members = [("edge-1", entry.address), ("edge-2", holder.address)].map(only_member);
        entry.learns_when_asked(View::fixed(members.to_vec(), vec![9; 32]));
    }
}

/// F1, OBD-05: who calls by the connection of an edge that is gone lets the registrar know, with the life that it has to be sure of; not
/// before the members know it, nor of a phone on datagrams, which another edge reaches.
#[tokio::test]
async fn the_registrar_hears_of_a_connection_whose_edge_is_gone() {
    let targets = Arc::new(Mutex::new(Vec::new()));
    let served = location(&targets);
    let holder = Rig::named("edge-2", location(&targets)).await;
    let entry = Rig::named("edge-1", served.clone()).await;
    let members = [("edge-1", entry.address), ("edge-2", holder.address)].map(only_member);
    holder.learns(View::fixed(members.to_vec(), KEY.to_vec()));
    let _bob = registered(&holder).await;
    let of_datagrams = holder.peer().await;
    let contact = format!("Contact: <{NOWHERE}>");
    let lines = ["From: <sip:bob@example.com>;tag=b", "To: <sip:bob@example.com>", "Call-ID: r2", &contact];
    of_datagrams.request("REGISTER sip:example.com", "r2", &lines).await;
    of_datagrams.receive_status(200).await;
    let of_datagrams = of_datagrams.toward(entry.address);
    drop(holder);
    let alone = View::fixed([only_member(("edge-1", entry.address))].to_vec(), KEY.to_vec());
    for (number, listed) in [(1, None), (2, steady())] {
        entry.learns(View { listed, ..alone.clone() });
        let alice = entry.peer().await;
        let call = format!("Call-ID: c{number}");
        let lines = ["From: <sip:alice@example.com>;tag=at", "To: <sip:bob@example.com>", &call];
        alice.request("INVITE sip:bob@example.com", &format!("a{number}"), &lines).await;
        let reached = of_datagrams.receive_request("INVITE").await;
        of_datagrams.respond(&reached, "486 Busy Here", "bt", &[]).await;
        alice.receive_status(486).await;
        of_datagrams.receive_request("ACK").await;
    }
    let life = EdgeLife { edge_id: "edge-2".into(), epoch: 7 };
    let flow = targets.lock().expect("nobody panics with it")[0].flow.clone();
    let gone = EndedFlow { to_uri: "sip:bob@example.com".into(), flow, life: Some(life) };
    assert_eq!(served.ended(1).await, [gone]);
    assert_eq!(entry.counted("edge_ended_flows_total", "edge_gone"), 1);
}

/// F1, OBD-07: the leg is told at once that its phone's edge is gone, and what it then sends in the early dialog goes around that edge,
/// whether the members know it already or not: the phone can be told to stop ringing.
#[tokio::test]
async fn a_bye_reaches_a_ringing_datagram_phone_whose_edge_is_gone() {
    for is_noticed in [false, true] {
        let tier = Tier::of_two().await;
        let bob = tier.registered(NOWHERE).await;
        tier.entry.carry(1, Effect::Send(invite())).await;
        let received = bob.receive_request("INVITE").await;
        bob.respond(&received, "180 Ringing", "bt", &[&format!("Contact: <{NOWHERE}>")]).await;
        let (_, event) = tier.entry.events.next().await;
        let Some(What::Response(ringing)) = event.what else { panic!("it rings") };
        let Tier { entry, holder, .. } = tier;
        let gone = holder.address;
        drop(holder);
        until_refused(gone).await;
        let What::Failed(failed) = entry.events.next_what().await else { panic!("the INVITE has failed") };
        assert_eq!((failed.effect, failed.cause()), (1, Cause::Transport));
        if is_noticed {
            entry.learns(View::fixed([only_member(("edge-1", entry.address))].to_vec(), KEY.to_vec()));
        }
        // As call-control does: the flow of the dialog is that of its last event.
        let (request_uri, to_tag, flow) = (ringing.contact, ringing.to_tag, event.flow);
        let bye = SendRequest { method: "BYE".into(), request_uri, to_tag, flow, cseq: 2, ..invite() };
        entry.carry(2, Effect::Send(bye)).await;
        let bye = bob.receive_request("BYE").await;
        assert_eq!(sent_by(&bye), entry.address.to_string(), "{}", text(&bye));
    }
}

/// F1, TXN-17, PXY-19: the caller of a proxied call to such a phone does not wait for Timer C, and the phone is told by BYE, whatever
/// the caller has counted to.
#[tokio::test]
async fn a_call_to_a_ringing_datagram_phone_whose_edge_dies_ends_at_once() {
    let tier = Tier::of_two().await;
    let alice = tier.entry.peer().await;
    let bob = tier.registered(NOWHERE).await;
    alice.request("INVITE sip:bob@example.com", "a1", &lines(&alice)).await;
    let invite = bob.receive_request("INVITE").await;
    bob.respond(&invite, "180 Ringing", "bt", &[&format!("Contact: <{NOWHERE}>")]).await;
    alice.receive_status(180).await;
    drop(tier.holder);
    alice.receive_status(500).await;
    let bye = bob.receive_request("BYE").await;
    let (from, to) = (bye.from().expect("From"), bye.to().expect("To"));
    assert_eq!((from.tag(), to.tag()), (Some("at"), Some("bt")), "{}", text(&bye));
    assert_eq!(bye.cseq().expect("CSeq").number, 1_001, "{}", text(&bye));
}

/// F1, PXY-19: a host that lost its power, or its network, closes no connection; the list of members says that it is gone.
#[tokio::test]
async fn a_call_through_an_edge_that_falls_silent_ends_when_the_members_know() {
    let tier = Tier::of_two().await;
    let _bob = tier.registered(NOWHERE).await;
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let [entry, holder] = [tier.entry.address, silent.local_addr().expect("it is bound")];
    let members = [("edge-1", entry), ("edge-2", holder)].map(only_member).to_vec();
    tier.entry.learns(View::fixed(members, KEY.to_vec()));
    let alice = tier.entry.peer().await;
    alice.request("INVITE sip:bob@example.com", "a1", &lines(&alice)).await;
    let mut connection = Connection::of(silent.accept().await.expect("the edge comes").0);
    let invite = connection.receive_request("INVITE").await;
    connection.respond(&invite, "180 Ringing", "bt", &[]).await;
    alice.receive_status(180).await;
    let members = [only_member(("edge-1", entry))].to_vec();
    tier.entry.learns(View { listed: steady(), ..View::fixed(members, KEY.to_vec()) });
    alice.receive_status(500).await;
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
            let (aor, instance) = (request.to_uri.clone(), "<urn:uuid:1>".into());
            let target = Target { uri, flow, aor, instance, ..Target::default() };
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
