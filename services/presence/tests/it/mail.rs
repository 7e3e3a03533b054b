//! Messages for users who are away.

use std::sync::atomic::Ordering;
use std::time::Duration;

use cluster_api::edge::v1::SendRequest;
use cluster_api::presence::v1::instant_message::State;
use cluster_api::presence::v1::messages_server::Messages as _;
use cluster_api::presence::v1::{HandleRequest, InstantMessage, ListMessagesRequest, SendMessageRequest};
use cluster_api::registrar::v1::binding_event::Type;
use cluster_api::sip::v1::{Body, Header};
use cluster_rpc::{Reason, Refusal};
use presence::Presence;
use sip_message::Date;
use store::Store as _;
use tokio::time::sleep;
use tonic::{Code, Request};

use crate::rig::{Rig, ask, body, subscribe};

/// A MESSAGE of bob to alice.
pub fn message(number: u32, text: &str) -> HandleRequest {
    HandleRequest {
        method: "MESSAGE".to_owned(),
        cseq: number,
        contact: String::new(),
        expires: None,
        headers: Vec::new(),
        body: Some(Body::new("text/plain", text.to_owned())),
        ..subscribe("bob", "alice", "", 0)
    }
}

async fn listed(replica: &Presence) -> Vec<InstantMessage> {
    let request = ListMessagesRequest { aor: "sip:alice@d".to_owned(), ..ListMessagesRequest::default() };
    replica.list_messages(Request::new(request)).await.expect("a list").into_inner().messages
}

fn value(request: &SendRequest, name: &str) -> Option<String> {
    request.headers.iter().find(|header| header.is(name)).map(|header| header.value.clone())
}

/// Now, and so many seconds later or earlier, as a Date.
fn date(rig: &Rig, more: i64) -> String {
    let now: prost_types::Timestamp = rig.store.now().into();
    Date { unix_seconds: now.seconds + more }.to_string()
}

/// IMI-02, IMI-03, F3: a replica dies while a phone has not answered: another one goes on with the same request, by which the edge and the
/// phone know it, and the messages behind it follow within seconds, each once.
#[tokio::test(start_paused = true)]
async fn another_replica_goes_on_with_the_same_message() {
    let rig = Rig::new();
    rig.phones.mute.store(true, Ordering::Relaxed);
    let dies = rig.replica(false);
    for (number, text) in [(1, "one"), (2, "two"), (3, "three")] {
        assert_eq!(ask(&dies, message(number, text)).await.status, 202);
    }
    let first = rig.phones.message(1).await;
    dies.stop(Duration::ZERO).await;
    rig.phones.mute.store(false, Ordering::Relaxed);

    let lives = rig.replica(false);
    assert_eq!(rig.phones.message(2).await, first, "the same request, under the same id");
    rig.phones.message(4).await;
    sleep(Duration::from_secs(120)).await;
    let sent = rig.phones.messages();
    let texts: Vec<String> = sent.iter().filter_map(|(_, asked)| asked.request.as_ref()).map(body).collect();
    assert_eq!(texts, ["one", "one", "two", "three"]);
    assert!(sent[3].0 < Duration::from_secs(12), "{:?}", sent[3].0);
    let states: Vec<State> = listed(&lives).await.iter().map(InstantMessage::state).collect();
    assert_eq!(states, [State::Delivered; 3]);
}

/// IMI-03: while a phone takes its time, no replica sends the next message, nor this one under another name.
#[tokio::test(start_paused = true)]
async fn a_slow_phone_has_one_message_at_a_time() {
    let rig = Rig::new();
    rig.phones.mute.store(true, Ordering::Relaxed);
    let (one, _two) = (rig.replica(false), rig.replica(false));
    for (number, text) in [(1, "one"), (2, "two")] {
        assert_eq!(ask(&one, message(number, text)).await.status, 202);
    }
    sleep(Duration::from_secs(40)).await;
    let sent = rig.phones.messages();
    assert!(sent.iter().all(|(_, asked)| *asked == sent[0].1), "{sent:?}");
    assert!(sent.len() <= 2, "each replica asks its edge once: {}", sent.len());
}

/// IMI-02: whoever is tried again is sent the same message under the next number.
#[tokio::test(start_paused = true)]
async fn a_later_try_is_the_same_message() {
    let rig = Rig::new();
    rig.phones.away.store(true, Ordering::Relaxed);
    let replica = rig.replica(false);
    assert_eq!(ask(&replica, message(1, "one")).await.status, 202);
    let first = rig.phones.message(1).await.request.expect("a request");
    sleep(Duration::from_secs(10)).await;
    rig.phones.away.store(false, Ordering::Relaxed);
    rig.bound.tell("sip:alice@d", Vec::new(), Type::Registered);
    let second = rig.phones.message(2).await.request.expect("a request");
    assert_eq!((first.cseq, second.cseq), (1, 2));
    assert_eq!(SendRequest { cseq: 2, ..first }, second);
}

/// IMI-02: what its sender said of a message is delivered with it; a message without Date has that of its coming.
#[tokio::test(start_paused = true)]
async fn what_was_said_of_a_message_is_delivered_with_it() {
    let rig = Rig::new();
    let replica = rig.replica(false);
    let said = [
        ("e", "gzip"),
        ("Content-Language", "de"),
        ("s", "Lunch"),
        ("Reply-To", "<sip:desk@d>"),
        ("In-Reply-To", "a@b"),
        ("In-Reply-To", "c@d"),
        ("Priority", "urgent"),
        ("Call-Info", "<http://www.example.com/bob.png>;purpose=icon"),
        ("X-Other", "is nobody's"),
        ("P-Asserted-Identity", "<sip:boss@d>"),
    ];
    let mut request = message(1, "one");
    request.headers = said.iter().map(|(name, value)| Header::new(*name, *value)).collect();
    let content = request.body.take().unwrap_or_default();
    request.body = Some(Body { content_disposition: "render;handling=optional".to_owned(), ..content });
    request.expires = Some(600);
    let came = date(&rig, 0);
    assert_eq!(ask(&replica, request).await.status, 202);
    let sent = rig.phones.message(1).await.request.expect("a request");
    let headers: Vec<(&str, &str)> = sent.headers.iter().map(|h| (&*h.name, &*h.value)).collect();
    let expected = [
        ("Date", came.as_str()),
        ("Expires", "600"),
        ("Content-Encoding", "gzip"),
        ("Content-Language", "de"),
        ("Subject", "Lunch"),
        ("Reply-To", "<sip:desk@d>"),
        ("In-Reply-To", "a@b"),
        ("In-Reply-To", "c@d"),
        ("Priority", "urgent"),
        ("Call-Info", "<http://www.example.com/bob.png>;purpose=icon"),
    ];
    assert_eq!(headers, expected);
    assert_eq!(sent.body.map(|body| body.content_disposition).as_deref(), Some("render;handling=optional"));

    let mut dated = message(2, "two");
    dated.headers = vec![Header::new("Date", "Sat, 13 Nov 2010 23:29:00 GMT")];
    ask(&replica, dated).await;
    let sent = rig.phones.message(2).await.request.expect("a request");
    assert_eq!(value(&sent, "Date").as_deref(), Some("Sat, 13 Nov 2010 23:29:00 GMT"));
    assert_eq!(value(&sent, "Expires"), None);
    let came = date(&rig, 0);
    let mut garbled = message(3, "three");
    garbled.headers = vec![Header::new("Date", "yesterday")];
    ask(&replica, garbled).await;
    let sent = rig.phones.message(3).await.request.expect("a request");
    assert_eq!(value(&sent, "Date"), Some(came));
}

/// IMI-02: Expires counts from Date, and who comes later gets nothing.
#[tokio::test(start_paused = true)]
async fn a_message_that_has_expired_is_never_delivered() {
    let rig = Rig::new();
    rig.phones.away.store(true, Ordering::Relaxed);
    let replica = rig.replica(false);
    let at = |number, text, seconds| {
        let headers = vec![Header::new("Date", date(&rig, seconds))];
        HandleRequest { expires: Some(600), headers, ..message(number, text) }
    };
    assert_eq!(ask(&replica, at(1, "over in 100 s", -500)).await.status, 202);
    assert_eq!(ask(&replica, at(2, "holds", 0)).await.status, 202);
    let refused = ask(&replica, at(3, "is over", -601)).await;
    assert_eq!((refused.status, refused.reason.as_str()), (480, "Message Has Expired, Its User Is Away"));
    sleep(Duration::from_secs(150)).await;
    let before = rig.phones.messages().len();
    rig.phones.away.store(false, Ordering::Relaxed);
    rig.bound.tell("sip:alice@d", Vec::new(), Type::Registered);
    sleep(Duration::from_secs(60)).await;
    let sent = rig.phones.messages().split_off(before);
    let texts: Vec<String> = sent.iter().filter_map(|(_, asked)| asked.request.as_ref()).map(body).collect();
    assert_eq!(texts, ["holds"]);
    let states: Vec<State> = listed(&replica).await.iter().map(InstantMessage::state).collect();
    assert_eq!(states, [State::Expired, State::Delivered]);
}

/// IMI-02: a message of an application says when it was taken, and how long it holds where it was said; its sender is of a served domain.
#[tokio::test(start_paused = true)]
async fn a_message_of_an_application_is_dated_and_of_a_served_domain() {
    let rig = Rig::new();
    let replica = rig.replica(false);
    let send = |from: &str| SendMessageRequest {
        from: from.to_owned(),
        to: "sip:alice@d".to_owned(),
        body: "hello".into(),
        expires: Some(prost_types::Duration { seconds: 90, nanos: 0 }),
        ..SendMessageRequest::default()
    };
    let came = date(&rig, 0);
    for from in ["sip:support@d", "sip:list-of-nobody@d"] {
        replica.send_message(Request::new(send(from))).await.expect("it is kept");
    }
    let sent = rig.phones.message(1).await.request.expect("a request");
    assert_eq!((value(&sent, "Date"), value(&sent, "Expires")), (Some(came), Some("90".to_owned())));
    let refused = replica.send_message(Request::new(send("sip:boss@bank.example"))).await;
    let refused = refused.expect_err("nobody vouches for it");
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(Refusal::read(&refused).map(|refusal| refusal.reason()), Some(Reason::BadUri));
    assert!(refused.message().contains("from"), "{refused}");
}
