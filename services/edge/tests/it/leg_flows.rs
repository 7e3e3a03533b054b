//! Where call-control's requests inside a dialog go: to the peer's Contact, or along the flow when only that leads there.

use cluster_api::callcontrol::v1::LegEvent;
use cluster_api::edge::v1::{SendRequest, carry_request::What as Effect};

use crate::legs::{dialog_of_bob, in_dialog, invite, one_phone};
use crate::peer::Peer;
use crate::rig::Rig;

/// LAD-1: one socket sends and another one listens.
#[tokio::test]
async fn a_peer_that_listens_elsewhere_is_called_back_where_it_listens() {
    let (rig, bob) = one_phone().await;
    let ear = Peer::unbound().await.toward(rig.address);
    let event = contact_in_dialog(&rig, &bob, &format!("sip:bob@{}", ear.address())).await;
    assert_eq!(event.flow, "");
    rig.carry(1, Effect::Send(SendRequest { flow: event.flow, ..in_dialog("BYE", 2, &ear) })).await;
    let bye = ear.receive_request("BYE").await;
    ear.respond(&bye, "200 OK", "", &[]).await;
}

/// TRN-12
#[tokio::test]
async fn a_peer_whose_contact_leads_nowhere_is_called_back_by_its_flow() {
    let (rig, bob) = one_phone().await;
    let nowhere = "sip:bob@df7jal23ls0d.invalid";
    let event = contact_in_dialog(&rig, &bob, nowhere).await;
    let bye = SendRequest { request_uri: nowhere.into(), flow: event.flow, ..in_dialog("BYE", 2, &bob) };
    rig.carry(1, Effect::Send(bye)).await;
    assert_eq!(bob.receive_request("BYE").await.request_uri(), Some(nowhere.as_bytes()));
}

/// LAD-1: the answerer names the socket that it listens on.
#[tokio::test]
async fn the_contact_of_an_answer_decides_where_its_ack_goes() {
    let (rig, bob) = one_phone().await;
    let ear = Peer::unbound().await.toward(rig.address);
    rig.carry(1, Effect::Send(invite())).await;
    let invite = bob.receive_request("INVITE").await;
    bob.respond(&invite, "200 OK", "bt", &[&format!("Contact: <sip:bob@{}>", ear.address())]).await;
    let (_, answered) = rig.events.next().await;
    assert_eq!(answered.flow, "");
    rig.carry(2, Effect::Send(SendRequest { flow: answered.flow, ..in_dialog("ACK", 1, &ear) })).await;
    ear.receive_request("ACK").await;
}

/// Bob moves the dialog of a leg to this Contact; what call-control is told.
async fn contact_in_dialog(rig: &Rig, bob: &Peer, contact: &str) -> LegEvent {
    let contact = format!("Contact: <{contact}>");
    let mut lines = dialog_of_bob("CSeq: 5 INVITE");
    lines.push(&contact);
    bob.request(&format!("INVITE sip:cc.call-1.a@{}", rig.address), "b1", &lines).await;
    rig.events.next().await.1
}
