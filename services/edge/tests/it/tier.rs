//! Several edges as one: whichever of them a request of a dialog comes to, and whichever has the phone's flow.

use std::sync::{Arc, Mutex};

use cluster_api::callcontrol::v1::leg_event::What;
use cluster_api::edge::v1::carry_request::What as Effect;
use cluster_api::registrar::v1::route_response::Plan;
use cluster_api::registrar::v1::{Fork, Group, RegisterResponse, Target};
use cluster_rpc::membership::View;
use sip_message::{HeaderId, Message};
use tokio::net::TcpListener;

use crate::legs::invite;
use crate::peer::{Peer, text, values};
use crate::rig::{Rig, only_member};
use crate::services::FakeLocation;
use crate::stream::Connection;

/// OBD-05, OBD-07, PXY-12: a NAT lets nothing through but what comes from where the phone registered.
#[tokio::test]
async fn a_udp_phone_that_only_its_flow_reaches_is_called_from_the_edge_that_has_it() {
    let tier = Tier::of_two().await;
    let alice = tier.entry.peer().await;
    let bob = tier.registered(NOWHERE).await;
    alice.request("INVITE sip:bob@example.com", "a1", &lines(&alice)).await;
    let invite = bob.receive_request("INVITE").await;
    assert_eq!(sent_by(&invite), tier.holder.address.to_string(), "{}", text(&invite));
    // What Bob is shown he can use: his transport, and not that between the edges.
    let record_route = values(&invite, HeaderId::RecordRoute);
    assert!(record_route.iter().all(|route| !route.contains("transport")), "{record_route:?}");
    bob.respond(&invite, "200 OK", "bt", &[&format!("Contact: <{NOWHERE}>")]).await;
    let answered = alice.receive_status(200).await;
    for (method, cseq) in [("ACK", 1), ("INFO", 2)] {
        let route = format!("Route: {}", reversed(&answered));
        let cseq = format!("CSeq: {cseq} {method}");
        let dialog = [FROM, "To: <sip:bob@example.com>;tag=bt", "Call-ID: c1", &route, &cseq];
        alice.request(&format!("{method} {NOWHERE}"), &format!("a{method}"), &dialog).await;
        let request = bob.receive_request(method).await;
        assert_eq!(sent_by(&request), tier.holder.address.to_string(), "{}", text(&request));
    }
}

/// LAD-1, OBD-07: the leg of such a phone, too.
#[tokio::test]
async fn a_leg_of_a_udp_phone_on_another_edge_comes_from_there_and_names_a_contact_for_datagrams() {
    let tier = Tier::of_two().await;
    let bob = tier.registered(NOWHERE).await;
    tier.entry.carry(1, Effect::Send(invite())).await;
    let invite = bob.receive_request("INVITE").await;
    assert_eq!(sent_by(&invite), tier.holder.address.to_string(), "{}", text(&invite));
    let contact = values(&invite, HeaderId::Contact).concat();
    assert!(contact.starts_with(&format!("<sip:cc.call-1.a@{};d=", tier.entry.address)), "{contact}");
}

/// OBD-07, F1: what was lost with the edge is the flow, not the binding.
#[tokio::test]
async fn a_udp_phone_whose_edge_is_gone_is_called_by_another_one() {
    let tier = Tier::of_two().await;
    let alice = tier.entry.peer().await;
    let bob = tier.registered(NOWHERE).await.toward(tier.entry.address);
    // First nobody has noticed, then its lease is over.
    let Tier { entry, holder, .. } = tier;
    let gone = holder.address;
    drop(holder);
    until_refused(gone).await;
    for branch in ["a1", "a2"] {
        let call = format!("Call-ID: {branch}");
        let contact = format!("Contact: <sip:alice@{}>", alice.address());
        alice.request("INVITE sip:bob@example.com", branch, &[FROM, TO, &call, &contact]).await;
        let invite = bob.receive_request("INVITE").await;
        assert_eq!(sent_by(&invite), entry.address.to_string(), "{}", text(&invite));
        bob.respond(&invite, "486 Busy Here", "bt", &[]).await;
        bob.receive_request("ACK").await;
        alice.receive_status(486).await;
        entry.learns(View::fixed([only_member(("edge-1", entry.address))].to_vec(), KEY.to_vec()));
    }
}

/// PXY-08, PXY-26, design 4: Record-Route names the tier, so that the death of the edge in it ends no call.
#[tokio::test]
async fn a_dialog_that_another_edge_let_in_goes_on_here_when_that_one_is_gone() {
    let tier = Tier::of_two().await;
    let alice = tier.entry.peer().await;
    let reached = Peer::unbound().await.toward(tier.entry.address);
    let contact = format!("sip:bob@{}", reached.address());
    tier.bindings.bind(Target { uri: contact.clone(), ..Target::default() });
    alice.request("INVITE sip:bob@example.com", "a1", &lines(&alice)).await;
    let invite = reached.receive_request("INVITE").await;
    reached.respond(&invite, "200 OK", "bt", &[&format!("Contact: <{contact}>")]).await;
    let answered = alice.receive_status(200).await;
    let Tier { entry, holder, .. } = tier;
    drop(entry);
    let (alice, reached) = (alice.toward(holder.address), reached.toward(holder.address));
    let to = ["To: <sip:bob@example.com>;tag=bt", "Call-ID: c1"];
    let route = format!("Route: {}", reversed(&answered));
    for method in ["ACK", "INFO"] {
        let cseq = format!("CSeq: 1 {method}");
        let dialog = [FROM, to[0], to[1], &route, &cseq];
        alice.request(&format!("{method} {contact}"), &format!("a{method}"), &dialog).await;
        let request = reached.receive_request(method).await;
        assert!(!request.has(HeaderId::Route), "{}", text(&request));
    }
    // The mark is that of this dialog alone.
    let other = [FROM, to[0], "Call-ID: c2", &route];
    alice.request(&format!("BYE {contact}"), "a9", &other).await;
    let refused = alice.receive_past_100().await;
    assert!(matches!(refused.status(), Some(400..)), "{}", text(&refused));
    reached.expect_nothing().await;
}

/// PXY-27: the marks and tokens of a call, which both parties know, open nothing but its dialog to anybody.
#[tokio::test]
async fn the_route_of_a_call_lets_no_other_request_in() {
    let tier = Tier::of_two().await;
    let alice = tier.entry.peer().await;
    let mut bob = tier.connected().await;
    alice.request("INVITE sip:bob@example.com", "a1", &lines(&alice)).await;
    let invite = bob.receive_request("INVITE").await;
    bob.respond(&invite, "200 OK", "bt", &[&format!("Contact: <{NOWHERE}>")]).await;
    let marked = reversed(&alice.receive_status(200).await);
    assert!(marked.contains('@') && marked.contains(";d="), "a token and a mark: {marked}");
    let mut parts = marked.split(";d=");
    let mut unmarked = parts.next().expect("what stands before the first mark").to_owned();
    unmarked.extend(parts.map(|part| &part[part.find(['>', ';']).expect("the value ends")..]));
    // The registrar knows nobody any more: what reaches Bob from now on did so without it.
    tier.bindings.bind(Target::default());
    let (mallory, dialog) = ("From: <sip:mallory@example.org>;tag=m", "To: <sip:bob@example.com>;tag=bt");
    for (number, (method, from, to, call_id, route)) in [
        ("MESSAGE", mallory, "To: <sip:bob@example.com>;tag=invented", "c1", &marked),
        ("INVITE", mallory, TO, "c1", &marked),
        ("INVITE", mallory, TO, "c2", &marked),
        ("INVITE", mallory, dialog, "c2", &unmarked),
        ("MESSAGE", FROM, dialog, "c1", &unmarked),
        ("REGISTER", FROM, dialog, "c1", &marked),
    ]
    .into_iter()
    .enumerate()
    {
        let (call_id, route) = (format!("Call-ID: {call_id}"), format!("Route: {route}"));
        let stranger = tier.entry.peer().await;
        let lines = [from, to, &call_id, &route];
        stranger.request(&format!("{method} {NOWHERE}"), &format!("m{number}"), &lines).await;
        let refused = stranger.receive_past_100().await;
        assert!(refused.status() >= Some(400), "{number}: {}", text(&refused));
    }
    // Within the dialog it goes on, and nothing came before.
    let (call_id, route) = ("Call-ID: c1", format!("Route: {marked}"));
    alice.request(&format!("BYE {NOWHERE}"), "a9", &[FROM, dialog, call_id, &route, "CSeq: 2 BYE"]).await;
    bob.receive_request("BYE").await;
}

/// Design 4: whatever edge carries the leg, and whether that lives.
#[tokio::test]
async fn a_request_to_a_leg_reaches_call_control_through_any_edge() {
    let tier = Tier::of_two().await;
    let bob = Peer::unbound().await.toward(tier.entry.address);
    tier.bindings.bind(Target { uri: format!("sip:bob@{}", bob.address()), ..Target::default() });
    tier.entry.carry(1, Effect::Send(invite())).await;
    let invite = bob.receive_request("INVITE").await;
    bob.respond(&invite, "200 OK", "bt", &[&format!("Contact: <sip:bob@{}>", bob.address())]).await;
    tier.entry.events.next().await;
    let contact = values(&invite, HeaderId::Contact).concat();
    let leg = contact.trim_matches(['<', '>']);
    assert!(leg.contains(&tier.entry.address.to_string()), "{leg}");
    let call_id = format!("Call-ID: {}", String::from_utf8_lossy(invite.call_id().unwrap()));
    let Tier { entry, holder, .. } = tier;
    drop(entry);
    let bob = bob.toward(holder.address);
    let dialog = ["From: <sip:bob@example.com>;tag=bt", "To: <sip:carillon@example.com>;tag=ct", &call_id];
    bob.request(&format!("BYE {leg}"), "b1", &dialog).await;
    let (call, event) = holder.events.next().await;
    assert_eq!((call.as_str(), event.leg_id.as_str()), ("call-1", "a"));
    assert!(matches!(event.what, Some(What::Request(request)) if request.method == "BYE"));
    // Only in the dialog that was given this Contact; others are for the registrar to place, who knows nobody.
    tier.bindings.bind(Target::default());
    let stranger = [dialog[0], dialog[1], "Call-ID: another"];
    bob.request(&format!("BYE {leg}"), "b2", &stranger).await;
    assert!(matches!(bob.receive_past_100().await.status(), Some(400..)));
    assert!(holder.events.is_empty());
}

/// PXY-26, PXY-27: nobody can challenge an ACK, so one that belongs to nothing goes nowhere.
#[tokio::test]
async fn a_strangers_ack_is_sent_to_nobody() {
    let tier = Tier::of_two().await;
    let (stranger, victim) = (tier.entry.peer().await, tier.entry.peer().await);
    let port = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = port.local_addr().expect("it is bound");
    let to_victim = format!("sip:x@{}", victim.address());
    tier.bindings.bind(Target { uri: to_victim.clone(), ..Target::default() });
    let to_port = format!("sip:x@{port};transport=tcp");
    let own = format!("Route: <sip:{};lr>", tier.entry.address);
    let routed = format!("Route: <{to_victim};lr>");
    for (number, (uri, route)) in [
        (to_victim.as_str(), None),
        (to_port.as_str(), None),
        ("sip:bob@example.com", None),
        (to_victim.as_str(), Some(&own)),
        ("sip:bob@example.com", Some(&own)),
        ("sip:bob@example.com", Some(&routed)),
    ]
    .into_iter()
    .enumerate()
    {
        let mut ack =
            vec!["From: <sip:zed@example.org>;tag=z", "To: <sip:x@example.com>;tag=x", "CSeq: 1 ACK"];
        let call_id = format!("Call-ID: s{number}");
        ack.push(&call_id);
        ack.extend(route.map(String::as_str));
        stranger.request(&format!("ACK {uri}"), &format!("s{number}"), &ack).await;
    }
    stranger.expect_nothing().await;
    victim.expect_nothing().await;
    assert!(tier.bindings.asked() == 0, "nor is the registrar asked");
    assert_eq!(tier.entry.counted("edge_dropped_total", "stray"), 6);
}

/// OBD-05: the phone's edge says at once that it went away while it rang, to the caller and to another edge.
#[tokio::test]
async fn a_phone_whose_connection_ends_while_it_rings_fails_its_branch_at_once() {
    let tier = Tier::of_two().await;
    for edge in [&tier.holder, &tier.entry] {
        let alice = edge.peer().await;
        let mut bob = tier.connected().await;
        alice.request("INVITE sip:bob@example.com", "a1", &lines(&alice)).await;
        let invite = bob.receive_request("INVITE").await;
        bob.respond(&invite, "180 Ringing", "bt", &[]).await;
        alice.receive_status(180).await;
        drop(bob);
        alice.receive_status(480).await;
    }
}

/// An edge that dies takes its connection to this one along: a stream is pruned at once.
#[tokio::test]
async fn a_branch_through_an_edge_that_dies_ends_at_once() {
    let tier = Tier::of_two().await;
    let alice = tier.entry.peer().await;
    let mut bob = tier.connected().await;
    alice.request("INVITE sip:bob@example.com", "a1", &lines(&alice)).await;
    let invite = bob.receive_request("INVITE").await;
    bob.respond(&invite, "180 Ringing", "bt", &[]).await;
    alice.receive_status(180).await;
    drop(tier.holder);
    let failed = alice.receive_past_100().await;
    assert!(matches!(failed.status(), Some(480 | 500 | 503)), "{}", text(&failed));
}

pub(crate) const KEY: [u8; 32] = [9; 32];
pub(crate) const NOWHERE: &str = "sip:bob@df7jal23ls0d.invalid";
const FROM: &str = "From: <sip:alice@example.com>;tag=at";
const TO: &str = "To: <sip:bob@example.com>";

/// Two edges that know each other, and what the one registrar knows of Bob.
pub(crate) struct Tier {
    pub(crate) entry: Rig,
    pub(crate) holder: Rig,
    bindings: Bindings,
}

#[derive(Default, Clone)]
struct Bindings {
    bob: Arc<Mutex<Target>>,
    asked: Arc<Mutex<usize>>,
}

impl Bindings {
    fn bind(&self, target: Target) {
        *self.bob.lock().expect("nobody panics with it") = target;
    }

    fn asked(&self) -> usize {
        *self.asked.lock().expect("nobody panics with it")
    }

    fn location(&self) -> Arc<FakeLocation> {
        let (reader, writer) = (self.clone(), self.clone());
        FakeLocation::full(
            move |_| {
                *reader.asked.lock().expect("nobody panics with it") += 1;
                let targets = vec![reader.bob.lock().expect("nobody panics with it").clone()];
                let group = Group { targets, ring_time: None, cause: "contact".into() };
                Ok(Plan::Fork(Fork { groups: vec![group], recurse: false }))
            },
            move |request| {
                let uri = request.contacts.first().map_or(String::new(), |contact| contact.uri.clone());
                writer.bind(Target { uri, flow: request.flow.clone(), ..Target::default() });
                RegisterResponse { status: 200, ..RegisterResponse::default() }
            },
        )
    }
}

impl Tier {
    pub(crate) async fn of_two() -> Self {
        Self::configured(|_| {}, |_| {}).await
    }

    /// Two whose settings are changed so.
    pub(crate) async fn configured(
        of_entry: impl FnOnce(&mut edge::Config),
        of_holder: impl FnOnce(&mut edge::Config),
    ) -> Self {
        let bindings = Bindings::default();
        let entry = Rig::configured(bindings.location(), |config| {
            config.id = "edge-1".into();
            of_entry(config);
        })
        .await;
        let holder = Rig::configured(bindings.location(), |config| {
            config.id = "edge-2".into();
            of_holder(config);
        })
        .await;
        let members = [("edge-1", entry.address), ("edge-2", holder.address)].map(only_member);
        for edge in [&entry, &holder] {
            edge.learns(View::fixed(members.to_vec(), KEY.to_vec()));
        }
        Self { entry, holder, bindings }
    }

    /// Bob, registered by datagrams with this Contact.
    pub(crate) async fn registered(&self, contact: &str) -> Peer {
        let bob = self.holder.peer().await;
        let contact = format!("Contact: <{contact}>");
        let lines = ["From: <sip:bob@example.com>;tag=b", TO, "Call-ID: r1", &contact];
        bob.request("REGISTER sip:example.com", "r1", &lines).await;
        bob.receive_status(200).await;
        bob
    }

    /// Bob, registered over a connection.
    pub(crate) async fn connected(&self) -> Connection {
        let mut bob = Connection::to(self.holder.address).await;
        let contact = format!("Contact: <{NOWHERE};transport=tcp>");
        let lines = ["From: <sip:bob@example.com>;tag=b", TO, "Call-ID: r1", &contact];
        bob.request("REGISTER sip:example.com", "r1", &lines).await;
        bob.receive_status(200).await;
        bob
    }
}

/// What Alice dials with.
pub(crate) fn lines(alice: &Peer) -> [&'static str; 4] {
    let contact = format!("Contact: <sip:alice@{}>", alice.address());
    [FROM, TO, "Call-ID: c1", contact.leak()]
}

/// Who sent it: the name in the topmost Via, which is the address of its socket.
pub(crate) fn sent_by(message: &Message) -> String {
    let via = message.top_via().expect("it has a Via");
    format!("{}:{}", via.host, via.port_or_default())
}

/// The route set of a caller.
pub(crate) fn reversed(answer: &Message) -> String {
    let mut routes = values(answer, HeaderId::RecordRoute);
    routes.reverse();
    routes.join(", ")
}

/// Waits until nobody listens there any more.
pub(crate) async fn until_refused(address: std::net::SocketAddr) {
    while tokio::net::TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
}
