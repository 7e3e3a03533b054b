//! Callers whose connection ends while it rings.

use std::time::Duration;

use cluster_api::callcontrol::v1::leg_event::What;
use cluster_api::cluster::v1::Member;
use cluster_api::edge::v1::{CarryRequest, SendResponse, carry_request::What as Effect};
use cluster_api::registrar::v1::route_response::Plan;
use cluster_api::registrar::v1::{Fork, Group, HandToCallControl, Target};
use cluster_rpc::membership::View;
use edge::Config;
use sip_message::Message;
use tokio::net::TcpListener;

use crate::peer::Peer;
use crate::rig::{Rig, fast, only_member, steady};
use crate::services::FakeLocation;
use crate::stream::Connection;
use crate::tier::KEY;

const HOUR: Duration = Duration::from_secs(3600);

/// PXY-22, TRN-11: RFC 3261 18.2.2 has nowhere to send the answer to, so nobody is to give it.
#[tokio::test]
async fn what_a_caller_dialled_who_is_gone_stops_ringing() {
    let (rig, bob) = edge_of_bob().await;
    let (alice, _) = ringing(&rig, &bob, nobody().await).await;
    drop(alice);
    until_requested(&bob, "CANCEL").await;
    assert_eq!(rig.counted("edge_absent_callers_total", "cancelled"), 1);
}

/// PXY-16, TRN-11: a caller that listens is still there, and its 2xx goes to it by another connection; while that one is there, it
/// rings.
#[tokio::test]
async fn a_caller_that_takes_another_connection_gets_its_answer_there() {
    let (rig, bob) = edge_of_bob().await;
    let alice = listener().await;
    let (first, invite) = ringing(&rig, &bob, alice.local_addr().expect("it is bound").to_string()).await;
    drop(first);
    let mut second = accepted(&alice).await;
    until_counted(&rig, "back").await;
    bob.respond(&invite, "200 OK", "bt", &[&format!("Contact: <sip:bob@{}>", bob.address())]).await;
    second.receive_status(200).await;
    assert_eq!(rig.counted("edge_absent_callers_total", "cancelled"), 0);
}

/// PXY-22: the second time, too.
#[tokio::test]
async fn a_caller_that_leaves_for_good_after_it_came_back_is_gone() {
    let (rig, bob) = edge_of_bob().await;
    let alice = listener().await;
    let (first, _) = ringing(&rig, &bob, alice.local_addr().expect("it is bound").to_string()).await;
    drop(first);
    let second = accepted(&alice).await;
    until_counted(&rig, "back").await;
    drop((alice, second));
    until_requested(&bob, "CANCEL").await;
    assert_eq!(rig.counted("edge_absent_callers_total", "gone"), 2);
}

/// Nothing is cancelled for a call that was answered.
#[tokio::test]
async fn a_caller_that_leaves_after_the_answer_costs_its_call_nothing() {
    let (rig, bob) = edge_of_bob().await;
    let (mut alice, invite) = ringing(&rig, &bob, nobody().await).await;
    bob.respond(&invite, "200 OK", "bt", &[&format!("Contact: <sip:bob@{}>", bob.address())]).await;
    alice.receive_status(200).await;
    drop(alice);
    // Another caller, who leaves later, is cancelled for.
    let (other, _) = ringing(&rig, &bob, nobody().await).await;
    drop(other);
    until_requested(&bob, "CANCEL").await;
    assert_eq!(rig.counted("edge_absent_callers_total", "gone"), 1);
}

/// PXY-22, SCN-10: a caller that call-control is to answer, and that is gone, is cancelled for; one that is answered is not.
#[tokio::test]
async fn a_caller_of_call_control_that_is_gone_is_cancelled_for() {
    let location = FakeLocation::planning(|_| Plan::CallControl(HandToCallControl::default()));
    let rig = Rig::configured(location, fast).await;
    let alice = calling(&rig, &nobody().await).await;
    let What::Incoming(received) = rig.events.next_what().await else { panic!("a call begins") };
    drop(alice);
    let What::Cancel(cancel) = rig.events.next_what().await else { panic!("it is cancelled") };
    assert_eq!(cancel.transaction, received.transaction);
    assert_eq!(rig.counted("edge_absent_callers_total", "cancelled"), 1);

    let listening = listener().await;
    let first = calling(&rig, &listening.local_addr().expect("it is bound").to_string()).await;
    rig.events.next_what().await;
    drop(first);
    let second = accepted(&listening).await;
    until_counted(&rig, "back").await;
    drop((listening, second));
    assert!(matches!(rig.events.next_what().await, What::Cancel(_)), "the second time, too");
}

/// One that is answered is no caller any more who could be gone: its 2xx only finds another connection.
#[tokio::test]
async fn an_answered_caller_of_call_control_is_not_counted() {
    let location = FakeLocation::planning(|_| Plan::CallControl(HandToCallControl::default()));
    let rig = Rig::configured(location, fast).await;
    let listening = listener().await;
    let first = calling(&rig, &listening.local_addr().expect("it is bound").to_string()).await;
    let (call_id, event) = rig.events.next().await;
    let Some(What::Incoming(received)) = event.what else { panic!("a call begins") };
    let answer = SendResponse {
        transaction: received.transaction,
        status: 200,
        to_tag: "ct".into(),
        ..SendResponse::default()
    };
    let carried = crate::legs::request(1, Effect::Respond(answer));
    rig.carry_request(CarryRequest { call_id, ..carried }).await;
    drop(first);
    let _second = accepted(&listening).await;
    assert_eq!(rig.counted("edge_absent_callers_total", "gone"), 0);
}

/// F1, PXY-22: an edge that sent the INVITE on, and that the members know to be gone, is given no while: whether its connection ended or
/// fell silent with its host. The time that others are given is never over here.
#[tokio::test]
async fn what_a_caller_dialled_by_an_edge_that_is_gone_stops_ringing_when_the_members_know() {
    for closes in [true, false] {
        let (rig, bob) = edge_of_bob_with(|config| config.endpoint.transactions.timing.t1 = HOUR).await;
        let sibling = listener().await.local_addr().expect("it is bound");
        let members = [("edge-1", rig.address), ("edge-2", sibling)].map(only_member);
        rig.learns(View::fixed(members.to_vec(), KEY.to_vec()));
        let (connection, _) = ringing(&rig, &bob, sibling.to_string()).await;
        let _silent = if closes {
            drop(connection);
            until_counted(&rig, "gone").await;
            None
        } else {
            Some(connection)
        };
        let members = [only_member(("edge-1", rig.address))].to_vec();
        rig.learns(View { listed: steady(), ..View::fixed(members, KEY.to_vec()) });
        until_requested(&bob, "CANCEL").await;
        let counted = ["gone", "cancelled"].map(|outcome| rig.counted("edge_absent_callers_total", outcome));
        assert_eq!(counted, [1, 1]);
    }
}

/// F1: the next life of the edge at the same place has nothing of the one before, and what it sent itself rings on.
#[tokio::test]
async fn the_next_life_of_an_edge_takes_no_caller_back() {
    let (rig, bob) = edge_of_bob_with(|config| config.endpoint.transactions.timing.t1 = HOUR).await;
    let place = listener().await;
    let sibling = place.local_addr().expect("it is bound");
    let members = |epoch| {
        let next = Member { epoch, ..only_member(("edge-2", sibling)) };
        View::fixed([only_member(("edge-1", rig.address)), next].to_vec(), KEY.to_vec())
    };
    rig.learns(members(7));
    let (first, of_first) = ringing(&rig, &bob, sibling.to_string()).await;
    drop(first);
    until_counted(&rig, "gone").await;
    let second = calling_as(&rig, &sibling.to_string(), "next").await;
    let of_second = until_requested(&bob, "INVITE").await;
    assert_ne!(of_first.call_id(), of_second.call_id());
    rig.learns(members(8));
    let cancel = until_requested(&bob, "CANCEL").await;
    assert_eq!(cancel.call_id(), of_first.call_id());
    drop(second);
    until(|| rig.counted("edge_absent_callers_total", "gone") == 2).await;
    assert_eq!(rig.counted("edge_absent_callers_total", "cancelled"), 1);
}

/// Who is gone is counted once more when it is known what became of it, also when the phone was faster.
#[tokio::test]
async fn a_caller_that_is_answered_before_its_time_is_over_is_counted_as_over() {
    let (rig, bob) = edge_of_bob_with(|config| config.endpoint.transactions.timing.t1 = HOUR).await;
    let (alice, invite) = ringing(&rig, &bob, nobody().await).await;
    drop(alice);
    until_counted(&rig, "gone").await;
    bob.respond(&invite, "486 Busy Here", "bt", &[]).await;
    until_counted(&rig, "over").await;
}

/// Alice calls by a connection, from who listens there.
async fn calling(rig: &Rig, sent_by: &str) -> Connection {
    calling_as(rig, sent_by, sent_by).await
}

/// The same with this Call-ID.
async fn calling_as(rig: &Rig, sent_by: &str, call_id: &str) -> Connection {
    let mut alice = Connection::to(rig.address).await;
    let call = format!("Call-ID: {call_id}");
    let lines = [
        "From: <sip:alice@example.com>;tag=at",
        "To: <sip:bob@example.com>",
        &call,
        "Contact: <sip:alice@phone.invalid;transport=tcp>",
    ];
    alice.request_from(sent_by, "INVITE sip:bob@example.com", &call_id.replace(':', "x"), &lines).await;
    alice
}

/// An edge with short times, and bob, who is found there.
async fn edge_of_bob() -> (Rig, Peer) {
    edge_of_bob_with(fast).await
}

async fn edge_of_bob_with(configure: impl FnOnce(&mut Config)) -> (Rig, Peer) {
    let bob = Peer::unbound().await;
    let uri = format!("sip:bob@{}", bob.address());
    let location = FakeLocation::planning(move |_| {
        let targets = vec![Target { uri: uri.clone(), ..Target::default() }];
        let group = Group { targets, ring_time: None, cause: "contact".into() };
        Plan::Fork(Fork { groups: vec![group], recurse: false })
    });
    let rig = Rig::configured(location, configure).await;
    let bob = bob.toward(rig.address);
    (rig, bob)
}

/// Alice calls bob by a connection, from who listens there, and it rings.
async fn ringing(rig: &Rig, bob: &Peer, sent_by: String) -> (Connection, Message) {
    let mut alice = calling(rig, &sent_by).await;
    let invite = loop {
        let invite = until_requested(bob, "INVITE").await;
        if invite.call_id() == Ok(sent_by.as_bytes()) {
            break invite;
        }
    };
    bob.respond(&invite, "180 Ringing", "bt", &[]).await;
    alice.receive_status(180).await;
    (alice, invite)
}

/// The next request of this method; what is repeated because times are short is passed over.
async fn until_requested(bob: &Peer, method: &str) -> Message {
    loop {
        let message = bob.receive().await;
        if message.method_str() == method && message.is_request() {
            return message;
        }
    }
}

async fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.expect("a free port")
}

/// An address that nobody listens at.
async fn nobody() -> String {
    listener().await.local_addr().expect("it is bound").to_string()
}

async fn accepted(listener: &TcpListener) -> Connection {
    let (stream, _) = listener.accept().await.expect("the edge comes");
    Connection::of(stream)
}

async fn until_counted(rig: &Rig, outcome: &str) {
    until(|| rig.counted("edge_absent_callers_total", outcome) != 0).await;
}

async fn until(is_so: impl Fn() -> bool) {
    while !is_so() {
        tokio::task::yield_now().await;
    }
}
