//! Phones in a call that lose their connection, or the edge that had it, and come back by another one.

use std::sync::{Arc, Mutex};

use cluster_api::callcontrol::v1::leg_event::What;
use cluster_api::edge::v1::SendRequest;
use cluster_api::edge::v1::carry_request::What as Effect;
use cluster_api::registrar::v1::route_response::Plan;
use cluster_api::registrar::v1::{
    Fork, Group, RegisterResponse, RegisteredContact, Target, WakeRequest, WakeResponse, wake_response::State,
};
use cluster_rpc::membership::View;
use sip_message::Message;

use crate::peer::{Peer, text};
use crate::rig::{Rig, only_member, steady};
use crate::services::FakeLocation;
use crate::stream::Connection;
use crate::tier::{KEY, NOWHERE, lines, reversed, until_refused};

const FROM: &str = "From: <sip:alice@example.com>;tag=at";

/// F1, F5, design 5: the edge of a phone is gone and the phone registers at another one: the other side hangs up, and the phone hears
/// it. One question is enough for the dialog.
#[tokio::test]
async fn a_phone_in_a_call_is_reached_at_the_edge_where_it_came_back() {
    let Scene { entry, holder, alice, location, answered, .. } = Scene::of_call().await;
    let gone = holder.address;
    drop(holder);
    until_refused(gone).await;
    entry.learns(alone(&entry));
    let mut bob = registered(&entry).await;
    location.moves_to_last();
    ask(&alice, "INFO", 2, &answered, "c1").await;
    let info = bob.receive_request("INFO").await;
    bob.respond(&info, "200 OK", "bt", &[]).await;
    alice.receive_status(200).await;
    ask(&alice, "BYE", 3, &answered, "c1").await;
    let bye = bob.receive_request("BYE").await;
    assert_eq!(bye.request_uri(), Some(NOWHERE.as_bytes()), "its target is what it was: {}", text(&bye));
    bob.respond(&bye, "200 OK", "bt", &[]).await;
    alice.receive_status(200).await;
    let wakes = location.wakes();
    assert_eq!((wakes.len(), wakes[0].aor.as_str(), &wakes[0].flow), (1, "", &location.flow(0)));
}

/// F1, OBD-07: the edge lives and the connection is gone: the edge says so, and the one that the request came to asks.
#[tokio::test]
async fn a_phone_that_lost_only_its_connection_is_reached_by_its_next_one() {
    let Scene { entry, holder, alice, location, answered, bob } = Scene::of_call().await;
    drop(bob);
    location.at_holder.ended(1).await;
    for (at, method, cseq) in [(&entry, "INFO", 2), (&holder, "BYE", 3)] {
        let mut bob = registered(at).await;
        location.moves_to_last();
        ask(&alice, method, cseq, &answered, "c1").await;
        let request = bob.receive_request(method).await;
        bob.respond(&request, "200 OK", "bt", &[]).await;
        alice.receive_status(200).await;
        drop(bob);
        let told = if at.address == entry.address { &location.at_entry } else { &location.at_holder };
        told.ended(1).await;
    }
    assert!(location.at_holder.wakes.lock().unwrap().is_empty(), "who was sent it by a sibling asks nobody");
}

/// PXY-27: the mark decides who may send along the route; for others nobody is even looked for.
#[tokio::test]
async fn a_stranger_follows_nobody() {
    let Scene { entry, holder, alice, location, answered, .. } = Scene::of_call().await;
    let gone = holder.address;
    drop(holder);
    until_refused(gone).await;
    entry.learns(alone(&entry));
    location.targets.lock().unwrap().clear();
    let asked = location.wakes().len();
    ask(&alice, "BYE", 2, &answered, "another").await;
    assert!(matches!(alice.receive_past_100().await.status(), Some(400..)));
    assert_eq!(location.wakes().len(), asked);
}

/// F1: a phone that does not come back is told of as before.
#[tokio::test]
async fn a_phone_that_has_not_come_back_is_not_there() {
    let Scene { entry: _entry, holder: _holder, alice, location, answered, bob } = Scene::of_call().await;
    drop(bob);
    location.at_holder.ended(1).await;
    ask(&alice, "BYE", 2, &answered, "c1").await;
    alice.receive_status(480).await;
    assert_eq!(location.wakes().len(), 1);
}

/// Design 5, LAD-1: a leg of call-control goes on over the new connection of its phone as well.
#[tokio::test]
async fn a_leg_follows_its_phone() {
    let Scene { entry, holder: _holder, location, bob, .. } = Scene::of_call().await;
    let flow = location.flow(0);
    drop(bob);
    location.at_holder.ended(1).await;
    let mut bob = registered(&entry).await;
    location.moves_to_last();
    let bye = SendRequest {
        method: "BYE".into(),
        request_uri: NOWHERE.into(),
        from_uri: "sip:carillon@example.com".into(),
        from_tag: "ct".into(),
        to_uri: "sip:bob@example.com".into(),
        to_tag: "bt".into(),
        sip_call_id: "leg-1".into(),
        cseq: 2,
        flow,
        ..SendRequest::default()
    };
    entry.carry(2, Effect::Send(bye)).await;
    let request = bob.receive_request("BYE").await;
    bob.respond(&request, "200 OK", "bt", &[]).await;
    let (_, event) = entry.events.next().await;
    assert!(matches!(event.what, Some(What::Response(response)) if response.status == 200));
}

/// OBD-05, RFC 8599 5.6.2: a phone that can be pushed is pushed by the first call that finds its edge dead, and not only after that.
#[tokio::test]
async fn a_call_for_a_phone_whose_edge_died_has_it_pushed() {
    let Scene { entry, holder, alice, location, bob, .. } = Scene::of_call().await;
    drop(bob);
    location.at_holder.ended(1).await;
    let gone = holder.address;
    drop(holder);
    until_refused(gone).await;
    entry.learns(View { listed: steady(), ..alone(&entry) });
    let asleep = Target { uri: NOWHERE.into(), aor: AOR.into(), wake: "7".into(), ..Target::default() };
    location.says([(State::Awake, Some(asleep))]);
    let contact = format!("Contact: <sip:alice@{}>", alice.address());
    let lines = [FROM, "To: <sip:bob@example.com>", "Call-ID: c2", &contact];
    alice.request("INVITE sip:bob@example.com", "a9", &lines).await;
    while location.wakes().len() < 2 {
        tokio::task::yield_now().await;
    }
    let wakes = location.wakes();
    let asked: Vec<_> = wakes.iter().map(|ask| [&*ask.aor, &*ask.binding_id, &*ask.flow]).collect();
    assert_eq!(asked, [[AOR, "", &location.flow(0)], [AOR, "7", ""]]);
}

/// F5, RFC 5626 7: an edge that drains delivers what a sibling sends for a phone of its, which nothing else reaches.
#[tokio::test]
async fn an_edge_that_drains_delivers_to_its_phones_what_siblings_send() {
    let Scene { entry: _entry, holder, alice, mut bob, .. } = Scene::of_call().await;
    let contact = format!("Contact: <sip:alice@{}>", alice.address());
    // As long as a phone rings here, nobody is let go.
    let ringing = [FROM, "To: <sip:bob@example.com>", "Call-ID: c3", &contact];
    alice.request("INVITE sip:bob@example.com", "a8", &ringing).await;
    bob.receive_request("INVITE").await;
    holder.drain.begin();
    let lines = [FROM, "To: <sip:bob@example.com>", "Call-ID: c2", &contact];
    alice.request("INVITE sip:bob@example.com", "a9", &lines).await;
    let invite = bob.receive_request("INVITE").await;
    bob.respond(&invite, "486 Busy Here", "b2", &[]).await;
    alice.receive_status(486).await;
    // What does not come from a sibling is for another edge.
    let stranger = holder.peer().await;
    stranger.request("INVITE sip:bob@example.com", "s1", &lines).await;
    stranger.receive_status(503).await;
}

const AOR: &str = "sip:bob@example.com";

/// Alice at one edge talks to Bob, whose connection is at another one.
struct Scene {
    entry: Rig,
    holder: Rig,
    alice: Peer,
    bob: Connection,
    location: Location,
    answered: Message,
}

/// One registrar, as each edge asks it.
struct Location {
    targets: Arc<Mutex<Vec<Target>>>,
    at_entry: Arc<FakeLocation>,
    at_holder: Arc<FakeLocation>,
}

impl Scene {
    async fn of_call() -> Self {
        let targets = Arc::new(Mutex::new(Vec::new()));
        let (at_entry, at_holder) = (registrar(&targets), registrar(&targets));
        let entry = Rig::named("edge-1", at_entry.clone()).await;
        let holder = Rig::named("edge-2", at_holder.clone()).await;
        let members = [("edge-1", entry.address), ("edge-2", holder.address)].map(only_member);
        for edge in [&entry, &holder] {
            edge.learns(View::fixed(members.to_vec(), KEY.to_vec()));
        }
        let mut bob = registered(&holder).await;
        let alice = entry.peer().await;
        alice.request("INVITE sip:bob@example.com", "a1", &lines(&alice)).await;
        let invite = bob.receive_request("INVITE").await;
        bob.respond(&invite, "200 OK", "bt", &[&format!("Contact: <{NOWHERE}>")]).await;
        let answered = alice.receive_status(200).await;
        ask(&alice, "ACK", 1, &answered, "c1").await;
        bob.receive_request("ACK").await;
        let location = Location { targets, at_entry, at_holder };
        Self { entry, holder, alice, bob, location, answered }
    }
}

impl Location {
    /// The flow of the registration of this number.
    fn flow(&self, number: usize) -> String {
        self.targets.lock().unwrap()[number].flow.clone()
    }

    /// The next question of the entry after a flow is answered with the last registration.
    fn moves_to_last(&self) {
        let last = self.targets.lock().unwrap().last().cloned();
        self.says([(State::Awake, last)]);
    }

    fn says(&self, answers: impl IntoIterator<Item = (State, Option<Target>)>) {
        let answers = answers.into_iter().map(|(state, target)| {
            Ok(WakeResponse { state: state.into(), target, ..WakeResponse::default() })
        });
        self.at_entry.woken.lock().unwrap().extend(answers);
    }

    fn wakes(&self) -> Vec<WakeRequest> {
        self.at_entry.wakes.lock().unwrap().clone()
    }
}

/// Everybody is led to the first registration of Bob.
fn registrar(targets: &Arc<Mutex<Vec<Target>>>) -> Arc<FakeLocation> {
    let (reader, writer) = (targets.clone(), targets.clone());
    FakeLocation::full(
        move |_| {
            let targets =
                reader.lock().expect("nobody panics with it").first().cloned().into_iter().collect();
            let group = Group { targets, ring_time: None, cause: "contact".into() };
            Ok(Plan::Fork(Fork { groups: vec![group], recurse: false }))
        },
        move |request| {
            let (uri, flow) = (NOWHERE.to_owned(), request.flow.clone());
            let target = Target { uri, flow, aor: AOR.into(), ..Target::default() };
            writer.lock().expect("nobody panics with it").push(target);
            let contacts =
                vec![RegisteredContact { uri: NOWHERE.into(), expires: 600, ..Default::default() }];
            RegisterResponse { status: 200, contacts, ..RegisterResponse::default() }
        },
    )
}

/// A list in which the entry stands alone.
fn alone(entry: &Rig) -> View {
    View::fixed([only_member(("edge-1", entry.address))].to_vec(), KEY.to_vec())
}

/// Bob, registered over a connection of his.
async fn registered(rig: &Rig) -> Connection {
    let mut bob = Connection::to(rig.address).await;
    let contact = format!("Contact: <{NOWHERE};transport=tcp>;+sip.instance=\"<urn:uuid:1>\"");
    let lines = ["From: <sip:bob@example.com>;tag=b", "To: <sip:bob@example.com>", "Call-ID: r1", &contact];
    bob.request("REGISTER sip:example.com", "r1", &lines).await;
    bob.receive_status(200).await;
    bob
}

/// Alice asks for something along the route of the call.
async fn ask(alice: &Peer, method: &str, cseq: u32, answered: &Message, call_id: &str) {
    let (route, call_id) = (format!("Route: {}", reversed(answered)), format!("Call-ID: {call_id}"));
    let cseq = format!("CSeq: {cseq} {method}");
    let lines = [FROM, "To: <sip:bob@example.com>;tag=bt", &call_id, &route, &cseq];
    alice.request(&format!("{method} {NOWHERE}"), &format!("a{method}"), &lines).await;
}
