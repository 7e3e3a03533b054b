//! Policies of accounts, set by the operator's commands and seen on the wire.

use test_support::Carillon;

use crate::wire::{Wire, header, status};

/// FWD-01: an account that only redirects, then one that some may reach, then one for everybody.
#[test]
fn the_operator_says_who_reaches_an_account_and_how() {
    let carillon = Carillon::serve(&["--auth", "none"]);
    let redirecting = ["account", "add", "sip:bob@localhost", "--password", "b", "--redirect-only", "true"];
    accepted(&carillon, &redirecting);
    let (alice, bob) = (Wire::of(&carillon), Wire::of(&carillon));
    let contact = format!("Contact: <sip:bob@{}>", bob.address());
    let from = "From: <sip:bob@localhost>;tag=b";
    let registered = bob.request("REGISTER sip:localhost", &[from, &contact]);
    assert_eq!(status(&bob.answer_to(&registered)), 200);
    let call = |who: &str| {
        let from = format!("From: <sip:{who}@localhost>;tag=a");
        alice.request("INVITE sip:bob@localhost", &[&from, "Contact: <sip:alice@127.0.0.1>"])
    };
    let redirected = alice.answer_to(&call("alice"));
    assert_eq!(status(&redirected), 302, "{redirected}");
    assert_eq!(header(&redirected, "Contact"), contact.strip_prefix("Contact: "));
    let few = "sip:alice@localhost,sip:+49*@localhost";
    accepted(
        &carillon,
        &["account", "set", "sip:bob@localhost", "--redirect-only", "false", "--allowed-callers", few],
    );
    let unwanted = alice.answer_to(&call("carol"));
    assert_eq!(status(&unwanted), 603, "{unwanted}");
    assert!(header(&unwanted, "Reason").is_some_and(|reason| reason.contains("cause=603")), "{unwanted}");
    for who in ["alice", "+4930"] {
        rings(&alice, &bob, &call(who));
    }
    let listed = accepted(&carillon, &["account", "list", "--json"]);
    let listed: serde_json::Value = serde_json::from_str(&listed).expect("one account is one line");
    assert_eq!(listed["allowed_callers"], serde_json::json!(few.split(',').collect::<Vec<_>>()));
    let shown = accepted(&carillon, &["account", "list"]);
    assert!(shown.contains("2 callers"), "{shown}");
    accepted(
        &carillon,
        &["account", "set", "sip:bob@localhost", "--allowed-callers", "", "--max-bindings", "1"],
    );
    rings(&alice, &bob, &call("carol"));
    let second = bob.request("REGISTER sip:localhost", &[from, "Contact: <sip:bob@192.0.2.9>"]);
    assert_eq!(status(&bob.answer_to(&second)), 403, "one phone is the most");
    let bad = carillon.command(&["account", "set", "sip:bob@localhost", "--allowed-callers", "everybody"]);
    let told = String::from_utf8_lossy(&bad.stderr).into_owned();
    assert!(!bad.status.success() && told.contains("sip:*@example.com"), "{told}");
}

/// Bob's phone gets the call, and is busy.
fn rings(alice: &Wire, bob: &Wire, call_id: &str) {
    let invite = bob.receive_request("INVITE");
    bob.respond(&invite, "486 Busy Here", &[]);
    assert_eq!(status(&alice.answer_to(call_id)), 486);
}

fn accepted(carillon: &Carillon, arguments: &[&str]) -> String {
    let done = carillon.command(arguments);
    assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).into_owned()
}
