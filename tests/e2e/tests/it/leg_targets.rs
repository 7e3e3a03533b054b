//! Legs of call-control towards peers that answer twice, or that listen elsewhere than they send.

use cluster_api::callcontrol::v1::call_event;
use test_support::{Carillon, Starting};

use crate::calls::{Watch, dial};
use crate::wire::{Wire, header};

/// A phone without digest that registered its own address.
fn registered(carillon: &Carillon, user: &str) -> Wire {
    let phone = Wire::of(carillon);
    let contact = format!("Contact: <sip:{user}@{}>", phone.address());
    let (from, to) = (format!("From: <sip:{user}@localhost>;tag=r"), format!("To: <sip:{user}@localhost>"));
    let call_id = phone.request("REGISTER sip:localhost", &[&from, &to, &contact]);
    assert!(phone.answer_to(&call_id).starts_with("SIP/2.0 200"));
    phone
}

/// The INVITE as a proxy further on forked it to another phone.
fn forked(invite: &str) -> String {
    let to = header(invite, "To").unwrap();
    invite.replace(&format!("To: {to}"), &format!("To: {to};tag=late"))
}

/// Acknowledged and ended: the dialog of the late 2xx.
fn expect_end_of_late_dialog(phone: &Wire) {
    for method in ["ACK", "BYE"] {
        loop {
            let request = phone.receive_request(method);
            // The ACK for the failure is another one.
            if header(&request, "To").unwrap().ends_with(";tag=late") {
                break phone.respond(&request, "200 OK", &[]);
            }
        }
    }
}

/// UAC-17, LAD-10 R3: a fork further on succeeds when the leg has failed and its call is over.
#[tokio::test(flavor = "multi_thread")]
async fn a_success_after_the_failure_of_a_leg_is_acknowledged_and_ended() {
    let carillon = Carillon::serve(&["--auth", "none"]);
    let (alice, _bob) = (registered(&carillon, "alice"), registered(&carillon, "bob"));
    let id = dial(&carillon, &[]);
    let invite = alice.receive_request("INVITE");
    alice.respond(&invite, "486 Busy Here", &[]);
    Watch::begin(&carillon, &id, None).await.until(call_event::Type::Ended).await;
    alice.respond(&forked(&invite), "200 OK", &[&format!("Contact: <sip:alice@{}>", alice.address())]);
    expect_end_of_late_dialog(&alice);
}

/// UAC-17: the same while the leg is tried again elsewhere.
#[test]
fn a_success_after_a_redirection_of_a_leg_is_acknowledged_and_ended() {
    let carillon =
        Starting::with(&["--auth", "none"], &[("CARILLON_CALL_CONTROL_REDIRECTS", "anywhere")]).ready();
    let (alice, _bob) = (registered(&carillon, "alice"), registered(&carillon, "bob"));
    let elsewhere = Wire::of(&carillon);
    dial(&carillon, &[]);
    let invite = alice.receive_request("INVITE");
    let contact = format!("Contact: <sip:alice@{}>", elsewhere.address());
    alice.respond(&invite, "302 Moved Temporarily", &[&contact]);
    elsewhere.receive_request("INVITE");
    alice.respond(&forked(&invite), "200 OK", &[&format!("Contact: <sip:alice@{}>", alice.address())]);
    expect_end_of_late_dialog(&alice);
}

/// RFC 3261 12.2.1.1: one socket of the phone sends and another one listens.
#[test]
fn a_leg_goes_on_where_the_contact_of_its_answer_leads() {
    let carillon = Carillon::serve(&["--auth", "none"]);
    let (alice, _bob) = (registered(&carillon, "alice"), registered(&carillon, "bob"));
    let listens = Wire::of(&carillon);
    let id = dial(&carillon, &[]);
    let invite = alice.receive_request("INVITE");
    alice.respond(&invite, "200 OK", &[&format!("Contact: <sip:alice@{}>", listens.address())]);
    crate::calls::hang_up(&carillon, &id);
    listens.receive_request("BYE");
}
