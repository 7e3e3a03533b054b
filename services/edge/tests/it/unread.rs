//! Messages that no phone answers.

use cluster_api::registrar::v1::route_response::Plan;
use cluster_api::registrar::v1::{Fork, Group, Target};

use crate::peer::Peer;
use crate::rig::{Rig, fast};
use crate::services::FakeLocation;

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
