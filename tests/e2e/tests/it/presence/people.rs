//! Presence: what phones publish and register, told to those who may know.

use cluster_api::presence::v1::presence_client::PresenceClient;
use cluster_api::presence::v1::watcher_policy::{Action, Rule};
use cluster_api::presence::v1::{
    GetPresenceRequest, ListWatchersRequest, SetWatcherPolicyRequest, WatcherPolicy, watcher,
};
use test_support::Carillon;
use tonic::transport::Channel;

use super::watcher::Watcher;
use super::{register, user};
use crate::wire::{Wire, header, status};

pub const PIDF: &str = "Content-Type: application/pidf+xml";

pub fn document(note: &str) -> String {
    format!(
        "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" xmlns:x=\"urn:x\" entity=\"sip:alice@localhost\">\
         <tuple id=\"desk\"><status><basic>open</basic></status><x:kept/><note>{note}</note></tuple></presence>"
    )
}

/// Publishes for alice; the final answer.
pub fn publish(from: &Wire, lines: &[&str], body: &str) -> String {
    let all = [&["From: <sip:alice@localhost>;tag=p", "To: <sip:alice@localhost>"], lines].concat();
    let all: Vec<&str> = if lines.iter().any(|line| line.starts_with("Event")) {
        all
    } else {
        all.into_iter().chain(["Event: presence"]).collect()
    };
    let (text, call_id) = from.compose("PUBLISH sip:alice@localhost", &all);
    let text =
        text.replace("Content-Length: 0\r\n\r\n", &format!("Content-Length: {}\r\n\r\n{body}", body.len()));
    from.send(&text);
    from.answer_to(&call_id)
}

fn etag(answer: &str) -> String {
    assert_eq!(status(answer), 200, "{answer}");
    header(answer, "SIP-ETag").expect("a 200 to PUBLISH has a tag").to_owned()
}

async fn client(carillon: &Carillon) -> PresenceClient<Channel> {
    PresenceClient::connect(carillon.api.clone()).await.unwrap()
}

pub async fn allow(carillon: &Carillon, rules: &[(&str, Action)]) {
    let rule = |(name, action): &(&str, Action)| Rule {
        watcher: format!("sip:{name}@localhost"),
        action: (*action).into(),
    };
    let policy = WatcherPolicy {
        aor: "sip:alice@localhost".to_owned(),
        rules: rules.iter().map(rule).collect(),
        ..WatcherPolicy::default()
    };
    let request = SetWatcherPolicyRequest { request_id: String::new(), policy: Some(policy) };
    client(carillon).await.set_watcher_policy(request).await.unwrap();
}

/// PUB-01, PUB-02, PUB-03: begin, refresh, change, remove, and everything that is refused.
#[test]
fn a_publication_goes_from_tag_to_tag() {
    let carillon = Carillon::serve(&["--auth", "none"]);
    user(&carillon, "alice");
    let phone = Wire::of(&carillon);
    assert_eq!(status(&publish(&phone, &[], "")), 400);
    let first = etag(&publish(&phone, &[PIDF, "Expires: 600"], &document("a")));
    let matching = |tag: &str| format!("SIP-If-Match: {tag}");
    let refreshed = publish(&phone, &[&matching(&first), "Expires: 700"], "");
    assert_eq!(header(&refreshed, "Expires"), Some("700"));
    let second = etag(&refreshed);
    assert_ne!(first, second);
    assert_eq!(status(&publish(&phone, &[&matching(&first)], "")), 412);
    let third = etag(&publish(&phone, &[&matching(&second), PIDF], &document("b")));
    assert_eq!(status(&publish(&phone, &[&format!("{}, x", matching(&third))], "")), 400);
    let removed = publish(&phone, &[&matching(&third), "Expires: 0"], "");
    assert_eq!((status(&removed), header(&removed, "Expires")), (200, Some("0")));
    assert_eq!(status(&publish(&phone, &[&matching(&third)], "")), 412);

    let brief = publish(&phone, &[PIDF, "Expires: 5"], &document("a"));
    assert_eq!((status(&brief), header(&brief, "Min-Expires")), (423, Some("60")));
    let odd = publish(&phone, &["Content-Type: text/plain"], "here");
    assert_eq!((status(&odd), header(&odd, "Accept")), (415, Some("application/pidf+xml")));
    assert_eq!(status(&publish(&phone, &["Event: dialog", PIDF], &document("a"))), 489);
    let bomb = format!("<!DOCTYPE p [<!ENTITY e \"boom\">]>{}", document("&e;"));
    assert_eq!(status(&publish(&phone, &[PIDF], &bomb)), 400);
    let call_id =
        phone.request("PUBLISH sip:alice@localhost", &["From: <sip:bob@localhost>;tag=b", "Event: presence"]);
    assert_eq!(status(&phone.answer_to(&call_id)), 403);
    let call_id = phone
        .request("PUBLISH sip:nobody@localhost", &["From: <sip:alice@localhost>;tag=b", "Event: presence"]);
    assert_eq!(status(&phone.answer_to(&call_id)), 404);
}

/// PRS-01, PRS-05, PRS-06: registrations and publications are one document; what lapses or goes takes its part along.
#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_sees_what_is_registered_and_published() {
    let carillon = Carillon::serve(&["--auth", "none"]);
    let device = user(&carillon, "alice");
    user(&carillon, "bob");
    allow(&carillon, &[("bob", Action::Allow)]).await;
    let phone = Wire::of(&carillon);
    let one = etag(&publish(&phone, &[PIDF], &document("one")));
    let two = etag(&publish(&phone, &[PIDF], &document("two")));
    let mut bob = Watcher::new(&carillon, "bob", "alice", "presence", &["Accept: application/pidf+xml"]);
    let answer = bob.subscribe(3_600);
    assert_eq!(status(&answer), 200, "{answer}");
    // What is registered is learnt once somebody watches.
    let told = bob.until(|told| told.body.matches("<basic>open").count() == 3);
    assert!(told.state.starts_with("active"), "{told:?}");
    for part in
        ["<note>one</note>", "<note>two</note>", "<x:kept/>", "id=\"desk\"", ">sip:alice@localhost</contact>"]
    {
        assert!(told.body.contains(part), "{part}: {}", told.body);
    }
    assert_eq!(told.body.matches("id=\"desk\"").count(), 1, "{}", told.body);

    etag(&publish(&phone, &[&format!("SIP-If-Match: {one}"), "Expires: 0"], ""));
    let told = bob.until(|told| !told.body.contains("<note>one"));
    assert!(told.body.contains("<note>two"), "{told:?}");
    assert_eq!(status(&register(&device, "alice", "Expires: 0")), 200);
    let told = bob.until(|told| told.body.matches("<basic>open").count() == 1);
    assert!(told.body.contains("<note>two"), "{told:?}");
    etag(&publish(&phone, &[&format!("SIP-If-Match: {two}"), "Expires: 0"], ""));
    bob.until(|told| told.body.contains("<basic>closed</basic>"));

    let request = GetPresenceRequest { aor: "sip:alice@localhost".to_owned() };
    let state = client(&carillon).await.get_presence(request).await.unwrap().into_inner();
    assert_eq!((state.basic().as_str_name(), state.tuples.len()), ("BASIC_CLOSED", 1));
}

/// PRS-02, PRS-03: the four policies, and a change of mind.
#[tokio::test(flavor = "multi_thread")]
async fn watchers_see_what_the_policy_lets_them_see() {
    let carillon = Carillon::serve(&["--auth", "none"]);
    user(&carillon, "alice");
    let phone = Wire::of(&carillon);
    etag(&publish(&phone, &[PIDF], &document("secret")));
    allow(&carillon, &[("friend", Action::Allow), ("pest", Action::Block), ("aunt", Action::PoliteBlock)])
        .await;
    let watch = |user: &str| Watcher::new(&carillon, user, "alice", "presence", &[]);
    let (mut friend, mut pest, mut aunt, mut stranger) =
        (watch("friend"), watch("pest"), watch("aunt"), watch("stranger"));
    assert_eq!(status(&pest.subscribe(600)), 403);
    for watcher in [&mut friend, &mut aunt, &mut stranger] {
        assert_eq!(status(&watcher.subscribe(600)), 200);
    }
    assert!(friend.told().body.contains("secret"));
    let polite = aunt.told();
    assert!(polite.state.starts_with("active") && polite.body.contains("<basic>closed"), "{polite:?}");
    let pending = stranger.told();
    assert!(pending.state.starts_with("pending;expires=") && !pending.body.contains("<tuple"), "{pending:?}");

    let request =
        ListWatchersRequest { aor: "sip:alice@localhost".to_owned(), ..ListWatchersRequest::default() };
    let listed = client(&carillon).await.list_watchers(request).await.unwrap().into_inner().watchers;
    let state =
        |name: &str| listed.iter().find(|w| w.watcher == format!("sip:{name}@localhost")).map(|w| w.state());
    assert_eq!(state("stranger"), Some(watcher::State::Pending));
    assert_eq!((state("friend"), state("pest")), (Some(watcher::State::Active), None));

    allow(&carillon, &[("stranger", Action::Allow), ("friend", Action::Block)]).await;
    let approved = stranger.told();
    assert!(approved.state.starts_with("active") && approved.body.contains("secret"), "{approved:?}");
    assert_eq!(friend.told().state, "terminated;reason=rejected");
}
