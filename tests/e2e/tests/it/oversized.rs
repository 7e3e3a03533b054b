//! More of everything than a message may hold, at a running edge with the registrar behind it.

use test_support::Carillon;

use crate::wire::{Wire, header, status};

/// What is said too much, and the answer; 0 is silence, which is counted.
struct Excess {
    what: &'static str,
    start: String,
    lines: Vec<String>,
    status: u16,
}

fn excess(what: &'static str, start: &str, lines: Vec<String>, status: u16) -> Excess {
    Excess { what, start: start.to_owned(), lines, status }
}

fn repeated(count: usize, line: impl Fn(usize) -> String) -> Vec<String> {
    (0..count).map(line).collect()
}

fn excesses() -> Vec<Excess> {
    let register = |contacts: Vec<String>| {
        let own = ["From: <sip:bob@localhost>;tag=b", "To: <sip:bob@localhost>"].map(String::from);
        own.into_iter().chain(contacts).collect()
    };
    let long = |count: usize| "x".repeat(count);
    let call = "MESSAGE sip:bob@localhost";
    vec![
        excess("header lines", call, repeated(300, |n| format!("X-Line-{n}: {n}")), 400),
        excess("Vias", call, repeated(70, |n| format!("v: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK{n}")), 400),
        excess("Routes in lines", call, repeated(100, |n| format!("Route: <sip:192.0.2.1:{n};lr>")), 400),
        excess("Routes in a list", call, vec![format!("Route: {}", list(500, "<sip:r.example;lr>"))], 400),
        excess("Record-Routes", call, repeated(100, |_| "Record-Route: <sip:192.0.2.1;lr>".into()), 400),
        excess("Contacts of a call", call, vec![format!("Contact: {}", list(60, "<sip:a@h>"))], 400),
        excess("Request-URI", &format!("MESSAGE sip:{}@localhost", long(5_000)), Vec::new(), 414),
        excess("user", &format!("MESSAGE sip:{}@localhost", long(4_000)), Vec::new(), 404),
        excess("host", &format!("MESSAGE sip:bob@{}.example", long(4_000)), Vec::new(), 403),
        excess(
            "URI parameters",
            &format!("MESSAGE sip:bob@localhost{}", ";x=1".repeat(900)),
            Vec::new(),
            400,
        ),
        excess("header line", call, vec![format!("Subject: {}", long(20_000))], 400),
        excess("From", call, vec![format!("From: \"{}\" <sip:a@localhost>;tag=a", long(20_000))], 0),
        excess("Call-ID", call, vec![format!("Call-ID: {}", long(10_000))], 404),
        excess("CSeq", call, vec![format!("CSeq: {} MESSAGE", "9".repeat(400))], 400),
        excess("Max-Forwards", call, vec![format!("Max-Forwards: {}", "9".repeat(400))], 400),
        excess("tag", call, vec![format!("From: <sip:alice@localhost>;tag={}", long(8_000))], 404),
        excess(
            "credentials",
            call,
            repeated(200, |_| "Proxy-Authorization: Digest realm=\"localhost\", nonce=\"n\"".into()),
            404,
        ),
        excess(
            "Contacts of a REGISTER",
            "REGISTER sip:localhost",
            register(repeated(200, |n| format!("Contact: <sip:b{n}@192.0.2.1>"))),
            400,
        ),
        excess(
            "bindings of one user",
            "REGISTER sip:localhost",
            register(repeated(40, |n| format!("Contact: <sip:b{n}@192.0.2.1>"))),
            403,
        ),
        excess(
            "Path",
            "REGISTER sip:localhost",
            register(repeated(200, |n| format!("Path: <sip:p{n}.example;lr>"))),
            420,
        ),
    ]
}

fn list(count: usize, value: &str) -> String {
    vec![value; count].join(", ")
}

/// MSG-10, MSG-14: each bound has its answer, or is counted when nobody could be answered.
#[test]
fn what_is_too_much_of_anything_has_its_answer_and_harms_nobody() {
    let mut carillon = Carillon::serve(&["--auth", "none"]);
    let bob = Wire::of(&carillon);
    let unanswered =
        |carillon: &Carillon| carillon.metric("carillon_edge_sip_total{event=\"malformed_unanswered\"}");
    let contact = "Contact: <sip:bob@192.0.2.1>;expires=60".to_owned();
    let mut wrong = Vec::new();
    for Excess { what, start, lines, status: expected } in excesses() {
        let wire = Wire::of(&carillon);
        let before = unanswered(&carillon);
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let call_id = wire.request(&start, &lines);
        if expected == 0 {
            wire.expect_nothing();
            assert_eq!(unanswered(&carillon), before + 1.0, "{what}");
        } else {
            let answer = wire.answer_to(&call_id);
            if status(&answer) != expected {
                wrong.push(format!("{what}: expected {expected}, {answer:.60}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // Nothing of it was stored, and the edge still serves.
    let own = ["From: <sip:bob@localhost>;tag=b", "To: <sip:bob@localhost>"];
    let call_id = bob.request("REGISTER sip:localhost", &own);
    let empty = bob.answer_to(&call_id);
    assert_eq!((status(&empty), header(&empty, "Contact")), (200, None), "{empty}");
    let call_id = bob.request("REGISTER sip:localhost", &[own[0], own[1], &contact]);
    assert_eq!(status(&bob.answer_to(&call_id)), 200);
    for counter in ["internal_panics", "user_panics", "work_panics"] {
        assert_eq!(carillon.metric(&format!("carillon_edge_sip_total{{event=\"{counter}\"}}")), 0.0);
    }
    assert!(carillon.is_alive());
}
