//! Calls that a plan hands to call-control: how they are told, and what the edge does for it by itself.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use cluster_api::callcontrol::v1::CallReceived;
use cluster_api::callcontrol::v1::leg_event::What;
use cluster_api::edge::v1::{
    CarryRequest, ReleaseLeg, SendRequest, SendResponse, carry_request::What as Effect,
};
use cluster_api::registrar::v1::route_response::Plan;
use cluster_api::registrar::v1::{Challenge, HandToCallControl};
use cluster_api::sip::v1::Header;
use sip_message::HeaderId;

use crate::legs::{invite as leg_invite, one_phone};
use crate::rig::Rig;
use crate::services::FakeLocation;
use crate::wires::Wires;

const ALICE: &str = "192.0.2.7:5060";

/// UAC-25, UAC-15: everything that call-control decides on, and no more.
#[tokio::test(start_paused = true)]
async fn call_control_is_told_what_the_caller_asks() {
    let (rig, wires) = edge().await;
    wires.invite(
        "Max-Forwards: 17\r\nMax-Breadth: 9\r\nRecord-Route: <sip:p2;lr>\r\nRecord-Route: <sip:p1;lr>\r\n\
         Require: 100rel\r\nSupported: timer, replaces\r\nAccept: application/sdp\r\nExpires: 30\r\nSubject: lunch\r\n",
    );
    let (call_id, received) = begun(&rig).await;
    assert!(call_id.starts_with("in-"), "{call_id}");
    assert_eq!((received.max_forwards, received.max_breadth), (17, 9));
    assert_eq!(received.record_route, ["<sip:p2;lr>", "<sip:p1;lr>"]);
    assert_eq!(
        (received.request_uri.as_str(), received.to_uri.as_str()),
        ("sip:bob@example.com", "sip:bob@example.com")
    );
    assert_eq!((received.from_uri.as_str(), received.from_tag.as_str()), ("sip:alice@example.com", "at"));
    assert_eq!(received.from_display, "Alice \"A\"");
    assert_eq!((received.sip_call_id.as_str(), received.cseq), ("c", 1));
    assert_eq!(received.contact, format!("sip:alice@{ALICE}"));
    assert_eq!(
        (received.require, received.supported),
        (vec!["100rel".to_owned()], vec!["timer".into(), "replaces".into()])
    );
    let of = |name: &str| {
        received.headers.iter().find(|header| header.name == name).map(|header| header.value.as_str())
    };
    assert_eq!(
        (of("Accept"), of("Expires"), of("Subject")),
        (Some("application/sdp"), Some("30"), Some("lunch"))
    );
    assert!(received.source.is_some_and(|source| !source.trusted));
}

/// A call that the registrar counts has the id that it is counted by.
#[tokio::test(start_paused = true)]
async fn a_call_that_is_counted_has_the_id_it_is_counted_by() {
    let location = FakeLocation::planning(|_| Plan::CallControl(HandToCallControl::default()));
    let (rig, wires) = Rig::on_wires(location.clone(), |_| {}).await;
    *location.counted_as.lock().unwrap() = "in-counted".to_owned();
    wires.invite("");
    assert_eq!(begun(&rig).await.0, "in-counted");
    let asked = location.routed.lock().unwrap()[0].call_id.clone();
    assert!(asked.starts_with("px-"), "{asked}");
}

/// CCL-09, CCL-11: an INVITE to the Contact of a leg, outside its dialog, begins a call of its own, once the registrar knows its sender.
#[tokio::test(start_paused = true)]
async fn an_invite_to_a_leg_is_asked_about_and_handed_on() {
    let location = FakeLocation::planning(|_| Plan::CallControl(HandToCallControl::default()));
    let (rig, wires) = Rig::on_wires(location.clone(), |_| {}).await;
    let leg = format!("sip:cc.call-1.b@{}", crate::wires::EDGE);
    wires.invite_to(&leg, "Replaces: x;to-tag=1;from-tag=2\r\nRequire: replaces\r\n");
    let (call_id, received) = begun(&rig).await;
    assert!(call_id.starts_with("in-"), "{call_id}");
    assert_eq!(received.request_uri, leg);
    let replaces = received.headers.iter().find(|header| header.name == "Replaces");
    assert_eq!(replaces.map(|header| header.value.as_str()), Some("x;to-tag=1;from-tag=2"));
    assert!(location.routed.lock().unwrap()[0].to_leg);
}

/// CCL-04, CCL-11: so is a REFER to it, which goes to the leg with the name that was proved; in the dialog nobody is asked.
#[tokio::test(start_paused = true)]
async fn a_refer_outside_a_dialog_is_asked_who_sends_it() {
    let location = FakeLocation::planning(|_| Plan::CallControl(HandToCallControl::default()));
    let (rig, wires) = Rig::on_wires(location.clone(), |_| {}).await;
    *location.identity.lock().unwrap() = "sip:alice@example.com".to_owned();
    for (tag, is_asked) in [("", true), (";tag=ct", false)] {
        wires.refer(&format!("sip:cc.call-1.b@{}", crate::wires::EDGE), tag);
        let (call_id, event) = rig.events.next().await;
        assert_eq!((call_id.as_str(), event.leg_id.as_str()), ("call-1", "b"));
        let Some(What::Request(request)) = event.what else { panic!("a leg is asked: {event:?}") };
        assert_eq!(request.method, "REFER");
        let routed = std::mem::take(&mut *location.routed.lock().unwrap());
        assert_eq!(
            routed.iter().map(|question| question.to_leg).collect::<Vec<_>>(),
            vec![true; is_asked.into()]
        );
        let identity = if is_asked { "sip:alice@example.com" } else { "" };
        assert_eq!((request.identity.as_str(), request.is_trusted), (identity, false));
    }
}

/// CCL-11: who proves nothing gets no further.
#[tokio::test(start_paused = true)]
async fn a_refer_outside_a_dialog_is_challenged() {
    let challenges = || Challenge { challenges: vec!["Digest realm=\"x\"".into()], of_server: true };
    let (rig, wires) =
        Rig::on_wires(FakeLocation::planning(move |_| Plan::Challenge(challenges())), |_| {}).await;
    wires.refer(&format!("sip:cc.call-1.b@{}", crate::wires::EDGE), "");
    let (_, answer) = wires.sent().await;
    assert_eq!(answer.status(), Some(401));
    assert!(rig.events.is_empty(), "call-control hears nothing of it");
}

/// CCL-17: what is for the URI of a conference is told to the call that it is, under a leg of its own; who asks by OPTIONS, too.
#[tokio::test(start_paused = true)]
async fn what_is_for_a_conference_is_told_to_its_call() {
    let conference = || HandToCallControl { conference: "call-1".into(), ..HandToCallControl::default() };
    let (rig, wires) =
        Rig::on_wires(FakeLocation::planning(move |_| Plan::CallControl(conference())), |_| {}).await;
    wires.invite_to("sip:conf-call-1@example.com", "");
    let (call_id, event) = rig.events.next().await;
    assert!(event.leg_id.starts_with("in-"), "none of call-control's: {}", event.leg_id);
    let Some(What::Incoming(received)) = event.what else { panic!("somebody calls: {event:?}") };
    assert_eq!((call_id.as_str(), received.method.as_str()), ("call-1", "INVITE"));
    assert_eq!(received.request_uri, "sip:conf-call-1@example.com");
}

/// PRK-03: a reliable 1xx is repeated after T1, then after twice as long each time, for 64*T1; then call-control is told.
#[tokio::test(start_paused = true)]
async fn a_reliable_provisional_response_is_repeated() {
    let (rig, wires) = edge().await;
    wires.invite("");
    let (call_id, received) = begun(&rig).await;
    wires.take_sent();
    rig.say(&call_id, 1, &received, 180, Some(7)).await;
    tokio::time::sleep(Duration::from_secs(40)).await;
    let What::PrackMissing(missing) = rig.events.next_what().await else { panic!("it is given up") };
    assert_eq!((missing.transaction, missing.rseq), (received.transaction.clone(), 7));
    let sent = wires.take_sent();
    let pauses: Vec<u128> = sent.windows(2).map(|two| (two[1].0 - two[0].0).as_millis()).collect();
    assert_eq!(pauses, [500, 1_000, 2_000, 4_000, 8_000, 16_000], "no cap, as for a 2xx");
    assert!(sent.iter().all(|(_, message)| message.bytes() == sent[0].1.bytes()));
    rig.say(&call_id, 2, &received, 504, None).await;
    assert_eq!(wires.take_sent().last().map(|(_, message)| message.status()), Some(Some(504)));
}

/// PRK-03, PRK-04: its PRACK ends the repetition; another one does not.
#[tokio::test(start_paused = true)]
async fn a_prack_ends_the_repetition() {
    let (rig, wires) = edge().await;
    wires.invite("");
    let (call_id, received) = begun(&rig).await;
    rig.say(&call_id, 1, &received, 180, Some(7)).await;
    wires.take_sent();
    for (rack, is_right) in [("6 1 INVITE", false), ("7 2 INVITE", false), ("7 1 INVITE", true)] {
        let prack = take_prack(&rig, &wires, &call_id, rack).await;
        tokio::time::sleep(Duration::from_secs(8)).await;
        let is_repeated = wires.take_sent().iter().any(|(_, message)| message.status() == Some(180));
        assert_eq!(is_repeated, !is_right, "{rack}");
        if is_right {
            rig.answer(&call_id, 2, &prack, 200).await;
        }
    }
    tokio::time::sleep(Duration::from_secs(40)).await;
    assert!(rig.events.is_empty(), "nothing is missing");
}

/// PRK-03, PRK-04: a PRACK that call-control refuses acknowledges nothing: that the right one is missing is told in time.
#[tokio::test(start_paused = true)]
async fn a_refused_prack_is_none() {
    for status in [420, 481, 500] {
        let (rig, wires) = edge().await;
        wires.invite("");
        let (call_id, received) = begun(&rig).await;
        rig.say(&call_id, 1, &received, 180, Some(7)).await;
        let prack = take_prack(&rig, &wires, &call_id, "7 1 INVITE").await;
        rig.answer(&call_id, 2, &prack, status).await;
        tokio::time::sleep(Duration::from_secs(40)).await;
        let What::PrackMissing(missing) = rig.events.next_what().await else { panic!("it is given up") };
        assert_eq!((missing.transaction, missing.rseq), (received.transaction, 7));
    }
}

/// PRK-03: a PRACK for which there is no room is refused here, and ends nothing.
#[tokio::test(start_paused = true)]
async fn a_prack_without_room_does_not_end_the_repetition() {
    let location = FakeLocation::planning(|_| Plan::CallControl(HandToCallControl::default()));
    let (rig, wires) = Rig::on_wires(location, |config| config.limits.events_per_call = 1).await;
    wires.invite("");
    let (call_id, received) = begun(&rig).await;
    rig.say(&call_id, 1, &received, 180, Some(7)).await;
    wires.take_sent();
    wires.prack(&call_id, "7 1 INVITE");
    tokio::time::sleep(Duration::from_secs(8)).await;
    let sent = wires.take_sent();
    let statuses: Vec<_> = sent.iter().filter_map(|(_, message)| message.status()).collect();
    assert!(statuses.contains(&503) && statuses.contains(&180), "{statuses:?}");
}

/// UAC-18: call-control lets go of a leg without an answer to its caller: the edge gives one.
#[tokio::test(start_paused = true)]
async fn a_caller_that_is_released_unanswered_is_answered() {
    let (rig, wires) = edge().await;
    wires.invite("");
    let (call_id, _) = begun(&rig).await;
    wires.take_sent();
    let release = crate::legs::request(1, Effect::Release(ReleaseLeg {}));
    rig.carry_request(CarryRequest { call_id, ..release }).await;
    tokio::time::sleep(Duration::from_secs(70)).await;
    let sent = wires.take_sent();
    assert!(sent.iter().any(|(_, message)| message.status().is_some_and(|status| status >= 400)));
}

/// RFC 3261 8.1.1.8: without one address within the dialog nobody could hang up on the caller, and no call begins.
#[tokio::test(start_paused = true)]
async fn a_caller_without_one_contact_begins_no_call() {
    for contacts in ["", "Contact: <sip:alice@192.0.2.1>, <sip:alice@192.0.2.2>\r\n"] {
        let (rig, wires) = edge().await;
        wires.alice_sends(&format!(
            "INVITE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP {ALICE};branch=z9hG4bKi\r\nMax-Forwards: 70\r\n\
             From: <sip:alice@example.com>;tag=at\r\nTo: <sip:bob@example.com>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n\
             {contacts}Content-Length: 0\r\n\r\n"
        ));
        tokio::time::sleep(Duration::from_secs(1)).await;
        let sent = wires.take_sent();
        assert!(sent.iter().any(|(_, message)| message.status() == Some(400)), "{contacts}");
        drop(rig);
    }
}

/// PRK-03: a final response ends it too, and so does the next one.
#[tokio::test(start_paused = true)]
async fn what_follows_takes_the_place_of_a_reliable_response() {
    let (rig, wires) = edge().await;
    wires.invite("");
    let (call_id, received) = begun(&rig).await;
    rig.say(&call_id, 1, &received, 180, Some(7)).await;
    rig.say(&call_id, 2, &received, 183, Some(8)).await;
    wires.take_sent();
    tokio::time::sleep(Duration::from_secs(4)).await;
    let statuses: Vec<_> = wires.take_sent().iter().map(|(_, message)| message.status()).collect();
    assert!(statuses.len() > 1 && statuses.iter().all(|status| *status == Some(183)), "{statuses:?}");
    rig.say(&call_id, 3, &received, 486, None).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert!(wires.take_sent().iter().all(|(_, message)| message.status() == Some(486)));
    assert!(rig.events.is_empty(), "nothing is missing");
}

/// UAC-25: the breadth that is left goes with a leg.
#[tokio::test]
async fn a_leg_has_the_breadth_that_is_left() {
    let (rig, bob) = one_phone().await;
    let send = SendRequest { max_forwards: 16, max_breadth: 9, ..leg_invite() };
    rig.carry(1, Effect::Send(send)).await;
    let invite = bob.receive_request("INVITE").await;
    assert_eq!(invite.max_forwards(), Ok(Some(16)));
    assert_eq!(invite.first(HeaderId::MaxBreadth), Some(&b"9"[..]));
}

async fn edge() -> (Rig, Wires) {
    let location = FakeLocation::planning(|_| Plan::CallControl(HandToCallControl::default()));
    Rig::on_wires(location, |_| {}).await
}

/// The PRACK as call-control is told of it.
async fn take_prack(rig: &Rig, wires: &Wires, call_id: &str, rack: &str) -> String {
    wires.prack(call_id, rack);
    let What::Request(prack) = rig.events.next_what().await else { panic!("call-control answers it") };
    assert_eq!((prack.method.as_str(), prack.rack.as_str()), ("PRACK", rack));
    prack.transaction
}

async fn begun(rig: &Rig) -> (String, CallReceived) {
    let (call_id, event) = rig.events.next().await;
    assert_eq!((event.leg_id.as_str(), event.number), ("a", 1));
    match event.what {
        Some(What::Incoming(received)) => (call_id, received),
        other => panic!("a call begins: {other:?}"),
    }
}

impl Rig {
    /// Call-control says something to the caller.
    async fn say(&self, call_id: &str, effect: u64, to: &CallReceived, status: u32, rseq: Option<u32>) {
        let header = |name: &str, value: String| Header { name: name.into(), value };
        let headers =
            rseq.map(|rseq| vec![header("Require", "100rel".into()), header("RSeq", rseq.to_string())]);
        self.respond(call_id, effect, &to.transaction, status, headers.unwrap_or_default()).await;
    }

    /// Call-control answers a request of the caller.
    async fn answer(&self, call_id: &str, effect: u64, transaction: &str, status: u32) {
        self.respond(call_id, effect, transaction, status, Vec::new()).await;
    }

    async fn respond(
        &self,
        call_id: &str,
        effect: u64,
        transaction: &str,
        status: u32,
        headers: Vec<Header>,
    ) {
        let response = SendResponse {
            transaction: transaction.to_owned(),
            status,
            to_tag: "ct".into(),
            headers,
            ..SendResponse::default()
        };
        let carried = crate::legs::request(effect, Effect::Respond(response));
        self.carry_request(CarryRequest { call_id: call_id.to_owned(), ..carried }).await;
    }
}

impl Wires {
    fn invite(&self, lines: &str) {
        self.invite_to("sip:bob@example.com", lines);
    }

    fn invite_to(&self, uri: &str, lines: &str) {
        let max_forwards = if lines.contains("Max-Forwards") { "" } else { "Max-Forwards: 70\r\n" };
        self.alice_sends(&format!(
            "INVITE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {ALICE};branch=z9hG4bKi\r\n{max_forwards}\
             From: \"Alice \\\"A\\\"\" <sip:alice@example.com>;tag=at\r\nTo: <sip:bob@example.com>\r\nCall-ID: c\r\n\
             CSeq: 1 INVITE\r\nContact: <sip:alice@{ALICE}>\r\n{lines}Content-Length: 0\r\n\r\n"
        ));
    }

    fn prack(&self, call_id: &str, rack: &str) {
        let branch = rack.replace(' ', "");
        self.alice_sends(&format!(
            "PRACK sip:cc.{call_id}.a@{} SIP/2.0\r\nVia: SIP/2.0/UDP {ALICE};branch=z9hG4bK{branch}\r\nMax-Forwards: 70\r\n\
             From: <sip:alice@example.com>;tag=at\r\nTo: <sip:bob@example.com>;tag=ct\r\nCall-ID: c\r\n\
             CSeq: 2 PRACK\r\nRAck: {rack}\r\nContent-Length: 0\r\n\r\n",
            crate::wires::EDGE
        ));
    }

    fn refer(&self, uri: &str, tag: &str) {
        self.alice_sends(&format!(
            "REFER {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {ALICE};branch=z9hG4bKr{}\r\nMax-Forwards: 70\r\n\
             From: <sip:alice@example.com>;tag=at\r\nTo: <{uri}>{tag}\r\nCall-ID: r\r\nCSeq: 1 REFER\r\n\
             Contact: <sip:alice@{ALICE}>\r\nRefer-To: <sip:carol@example.com>\r\n\
             Target-Dialog: x;local-tag=1;remote-tag=2\r\nContent-Length: 0\r\n\r\n",
            tag.len()
        ));
    }

    fn alice_sends(&self, text: &str) {
        let alice: SocketAddr = ALICE.parse().unwrap();
        self.bring(vec![(alice, Bytes::from(text.to_owned()))]);
    }
}
