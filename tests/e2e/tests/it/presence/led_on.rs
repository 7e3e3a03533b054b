//! The lamps of a call that is led on: at who has it, and not at whom it was for.

use scripted_phone::{Answer, Remote, Script};
use test_support::{Carillon, TestPhone};

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

/// PKG-03: nobody takes bob's call, and it goes on to carol: her lamp is lit as soon as her phone rings, and his goes out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_is_led_on_while_it_rings_is_shown_where_it_rings() {
    let carillon = Carillon::all_in_one();
    let mut phones = Vec::new();
    for name in ["alice", "bob", "carol"] {
        let aor = format!("sip:{name}@localhost");
        carillon.account(&aor, "secret");
        let script = Script { answer: Answer::Never, ..Script::default() };
        phones.push(TestPhone::registered(&carillon.sip, &aor, "secret", script).await);
    }
    let rule = ["forward", "set", "sip:bob@localhost", "--no-answer", "sip:carol@localhost", "--after", "1s"];
    let set = carillon.command(&rule);
    assert!(set.status.success(), "{}", String::from_utf8_lossy(&set.stderr));
    let [mut of_bob, of_carol] = ["bob", "carol"].map(|name| {
        let mut watcher = Watcher::new(&carillon, name, name, "dialog", &[]);
        watcher.login = Some((name.to_owned(), "secret".to_owned()));
        assert_eq!(status(&watcher.subscribe(3_600)), 200);
        watcher.told();
        watcher
    });
    phones[0].act(Remote::Dial("sip:bob@localhost".into())).await;
    let rings = of_carol.until(|told| told.body.contains(">early<"));
    assert!(rings.body.contains("sip:alice@localhost"), "{rings:?}");
    // Nobody has answered, and bob's phone rings no more. His lamp may have been lit for a moment.
    assert_eq!(status(&of_bob.subscribe(3_600)), 200);
    let whole = of_bob.until(|told| told.body.contains("state=\"full\""));
    assert!(!whole.body.contains("<dialog "), "{whole:?}");
}
