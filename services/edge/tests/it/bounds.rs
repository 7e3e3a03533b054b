//! What an edge keeps, and what it says when that is enough.

use std::time::Duration;

use bytes::Bytes;
use cluster_api::callcontrol::v1::leg_event::What;
use cluster_api::edge::v1::edges_server::Edges;
use cluster_api::edge::v1::{CarryRequest, ListEdgesRequest, SendResponse, carry_request::What as Effect};
use cluster_api::registrar::v1::route_response::Plan;
use cluster_api::registrar::v1::{Challenge, HandToCallControl, RegisterResponse};
use sip_message::Message;
use tonic::{Request, Status};

use crate::rig::{Rig, only_member};
use crate::services::{FakeLocation, fork_to};
use crate::wires::Wires;

const ALICE: &str = "192.0.2.2:5060";
const BOB: &str = "192.0.2.3:5060";

/// AUT-01: who is challenged has not shown that it owns its address: no transaction is kept for it.
#[tokio::test(start_paused = true)]
async fn a_challenge_leaves_no_transaction_behind() {
    let challenges = || vec!["Digest realm=\"x\"".to_owned()];
    let location = FakeLocation::full(
        move |_| Ok(Plan::Challenge(Challenge { challenges: challenges(), ..Challenge::default() })),
        move |request| RegisterResponse {
            status: if request.authorization.is_empty() { 401 } else { 200 },
            challenges: challenges(),
            ..RegisterResponse::default()
        },
    );
    let (rig, wires) = edge(location, |_| {}).await;
    for (method, lines, status, kept) in [
        ("REGISTER", "", 401, 0),
        ("INVITE", "", 407, 0),
        ("MESSAGE", "", 407, 0),
        ("REGISTER", "Authorization: Digest x\r\n", 200, 1),
    ] {
        wires.ask(method, status, lines);
        assert_eq!(wires.status().await, status);
        assert_eq!(rig.transactions().await, kept, "{method} {status}");
    }
}

/// OVL-03: what there is no room for is answered 503 and not passed over in silence; what is in hand goes on.
#[tokio::test(start_paused = true)]
async fn requests_beyond_the_bound_of_forks_are_refused() {
    let location = FakeLocation::planning(|_| fork_to(&[format!("sip:bob@{BOB}")]));
    let (rig, wires) = edge(location, |config| config.limits.forks = 2).await;
    for number in 0..2 {
        wires.ask("MESSAGE", number, "");
        assert_eq!(wires.sent().await.0.to_string(), BOB);
    }
    for number in 2..5 {
        wires.ask("MESSAGE", number, "");
        assert_eq!(wires.status().await, 503);
    }
    // Timer F of the first two, and then there is room again.
    tokio::time::sleep(Duration::from_secs(33)).await;
    wires.take_sent();
    wires.ask("MESSAGE", 9, "");
    assert_eq!(wires.sent().await.0.to_string(), BOB);
    drop(rig);
}

/// OVL-03
#[tokio::test(start_paused = true)]
async fn requests_beyond_the_bound_of_transactions_are_refused() {
    let location = FakeLocation::planning(|_| fork_to(&[format!("sip:bob@{BOB}")]));
    let (rig, wires) = edge(location, |config| config.endpoint.transactions.max_server = 2).await;
    for number in 0..2 {
        wires.ask("MESSAGE", number, "");
        assert_eq!(wires.sent().await.0.to_string(), BOB);
    }
    for number in 2..5 {
        wires.ask("MESSAGE", number, "");
        assert_eq!(wires.status().await, 503);
    }
    assert_eq!(rig.transactions().await, 4, "two on either side");
}

/// UAC-07: what is remembered of a request that began a call goes with its transaction.
#[tokio::test(start_paused = true)]
async fn a_request_whose_transaction_is_over_may_begin_a_call_again() {
    let location = FakeLocation::planning(|_| Plan::CallControl(HandToCallControl::default()));
    let (rig, wires) = edge(location, |_| {}).await;
    for round in 0..2 {
        wires.ask_as("INVITE", round, 1, "");
        let (call_id, event) = rig.events.next().await;
        let Some(What::Incoming(request)) = event.what else { panic!("a call begins: {event:?}") };
        wires.ask_as("INVITE", 10 + round, 1, "");
        assert_eq!(wires.status().await, 482);
        let busy = SendResponse {
            transaction: request.transaction,
            status: 486,
            to_tag: "ct".into(),
            ..SendResponse::default()
        };
        let carried = crate::legs::request(1, Effect::Respond(busy));
        rig.carry_request(CarryRequest { call_id, ..carried }).await;
        assert_eq!(wires.status().await, 486);
        // Timer H: no ACK comes.
        tokio::time::sleep(Duration::from_secs(40)).await;
        wires.take_sent();
        assert_eq!(rig.transactions().await, 0);
    }
}

async fn edge(
    location: std::sync::Arc<FakeLocation>,
    configure: impl FnOnce(&mut edge::Config),
) -> (Rig, Wires) {
    let (rig, wires) = Rig::on_wires(location, configure).await;
    rig.learns(cluster_rpc::membership::View::fixed([only_member(("edge-1", rig.address))], vec![9; 32]));
    (rig, wires)
}

impl Rig {
    /// How many transactions the edge has.
    async fn transactions(&self) -> u64 {
        let list: Result<_, Status> = self.edges.list_edges(Request::new(ListEdgesRequest::default())).await;
        list.unwrap().into_inner().edges[0].transactions
    }
}

impl Wires {
    /// A request of Alice: this number tells it from others.
    fn ask(&self, method: &str, number: u32, lines: &str) {
        self.ask_as(method, number, number + 1, lines);
    }

    /// A request of Alice with a branch and a CSeq number.
    fn ask_as(&self, method: &str, branch: u32, cseq: u32, lines: &str) {
        let uri = if method == "REGISTER" { "sip:example.com" } else { "sip:bob@example.com" };
        let text = format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {ALICE};branch=z9hG4bK{method}{branch}\r\nMax-Forwards: 70\r\n\
             From: <sip:alice@example.com>;tag=at\r\nTo: <sip:bob@example.com>\r\nCall-ID: c\r\n\
             CSeq: {cseq} {method}\r\nContact: <sip:alice@{ALICE}>\r\n{lines}Content-Length: 0\r\n\r\n"
        );
        self.bring(vec![(ALICE.parse().unwrap(), Bytes::from(text))]);
    }

    /// The status of the next final answer to Alice.
    async fn status(&self) -> u32 {
        loop {
            let (peer, message): (_, Message) = self.sent().await;
            match message.status() {
                Some(status) if status >= 200 => return status.into(),
                Some(_) => {}
                None => assert_eq!(peer.to_string(), BOB, "requests go to Bob"),
            }
        }
    }
}
