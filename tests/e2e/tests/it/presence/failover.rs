//! Two edges, two replicas of presence and Redis: one of each dies between a SUBSCRIBE and the changes, and the watcher gets each change
//! once, in order.

use std::collections::HashMap;

use cluster_api::presence::v1::resource_lists_client::ResourceListsClient;
use cluster_api::presence::v1::watcher_policy::Action;
use cluster_api::presence::v1::{CreateListRequest, ListMember, ResourceList};

use super::mailboxes::Cluster;
use super::people::{PIDF, allow, document};
use super::user;
use super::watcher::{Told, Watcher};
use crate::wire::{Wire, header, status};

/// Subscribes by the first edge; the first NOTIFY.
fn begin(watcher: &mut Watcher) -> Told {
    let answer = watcher.subscribe(3_600);
    assert_eq!(status(&answer), 200, "{answer}");
    watcher.told()
}

/// Ends it by the edge that is left: what comes next is the end, so nothing was told twice.
fn end(mut watcher: Watcher, cluster: &Cluster, last: &Told) {
    watcher.wire.turn_to(&cluster.edges[1]);
    assert_eq!(status(&watcher.subscribe(0)), 200);
    let over = watcher.told();
    assert_eq!((over.state.as_str(), over.cseq), ("terminated;reason=timeout", last.cseq + 1), "{over:?}");
}

/// Publishes a note for alice at the replica that is left.
fn publish(cluster: &Cluster, note: &str) {
    let arguments = ["presence", "publish", "sip:alice@localhost", "--state", "open", "--note", note];
    let published = cluster.presence[1].command(&arguments);
    assert!(published.status.success(), "{}", String::from_utf8_lossy(&published.stderr));
}

/// F1, F3, EVT-12, EVT-13: presence.
#[test]
fn changes_of_presence_are_told_once_whatever_dies() {
    let mut cluster = Cluster::start();
    user(&cluster.edges[0], "alice");
    let mut watcher = Watcher::new(&cluster.edges[0], "alice", "alice", "presence", &[]);
    begin(&mut watcher);
    // Where alice is registered is learnt for her first watcher, and may be told beside the first NOTIFY.
    publish(&cluster, "first");
    let before = watcher.until(|told| told.body.contains("first"));
    cluster.edges[0].kill();
    publish(&cluster, "without the edge");
    let told = watcher.told();
    assert!(told.body.contains("without the edge"), "{told:?}");
    assert_eq!(told.cseq, before.cseq + 1);
    cluster.presence[0].kill();
    publish(&cluster, "without the replica");
    let last = watcher.told();
    assert!(last.body.contains("without the replica"), "{last:?}");
    assert_eq!(last.cseq, told.cseq + 1);
    end(watcher, &cluster, &last);
}

/// F3, EVT-12, EVT-13: mid-NOTIFY: the replica dies while its NOTIFY waits for the answer. The edge goes on with it, the other replica asks after
/// it there, and the next change has the next number.
#[test]
fn a_notify_is_finished_though_the_replica_that_sent_it_died() {
    let mut cluster = Cluster::start();
    user(&cluster.edges[0], "alice");
    let mut watcher = Watcher::new(&cluster.edges[0], "alice", "alice", "presence", &[]);
    begin(&mut watcher);
    let arguments = ["presence", "publish", "sip:alice@localhost", "--state", "open", "--note", "slow"];
    let published = cluster.presence[0].command(&arguments);
    assert!(published.status.success(), "{}", String::from_utf8_lossy(&published.stderr));
    let slow = loop {
        let notify = watcher.wire.receive_request("NOTIFY");
        if notify.contains("<note>slow") {
            break notify;
        }
        watcher.wire.respond(&notify, "200 OK", &[]);
    };
    cluster.presence[0].kill();
    publish(&cluster, "next");
    let again = watcher.told();
    assert_eq!(
        header(&again.text, "CSeq"),
        header(&slow, "CSeq"),
        "one at a time, and this one is not answered yet"
    );
    assert_eq!(slow.split_once("\r\n\r\n").map(|(_, body)| body), Some(again.body.as_str()));
    let next = watcher.told();
    assert!(next.body.contains("<note>next"), "{next:?}");
    assert_eq!(next.cseq, again.cseq + 1);
    end(watcher, &cluster, &next);
}

/// F3, PUB-04: mid-PUBLISH: a replica dies while publications come in. What was answered 200 is there; what was not can be sent again.
#[test]
fn what_was_published_is_there_though_a_replica_died_meanwhile() {
    let mut cluster = Cluster::start();
    let phone = user(&cluster.edges[0], "alice");
    let begin = |note: &str| {
        let body = document(note);
        let lines = [
            "From: <sip:alice@localhost>;tag=p",
            "To: <sip:alice@localhost>",
            "Event: presence",
            "Expires: 600",
            PIDF,
        ];
        let (text, call_id) = phone.compose("PUBLISH sip:alice@localhost", &lines);
        let length = format!("Content-Length: {}\r\n\r\n{body}", body.len());
        phone.send(&text.replace("Content-Length: 0\r\n\r\n", &length));
        call_id
    };
    let notes: Vec<String> = (0..10).map(|number| format!("note-{number}.")).collect();
    let asked: Vec<String> = notes.iter().map(|note| begin(note)).collect();
    cluster.presence[0].kill();
    let mut answers = HashMap::new();
    while answers.len() < asked.len() {
        let text = phone.receive();
        if text.starts_with("SIP/2.0") && status(&text) >= 200 {
            answers.insert(header(&text, "Call-ID").unwrap_or_default().to_owned(), status(&text));
        }
    }
    for (note, call_id) in notes.iter().zip(&asked) {
        match answers[call_id] {
            200 => {}
            500..=504 => assert_eq!(status(&phone.answer_to(&begin(note))), 200),
            other => panic!("{other} for {note}"),
        }
    }
    let shown = cluster.presence[1].command(&["presence", "show", "sip:alice@localhost"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(notes.iter().all(|note| shown.contains(note)), "{shown}");
}

/// F1, F3, EVT-12, EVT-13, RLS-02: a list, whose versions go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_of_a_list_are_told_once_whatever_dies() {
    let mut cluster = Cluster::start();
    user(&cluster.edges[0], "alice");
    allow(&cluster.presence[1], &[("bob", Action::Allow)]).await;
    let members = vec![ListMember { uri: "sip:alice@localhost".to_owned(), ..ListMember::default() }];
    let list = ResourceList { list_uri: "sip:team@localhost".to_owned(), members, ..ResourceList::default() };
    let mut client = ResourceListsClient::connect(cluster.presence[1].api.clone()).await.unwrap();
    let request = CreateListRequest { request_id: String::new(), list: Some(list) };
    client.create_list(request).await.expect("a list");
    let knows_lists =
        ["Supported: eventlist", "Accept: application/pidf+xml, application/rlmi+xml, multipart/related"];
    let mut watcher = Watcher::new(&cluster.edges[0], "bob", "team", "presence", &knows_lists);
    begin(&mut watcher);
    publish(&cluster, "first");
    let before = watcher.until(|told| told.body.contains("first"));
    let version = |told: &Told| -> u32 {
        let after = told.body.split("version=\"").nth(2).expect("a list has a version, after that of XML");
        after.split('"').next().and_then(|digits| digits.parse().ok()).expect("a number")
    };
    cluster.presence[0].kill();
    publish(&cluster, "without the replica");
    let told = watcher.told();
    assert!(told.body.contains("without the replica"), "{told:?}");
    assert_eq!((told.cseq, version(&told)), (before.cseq + 1, version(&before) + 1));
    cluster.edges[0].kill();
    publish(&cluster, "without the edge");
    let last = watcher.told();
    assert!(last.body.contains("without the edge"), "{last:?}");
    assert_eq!((last.cseq, version(&last)), (told.cseq + 1, version(&told) + 1));
    end(watcher, &cluster, &last);
}

/// Whoever watches from an edge that dies can begin anew at the other one.
#[test]
fn a_watcher_whose_edge_is_gone_subscribes_again_at_the_other_one() {
    let mut cluster = Cluster::start();
    user(&cluster.edges[0], "alice");
    let mut watcher = Watcher::new(&cluster.edges[0], "alice", "alice", "presence", &[]);
    let first = begin(&mut watcher);
    cluster.edges[0].kill();
    watcher.wire.turn_to(&cluster.edges[1]);
    assert_eq!(status(&watcher.subscribe(1_800)), 200, "the dialog is known at every edge");
    let told = watcher.until(|told| told.state.starts_with("active;expires=1"));
    assert!(told.cseq > first.cseq);
    let stranger = Wire::of(&cluster.edges[1]);
    stranger.expect_nothing();
}
