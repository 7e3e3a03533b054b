//! What two edges saw of one call, gathered over TCP.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use cluster_api::cluster::v1::Member;
use cluster_api::registrar::v1::route_response::Plan;
use cluster_api::registrar::v1::{Fork, Group, RegisterResponse, Target};
use cluster_api::trace::v1::capture_server::CaptureServer;
use cluster_api::trace::v1::traces_server::Traces as _;
use cluster_api::trace::v1::{Arrow, GetLadderRequest, Ladder, ladder_step::What};
use cluster_rpc::{membership::View, server};
use tokio::net::TcpListener;
use tonic::{Request, transport::Server};

use crate::rig::{Rig, only_member};
use crate::services::FakeLocation;
use crate::stream::Connection;

const BOB: &str = "sip:bob@df7jal23ls0d.invalid;transport=tcp";

/// Both ways of a call that enters at one edge and leaves at another, whichever of them is asked: the message between the
/// edges, which each of them saw from its own connection, stands there once.
#[tokio::test]
async fn a_call_over_two_edges_is_one_ladder_at_either() {
    let (entry, holder) = two_edges().await;
    let alice = entry.peer().await;
    let mut bob = registered(&holder).await;
    // Too large for a datagram (RFC 3261 18.1.1): TCP between the edges too.
    let large = format!("Subject: {}", "x".repeat(1_400));
    let contact = format!("Contact: <sip:alice@{}>", alice.address());
    let lines = [
        "From: <sip:alice@example.com>;tag=at",
        "To: <sip:bob@example.com>",
        "Call-ID: c1",
        &contact,
        &large,
    ];
    alice.request("INVITE sip:bob@example.com", "a1", &lines).await;
    let invite = bob.receive_request("INVITE").await;
    bob.respond(&invite, "180 Ringing", "bt", &[]).await;
    alice.receive_status(180).await;
    bob.respond(&invite, "200 OK", "bt", &[&format!("Contact: <{BOB}>")]).await;
    alice.receive_status(200).await;

    let ladder = ladder(&entry).await;
    let between: Vec<Arrow> = arrows(&ladder).into_iter().filter(|arrow| arrow.status != 100).collect();
    let found: Vec<_> =
        between.iter().map(|arrow| (arrow.from.as_str(), arrow.to.as_str(), arrow.status)).collect();
    let way = ["alice", "edge-1", "edge-2", "bob"];
    let there = way.windows(2).map(|ends| (ends[0], ends[1], 0));
    let back = |status| way.windows(2).rev().map(move |ends| (ends[1], ends[0], status));
    assert_eq!(found, there.chain(back(180)).chain(back(200)).collect::<Vec<_>>());
    assert_eq!(between[1].transport, "tcp");
    let participants: Vec<_> = ladder.participants.iter().map(|who| (who.name.as_str(), who.ours)).collect();
    assert_eq!(participants, [("alice", false), ("edge-1", true), ("edge-2", true), ("bob", false)]);
    assert!(!ladder.truncated);
    assert_eq!(self::ladder(&holder).await, ladder);
}

/// What one edge still knows is shown when the other is gone, and that more happened is said.
#[tokio::test]
async fn an_edge_that_does_not_answer_leaves_a_ladder_that_says_so() {
    let (entry, holder) = two_edges().await;
    let alice = entry.peer().await;
    let mut bob = registered(&holder).await;
    let lines = ["From: <sip:alice@example.com>;tag=at", "To: <sip:bob@example.com>", "Call-ID: c1"];
    alice.request("INVITE sip:bob@example.com", "a1", &lines).await;
    bob.receive_request("INVITE").await;
    let nobody = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    let gone = nobody.local_addr().expect("it is bound");
    drop(nobody);
    let members = [("edge-1", &entry, None), ("edge-2", &holder, Some(format!("http://{gone}")))];
    entry.learns(view(members.map(|(id, rig, grpc)| member(id, rig, grpc.unwrap_or_default()))));

    let ladder = ladder(&entry).await;
    assert!(ladder.truncated);
    let first = &arrows(&ladder)[0];
    assert_eq!((first.from.as_str(), first.to.as_str()), ("alice", "edge-1"));
    // Whom the message was for is not whom it went to.
    assert!(arrows(&ladder).iter().any(|arrow| arrow.from == "edge-1" && arrow.to == "edge-2"));
    // A 100 is from whom the message went to.
    let mut found = arrows(&ladder).into_iter().filter(|arrow| arrow.status != 100);
    assert!(found.all(|arrow| arrow.from != "edge-2" && arrow.to != "bob"));
}

/// Two edges that know each other, and one registrar.
async fn two_edges() -> (Rig, Rig) {
    let flow = Arc::new(Mutex::new(String::new()));
    let location = || {
        let (reader, writer) = (flow.clone(), flow.clone());
        FakeLocation::full(
            move |_| {
                let flow = reader.lock().expect("nobody panics with it").clone();
                let target = Target { uri: BOB.into(), flow, ..Target::default() };
                let group = Group { targets: vec![target], ring_time: None, cause: "contact".into() };
                Ok(Plan::Fork(Fork { groups: vec![group], recurse: false }))
            },
            move |request| {
                *writer.lock().expect("nobody panics with it") = request.flow.clone();
                RegisterResponse { status: 200, ..RegisterResponse::default() }
            },
        )
    };
    let (entry, holder) = (Rig::named("edge-1", location()).await, Rig::named("edge-2", location()).await);
    let (first, second) = (serve(&entry).await, serve(&holder).await);
    let view = view([member("edge-1", &entry, first), member("edge-2", &holder, second)]);
    entry.learns(view.clone());
    holder.learns(view);
    (entry, holder)
}

fn member(id: &str, rig: &Rig, grpc: String) -> Member {
    Member { grpc, ..only_member((id, rig.address)) }
}

fn view(members: [Member; 2]) -> View {
    View::fixed(members.to_vec(), vec![9; 32])
}

/// What the edge saw, at a port of its own.
async fn serve(rig: &Rig) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let service = CaptureServer::new(rig.capture.clone());
    tokio::spawn(Server::builder().add_service(service).serve_with_incoming(server::incoming(listener)));
    format!("http://{address}")
}

/// Bob, registered over a connection to this edge.
async fn registered(rig: &Rig) -> Connection {
    let mut bob = Connection::to(rig.address).await;
    let contact = format!("Contact: <{BOB}>");
    let lines = ["From: <sip:bob@example.com>;tag=b", "To: <sip:bob@example.com>", "Call-ID: r1", &contact];
    bob.request("REGISTER sip:example.com", "r1", &lines).await;
    bob.receive_status(200).await;
    bob
}

async fn ladder(rig: &Rig) -> Ladder {
    let request = GetLadderRequest { call_id: "c1".into(), with_text: true };
    rig.traces.get_ladder(Request::new(request)).await.expect("the call is known").into_inner()
}

fn arrows(ladder: &Ladder) -> Vec<Arrow> {
    let arrows = ladder.steps.iter().filter_map(|step| match &step.what {
        Some(What::Arrow(arrow)) => Some(arrow.clone()),
        _ => None,
    });
    arrows.collect()
}
