//! The lamp of a user who is called, over two edges, two replicas of presence and two of call-control: one of each dies on the way, and the
//! watcher gets each change once, in order.

use std::sync::atomic::{AtomicU32, Ordering};

use super::mailboxes::Cluster;
use super::user;
use super::watcher::{Told, Watcher};
use crate::wire::{Wire, header, status};

/// The number of a document.
fn version(told: &Told) -> u32 {
    let after = told.body.split("version=\"").nth(2).expect("dialogs have a version, after that of XML");
    after.split('"').next().and_then(|digits| digits.parse().ok()).expect("a number")
}

/// How far the call is, as a document says it.
fn reach(told: &Told) -> &str {
    let state = told.body.split("<state").nth(1).expect("a dialog has a state");
    state.split('>').nth(1).and_then(|text| text.split('<').next()).expect("a state says something")
}

/// Reads until the call is this far: each document has the next number, and is about something new, later than what was told before.
fn until(watcher: &Watcher, last: &Told, far: &str) -> Told {
    const ORDER: [&str; 5] = ["trying", "proceeding", "early", "confirmed", "terminated"];
    let place =
        |told: &Told| ORDER.iter().position(|known| *known == reach(told)).expect("a state of RFC 4235");
    let mut last = last.clone();
    loop {
        let told = watcher.told();
        assert_eq!(
            (told.cseq, version(&told)),
            (last.cseq + 1, version(&last) + 1),
            "{told:?} after {last:?}"
        );
        if last.body.contains("<dialog ") {
            assert!(place(&told) > place(&last), "{told:?} after {last:?}");
        }
        if reach(&told) == far {
            return told;
        }
        last = told;
    }
}

/// A call of alice to bob that rings; the INVITE as bob got it, and its Call-ID.
fn ring(alice: &Wire, bob: &Wire) -> (String, String) {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    let from = format!("From: <sip:alice@localhost>;tag=a{}", CALLS.fetch_add(1, Ordering::Relaxed));
    let contact = format!("Contact: <sip:alice@{}>", alice.address());
    let call_id = alice.request("INVITE sip:bob@localhost", &[&from, &contact]);
    let invite = bob.receive_request("INVITE");
    bob.respond(&invite, "180 Ringing", &[&format!("Contact: <sip:bob@{}>", bob.address())]);
    (invite, call_id)
}

/// A request of alice in the call that was answered so.
fn within(alice: &Wire, answer: &str, method: &str, cseq: &str) {
    let mut lines: Vec<String> = ["From", "To", "Call-ID"]
        .map(|name| format!("{name}: {}", header(answer, name).expect("every answer has it")))
        .into();
    let recorded = answer.lines().filter_map(|line| line.strip_prefix("Record-Route: "));
    let recorded: Vec<String> = recorded.map(|route| format!("Route: {route}")).collect();
    lines.extend(recorded.into_iter().rev());
    lines.push(format!("CSeq: {cseq} {method}"));
    let contact = header(answer, "Contact").expect("a 200 to INVITE has a Contact");
    let target = contact.trim_start_matches('<').split('>').next().unwrap();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    alice.request(&format!("{method} {target}"), &lines);
}

/// F1, F3, F4, EVT-12, EVT-13, PKG-03: the replica of presence that took the SUBSCRIBE dies before the phone rings, the edge of the watcher before
/// it answers, and the replica of call-control that was told of it before it ends.
#[test]
fn changes_of_a_lamp_are_told_once_whatever_dies() {
    let mut cluster = Cluster::start();
    let [alice, bob] = ["alice", "bob"].map(|name| user(&cluster.edges[1], name));
    let mut watcher = Watcher::new(&cluster.edges[0], "bob", "bob", "dialog", &[]);
    assert_eq!(status(&watcher.subscribe(3_600)), 200);
    let first = watcher.told();
    assert!(!first.body.contains("<dialog "), "{first:?}");
    cluster.presence[0].kill();
    let (invite, call_id) = ring(&alice, &bob);
    let rings = until(&watcher, &first, "early");
    cluster.edges[0].kill();
    bob.respond(&invite, "200 OK", &[&format!("Contact: <sip:bob@{}>", bob.address())]);
    let answer = alice.answer_to(&call_id);
    assert_eq!(status(&answer), 200, "{answer}");
    within(&alice, &answer, "ACK", "1");
    let talks = until(&watcher, &rings, "confirmed");
    cluster.calls[0].kill();
    within(&alice, &answer, "BYE", "2");
    let bye = bob.receive_request("BYE");
    bob.respond(&bye, "200 OK", &[]);
    let over = until(&watcher, &talks, "terminated");
    // The next thing is the end of the subscription: nothing was told twice.
    watcher.wire.turn_to(&cluster.edges[1]);
    assert_eq!(status(&watcher.subscribe(0)), 200);
    let end = watcher.told();
    assert_eq!((end.state.as_str(), end.cseq), ("terminated;reason=timeout", over.cseq + 1), "{end:?}");
}

/// F1, F3, F4, EVT-12, PKG-03: the other way round: call-control's replica dies before the phone rings, that of presence before it answers, and
/// the edge of the watcher before it ends.
#[test]
fn a_lamp_goes_out_though_everything_died_that_lit_it() {
    let mut cluster = Cluster::start();
    let [alice, bob] = ["alice", "bob"].map(|name| user(&cluster.edges[1], name));
    let mut watcher = Watcher::new(&cluster.edges[0], "bob", "bob", "dialog", &[]);
    assert_eq!(status(&watcher.subscribe(3_600)), 200);
    let first = watcher.told();
    cluster.calls[0].kill();
    let (invite, call_id) = ring(&alice, &bob);
    let rings = until(&watcher, &first, "early");
    cluster.presence[0].kill();
    bob.respond(&invite, "200 OK", &[&format!("Contact: <sip:bob@{}>", bob.address())]);
    let answer = alice.answer_to(&call_id);
    within(&alice, &answer, "ACK", "1");
    let talks = until(&watcher, &rings, "confirmed");
    cluster.edges[0].kill();
    within(&alice, &answer, "BYE", "2");
    let bye = bob.receive_request("BYE");
    bob.respond(&bye, "200 OK", &[]);
    until(&watcher, &talks, "terminated");
}
