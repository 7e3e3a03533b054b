//! Who watches whom, and who is registered where.

use cluster_api::presence::v1::watcher_policy::Action;
use test_support::Carillon;

use super::people::allow;
use super::watcher::Watcher;
use super::{register, user};
use crate::wire::{Wire, status};

/// WIN-01, WIN-02, EVT-13: the owner learns of a new watcher, of the decision about it and of its end; a watcher sees itself.
#[tokio::test(flavor = "multi_thread")]
async fn the_owner_learns_who_watches() {
    let carillon = Carillon::serve(&["--auth", "none"]);
    user(&carillon, "alice");
    let mut alice = Watcher::new(&carillon, "alice", "alice", "presence.winfo", &[]);
    assert_eq!(status(&alice.subscribe(7_200)), 200);
    let first = alice.told();
    assert!(
        first.body.contains("version=\"0\" state=\"full\"") && !first.body.contains("<watcher "),
        "{first:?}"
    );

    let mut bob = Watcher::new(&carillon, "bob", "alice", "presence", &[]);
    assert_eq!(status(&bob.subscribe(600)), 200);
    assert!(bob.told().state.starts_with("pending"));
    let told = alice.told();
    assert!(told.body.contains("version=\"1\" state=\"partial\""), "{told:?}");
    assert!(told.body.contains("event=\"subscribe\" status=\"pending\">sip:bob@localhost<"), "{told:?}");

    let mut himself = Watcher::new(&carillon, "bob", "alice", "presence.winfo", &[]);
    assert_eq!(status(&himself.subscribe(600)), 200);
    assert!(himself.told().body.contains("status=\"pending\">sip:bob@localhost<"));
    let mut carol = Watcher::new(&carillon, "carol", "alice", "presence.winfo", &[]);
    assert_eq!(status(&carol.subscribe(600)), 200);
    assert!(!carol.told().body.contains("<watcher "));

    allow(&carillon, &[("bob", Action::Allow)]).await;
    assert!(bob.told().state.starts_with("active"));
    let told = alice.told();
    assert!(
        told.body.contains("version=\"2\"") && told.body.contains("event=\"approved\" status=\"active\""),
        "{told:?}"
    );
    assert_eq!(status(&bob.subscribe(0)), 200);
    bob.told();
    let told = alice.told();
    assert!(told.body.contains("event=\"timeout\" status=\"terminated\""), "{told:?}");
    // Everything after each SUBSCRIBE, with the next version.
    assert_eq!(status(&alice.subscribe(600)), 200);
    assert!(alice.told().body.contains("version=\"4\" state=\"full\""));
}

/// EVT-04: a watched account is deleted; its watchers are told that there is no such resource, in whatever package.
#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_an_account_is_told() {
    let carillon = Carillon::serve(&["--auth", "none"]);
    let added = carillon.command(&["account", "add", "sip:alice@localhost", "--password", "secret"]);
    assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    user(&carillon, "alice");
    allow(&carillon, &[("bob", Action::Allow)]).await;
    let watching =
        [("bob", "presence"), ("alice", "presence.winfo"), ("alice", "reg"), ("alice", "message-summary")];
    let watchers = watching.map(|(name, package)| {
        let mut watcher = Watcher::new(&carillon, name, "alice", package, &[]);
        assert_eq!(status(&watcher.subscribe(600)), 200, "{package}");
        watcher.told();
        watcher
    });
    assert!(carillon.command(&["account", "delete", "sip:alice@localhost"]).status.success());
    for (watcher, (_, package)) in watchers.iter().zip(watching) {
        let told = watcher.until(|told| told.state.starts_with("terminated"));
        assert_eq!(
            (told.state.as_str(), told.body.as_str()),
            ("terminated;reason=noresource", ""),
            "{package}"
        );
    }
    assert_eq!(status(&Watcher::new(&carillon, "carol", "alice", "presence", &[]).subscribe(600)), 404);
}

/// EVT-08: a NOTIFY goes to one place; who names two, or none that a NOTIFY could go to, is told so.
#[test]
fn a_subscribe_names_one_contact() {
    let carillon = Carillon::serve(&["--auth", "none"]);
    user(&carillon, "alice");
    for (contact, reason) in [
        ("Contact: <sip:bob@192.0.2.2>, <sip:bob@192.0.2.3>", "More Than One Contact"),
        ("Contact: <mailto:bob@localhost>", "Contact Is No SIP URI"),
    ] {
        let wire = Wire::of(&carillon);
        let lines =
            ["From: <sip:bob@localhost>;tag=b", "To: <sip:alice@localhost>", "Event: presence", contact];
        let call_id = wire.request("SUBSCRIBE sip:alice@localhost", &lines);
        let answer = wire.answer_to(&call_id);
        assert!(answer.starts_with(&format!("SIP/2.0 400 {reason}\r\n")), "{answer}");
    }
}

/// PKG-01, PKG-02: contacts come, are refreshed and go.
#[test]
fn the_owner_learns_where_he_is_registered() {
    let carillon = Carillon::serve(&["--auth", "none"]);
    let desk = user(&carillon, "alice");
    let mut alice = Watcher::new(&carillon, "alice", "alice", "reg", &["Accept: application/reginfo+xml"]);
    let answer = alice.subscribe(7_200);
    assert_eq!((status(&answer), crate::wire::header(&answer, "Expires")), (200, Some("3761")), "{answer}");
    let contact = format!("<uri>sip:alice@{}</uri>", desk.address());
    // The first NOTIFY is of the moment of the SUBSCRIBE, whatever the log of the registrar has said by then.
    let told = alice.told();
    assert!(told.body.contains(&contact), "{told:?}");
    assert!(told.body.contains("state=\"active\" event=\"registered\""), "{told:?}");
    let cell = user(&carillon, "alice");
    let other = format!("<uri>sip:alice@{}</uri>", cell.address());
    let told = alice.until(|told| told.body.contains(&other));
    assert!(told.body.contains(&contact), "{told:?}");
    assert_eq!(status(&register(&desk, "alice", "Expires: 0")), 200);
    let told = alice.until(|told| told.body.contains("state=\"terminated\""));
    assert!(told.body.contains("event=\"unregistered\" expires=\"0\""), "{told:?}");
    assert!(told.body.contains(&other), "{told:?}");
    let phone = Wire::of(&carillon);
    let contact = format!("Contact: <sip:alice@{}>;+sip.instance=\"<urn:uuid:1>\"", phone.address());
    let of_alice =
        ["From: <sip:alice@localhost>;tag=g", "To: <sip:alice@localhost>", "Supported: gruu", &contact];
    let call_id = phone.request("REGISTER sip:localhost", &of_alice);
    let answer = phone.answer_to(&call_id);
    let name = answer.split("temp-gruu=\"").nth(1).and_then(|rest| rest.split('"').next());
    let shown = format!("<gr:temp-gruu uri=\"{}\" first-cseq=\"1\"/>", name.expect("it is given"));
    alice.until(|told| told.body.contains(&shown));
    // It is refreshed, and not only in its time: with another Call-ID its temporary names of before are over.
    let later = format!("{contact};q=0.5");
    let call_id = phone.request("REGISTER sip:localhost", &[&of_alice[..3], &[&later]].concat());
    let answer = phone.answer_to(&call_id);
    let name = answer.split("temp-gruu=\"").nth(1).and_then(|rest| rest.split('"').next());
    let name = name.expect("it is given");
    let told = alice.until(|told| told.body.contains(name));
    assert!(
        told.body.contains("state=\"active\" event=\"refreshed\"") && told.body.contains("q=\"0.500\""),
        "{told:?}"
    );
    let mut bob = Watcher::new(&carillon, "bob", "alice", "reg", &[]);
    assert_eq!(status(&bob.subscribe(600)), 403);
}
