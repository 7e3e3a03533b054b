//! How phones are let go by an edge that ends.

use cluster_api::registrar::v1::Refuse;
use cluster_api::registrar::v1::route_response::Plan;

use crate::calls::{ring, two_phones};
use crate::rig::Rig;
use crate::services::FakeLocation;
use crate::stream::Connection;

const LINES: [&str; 3] =
    ["From: <sip:carol@example.com>;tag=a", "To: <sip:example.com>", "Call-ID: of-a-third-phone"];

async fn connected(rig: &Rig) -> Connection {
    let mut phone = Connection::to(rig.address).await;
    phone.request("OPTIONS sip:example.com", "1", &LINES).await;
    phone.receive_status(200).await;
    phone
}

/// Section 7 of the design: what is in hand is finished first.
#[tokio::test]
async fn phones_are_let_go_when_nothing_is_in_hand_any_more() {
    let (rig, alice, bob, _) = two_phones().await;
    let mut idle = connected(&rig).await;
    let invite = ring(&alice, &bob).await;
    rig.drain.begin();
    idle.request("OPTIONS sip:example.com", "2", &LINES).await;
    idle.receive_status(503).await;
    bob.respond(&invite, "486 Busy Here", "bt", &[]).await;
    alice.receive_status(486).await;
    idle.expect_end().await;
    rig.drain.complete().await;
}

/// Section 7 of the design: a drain is not complete before all phones are gone.
#[tokio::test]
async fn an_edge_does_not_end_before_its_phones_were_let_go() {
    let location = FakeLocation::planning(|_| Plan::Refuse(Refuse::default()));
    let rig = Rig::with(location).await;
    let mut phones = Vec::new();
    for _ in 0..45 {
        phones.push(connected(&rig).await);
    }
    rig.drain.begin();
    rig.drain.complete().await;
    assert_eq!(rig.drain.state().left.get("connections"), Some(&0));
    for phone in &mut phones {
        phone.expect_end().await;
    }
}
