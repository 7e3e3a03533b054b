//! MESSAGE: delivered, or kept for its user.

use std::collections::HashMap;

use cluster_api::presence::v1::instant_message::State;
use cluster_api::presence::v1::messages_client::MessagesClient;
use cluster_api::presence::v1::presence_client::PresenceClient;
use cluster_api::presence::v1::{WatchMessagesRequest, WatchPresenceRequest};
use serde_json::Value;
use test_support::Carillon;

use super::mailboxes::Cluster;
use super::{register, user};
use crate::wire::{Wire, header, status};

/// Sends a MESSAGE of bob to alice; the final answer.
fn send(from: &Wire, lines: &[&str], text: &str) -> String {
    let own =
        ["From: \"Bob\" <sip:bob@localhost>;tag=m", "To: <sip:alice@localhost>", "Content-Type: text/plain"];
    let (request, call_id) = from.compose("MESSAGE sip:alice@localhost", &[&own, lines].concat());
    let length = format!("Content-Length: {}\r\n\r\n{text}", text.len());
    from.send(&request.replace("Content-Length: 0\r\n\r\n", &length));
    from.answer_to(&call_id)
}

fn listed(carillon: &Carillon) -> Vec<Value> {
    let listed = carillon.command(&["message", "list", "sip:alice@localhost", "--json"]);
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let lines = String::from_utf8(listed.stdout).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// IMI-02, IMI-03: 202 while nobody is there, delivered in order at the next registration, each after the answer to the one before.
#[test]
fn messages_for_somebody_who_is_away_wait_for_the_next_registration() {
    let carillon = Carillon::serve(&["--auth", "none"]);
    let alice = user(&carillon, "alice");
    assert_eq!(status(&register(&alice, "alice", "Expires: 0")), 200);
    let bob = Wire::of(&carillon);
    let date = "Date: Sat, 21 Nov 2026 12:00:00 GMT";
    for text in ["one", "two"] {
        let answer = send(&bob, &[date], text);
        assert_eq!(status(&answer), 202, "{answer}");
        assert_eq!(header(&answer, "Contact"), None);
    }
    let sent =
        carillon.command(&["message", "send", "sip:support@localhost", "sip:alice@localhost", "three"]);
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    let ids: Vec<String> = listed(&carillon).iter().map(|m| m["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids.len(), 3);

    assert_eq!(status(&register(&alice, "alice", "Expires: 3600")), 200);
    for (text, from) in [("one", "bob"), ("two", "bob"), ("three", "support")] {
        let request = alice.receive_request("MESSAGE");
        assert!(request.ends_with(text), "{text}: {request}");
        assert!(header(&request, "From").unwrap().contains(&format!("<sip:{from}@localhost>")), "{request}");
        let given = date.strip_prefix("Date: ").filter(|_| from == "bob");
        let dated = header(&request, "Date").expect("when it was sent, or taken");
        assert!(given.is_none_or(|given| given == dated) && dated.ends_with(" GMT"), "{request}");
        assert_eq!(header(&request, "Contact"), None, "{request}");
        alice.respond(&request, "200 OK", &[]);
    }
    let removed = carillon.command(&["message", "delete", &ids[0]]);
    assert!(removed.status.success(), "{}", String::from_utf8_lossy(&removed.stderr));
    assert_eq!(listed(&carillon).len(), 2);
    let again = carillon.command(&["message", "delete", &ids[0]]);
    assert!(String::from_utf8_lossy(&again.stderr).contains("MESSAGE_NOT_FOUND"));
}

/// IMI-02, IMI-03, F3: the replica that delivers dies while the phone has not answered one message, and the next one while it has not
/// answered another: those that are left go on within seconds, and the phone, which knows a message by its Call-ID and number, has each once.
#[test]
fn stored_messages_are_delivered_once_though_replicas_die_meanwhile() {
    let mut cluster = Cluster::start();
    let alice = user(&cluster.edges[0], "alice");
    assert_eq!(status(&register(&alice, "alice", "Expires: 0")), 200);
    let bob = Wire::of(&cluster.edges[1]);
    let texts: Vec<String> = (0..8).map(|number| format!("message {number}")).collect();
    for text in &texts {
        assert_eq!(status(&send(&bob, &["Subject: Eight"], text)), 202);
    }
    assert_eq!(status(&register(&alice, "alice", "Expires: 3600")), 200);
    let mut known: HashMap<(String, String), String> = HashMap::new();
    let mut order: Vec<String> = Vec::new();
    while order.len() < texts.len() {
        let request = alice.receive_request("MESSAGE");
        let text = request.split_once("\r\n\r\n").map_or("", |(_, body)| body).to_owned();
        let of = |name: &str| header(&request, name).expect("every request has one").to_owned();
        assert_eq!((of("Subject").as_str(), of("Date").ends_with(" GMT")), ("Eight", true), "{request}");
        let id = (of("Call-ID"), of("CSeq"));
        let is_new = !known.contains_key(&id);
        if is_new {
            assert!(
                known.keys().all(|(call_id, _)| *call_id != id.0),
                "a second number for one message: {request}"
            );
            order.push(text.clone());
        }
        assert_eq!(*known.entry(id).or_insert(text.clone()), text, "one name for two messages");
        // Whichever of them waits for the answer of the phone now never reads it.
        match order.len() {
            3 if is_new => cluster.presence[0].kill(),
            6 if is_new => {
                cluster.presence[0].restart();
                cluster.presence[1].kill();
            }
            _ => {}
        }
        alice.respond(&request, "200 OK", &[]);
    }
    assert_eq!(order, texts);
    alice.expect_nothing();
    let states: Vec<Value> = listed(&cluster.presence[0]).into_iter().map(|m| m["state"].clone()).collect();
    assert!(states.len() == texts.len() && states.iter().all(|state| state == "delivered"), "{states:?}");
}

/// IMI-02: somebody who is there gets it at once, and its own answer goes back.
#[test]
fn a_message_for_somebody_who_is_there_is_answered_by_the_phone() {
    let carillon = Carillon::serve(&["--auth", "none"]);
    let alice = user(&carillon, "alice");
    let bob = Wire::of(&carillon);
    let (request, call_id) = bob.compose("MESSAGE sip:alice@localhost", &["Content-Type: text/plain"]);
    bob.send(&request);
    alice.respond(&alice.receive_request("MESSAGE"), "200 OK", &[]);
    assert_eq!(status(&bob.answer_to(&call_id)), 200);
    assert!(listed(&carillon).is_empty());
}

/// IMI-02: a watch of messages tells of one as it comes, and watches of presence and of messages do not hold up the end of their process:
/// they end as those that are to be resumed elsewhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watches_of_messages_and_presence_end_with_their_process() {
    let carillon = Carillon::serve(&["--auth", "none"]);
    let alice = user(&carillon, "alice");
    let mut messages = MessagesClient::connect(carillon.api.clone()).await.unwrap();
    let mut messages = messages.watch_messages(WatchMessagesRequest::default()).await.unwrap().into_inner();
    let mut presence = PresenceClient::connect(carillon.api.clone()).await.unwrap();
    let of_alice = WatchPresenceRequest { aors: vec!["sip:alice@localhost".to_owned()], after_cursor: None };
    let mut presence = presence.watch_presence(of_alice).await.unwrap().into_inner();
    assert!(presence.message().await.unwrap().is_some_and(|event| event.snapshot));
    let sent = carillon.command(&["message", "send", "sip:support@localhost", "sip:alice@localhost", "one"]);
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    alice.respond(&alice.receive_request("MESSAGE"), "200 OK", &[]);
    let mut states = Vec::new();
    while states.last() != Some(&State::Delivered) {
        let event = messages.message().await.unwrap().expect("one more");
        states.push(event.message.unwrap().state());
    }
    assert_eq!(states, [State::Stored, State::Sending, State::Delivered]);
    carillon.terminate();
    let (messages, presence) = (messages.message().await, presence.message().await);
    for end in [messages.expect_err("it ends"), presence.expect_err("it ends")] {
        assert_eq!(end.code(), tonic::Code::Unavailable);
        assert!(end.message().contains("resume"), "{end}");
    }
    let (status, log) = carillon.ended();
    assert!(status.success() && !log.contains("was stopped"), "{status}:\n{log}");
}
