//! Trunks whose calls are counted, as the edge asks for room there.

use std::sync::Arc;

use cluster_api::callcontrol::v1::leg_event::What;
use cluster_api::edge::v1::carry_request::What as Effect;
use cluster_api::registrar::v1::route_response::Plan;
use cluster_api::registrar::v1::{Charge, Fork, Group, Target, seize_trunk_response::State};
use sip_message::HeaderId;
use tonic::Status;

use crate::legs::invite;
use crate::peer::Peer;
use crate::rig::Rig;
use crate::services::{FakeLocation, target};

/// A plan with trunks one after the other, each with its peer, and what of them is counted.
fn planning(trunks: &[(&'static str, &Peer)]) -> Arc<FakeLocation> {
    let trunks: Vec<_> = trunks.iter().map(|(name, peer)| (*name, peer.address())).collect();
    FakeLocation::planning(move |_| {
        let group = |(at, (name, address)): (usize, &(&str, std::net::SocketAddr))| {
            let charge = Some(Charge { account: "sip:alice@example.com".into(), ..Charge::default() });
            let target = Target { seize: (*name).into(), charge, ..target(&format!("sip:+4930@{address}")) };
            let cause = if at == 0 { "trunk" } else { "trunk-failover" };
            Group { targets: vec![target], ring_time: None, cause: cause.into() }
        };
        Plan::Fork(Fork { groups: trunks.iter().enumerate().map(group).collect(), recurse: false })
    })
}

fn says(location: &FakeLocation, answers: impl IntoIterator<Item = Result<State, Status>>) {
    location.seats.lock().unwrap().extend(answers);
}

async fn request(alice: &Peer, method: &str, call: &str) {
    let call_id = format!("Call-ID: {call}");
    let lines = [
        "From: <sip:alice@example.com>;tag=a",
        "To: <sip:+4930@example.com>",
        &call_id,
        "Contact: <sip:a@h>",
    ];
    alice.request(&format!("{method} sip:+4930@example.com"), &format!("{method}{call}"), &lines).await;
}

/// SCN-09: a trunk that is full is passed over; a call that is answered keeps its room, and one that is not gives it back.
#[tokio::test]
async fn a_full_trunk_is_passed_over_and_room_is_given_back() {
    let [first, second] = [Peer::unbound().await, Peer::unbound().await];
    let location = planning(&[("one", &first), ("two", &second)]);
    let rig = Rig::with(location.clone()).await;
    let (alice, second) = (rig.peer().await, second.toward(rig.address));
    says(&location, [Ok(State::Full), Ok(State::Seized)]);
    request(&alice, "INVITE", "answered").await;
    let invite = second.receive_request("INVITE").await;
    second.respond(&invite, "200 OK", "b", &["Contact: <sip:b@h>"]).await;
    alice.receive_status(200).await;
    let asked = location.seized.lock().unwrap().clone();
    assert_eq!([&*asked[0].trunk, &*asked[1].trunk], ["one", "two"]);
    assert!(asked[0].call_id == asked[1].call_id && !asked[0].call_id.is_empty(), "{asked:?}");
    assert_ne!(asked[0].branch, asked[1].branch);

    says(&location, [Ok(State::Full), Ok(State::Seized)]);
    request(&alice, "INVITE", "busy").await;
    let invite = second.receive_request("INVITE").await;
    second.respond(&invite, "486 Busy Here", "b", &[]).await;
    alice.receive_status(486).await;
    let released = location.released(1).await;
    let asked = location.seized.lock().unwrap()[3].clone();
    assert_eq!(released.len(), 1, "who has no room gives none back: {released:?}");
    assert_eq!((&released[0].branch, &released[0].call_id), (&asked.branch, &asked.call_id));
    assert_eq!(rig.counted("edge_trunk_seizures_total", "full"), 2);
    assert_eq!(rig.counted("edge_trunk_seizures_total", "seized"), 2);
}

/// RFC 3261 21.5.4: where all trunks are full the caller hears so, and is not told to stay away; nothing is sent on a guess.
#[tokio::test]
async fn where_all_trunks_are_full_the_caller_is_told() {
    let [first, second] = [Peer::unbound().await, Peer::unbound().await];
    let location = planning(&[("one", &first), ("two", &second)]);
    let rig = Rig::with(location.clone()).await;
    let alice = rig.peer().await;
    says(&location, [Ok(State::Full), Ok(State::Full)]);
    request(&alice, "INVITE", "full").await;
    let refused = alice.receive_status(503).await;
    assert_eq!(refused.reason(), b"Trunk Full");
    assert!(refused.has(HeaderId::Warning) && !refused.has(HeaderId::RetryAfter));
    // who does not say whether there is room has none to give
    let down = || Err(Status::unavailable("told to"));
    says(&location, [down(), down()]);
    request(&alice, "INVITE", "unanswered").await;
    alice.receive_status(500).await;
    assert_eq!(location.released(2).await.len(), 2, "what was asked for and not heard of is given back");
    assert_eq!(rig.counted("edge_trunk_seizures_total", "unanswered"), 2);
}

/// What begins no call takes no room; the peers of one trunk take each other's.
#[tokio::test]
async fn only_calls_are_counted_and_each_once_at_a_trunk() {
    let [first, second] = [Peer::unbound().await, Peer::unbound().await];
    let location = planning(&[("one", &first), ("one", &second)]);
    let rig = Rig::with(location.clone()).await;
    let (alice, first, second) = (rig.peer().await, first.toward(rig.address), second.toward(rig.address));
    request(&alice, "MESSAGE", "text").await;
    let message = first.receive_request("MESSAGE").await;
    first.respond(&message, "200 OK", "b", &[]).await;
    alice.receive_status(200).await;
    assert!(location.seized.lock().unwrap().is_empty());
    request(&alice, "INVITE", "call").await;
    let invite = first.receive_request("INVITE").await;
    first.respond(&invite, "503 Service Unavailable", "b", &[]).await;
    let invite = second.receive_request("INVITE").await;
    second.respond(&invite, "200 OK", "b", &["Contact: <sip:b@h>"]).await;
    alice.receive_status(200).await;
    let asked = location.seized.lock().unwrap().clone();
    assert_eq!(asked[1].over, [asked[0].branch.clone()]);
}

/// A call that its caller gives up came to nothing too.
#[tokio::test]
async fn a_caller_who_gives_up_gives_its_room_back() {
    let peer = Peer::unbound().await;
    let location = planning(&[("one", &peer)]);
    let rig = Rig::with(location.clone()).await;
    let (alice, peer) = (rig.peer().await, peer.toward(rig.address));
    request(&alice, "INVITE", "c").await;
    let invite = peer.receive_request("INVITE").await;
    peer.respond(&invite, "180 Ringing", "b", &[]).await;
    alice.receive_status(180).await;
    let lines = ["From: <sip:alice@example.com>;tag=a", "To: <sip:+4930@example.com>", "Call-ID: c"];
    alice.request("CANCEL sip:+4930@example.com", "INVITEc", &lines).await;
    alice.receive_status(200).await;
    peer.receive_request("CANCEL").await;
    peer.respond(&invite, "487 Request Terminated", "b", &[]).await;
    alice.receive_status(487).await;
    let released = location.released(1).await;
    assert_eq!(released[0].branch, location.seized.lock().unwrap()[0].branch);
}

/// T6: a call that the operator's service denies goes nowhere, not by another trunk either, and the caller hears why in its words.
#[tokio::test]
async fn a_call_that_is_denied_goes_out_by_no_trunk() {
    let [first, second] = [Peer::unbound().await, Peer::unbound().await];
    let location = planning(&[("one", &first), ("two", &second)]);
    let rig = Rig::with(location.clone()).await;
    let alice = rig.peer().await;
    *location.denial.lock().unwrap() = "Credit Exhausted".into();
    says(&location, [Ok(State::Denied)]);
    request(&alice, "INVITE", "denied").await;
    let refused = alice.receive_status(403).await;
    assert_eq!(refused.reason(), b"Credit Exhausted");
    let warnings: Vec<_> = refused.values(HeaderId::Warning).collect();
    assert_eq!(warnings, [b"399 carillon \"Credit Exhausted\""]);
    let asked = location.seized.lock().unwrap().clone();
    assert_eq!(asked.len(), 1, "the second trunk is not asked for: {asked:?}");
    assert_eq!(asked[0].charge.as_ref().map(|charge| &*charge.account), Some("sip:alice@example.com"));
    assert_eq!(location.released(1).await[0].branch, asked[0].branch);
    assert_eq!(rig.counted("edge_trunk_seizures_total", "denied"), 1);
    // what could break a line is no reason, and is not written
    *location.denial.lock().unwrap() = "a\r\nX: y".into();
    says(&location, [Ok(State::Denied)]);
    request(&alice, "INVITE", "hostile").await;
    let refused = alice.receive_status(403).await;
    assert_eq!(refused.reason(), b"Call Not Allowed");
}

/// T6: where nobody says whether a call may go out, the next trunk is asked for; and when none is left, the caller hears that it may try again.
#[tokio::test]
async fn a_call_that_nobody_decides_about_is_tried_by_the_next_trunk_and_then_refused() {
    let [first, second] = [Peer::unbound().await, Peer::unbound().await];
    let location = planning(&[("one", &first), ("two", &second)]);
    let rig = Rig::with(location.clone()).await;
    let (alice, second) = (rig.peer().await, second.toward(rig.address));
    says(&location, [Ok(State::Undecided), Ok(State::Seized)]);
    request(&alice, "INVITE", "second").await;
    let invite = second.receive_request("INVITE").await;
    second.respond(&invite, "200 OK", "b", &["Contact: <sip:b@h>"]).await;
    alice.receive_status(200).await;
    says(&location, [Ok(State::Undecided), Ok(State::Undecided)]);
    request(&alice, "INVITE", "neither").await;
    let refused = alice.receive_status(503).await;
    assert_eq!(refused.reason(), b"Call Not Decided");
    assert!(refused.has(HeaderId::Warning) && !refused.has(HeaderId::RetryAfter));
}

/// T6: call-control is told the same of a leg, so that the events of a dialled call say it, and the Warning reaches an anchored caller.
#[tokio::test]
async fn a_leg_that_is_denied_ends_with_the_reason() {
    let peer = Peer::unbound().await;
    let location = planning(&[("one", &peer)]);
    let rig = Rig::with(location.clone()).await;
    *location.denial.lock().unwrap() = "Credit Exhausted".into();
    says(&location, [Ok(State::Denied)]);
    rig.carry(1, Effect::Send(invite())).await;
    let What::Response(denied) = rig.events.next_what().await else { panic!("a response is reported") };
    assert_eq!((denied.status, &*denied.reason), (403, "Credit Exhausted"));
    let warnings: Vec<_> = denied.headers.iter().map(|header| (&*header.name, &*header.value)).collect();
    assert_eq!(warnings, [("Warning", "399 carillon \"Credit Exhausted\"")]);
    assert_eq!(location.seized.lock().unwrap()[0].call_id, "call-1");
}
