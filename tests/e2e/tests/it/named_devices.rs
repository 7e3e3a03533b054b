//! What a phone is told when it registers, and what becomes of it: the way of its requests, names of its own, and a port that closes.

use test_support::Carillon;

use crate::wire::{Wire, header, status};

const INSTANCE: &str = "+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-000000000001>\"";

fn serving() -> Carillon {
    Carillon::serve(&["--auth", "none"])
}

/// Registers Bob from this socket; the 200.
fn register(bob: &Wire, call_id: &str, cseq: u32, expires: u32) -> String {
    let contact = format!("Contact: <sip:bob@{};ob>;{INSTANCE};expires={expires}", bob.address());
    let lines = [
        "From: <sip:bob@localhost>;tag=b".to_owned(),
        format!("Call-ID: {call_id}"),
        format!("CSeq: {cseq} REGISTER"),
        "Supported: path, outbound, gruu".to_owned(),
        contact,
    ];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    bob.request("REGISTER sip:localhost", &lines);
    let answer = bob.answer_to(call_id);
    assert_eq!(status(&answer), 200, "{answer}");
    answer
}

/// The temporary GRUU in a 200.
fn temporary(answer: &str) -> String {
    let contact = header(answer, "Contact").expect("it is bound");
    let rest = contact.split("temp-gruu=\"").nth(1).expect("it is given");
    rest.split('"').next().expect("it ends").to_owned()
}

/// GRU-01, GRU-02, GRU-03: each refresh gives a name that leads to Bob and does not say so; another Call-ID ends those before, and the
/// end of the registration ends them all.
#[test]
fn a_phone_is_called_by_its_temporary_names_until_they_end() {
    let carillon = serving();
    let (alice, bob) = (Wire::of(&carillon), Wire::of(&carillon));
    let reaches = |uri: &str| {
        let call_id = alice.request(&format!("INVITE {uri}"), &[]);
        let invite = bob.receive_request("INVITE");
        bob.respond(&invite, "486 Busy Here", &[]);
        assert_eq!(status(&alice.answer_to(&call_id)), 486, "{uri}");
    };
    let is_unknown = |uri: &str| {
        let call_id = alice.request(&format!("INVITE {uri}"), &[]);
        assert_eq!(status(&alice.answer_to(&call_id)), 404, "{uri}");
    };
    let names = [1, 2].map(|cseq| temporary(&register(&bob, "one", cseq, 600)));
    assert_ne!(names[0], names[1]);
    for name in &names {
        assert!(!name.contains("bob"), "{name}");
        reaches(name);
    }
    let newest = temporary(&register(&bob, "two", 1, 600));
    is_unknown(&names[0]);
    is_unknown(&names[1]);
    reaches(&newest);
    register(&bob, "two", 2, 0);
    is_unknown(&newest);
}

/// REG-21: the way that the 200 names leads where the request would have gone without it.
#[test]
fn a_request_along_the_service_route_is_delivered() {
    let carillon = serving();
    let (alice, bob) = (Wire::of(&carillon), Wire::of(&carillon));
    let answer = register(&bob, "one", 1, 600);
    let route = header(&answer, "Service-Route").expect("it is told").to_owned();
    assert!(route.contains(&carillon.sip) && route.contains(";lr"), "{route}");
    let call_id = alice.request("INVITE sip:bob@localhost", &[&format!("Route: {route}")]);
    let invite = bob.receive_request("INVITE");
    assert_eq!(header(&invite, "Route"), None, "{invite}");
    bob.respond(&invite, "486 Busy Here", &[]);
    assert_eq!(status(&alice.answer_to(&call_id)), 486);
}

/// OBD-05, TRN-08: the kernel of Bob's host says that his port is closed: Alice hears 480 at once, and his binding is gone.
#[test]
fn a_phone_whose_port_is_closed_is_not_registered_any_more() {
    let carillon = serving();
    let (alice, bob) = (Wire::of(&carillon), Wire::of(&carillon));
    register(&bob, "one", 1, 600);
    drop(bob);
    let call_id = alice.request("INVITE sip:bob@localhost", &[]);
    let answer = alice.answer_to(&call_id);
    assert_eq!(status(&answer), 480, "{answer}");
    assert!(header(&answer, "Warning").is_some_and(|warning| warning.contains("Nobody listens")), "{answer}");
    let started = std::time::Instant::now();
    loop {
        let query = alice.request(
            "REGISTER sip:localhost",
            &["From: <sip:bob@localhost>;tag=q", "To: <sip:bob@localhost>"],
        );
        let answer = alice.answer_to(&query);
        // The registrar is told after the call has failed.
        if header(&answer, "Contact").is_none() {
            return;
        }
        assert!(started.elapsed() < test_support::PATIENCE, "still bound: {answer}");
    }
}
