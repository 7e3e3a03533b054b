//! Subscriptions and what they bring, by watchers that speak plain SIP.

mod bodies;
mod conferences;
mod elsewhere;
mod failover;
mod impostors;
mod lamps;
mod led_on;
mod mailboxes;
mod many;
mod messages;
mod people;
mod sipp;
mod softphones;
mod watched;
mod watcher;

use test_support::Carillon;

use crate::wire::{Wire, status};

/// Registers a contact, so that there is such a user where nobody has to authenticate.
fn user(carillon: &Carillon, name: &str) -> Wire {
    let wire = Wire::of(carillon);
    assert_eq!(status(&register(&wire, name, "Expires: 3600")), 200);
    wire
}

/// Registers, or ends a registration; the final answer.
fn register(wire: &Wire, name: &str, expires: &str) -> String {
    let call_id = wire.request(
        "REGISTER sip:localhost",
        &[
            &format!("From: <sip:{name}@localhost>;tag=r"),
            &format!("To: <sip:{name}@localhost>"),
            &format!("Contact: <sip:{name}@{}>", wire.address()),
            expires,
        ],
    );
    wire.answer_to(&call_id)
}
