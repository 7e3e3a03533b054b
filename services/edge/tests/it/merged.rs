//! A request that a proxy further back has forked and that comes together again here.

use cluster_api::callcontrol::v1::leg_event::What;
use cluster_api::registrar::v1::HandToCallControl;
use cluster_api::registrar::v1::route_response::Plan;

use crate::peer::text;
use crate::rig::Rig;
use crate::services::FakeLocation;

/// UAC-07: one call, one 482; the next request of the same caller begins another call.
#[tokio::test]
async fn a_request_that_comes_by_two_ways_begins_one_call() {
    let rig = Rig::with(FakeLocation::planning(|_| Plan::CallControl(HandToCallControl::default()))).await;
    let (alice, relay) = (rig.peer().await, rig.peer().await);
    let contact = "Contact: <sip:alice@192.0.2.1>";
    let lines = ["From: <sip:alice@example.com>;tag=at", "To: <sip:bob@example.com>", "Call-ID: c1", contact];
    alice.request("INVITE sip:bob@example.com", "m1", &lines).await;
    let (first, event) = rig.events.next().await;
    assert!(matches!(event.what, Some(What::Incoming(_))), "{event:?}");
    relay.request("INVITE sip:bob@example.com", "m2", &lines).await;
    let answer = relay.receive_past_100().await;
    assert_eq!(answer.status(), Some(482), "{}", text(&answer));
    let again = [lines[0], lines[1], lines[2], contact, "CSeq: 2 INVITE"];
    alice.request("INVITE sip:bob@example.com", "m3", &again).await;
    let (second, event) = rig.events.next().await;
    assert!(matches!(event.what, Some(What::Incoming(_))), "{event:?}");
    assert_ne!(first, second);
}
