//! The lamps of a call that is led on: at who has it, and not at whom it was for.

use test_support::Carillon;

use super::user;
use super::watcher::Watcher;
use crate::wire::{header, status};

/// PKG-03: bob's calls go to carol: her lamp rings and is lit, his is not.
#[test]
fn a_forwarded_call_is_shown_at_who_takes_it() {
    let carillon = Carillon::serve(&["--auth", "none"]);
    let [caller, bob, carol] = ["alice", "bob", "carol"].map(|name| {
        carillon.account(&format!("sip:{name}@localhost"), "secret");
        user(&carillon, name)
    });
    let rule = ["forward", "set", "sip:bob@localhost", "--unconditional", "sip:carol@localhost"];
    let set = carillon.command(&rule);
    assert!(set.status.success(), "{}", String::from_utf8_lossy(&set.stderr));
    let [of_bob, of_carol] = ["bob", "carol"].map(|name| {
        let mut watcher = Watcher::new(&carillon, name, name, "dialog", &[]);
        assert_eq!(status(&watcher.subscribe(3_600)), 200);
        assert!(!watcher.told().body.contains("<dialog "));
        watcher
    });
    let contact = format!("Contact: <sip:alice@{}>", caller.address());
    let lines = ["From: <sip:alice@localhost>;tag=a", "To: <sip:bob@localhost>", &contact];
    let call_id = caller.request("INVITE sip:bob@localhost", &lines);
    let invite = carol.receive_request("INVITE");
    let contact = format!("Contact: <sip:carol@{}>", carol.address());
    carol.respond(&invite, "180 Ringing", &[&contact]);
    let rings = of_carol.until(|told| told.body.contains("early"));
    assert!(rings.body.contains("sip:alice@localhost"), "{rings:?}");
    carol.respond(&invite, "200 OK", &[&contact]);
    let answer = caller.answer_to(&call_id);
    assert_eq!(status(&answer), 200, "{answer}");
    let talks = of_carol.until(|told| told.body.contains("confirmed"));
    assert!(header(&talks.text, "Content-Type").is_some_and(|kind| kind.contains("dialog-info")));
    // The lamp of bob has learnt that it is over before it can learn of a second call: one that nobody leads on.
    let unset = carillon.command(&["forward", "clear", "sip:bob@localhost"]);
    assert!(unset.status.success(), "{}", String::from_utf8_lossy(&unset.stderr));
    let lines = ["From: <sip:alice@localhost>;tag=b", "To: <sip:bob@localhost>", lines[2]];
    caller.request("INVITE sip:bob@localhost", &lines);
    let invite = bob.receive_request("INVITE");
    bob.respond(&invite, "180 Ringing", &[&format!("Contact: <sip:bob@{}>", bob.address())]);
    let seen = std::cell::RefCell::new(Vec::new());
    of_bob.until(|told| {
        seen.borrow_mut().push(told.body.clone());
        told.body.contains("early")
    });
    assert!(seen.borrow().iter().all(|body| !body.contains("confirmed")), "{seen:?}");
}
