//! Messages that no phone answers, or that reach none.

use cluster_api::registrar::v1::route_response::Plan;
use cluster_api::registrar::v1::{Fork, Group, Target};

use crate::peer::Peer;
use crate::rig::{Rig, fast};
use crate::services::FakeLocation;
use crate::tier::{NOWHERE, Tier, until_refused};

/// Alice, and bob whom the registrar leads to for this reason.
async fn phones(cause: &'static str) -> (Rig, Peer, Peer) {
    let bob = Peer::unbound().await;
    let uri = format!("sip:bob@{}", bob.address());
    let location = FakeLocation::planning(move |_| {
        let targets = vec![Target { uri: uri.clone(), ..Target::default() }];
        Plan::Fork(Fork {
            groups: vec![Group { targets, ring_time: None, cause: cause.into() }],
            recurse: false,
        })
    });
    let rig = Rig::configured(location, fast).await;
    let (alice, bob) = (rig.peer().await, bob.toward(rig.address));
    (rig, alice, bob)
}

/// The usual headers of a message in a call of this name, in a dialog or none.
fn lines<'a>(call: &'a str, to: &'a str) -> [&'a str; 3] {
    ["From: <sip:alice@example.com>;tag=at", to, call]
}

const TO: &str = "To: <sip:bob@example.com>";

/// IMI-02, IMI-03: the sender of a message to a silent phone gets a final answer before its Timer F, and presence keeps the message.
#[tokio::test]
async fn a_message_to_a_silent_phone_is_kept() {
    let (rig, alice, bob) = phones("contact").await;
    alice.request("MESSAGE sip:bob@example.com", "m1", &lines("Call-ID: m1", TO)).await;
    bob.receive_request("MESSAGE").await;
    alice.receive_status(202).await;
    let handled = rig.intake.handled.lock().expect("no test panics with it").clone();
    let [kept] = &handled[..] else { panic!("{handled:?}") };
    assert_eq!((kept.method.as_str(), kept.request_uri.as_str()), ("MESSAGE", "sip:bob@example.com"));
    assert_eq!(kept.sip_call_id, "m1");
}

/// IMI-02: one that the phone answers is not; nor is what is nobody's message of ours, of which no 408 is sent either (TXN-13).
#[tokio::test]
async fn nothing_else_is_kept() {
    let (rig, alice, bob) = phones("contact").await;
    alice.request("MESSAGE sip:bob@example.com", "m1", &lines("Call-ID: m1", TO)).await;
    bob.respond(&bob.receive_request("MESSAGE").await, "200 OK", "bt", &[]).await;
    alice.receive_status(200).await;
    alice.request("OPTIONS sip:bob@example.com", "o1", &lines("Call-ID: o1", TO)).await;
    bob.receive_request("OPTIONS").await;
    let (other, carol, far) = phones("trunk").await;
    carol.request("MESSAGE sip:bob@example.com", "m2", &lines("Call-ID: m2", TO)).await;
    far.receive_request("MESSAGE").await;
    // What comes now comes after the time of all of them.
    let (late, dave, silent) = phones("contact").await;
    dave.request("MESSAGE sip:bob@example.com", "m3", &lines("Call-ID: m3", TO)).await;
    silent.receive_request("MESSAGE").await;
    dave.receive_status(202).await;
    for (rig, count) in [(&rig, 0), (&other, 0), (&late, 1)] {
        assert_eq!(rig.intake.handled.lock().expect("no test panics with it").len(), count);
    }
}

/// A message to bob by the entry of a tier, and its answer.
async fn answer_at(tier: &Tier, status: u16) {
    let alice = tier.entry.peer().await;
    alice.request("MESSAGE sip:bob@example.com", "m1", &lines("Call-ID: m1", TO)).await;
    alice.receive_status(status).await;
}

/// How many messages the edge gave to presence.
fn kept(rig: &Rig) -> usize {
    rig.intake.handled.lock().expect("no test panics with it").len()
}

/// IMI-02, OBD-05: nobody listens any more where the phone registered from, at this edge or at another one.
#[tokio::test]
async fn the_first_message_to_a_closed_port_is_kept() {
    let tier = Tier::of_two().await;
    let bob = tier.registered(NOWHERE).await;
    drop(bob);
    answer_at(&tier, 202).await;
    assert_eq!((kept(&tier.entry), kept(&tier.holder)), (1, 0));

    let (rig, alice, bob) = phones("contact").await;
    drop(bob);
    alice.request("MESSAGE sip:bob@example.com", "m1", &lines("Call-ID: m1", TO)).await;
    alice.receive_status(202).await;
    assert_eq!(kept(&rig), 1);
}

/// IMI-02, OBD-05: a phone whose only way was a connection to an edge that has died.
#[tokio::test]
async fn a_message_to_a_phone_of_a_dead_edge_is_kept() {
    let tier = Tier::of_two().await;
    let _bob = tier.connected().await;
    let gone = tier.holder.address;
    let Tier { entry, holder, .. } = tier;
    drop(holder);
    until_refused(gone).await;
    for number in ["m1", "m2"] {
        let alice = entry.peer().await;
        let call = format!("Call-ID: {number}");
        alice.request("MESSAGE sip:bob@example.com", number, &lines(&call, TO)).await;
        alice.receive_status(202).await;
    }
    assert_eq!(kept(&entry), 2);
}

/// IMI-02: what a phone says itself goes to who wrote to it; and no message
/// to somebody else's server is kept.
#[tokio::test]
async fn what_a_phone_refuses_is_not_kept() {
    for status in ["480 Temporarily Unavailable", "486 Busy Here"] {
        let (rig, alice, bob) = phones("contact").await;
        alice.request("MESSAGE sip:bob@example.com", "m1", &lines("Call-ID: m1", TO)).await;
        bob.respond(&bob.receive_request("MESSAGE").await, status, "bt", &[]).await;
        alice.receive_status(status[..3].parse().expect("a status")).await;
        assert_eq!(kept(&rig), 0);
    }
    let (rig, alice, far) = phones("trunk").await;
    drop(far);
    alice.request("MESSAGE sip:bob@example.com", "m1", &lines("Call-ID: m1", TO)).await;
    alice.receive_status(500).await;
    assert_eq!(kept(&rig), 0);
}
