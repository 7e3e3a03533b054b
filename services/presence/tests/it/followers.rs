//! WatchPresence and WatchMessages over real servers, resumed at another replica.

use std::net::SocketAddr;

use cluster_api::presence::v1::instant_message::State;
use cluster_api::presence::v1::messages_client::MessagesClient;
use cluster_api::presence::v1::presence_client::PresenceClient;
use cluster_api::presence::v1::{
    Basic, MessageEvent, MessageFilter, PresenceEvent, PublishPresenceRequest, SendMessageRequest,
    WatchMessagesRequest, WatchPresenceRequest,
};
use presence::Presence;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tonic::Code;
use tonic::service::RoutesBuilder;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Server};

use crate::rig::Rig;

/// A replica behind a socket, until this is dropped.
struct Served {
    at: SocketAddr,
    service: Presence,
    _end: oneshot::Sender<()>,
}

impl Served {
    async fn begin(rig: &Rig) -> Served {
        let service = rig.replica(false);
        let mut routes = RoutesBuilder::default();
        service.add_routes(&mut routes);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let at = listener.local_addr().expect("it is bound");
        let (end, ended) = oneshot::channel::<()>();
        let server = Server::builder().add_routes(routes.routes()).serve_with_incoming_shutdown(
            TcpIncoming::from(listener),
            async move {
                let _ = ended.await;
            },
        );
        tokio::spawn(server);
        Served { at, service, _end: end }
    }

    async fn channel(&self) -> Channel {
        let address = format!("http://{}", self.at);
        Channel::from_shared(address).expect("a URI").connect().await.expect("the server is there")
    }

    async fn publish(&self, aor: &str, note: &str) {
        let request = PublishPresenceRequest {
            aor: aor.to_owned(),
            basic: Basic::Open.into(),
            note: note.to_owned(),
            ..PublishPresenceRequest::default()
        };
        PresenceClient::new(self.channel().await).publish_presence(request).await.expect("it is published");
    }

    async fn send(&self, to: &str, text: &str) {
        let request = SendMessageRequest {
            from: "sip:support@d".to_owned(),
            to: to.to_owned(),
            body: text.to_owned().into(),
            ..SendMessageRequest::default()
        };
        MessagesClient::new(self.channel().await).send_message(request).await.expect("it is kept");
    }

    /// A watch of messages.
    async fn messages(&self, to: &str, after_cursor: Option<String>) -> tonic::Streaming<MessageEvent> {
        let filter = MessageFilter { to: to.to_owned(), ..MessageFilter::default() };
        let request = WatchMessagesRequest { filter: Some(filter), after_cursor };
        let mut client = MessagesClient::new(self.channel().await);
        client.watch_messages(request).await.expect("a watch").into_inner()
    }
}

/// The next event: where it stands, the text, and how far the message is.
async fn next(events: &mut tonic::Streaming<MessageEvent>) -> (String, String, State, bool) {
    let event = events.message().await.expect("an event").expect("one more");
    let message = event.message.expect("an event has a message");
    let text = String::from_utf8(message.body.to_vec()).expect("text");
    (event.cursor, text, message.state(), event.snapshot)
}

/// IMI-02: a watch of messages begins with those that wait, tells each change once, and goes on at another replica when its own
/// one ends: it is told that it is to.
#[tokio::test]
async fn a_watch_of_messages_goes_on_at_another_replica() {
    let rig = Rig::new();
    let (one, two) = (Served::begin(&rig).await, Served::begin(&rig).await);
    // Nobody waits for anything yet, and nothing comes: the watch is there all the same.
    let mut events = one.messages("", None).await;
    // Nobody is there: what was tried waits for the next registration.
    rig.phones.away.store(true, std::sync::atomic::Ordering::Relaxed);
    two.send("sip:alice@d", "one").await;
    let mut told = Vec::new();
    while told.len() < 3 {
        let (_, text, state, snapshot) = next(&mut events).await;
        told.push((text, state, snapshot));
    }
    let once = |state| ("one".to_owned(), state, false);
    assert_eq!(told, [once(State::Stored), once(State::Sending), once(State::Stored)]);
    let mut of_alice = two.messages("sip:alice@d", None).await;
    let (cursor, text, state, snapshot) = next(&mut of_alice).await;
    assert_eq!((text.as_str(), state, snapshot), ("one", State::Stored, true));

    two.service.stop(std::time::Duration::ZERO).await;
    let end = of_alice.message().await.expect_err("the replica ends");
    assert_eq!(end.code(), Code::Unavailable);
    assert!(end.message().contains("resume"), "{end}");
    drop((of_alice, two));
    rig.phones.away.store(false, std::sync::atomic::Ordering::Relaxed);
    one.send("sip:bob@d", "for another one").await;
    // One after the other: the one that waits is tried first.
    one.send("sip:alice@d", "two").await;
    let mut resumed = one.messages("sip:alice@d", Some(cursor)).await;
    let mut told = Vec::new();
    while told.iter().filter(|(_, state, _)| *state == State::Delivered).count() < 2 {
        let (_, text, state, snapshot) = next(&mut resumed).await;
        told.push((text, state, snapshot));
    }
    assert!(told.iter().all(|(text, _, snapshot)| text != "for another one" && !snapshot), "{told:?}");
    let delivered: Vec<&str> = told
        .iter()
        .filter(|(_, state, _)| *state == State::Delivered)
        .map(|(text, ..)| text.as_str())
        .collect();
    assert_eq!(delivered, ["one", "two"], "{told:?}");

    let filter = Some(MessageFilter { to: "sip:alice@d".to_owned(), ..MessageFilter::default() });
    let request = WatchMessagesRequest { filter, after_cursor: Some("nonsense".to_owned()) };
    let bad = MessagesClient::new(one.channel().await).watch_messages(request).await;
    assert_eq!(bad.expect_err("no cursor").code(), Code::InvalidArgument);
}

fn of(aors: &[&str], after_cursor: Option<String>) -> WatchPresenceRequest {
    WatchPresenceRequest { aors: aors.iter().map(|aor| (*aor).to_owned()).collect(), after_cursor }
}

fn note(event: &PresenceEvent) -> (String, String) {
    let presence = event.presence.as_ref().expect("an event has a state");
    let document = String::from_utf8(presence.pidf.to_vec()).expect("documents are UTF-8");
    let notes =
        document.split("</note>").filter_map(|before| Some(before.rsplit_once("<note>")?.1.to_owned()));
    (presence.aor.clone(), notes.collect::<Vec<_>>().join(","))
}

/// A watch of presence begins with what there is, tells each change of those who are named, and goes on at another replica when its
/// own one is gone: nothing is lost, nothing comes twice.
#[tokio::test]
async fn a_watch_of_presence_goes_on_at_another_replica() {
    let rig = Rig::new();
    let (one, two) = (Served::begin(&rig).await, Served::begin(&rig).await);
    one.publish("sip:alice@d", "here").await;
    let both = ["sip:alice@d", "sip:bob@d"];
    let mut client = PresenceClient::new(one.channel().await);
    let mut events = client.watch_presence(of(&both, None)).await.expect("a watch").into_inner();
    let mut seen = Vec::new();
    for _ in &both {
        let event = events.message().await.expect("an event").expect("one more");
        assert!(event.snapshot);
        seen.push(note(&event));
    }
    assert_eq!(seen, [("sip:alice@d".into(), "here".into()), ("sip:bob@d".into(), String::new())]);
    two.publish("sip:carol@d", "nobody asked").await;
    two.publish("sip:bob@d", "back").await;
    let event = events.message().await.expect("an event").expect("one more");
    assert!(!event.snapshot);
    assert_eq!(note(&event), ("sip:bob@d".into(), "back".into()));
    one.service.stop(std::time::Duration::ZERO).await;
    drop((events, one));
    two.publish("sip:alice@d", "away").await;
    two.publish("sip:bob@d", "busy").await;
    let mut client = PresenceClient::new(two.channel().await);
    let resumed = client.watch_presence(of(&both, Some(event.cursor.clone()))).await;
    let mut events = resumed.expect("a watch").into_inner();
    let mut told = Vec::new();
    for _ in 0..2 {
        let event = events.message().await.expect("an event").expect("one more");
        assert!(!event.snapshot);
        told.push(note(&event));
    }
    told.sort_unstable();
    assert_eq!(told, [("sip:alice@d".into(), "here,away".into()), ("sip:bob@d".into(), "back,busy".into())]);
    // Of somebody who was not followed then, nobody knows what happened.
    let other = client.watch_presence(of(&["sip:dave@d", "sip:bob@d"], Some(event.cursor))).await;
    assert_eq!(other.expect_err("there is no history").code(), Code::OutOfRange);
    let bad = client.watch_presence(of(&both, Some("nonsense".into()))).await;
    assert_eq!(bad.expect_err("no cursor").code(), Code::InvalidArgument);
    let nobody = client.watch_presence(of(&[], None)).await;
    assert_eq!(nobody.expect_err("nobody is named").code(), Code::InvalidArgument);
}
