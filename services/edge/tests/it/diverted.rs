//! What the parties of a forwarded call are told of its way.

use std::sync::Arc;

use cluster_api::edge::v1::carry_request::What as Effect;
use cluster_api::registrar::v1::route_response::Plan;
use cluster_api::registrar::v1::{Fork, Group, Refuse, RouteRequest, Target};
use prost_types::Duration as WireDuration;
use sip_message::{HeaderId, Message};

use crate::forwarding::{INVITE, uri_of};
use crate::legs::invite;
use crate::peer::{Peer, values};
use crate::rig::{Rig, fast};
use crate::services::{FakeLocation, target};

/// FWD-02, FWD-03, FWD-06, FWD-07: Bob forwards every call to Carol, who is busy and forwards to Dave: all of it is told, in order.
#[tokio::test]
async fn a_call_that_is_forwarded_twice_says_so() {
    let (rig, alice, [carol, dave], location) = twice().await;
    alice.request("INVITE sip:bob@example.com", "a1", &INVITE).await;
    let at_carol = carol.receive_request("INVITE").await;
    assert_eq!(values(&at_carol, HeaderId::Diversion), ["<sip:bob@example.com>;reason=unconditional"]);
    assert_eq!(
        values(&at_carol, HeaderId::HistoryInfo),
        [
            "<sip:bob@example.com>;index=1",
            "<sip:carol@example.com>;index=1.1;mp=1",
            &format!("<{}>;index=1.1.1;rc=1.1", uri_of(&carol)),
        ]
    );
    carol.respond(&at_carol, "486 Busy Here", "ct", &[]).await;
    let at_dave = dave.receive_request("INVITE").await;
    assert_eq!(at_dave.to().unwrap().uri, b"sip:bob@example.com", "To stays as it was dialled");
    assert_eq!(
        values(&at_dave, HeaderId::Diversion),
        ["<sip:carol@example.com>;reason=user-busy", "<sip:bob@example.com>;reason=unconditional"]
    );
    assert_eq!(
        values(&at_dave, HeaderId::HistoryInfo),
        [
            "<sip:bob@example.com>;index=1",
            "<sip:carol@example.com>;index=1.1;mp=1",
            &format!("<{}?Reason=SIP%3Bcause%3D486>;index=1.1.1;rc=1.1", uri_of(&carol)),
            "<sip:dave@example.com>;index=1.1.2;mp=1.1.1",
            &format!("<{}>;index=1.1.2.1;rc=1.1.2", uri_of(&dave)),
        ]
    );
    dave.respond(&at_dave, "200 OK", "dt", &[]).await;
    let told = [alice.receive_status(181).await, alice.receive_status(181).await];
    let answer = alice.receive_status(200).await;
    let tag = |message: &Message| message.to().unwrap().tag().map(str::to_owned);
    assert_eq!(tag(&told[0]), tag(&told[1]), "one user agent tells of both");
    assert_ne!(tag(&told[0]), tag(&answer));
    assert!(!answer.has(HeaderId::HistoryInfo), "the caller did not ask");
    let forwards: Vec<u32> = location.routed.lock().unwrap().iter().map(|asked| asked.forwards).collect();
    assert_eq!(forwards, [0, 1, 2]);
    drop(rig);
}

/// FWD-04, FWD-06: a phone that rang in vain stands in the history with 408, and the caller that asks gets all of it back, with
/// what was added further on.
#[tokio::test]
async fn the_caller_that_asks_is_told_the_history() {
    let (_rig, alice, [bob, carol]) = no_answer(Some(WireDuration { seconds: 0, nanos: 50_000_000 })).await;
    let lines = [&INVITE[..], &["Supported: histinfo"]].concat();
    alice.request("INVITE sip:bob@example.com", "a1", &lines).await;
    let at_bob = bob.receive_request("INVITE").await;
    let (first, ringing) = ("<sip:bob@example.com>;index=1".to_owned(), uri_of(&bob));
    assert_eq!(
        values(&at_bob, HeaderId::HistoryInfo),
        [first.clone(), format!("<{ringing}>;index=1.1;rc=1")]
    );
    bob.respond(&at_bob, "180 Ringing", "bt", &[]).await;
    assert_eq!(values(&alice.receive_status(180).await, HeaderId::HistoryInfo).len(), 2);
    let cancel = bob.receive_request("CANCEL").await;
    bob.respond(&cancel, "200 OK", "bt", &[]).await;
    bob.respond(&at_bob, "487 Request Terminated", "bt", &[]).await;
    let at_carol = carol.receive_request("INVITE").await;
    let history = [
        first,
        format!("<{ringing}?Reason=SIP%3Bcause%3D408>;index=1.1;rc=1"),
        format!("<{}>;index=1.2;mp=1.1", uri_of(&carol)),
    ];
    assert_eq!(values(&at_carol, HeaderId::HistoryInfo), history);
    assert_eq!(values(&alice.receive_status(181).await, HeaderId::HistoryInfo), history);
    let further = "<sip:carol@192.0.2.9>;index=1.2.1;rc=1.2";
    let line = format!("History-Info: <x:wrong>;index=1.1, {further}");
    carol.respond(&at_carol, "200 OK", "ct", &[&line]).await;
    let answer = alice.receive_status(200).await;
    assert_eq!(values(&answer, HeaderId::HistoryInfo), [&history[..], &[further.to_owned()]].concat());
}

/// FWD-06: what we answer ourselves tells the history as an answer of a phone does: nobody is there or known, everybody was silent or
/// rang in vain, nothing was to be had of a name, of a flow or of a trunk. RFC 7044 9.3, 9.4
#[tokio::test]
async fn an_answer_of_our_own_tells_the_history() {
    let (phone, deaf) = (Peer::unbound().await, Peer::unbound().await);
    let (rings, silent) = (uri_of(&phone), uri_of(&deaf));
    let uris = [rings.clone(), silent.clone()];
    let location = FakeLocation::planning(move |asked: &RouteRequest| own_failure(&asked.request_uri, &uris));
    let rig = Rig::configured(location, fast).await;
    let (alice, phone) = (rig.peer().await, phone.toward(rig.address));
    let ended = |status: u16| format!("?Reason=SIP%3Bcause%3D{status}");
    for (user, status, entries) in [
        ("unknown", 404, vec![]),
        ("absent", 480, vec![]),
        ("rings", 408, vec![format!("<{rings}{}>;index=1.1;rc=1", ended(408))]),
        ("silent", 408, vec![format!("<{silent}{}>;index=1.1;rc=1", ended(408))]),
        ("flowless", 480, vec![format!("<sip:x@gone.invalid{}>;index=1.1;rc=1", ended(430))]),
        (
            "forwards",
            404,
            vec![
                format!("<sip:x@gone.invalid{}>;index=1.1;rc=1", ended(430)),
                format!("<sip:unknown@example.com{}>;index=1.2;mp=1.1", ended(404)),
            ],
        ),
        (
            "trunks",
            500,
            vec![
                format!("<sip:+49@nowhere.invalid.{}>;index=1.1;rc=1", ended(503)),
                format!("<sip:+49@neither.invalid.{}>;index=1.2;rc=1", ended(503)),
            ],
        ),
    ] {
        let call = format!("Call-ID: {user}");
        let lines = [INVITE[0], INVITE[1], &call, "Supported: histinfo"];
        alice.request(&format!("INVITE sip:{user}@example.com"), user, &lines).await;
        let mut asked = None;
        if user == "rings" {
            let invite = phone.receive_request("INVITE").await;
            phone.respond(&invite, "180 Ringing", "bt", &[]).await;
            // on a slow machine the INVITE may have been repeated
            let cancel = loop {
                let request = phone.receive().await;
                if request.method_str() == "CANCEL" {
                    break request;
                }
            };
            phone.respond(&cancel, "200 OK", "bt", &[]).await;
            phone.respond(&invite, "487 Request Terminated", "bt", &[]).await;
            asked = Some(invite);
        }
        let answer = loop {
            let answer = alice.receive_past_100().await;
            let is_of_call = answer.call_id().is_ok_and(|call| call == user.as_bytes());
            if is_of_call && answer.status() >= Some(200) {
                break answer;
            }
        };
        assert_eq!(answer.status(), Some(status), "{user}");
        let own = if entries.is_empty() { ended(status) } else { String::new() };
        let first = format!("<sip:{user}@example.com{own}>;index=1");
        assert_eq!(values(&answer, HeaderId::HistoryInfo), [vec![first], entries].concat(), "{user}");
        assert!(asked.is_none_or(|invite| invite.has(HeaderId::HistoryInfo)));
    }
}

/// FWD-06, FWD-04: a phone that gave no sign of life in its time stands in the history of who is called for it.
#[tokio::test]
async fn a_silent_phone_is_told_to_the_next() {
    let (_rig, alice, [_bob, carol]) = no_answer(Some(WireDuration { seconds: 0, nanos: 50_000_000 })).await;
    alice.request("INVITE sip:bob@example.com", "a1", &INVITE).await;
    let history = values(&carol.receive_request("INVITE").await, HeaderId::HistoryInfo);
    assert_eq!(history.len(), 3, "{history:?}");
    assert!(history[1].ends_with("?Reason=SIP%3Bcause%3D408>;index=1.1;rc=1"), "{history:?}");
    assert!(history[2].ends_with(";index=1.2;mp=1.1"), "{history:?}");
}

/// FWD-06: what came along is told by our refusal as it came, and nobody who did not ask is told anything.
#[tokio::test]
async fn a_refusal_tells_what_came_along() {
    let location = FakeLocation::planning(|_| Plan::Refuse(Refuse { status: 404, ..Refuse::default() }));
    let rig = Rig::with(location).await;
    let alice = rig.peer().await;
    let came = ["<sip:x@example.org>;index=1", "<sip:bob@example.com>;index=1.2;mp=1"];
    let line = format!("History-Info: {},\r\n {}", came[0], came[1]);
    for (call, asks, told) in [("h1", "Supported: histinfo", &came[..]), ("h2", "Supported: timer", &[])] {
        let call_id = format!("Call-ID: {call}");
        let lines = [INVITE[0], INVITE[1], &call_id, &line, asks];
        alice.request("INVITE sip:bob@example.com", call, &lines).await;
        assert_eq!(values(&alice.receive_status(404).await, HeaderId::HistoryInfo), told);
    }
}

/// FWD-06: history that came goes on below its last entry, or below the gap where that is another target; numbers that cannot be
/// read are left alone.
#[tokio::test]
async fn a_history_that_came_is_continued() {
    let (_rig, alice, [bob, _carol]) = no_answer(None).await;
    for (number, (came, expected)) in (1..).zip([
        ("<sip:x@example.org>;index=1, <sip:bob@example.com>;index=1.2;mp=1", Some("index=1.2.1;rc=1.2")),
        ("<sip:x@example.org>;index=1.3", Some("index=1.3.0.1;rc=1.3.0")),
        ("<sip:bob@example.com>;index=none", None),
    ]) {
        let (call, line) = (format!("Call-ID: h{number}"), format!("History-Info: {came}"));
        alice
            .request(
                "INVITE sip:bob@example.com",
                &format!("h{number}"),
                &[INVITE[0], INVITE[1], &call, &line],
            )
            .await;
        let at_bob = bob.receive_request("INVITE").await;
        let history = values(&at_bob, HeaderId::HistoryInfo);
        match expected {
            Some(expected) => {
                assert!(history.last().unwrap().ends_with(expected), "{history:?}");
                assert_eq!(history.iter().any(|entry| entry.ends_with("index=1.3.0")), number == 2);
            }
            None => assert_eq!(history, [came]),
        }
        bob.respond(&at_bob, "603 Decline", "bt", &[]).await;
        bob.receive_request("ACK").await;
        alice.receive_status(603).await;
    }
}

/// FWD-06, FWD-07: who wants privacy is not named to those outside our domains, and is within them; a trunk charges by the Diversion, and is told to
/// show it to nobody. RFC 7044 10.1.2, RFC 5806 3
#[tokio::test]
async fn privacy_hides_the_history_outside() {
    let forwarded = "forward-unconditional";
    for (privacy, cause, is_hidden, left) in [
        ("history", forwarded, true, None),
        ("history;critical", forwarded, true, None),
        ("id;history", forwarded, true, Some("id")),
        ("header", forwarded, true, Some("header")),
        ("history", "trunk", true, None),
        ("none", forwarded, false, Some("none")),
        ("id", "trunk", false, Some("id")),
    ] {
        let far = Peer::unbound().await;
        let to = uri_of(&far);
        let location = FakeLocation::planning(move |_| {
            let target = Target { uri: to.clone(), ..Target::default() };
            let group = Group { targets: vec![target], ring_time: None, cause: cause.into() };
            Plan::Fork(Fork { groups: vec![group], recurse: false })
        });
        let rig = Rig::with(location).await;
        let (alice, far) = (rig.peer().await, far.toward(rig.address));
        let lines = [&format!("Privacy: {privacy}"), "Supported: histinfo"];
        alice.request("INVITE sip:bob@example.com", "a1", &[&INVITE[..], &lines].concat()).await;
        let came = far.receive_request("INVITE").await;
        let history = values(&came, HeaderId::HistoryInfo);
        let nobody = "sip:anonymous@anonymous.invalid";
        let bob = if is_hidden { nobody } else { "sip:bob@example.com" };
        let (last, diverted) = match cause {
            "trunk" => (format!("<{}>;index=1.1;rc=1", uri_of(&far)), vec![]),
            _ if is_hidden => (
                format!("<{}>;index=1.1;mp=1", uri_of(&far)),
                vec![format!("<{nobody}>;reason=unconditional;privacy=full")],
            ),
            _ => (
                format!("<{}>;index=1.1;mp=1", uri_of(&far)),
                vec!["<sip:bob@example.com>;reason=unconditional".to_owned()],
            ),
        };
        assert_eq!(history, [format!("<{bob}>;index=1"), last], "{privacy} {cause}");
        assert_eq!(values(&came, HeaderId::Diversion), diverted, "{privacy} {cause}");
        assert_eq!(values(&came, HeaderId::Privacy), Vec::from_iter(left), "it was obeyed");
    }
}

/// FWD-06: an entry whose writer wants it told to nobody outside is hidden there, whatever the message says and although the rest cannot be gone on
/// with; within our domains it is told. RFC 7044 10.1.1, 10.1.2
#[tokio::test]
async fn an_entry_that_is_marked_private_is_hidden_outside() {
    let marked = "<sip:boss@example.org?Privacy=history>;index=1";
    for (cause, expected) in
        [("forward-busy", "<sip:anonymous@anonymous.invalid>;index=1"), ("contact", marked)]
    {
        let far = Peer::unbound().await;
        let to = uri_of(&far);
        let location = FakeLocation::planning(move |_| {
            let target = Target { uri: to.clone(), ..Target::default() };
            let group = Group { targets: vec![target], ring_time: None, cause: cause.into() };
            Plan::Fork(Fork { groups: vec![group], recurse: false })
        });
        let rig = Rig::with(location).await;
        let (alice, far) = (rig.peer().await, far.toward(rig.address));
        let (call, unread) = (format!("History-Info: {marked}"), "History-Info: <sip:x@example.org>;index=?");
        alice.request("INVITE sip:bob@example.com", "a1", &[&INVITE[..], &[&call, unread]].concat()).await;
        let came = far.receive_request("INVITE").await;
        assert_eq!(values(&came, HeaderId::HistoryInfo)[0], expected, "{cause}");
    }
}

/// FWD-06: a caller outside is not told whom its call was led to here, when whoever answers does not want it told; one of ours is.
#[tokio::test]
async fn an_answer_hides_the_history_from_those_outside() {
    for (from, is_hidden) in [("sip:alice@far.example", true), ("sip:alice@example.com", false)] {
        let carol = Peer::unbound().await;
        let to = uri_of(&carol);
        let location = FakeLocation::planning(move |asked: &RouteRequest| {
            if asked.request_uri.contains("bob") {
                return forward("sip:carol@example.com", "forward-unconditional");
            }
            Plan::Fork(Fork {
                groups: vec![Group { targets: vec![target(&to)], ring_time: None, cause: "contact".into() }],
                recurse: false,
            })
        });
        let rig = Rig::with(location).await;
        let (alice, carol) = (rig.peer().await, carol.toward(rig.address));
        let from = format!("From: <{from}>;tag=at");
        let lines = [&from, "To: <sip:bob@example.com>", "Call-ID: h1", "Supported: histinfo"];
        alice.request("INVITE sip:bob@example.com", "a1", &lines).await;
        let at_carol = carol.receive_request("INVITE").await;
        carol.respond(&at_carol, "200 OK", "ct", &["Privacy: history"]).await;
        alice.receive_status(181).await;
        let told = values(&alice.receive_status(200).await, HeaderId::HistoryInfo);
        let nobody = "<sip:anonymous@anonymous.invalid";
        assert_eq!(told.len(), 3);
        assert_eq!([told[0].starts_with(nobody), told[1].starts_with(nobody)], [is_hidden; 2], "{told:?}");
    }
}

/// FWD-08, PXY-10: two who forward to each other end the call at once, and nobody rings.
#[tokio::test]
async fn a_circle_of_forwards_ends() {
    let location = FakeLocation::planning(|asked: &RouteRequest| {
        let other = if asked.request_uri.contains("bob") { "carol" } else { "bob" };
        forward(&format!("sip:{other}@example.com"), "forward-unconditional")
    });
    let rig = Rig::with(location.clone()).await;
    let alice = rig.peer().await;
    alice.request("INVITE sip:bob@example.com", "a1", &INVITE).await;
    alice.receive_status(181).await;
    alice.receive_status(181).await;
    alice.receive_status(480).await;
    assert_eq!(location.routed.lock().unwrap().len(), 3, "Bob, Carol, and Bob again in Carol's place");
}

/// FWD-08: forwards that others have counted count here, and the registrar's refusal ends the branch.
#[tokio::test]
async fn forwards_before_us_are_counted() {
    let location = FakeLocation::planning(|asked: &RouteRequest| match asked.forwards {
        0..3 => forward(&format!("sip:next{}@example.com", asked.forwards), "forward-unconditional"),
        _ => Plan::Refuse(Refuse { status: 482, ..Refuse::default() }),
    });
    let rig = Rig::with(location.clone()).await;
    let alice = rig.peer().await;
    let came = "Diversion: <sip:a@h>;reason=user-busy, <sip:b@h>;reason=unknown";
    alice.request("INVITE sip:bob@example.com", "a1", &[&INVITE[..], &[came]].concat()).await;
    alice.receive_status(181).await;
    alice.receive_status(482).await;
    let forwards: Vec<u32> = location.routed.lock().unwrap().iter().map(|asked| asked.forwards).collect();
    assert_eq!(forwards, [2, 3]);
}

/// FWD-03, FWD-06, FWD-07: a leg that call-control dials is forwarded like a call of a phone.
#[tokio::test]
async fn a_dialled_leg_is_forwarded() {
    let (rig, _alice, [carol, dave], _) = twice().await;
    rig.carry(1, Effect::Send(invite())).await;
    let at_carol = carol.receive_request("INVITE").await;
    carol.respond(&at_carol, "486 Busy Here", "ct", &[]).await;
    let at_dave = dave.receive_request("INVITE").await;
    assert_eq!(
        values(&at_dave, HeaderId::Diversion),
        ["<sip:carol@example.com>;reason=user-busy", "<sip:bob@example.com>;reason=unconditional"]
    );
    assert_eq!(values(&at_dave, HeaderId::HistoryInfo).len(), 5);
    dave.respond(&at_dave, "200 OK", "dt", &[]).await;
    assert_eq!(rig.response().await, (1, 200), "the 486 of Carol was not the leg's");
}

/// FWD-02: who requires reliable provisional responses gets no unreliable one from us.
#[tokio::test]
async fn no_181_where_it_would_have_to_be_reliable() {
    let (_rig, alice, [carol, _dave], _) = twice().await;
    alice.request("INVITE sip:bob@example.com", "a1", &[&INVITE[..], &["Require: 100rel"]].concat()).await;
    let at_carol = carol.receive_request("INVITE").await;
    carol.respond(&at_carol, "603 Decline", "ct", &[]).await;
    alice.receive_status(603).await;
}

/// Bob forwards every call to Carol, and Carol to Dave when she is busy.
/// FWD-03: where the registrar finds the callee busy before anybody is tried, say at the limit of its calls, its rule for that is
/// followed at once.
#[tokio::test]
async fn a_callee_that_is_busy_before_it_is_tried_is_forwarded() {
    let carol = Peer::unbound().await;
    let uri = uri_of(&carol);
    let location = FakeLocation::planning(move |_| {
        let group = Group { cause: "forward-busy".into(), ..contact(&uri) };
        Plan::Fork(Fork { groups: vec![group], recurse: false })
    });
    let rig = Rig::with(location).await;
    let alice = rig.peer().await;
    let carol = carol.toward(rig.address);
    alice.request("INVITE sip:bob@example.com", "a1", &INVITE).await;
    let at_carol = carol.receive_request("INVITE").await;
    assert_eq!(values(&at_carol, HeaderId::Diversion), ["<sip:bob@example.com>;reason=user-busy"]);
    alice.receive_status(181).await;
    carol.respond(&at_carol, "200 OK", "ct", &[]).await;
    alice.receive_status(200).await;
}

async fn twice() -> (Rig, Peer, [Peer; 2], Arc<FakeLocation>) {
    let (carol, dave) = (Peer::unbound().await, Peer::unbound().await);
    let uris = [uri_of(&carol), uri_of(&dave)];
    let location = FakeLocation::planning(move |asked: &RouteRequest| match asked.request_uri.as_str() {
        "sip:bob@example.com" => forward("sip:carol@example.com", "forward-unconditional"),
        "sip:carol@example.com" => {
            let Plan::Fork(fork) = forward("sip:dave@example.com", "forward-busy") else { unreachable!() };
            let groups = [vec![contact(&uris[0])], fork.groups].concat();
            Plan::Fork(Fork { groups, recurse: false })
        }
        _ => Plan::Fork(Fork { groups: vec![contact(&uris[1])], recurse: false }),
    });
    let rig = Rig::with(location.clone()).await;
    let alice = rig.peer().await;
    let peers = [carol, dave].map(|peer| peer.toward(rig.address));
    (rig, alice, peers, location)
}

/// Bob's phone rings as long as it is told to, then Carol's.
async fn no_answer(ring_time: Option<WireDuration>) -> (Rig, Peer, [Peer; 2]) {
    let (bob, carol) = (Peer::unbound().await, Peer::unbound().await);
    let uris = [uri_of(&bob), uri_of(&carol)];
    let location = FakeLocation::planning(move |_| {
        let late =
            Group { targets: vec![target(&uris[1])], ring_time: None, cause: "forward-no-answer".into() };
        let groups = vec![Group { ring_time, ..contact(&uris[0]) }, late];
        Plan::Fork(Fork { groups, recurse: false })
    });
    let rig = Rig::with(location).await;
    let alice = rig.peer().await;
    let peers = [bob, carol].map(|peer| peer.toward(rig.address));
    (rig, alice, peers)
}

fn contact(uri: &str) -> Group {
    Group { targets: vec![target(uri)], ring_time: None, cause: "contact".into() }
}

fn forward(uri: &str, cause: &str) -> Plan {
    let target = Target { uri: uri.into(), ..Target::default() };
    let group = Group { targets: vec![target], ring_time: None, cause: cause.into() };
    Plan::Fork(Fork { groups: vec![group], recurse: false })
}

/// How a call to this user ends without a word of any phone.
fn own_failure(request_uri: &str, [rings, silent]: &[String; 2]) -> Plan {
    let refuse = |status| Plan::Refuse(Refuse { status, ..Refuse::default() });
    let fork = |groups| Plan::Fork(Fork { groups, recurse: false });
    let gone = "sip:x@gone.invalid";
    let trunk = |(host, cause): (&str, &str)| Group {
        targets: vec![Target { uri: format!("sip:+49@{host}"), ..Target::default() }],
        ring_time: None,
        cause: cause.into(),
    };
    match request_uri {
        "sip:absent@example.com" => refuse(480),
        "sip:rings@example.com" => {
            let brief = Some(WireDuration { seconds: 0, nanos: 50_000_000 });
            fork(vec![Group { ring_time: brief, ..contact(rings) }])
        }
        "sip:silent@example.com" => fork(vec![contact(silent)]),
        "sip:flowless@example.com" => fork(vec![lost(gone)]),
        "sip:forwards@example.com" => {
            let Plan::Fork(on) = forward("sip:unknown@example.com", "forward-unreachable") else {
                unreachable!("it is a fork")
            };
            fork([vec![lost(gone)], on.groups].concat())
        }
        "sip:trunks@example.com" => {
            fork([("nowhere.invalid.", "trunk"), ("neither.invalid.", "trunk-failover")].map(trunk).to_vec())
        }
        _ => refuse(404),
    }
}

/// A phone whose connection has gone.
fn lost(uri: &str) -> Group {
    let target = Target { uri: uri.into(), flow: "no-flow-of-ours".into(), ..Target::default() };
    Group { targets: vec![target], ring_time: None, cause: "contact".into() }
}
