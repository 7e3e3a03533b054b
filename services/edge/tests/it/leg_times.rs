//! Legs of call-control in virtual time: what is sent when, and what is remembered for how long.

use std::time::Duration;

use bytes::Bytes;
use cluster_api::callcontrol::v1::leg_event::What;
use cluster_api::edge::v1::edges_server::Edges;
use cluster_api::edge::v1::{ListEdgesRequest, ReleaseLeg, carry_request::What as Effect};
use tokio::time::Instant;
use tonic::Request;

use crate::legs::{answer, dialog_of_bob, invite};
use crate::rig::{Rig, only_member};
use crate::services::{FakeLocation, fork_to};
use crate::wires::{EDGE, Wires};

const BOB: &str = "192.0.2.3:5060";

/// TXN-16: from T1 apart to T2 apart, and at 64*T1 it is enough.
#[tokio::test(start_paused = true)]
async fn our_2xx_is_repeated_at_these_times_and_then_reported() {
    let (rig, wires) = one_leg(|_| {}).await;
    let transaction = re_invite(&rig, &wires).await;
    let start = Instant::now();
    rig.carry(1, answer(&transaction, 200)).await;
    tokio::time::sleep(Duration::from_secs(40)).await;
    let sent = wires.take_sent();
    let times: Vec<u128> = sent.iter().map(|(at, _)| (*at - start).as_millis()).collect();
    assert_eq!(
        times,
        [0, 500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500],
        "none by 64*T1"
    );
    assert!(sent.iter().all(|(_, message)| message.bytes() == sent[0].1.bytes()));
    match rig.events.next_what().await {
        What::AckMissing(missing) => assert_eq!(missing.transaction, transaction),
        other => panic!("{other:?}"),
    }
    assert!(rig.events.is_empty());
}

/// TXN-16
#[tokio::test(start_paused = true)]
async fn our_2xx_is_not_repeated_after_its_ack() {
    let (rig, wires) = one_leg(|_| {}).await;
    let transaction = re_invite(&rig, &wires).await;
    rig.carry(1, answer(&transaction, 200)).await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(wires.take_sent().len(), 2);
    wires.bring_from_bob("ACK", "b2");
    tokio::time::sleep(Duration::from_secs(40)).await;
    assert!(wires.take_sent().is_empty());
    assert!(matches!(rig.events.next_what().await, What::Ack(_)));
    assert!(rig.events.is_empty());
}

/// Events that call-control never takes are given up with their call, and whoever waits for an answer gets one.
#[tokio::test(start_paused = true)]
async fn events_are_not_offered_for_ever() {
    let (rig, wires) = one_leg(|_| {}).await;
    rig.events.fail_next(u32::MAX);
    wires.bring_from_bob("INVITE", "b1");
    tokio::time::sleep(Duration::from_secs(590)).await;
    assert!(wires.take_sent().iter().all(|(_, message)| message.status() == Some(100)));
    assert_eq!(rig.legs_in_hand().await, 1);
    tokio::time::sleep(Duration::from_secs(20)).await;
    let sent = wires.take_sent();
    assert!(
        !sent.is_empty() && sent.iter().all(|(_, message)| message.status() == Some(481)),
        "repeated without ACK"
    );
    assert_eq!(rig.legs_in_hand().await, 0);
    rig.events.fail_next(0);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(rig.events.is_empty());
}

/// A released call is remembered for 64 s, so that an effect that comes twice is recognised.
#[tokio::test(start_paused = true)]
async fn a_released_call_is_remembered_for_a_while() {
    let (rig, wires) = one_leg(|_| {}).await;
    rig.carry(1, ack()).await;
    rig.carry(2, Effect::Release(ReleaseLeg {})).await;
    assert_eq!(wires.take_sent_after(0).await, 1);
    rig.carry(1, ack()).await;
    assert_eq!(wires.take_sent_after(63).await, 0, "a known effect");
    assert_eq!(rig.legs_in_hand().await, 1);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(rig.legs_in_hand().await, 0);
    rig.carry(1, ack()).await;
    assert_eq!(wires.take_sent_after(0).await, 1, "nobody knows it any more");
}

/// A leg that comes back before its call is forgotten keeps the call.
#[tokio::test(start_paused = true)]
async fn a_call_with_a_new_leg_is_not_forgotten() {
    let (rig, wires) = one_leg(|_| {}).await;
    rig.carry(1, ack()).await;
    rig.carry(2, Effect::Release(ReleaseLeg {})).await;
    re_invite(&rig, &wires).await;
    rig.carry_of("b", 3, ack()).await;
    tokio::time::sleep(Duration::from_secs(200)).await;
    assert_eq!(rig.legs_in_hand().await, 1);
}

/// An edge whose registrar sends everything to Bob.
async fn one_leg(configure: impl FnOnce(&mut edge::Config)) -> (Rig, Wires) {
    let location = FakeLocation::planning(|_| fork_to(&[format!("sip:bob@{BOB}")]));
    let (rig, wires) = Rig::on_wires(location, configure).await;
    rig.learns(cluster_rpc::membership::View::fixed([only_member(("edge-1", rig.address))], vec![9; 32]));
    (rig, wires)
}

/// Bob sends an INVITE in the leg's dialog; the handle that call-control got for it.
async fn re_invite(rig: &Rig, wires: &Wires) -> String {
    wires.bring_from_bob("INVITE", "b1");
    match rig.events.next_what().await {
        What::Request(request) => {
            // A 100 after 200 ms is no matter of these tests.
            tokio::time::sleep(Duration::from_secs(1)).await;
            wires.take_sent();
            request.transaction
        }
        other => panic!("{other:?}"),
    }
}

/// An ACK for a 2xx of Bob: what is sent once for each effect, whatever comes back.
fn ack() -> Effect {
    let request_uri = format!("sip:bob@{BOB}");
    let to_tag = "bt".to_owned();
    Effect::Send(cluster_api::edge::v1::SendRequest { method: "ACK".into(), request_uri, to_tag, ..invite() })
}

impl Rig {
    async fn legs_in_hand(&self) -> u64 {
        let list = self.edges.list_edges(Request::new(ListEdgesRequest::default())).await;
        list.unwrap().into_inner().edges[0].legs
    }
}

impl Wires {
    /// A request of Bob in the leg's dialog.
    fn bring_from_bob(&self, method: &str, branch: &str) {
        let cseq = format!("CSeq: 5 {method}");
        let lines = dialog_of_bob(&cseq).join("\r\n");
        let text = format!(
            "{method} sip:cc.call-1.a@{EDGE} SIP/2.0\r\nVia: SIP/2.0/UDP {BOB};branch=z9hG4bK{branch}\r\n\
             Max-Forwards: 70\r\n{lines}\r\nContact: <sip:bob@{BOB}>\r\nContent-Length: 0\r\n\r\n"
        );
        self.bring(vec![(BOB.parse().unwrap(), Bytes::from(text))]);
    }

    /// How much the edge sends within this time.
    async fn take_sent_after(&self, seconds: u64) -> usize {
        tokio::time::sleep(Duration::from_secs(seconds) + Duration::from_millis(1)).await;
        self.take_sent().len()
    }
}
