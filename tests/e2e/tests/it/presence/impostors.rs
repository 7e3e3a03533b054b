//! Neighbours and trunks that call themselves a user of ours.

use std::io::Write as _;

use cluster_api::presence::v1::watcher_policy::Action;
use cluster_api::registrar::v1::Trunk;
use test_support::Carillon;

use super::people::allow;
use super::watcher::Watcher;
use crate::trunks::{create, trunk};
use crate::wire::{Wire, header, status};

/// PRS-02, PUB-03, T11: who is a trusted neighbour or a trunk watches, publishes and leaves messages in the name of no user of ours, who
/// would be let see what is not for strangers. In another name it is heard.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_neighbour_acts_as_a_user_of_ours() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"[edge]\ntrusted = [\"127.0.0.3/32\"]\n").unwrap();
    let carillon = Carillon::serve(&["--config", file.path().to_str().unwrap()]);
    for user in ["alice", "bob"] {
        carillon.account(&format!("sip:{user}@localhost"), "secret");
    }
    allow(&carillon, &[("bob", Action::Allow)]).await;
    let far = Trunk { domains: vec!["far.test".into()], ..trunk("far", "127.0.0.4", "+999") };
    create(&carillon, far).await;
    for place in ["127.0.0.3", "127.0.0.4", "127.0.0.9"] {
        let wire = Wire::at(place, &carillon);
        let contact = format!("Contact: <sip:x@{}>", wire.address());
        for (start, from, event) in [
            ("SUBSCRIBE sip:alice@localhost", "alice", "presence.winfo"),
            ("SUBSCRIBE sip:alice@localhost", "bob", "presence"),
            ("SUBSCRIBE sip:alice@localhost", "bob", "dialog"),
            ("SUBSCRIBE sip:alice@localhost", "nobody", "presence"),
            ("PUBLISH sip:alice@localhost", "alice", "presence"),
            ("MESSAGE sip:alice@localhost", "bob", ""),
        ] {
            let from = format!("From: <sip:{from}@localhost>;tag=f");
            let mut lines = vec![from.as_str(), "To: <sip:alice@localhost>", contact.as_str()];
            let event = format!("Event: {event}");
            lines.extend((!start.starts_with("MESSAGE")).then_some(event.as_str()));
            let call_id = wire.request(start, &lines);
            let answer = wire.answer_to(&call_id);
            // AUT-01: a server asks with 401, a proxy, which may send a MESSAGE on, with 407.
            let (asks, name) = match start.starts_with("MESSAGE") {
                true => (407, "Proxy-Authenticate"),
                false => (401, "WWW-Authenticate"),
            };
            assert_eq!(status(&answer), asks, "{place} {start} {from}: {answer}");
            assert!(header(&answer, name).is_some(), "{answer}");
        }
    }
    for place in ["127.0.0.3", "127.0.0.4"] {
        let wire = Wire::at(place, &carillon);
        let lines = ["From: <sip:bob@far.test>;tag=f", "To: <sip:alice@localhost>"];
        let call_id = wire.request("MESSAGE sip:alice@localhost", &lines);
        assert_eq!(status(&wire.answer_to(&call_id)), 202, "{place}");
        let alice = ("sip:alice@localhost".to_owned(), "presence");
        let mut stranger = Watcher::of(wire, ("bob", "far.test"), alice, &[]);
        assert_eq!(status(&stranger.subscribe(600)), 200, "{place}");
        assert!(stranger.told().state.starts_with("pending"), "{place}");
    }
    // Who proves to be bob, is bob, wherever he is.
    let alice = ("sip:alice@localhost".to_owned(), "presence");
    let mut bob = Watcher::of(Wire::at("127.0.0.3", &carillon), ("bob", "localhost"), alice, &[]);
    bob.login = Some(("bob".to_owned(), "secret".to_owned()));
    assert_eq!(status(&bob.subscribe(600)), 200);
    assert!(bob.told().state.starts_with("active"));
}
