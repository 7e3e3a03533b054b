//! Kamailio's presence server as that of another domain: its users are on lists here, and its lists have users of ours.

use std::time::Instant;

use cluster_api::presence::v1::presence_client::PresenceClient;
use cluster_api::presence::v1::resource_lists_client::ResourceListsClient;
use cluster_api::presence::v1::watcher_policy::{Action, Rule};
use cluster_api::presence::v1::{
    CreateListRequest, ListMember, ResourceList, SetWatcherPolicyRequest, WatcherPolicy,
};
use cluster_api::registrar::v1::Trunk;
use test_support::{Carillon, Kamailio, PATIENCE};

use super::watcher::Watcher;
use crate::trunks::{create, trunk};
use crate::wire::{Wire, header, status};

const FRIENDS: (&str, &str, &str) = ("bob", "sip:friends@far.test", "sip:alice@localhost");

/// Carillon with alice, and the presence server of far.test, which is reached by a trunk.
async fn neighbours() -> (Carillon, Kamailio) {
    let carillon = Carillon::all_in_one();
    let kamailio = Kamailio::of_presence("far.test", "127.0.0.2", &carillon.sip, FRIENDS);
    carillon.account("sip:alice@localhost", "secret");
    let far = Trunk { domains: vec!["far.test".into()], ..trunk("far", kamailio.address, "+999") };
    create(&carillon, far).await;
    (carillon, kamailio)
}

/// Publishes for bob at his own server; the tag that the next one goes by.
fn publish(bob: &Wire, etag: Option<&str>, note: &str) -> String {
    let body = format!(
        "<?xml version=\"1.0\"?><presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:bob@far.test\">\
         <tuple id=\"t\"><status><basic>open</basic></status><note>{note}</note></tuple></presence>"
    );
    let matching = etag.map(|etag| format!("SIP-If-Match: {etag}"));
    let mut lines = vec![
        "From: <sip:bob@far.test>;tag=p",
        "To: <sip:bob@far.test>",
        "Event: presence",
        "Expires: 3600",
        "Content-Type: application/pidf+xml",
    ];
    lines.extend(matching.as_deref());
    let (request, call_id) = bob.compose("PUBLISH sip:bob@far.test", &lines);
    let length = format!("Content-Length: {}\r\n\r\n{body}", body.len());
    bob.send(&request.replace("Content-Length: 0\r\n\r\n", &length));
    let answer = bob.answer_to(&call_id);
    assert_eq!(status(&answer), 200, "{answer}");
    header(&answer, "SIP-ETag").expect("a publication has a tag").to_owned()
}

async fn list(carillon: &Carillon, members: &[&str]) {
    let member = |uri: &&str| ListMember { uri: (*uri).to_owned(), ..ListMember::default() };
    let list = ResourceList {
        list_uri: "sip:team@localhost".to_owned(),
        members: members.iter().map(member).collect(),
        ..ResourceList::default()
    };
    let mut client = ResourceListsClient::connect(carillon.api.clone()).await.unwrap();
    let request = CreateListRequest { request_id: String::new(), list: Some(list) };
    client.create_list(request).await.expect("a list");
}

/// RLS-03, RLS-04: Kamailio's presence server tells of a user of its own who is on a list here, and of the changes; the subscription
/// ends with that to the list.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_shows_what_the_presence_server_of_another_domain_tells() {
    let (carillon, kamailio) = neighbours().await;
    let bob = Wire::facing("127.0.0.2", kamailio.address);
    let etag = publish(&bob, None, "far away");
    list(&carillon, &["sip:alice@localhost", "sip:bob@far.test"]).await;
    let knows_lists =
        ["Supported: eventlist", "Accept: application/pidf+xml, application/rlmi+xml, multipart/related"];
    let mut alice = Watcher::new(&carillon, "alice", "team", "presence", &knows_lists);
    alice.login = Some(("alice".to_owned(), "secret".to_owned()));
    let answer = alice.subscribe(600);
    assert_eq!(status(&answer), 200, "{answer}");
    let told = alice.until(|told| told.body.contains("<note>far away</note>"));
    let bobs = told.body.split("sip:bob@far.test").nth(1).expect("he is on the list");
    assert!(bobs.contains("state=\"active\"") && bobs.contains("cid="), "{told:?}");
    publish(&bob, Some(&etag), "nearer");
    alice.until(|told| told.body.contains("<note>nearer</note>") && !told.body.contains("far away"));
    let accepted = || carillon.metric("carillon_presence_members_asked_total{outcome=\"accepted\"}");
    assert_eq!(accepted(), 1.0, "one SUBSCRIBE brought both");
    assert_eq!(status(&alice.subscribe(0)), 200);
    let end = Instant::now() + PATIENCE;
    while accepted() < 2.0 {
        assert!(Instant::now() < end, "nobody tells the other domain that it is over");
    }

    // Who does not prove to be alice is nobody's way to other domains.
    let stranger = Wire::at("127.0.0.9", &carillon);
    let stranger = stranger.request(
        "SUBSCRIBE sip:bob@far.test",
        &["From: <sip:eve@elsewhere.test>;tag=e", "Event: presence", "Contact: <sip:eve@127.0.0.9>"],
    );
    drop(stranger);
    assert_eq!(accepted(), 2.0);
}

/// PRS-02, EVT-03, EVT-13: Kamailio's list server watches a user of ours for one of its own, and shows what is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_list_server_of_another_domain_watches_a_user_of_ours() {
    let (carillon, kamailio) = neighbours().await;
    let rules = vec![Rule { watcher: "sip:bob@far.test".to_owned(), action: Action::Allow.into() }];
    let policy = WatcherPolicy { aor: "sip:alice@localhost".to_owned(), rules, ..WatcherPolicy::default() };
    let request = SetWatcherPolicyRequest { request_id: String::new(), policy: Some(policy) };
    let mut client = PresenceClient::connect(carillon.api.clone()).await.unwrap();
    client.set_watcher_policy(request).await.unwrap();
    let wire = Wire::facing("127.0.0.2", kamailio.address);
    let knows_lists =
        ["Supported: eventlist", "Accept: application/pidf+xml, application/rlmi+xml, multipart/related"];
    let friends = ("sip:friends@far.test".to_owned(), "presence");
    let mut bob = Watcher::of(wire, ("bob", "far.test"), friends, &knows_lists);
    let answer = bob.subscribe(600);
    assert_eq!(status(&answer), 200, "{answer}");
    let told = bob.until(|told| told.body.contains("<basic>closed</basic>"));
    assert!(told.body.contains("sip:alice@localhost"), "{told:?}");
    let publish = |note: &str| {
        let arguments = ["presence", "publish", "sip:alice@localhost", "--state", "open", "--note", note];
        let published = carillon.command(&arguments);
        assert!(published.status.success(), "{}", String::from_utf8_lossy(&published.stderr));
    };
    publish("at work");
    bob.until(|told| told.body.contains("at work") && told.body.contains("<basic>open</basic>"));
}
