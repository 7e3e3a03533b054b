//! Legs of call-control: effects in, messages and events out.

use cluster_api::callcontrol::v1::leg_event::What;
use cluster_api::callcontrol::v1::request_failed::Cause;
use cluster_api::edge::v1::legs_server::Legs;
use cluster_api::edge::v1::{
    CancelInvite, CarryRequest, ReleaseLeg, SendRequest, SendResponse, carry_request::What as Effect,
};
use sip_message::HeaderId;
use tonic::{Code, Request};

use crate::peer::{Peer, text, values};
use crate::rig::{Rig, fast};
use crate::services::{FakeLocation, fork_to};

/// LAD-1, TXN-16
#[tokio::test]
async fn a_leg_is_dialled_acknowledged_and_hung_up() {
    let (rig, bob) = one_phone().await;
    rig.carry(1, Effect::Send(invite())).await;
    let invite = bob.receive_request("INVITE").await;
    assert_eq!(invite.max_forwards(), Ok(Some(70)));
    let contact = values(&invite, HeaderId::Contact);
    assert!(contact[0].starts_with(&format!("<sip:cc.call-1.a@{};d=", rig.address)), "{contact:?}");
    assert!(!invite.has(HeaderId::RecordRoute), "the edge is the user agent here");

    bob.respond(&invite, "180 Ringing", "bt", &[]).await;
    assert_eq!(rig.response().await, (1, 180));
    let bob_contact = format!("Contact: <sip:bob@{}>", bob.address());
    bob.respond(&invite, "200 OK", "bt", &[&bob_contact]).await;
    let What::Response(answered) = rig.events.next_what().await else { panic!("a response is reported") };
    assert_eq!((answered.effect, answered.status, answered.to_tag.as_str()), (1, 200, "bt"));
    assert_eq!(answered.contact, format!("sip:bob@{}", bob.address()));

    rig.carry(2, Effect::Send(in_dialog("ACK", 1, &bob))).await;
    let ack = bob.receive_request("ACK").await;
    bob.respond(&invite, "200 OK", "bt", &[&bob_contact]).await;
    let again = bob.receive_request("ACK").await;
    assert_eq!(text(&ack), text(&again), "each repeated 200 gets the same ACK");

    rig.carry(3, Effect::Send(in_dialog("BYE", 2, &bob))).await;
    let bye = bob.receive_request("BYE").await;
    bob.respond(&bye, "200 OK", "", &[]).await;
    assert_eq!(rig.response().await, (3, 200));
    assert!(rig.events.is_empty(), "the repeated 200 was no event");
}

/// Contact where a target is set or refreshed, and in no other request: RFC 3261 20, RFC 3262 10.
#[tokio::test]
async fn only_requests_that_refresh_a_target_have_a_contact() {
    let (rig, bob) = one_phone().await;
    for (effect, (method, has_contact)) in
        (1..).zip([("UPDATE", true), ("PRACK", false), ("INFO", false), ("MESSAGE", false), ("BYE", false)])
    {
        rig.carry(effect, Effect::Send(in_dialog(method, 2, &bob))).await;
        let request = bob.receive_request(method).await;
        assert_eq!(request.has(HeaderId::Contact), has_contact, "{method}");
        bob.respond(&request, "200 OK", "bt", &[]).await;
        assert_eq!(rig.response().await, (effect, 200));
    }
}

/// Effects are idempotent: design 5.
#[tokio::test]
async fn an_effect_that_comes_twice_is_sent_once() {
    let (rig, bob) = one_phone().await;
    rig.carry(1, Effect::Send(invite())).await;
    let invite = bob.receive_request("INVITE").await;
    rig.carry(1, Effect::Send(self::invite())).await;
    bob.expect_nothing().await;
    let contact = format!("Contact: <sip:bob@{}>", bob.address());
    bob.respond(&invite, "200 OK", "bt", &[&contact]).await;
    assert_eq!(rig.response().await, (1, 200));
    for _ in 0..2 {
        rig.carry(2, Effect::Send(in_dialog("ACK", 1, &bob))).await;
    }
    bob.receive_request("ACK").await;
    bob.expect_nothing().await;
    let transaction = re_invite(&rig, &bob).await;
    for _ in 0..2 {
        rig.carry(3, answer(&transaction, 488)).await;
    }
    bob.receive_status(488).await;
    rig.carry(4, Effect::Cancel(CancelInvite { invite_effect: 1, headers: Vec::new() })).await;
    assert!(rig.events.is_empty(), "a CANCEL that comes too late does nothing");
}

#[tokio::test]
async fn the_effects_of_a_call_are_bounded_and_known_ones_are_still_confirmed() {
    let (rig, bob) = one_phone_with(|config| config.limits.effects_per_call = 2).await;
    for effect in [1, 2, 1, 2] {
        rig.carry(effect, Effect::Send(in_dialog("INFO", effect as u32, &bob))).await;
    }
    for effect in [3, 4] {
        let info = Effect::Send(in_dialog("INFO", effect as u32, &bob));
        let refused = rig.legs.carry(Request::new(request(effect, info))).await.unwrap_err();
        assert_eq!(refused.code(), Code::ResourceExhausted);
    }
    bob.receive_request("INFO").await;
    bob.receive_request("INFO").await;
    bob.expect_nothing().await;
}

#[tokio::test]
async fn an_effect_that_is_refused_leaves_nothing_of_its_call() {
    let (rig, bob) = one_phone_with(|config| config.limits.calls = 1).await;
    let of_call = |call: &str, effect: u64, what: Effect| {
        Request::new(CarryRequest { call_id: call.to_owned(), ..request(effect, what) })
    };
    for call in ["call-2", "call-3"] {
        let refused = rig.legs.carry(of_call(call, 1, answer("s0-0-1", 200))).await.unwrap_err();
        assert_eq!(refused.code(), Code::NotFound, "there was room for {call}");
    }
    rig.carry(1, Effect::Send(in_dialog("INFO", 1, &bob))).await;
    bob.receive_request("INFO").await;
    let full = rig.legs.carry(of_call("call-4", 1, answer("s0-0-1", 200))).await.unwrap_err();
    assert_eq!(full.code(), Code::ResourceExhausted);
}

/// LAD-10 R1, UAC-19, UAC-24
#[tokio::test]
async fn a_cancel_of_call_control_waits_for_the_first_1xx() {
    let (rig, bob) = one_phone().await;
    rig.carry(1, Effect::Send(invite())).await;
    let invite = bob.receive_request("INVITE").await;
    let reason = cluster_api::sip::v1::Header {
        name: "Reason".into(),
        value: "SIP;cause=480;text=\"No answer\"".into(),
    };
    rig.carry(2, Effect::Cancel(CancelInvite { invite_effect: 1, headers: vec![reason] })).await;
    bob.expect_nothing().await;
    bob.respond(&invite, "180 Ringing", "bt", &[]).await;
    let cancel = bob.receive_request("CANCEL").await;
    assert_eq!(values(&cancel, HeaderId::Reason), ["SIP;cause=480;text=\"No answer\""]);
    bob.respond(&cancel, "200 OK", "bt", &[]).await;
    bob.respond(&invite, "487 Request Terminated", "bt", &[]).await;
    assert_eq!(rig.response().await, (1, 180));
    assert_eq!(rig.response().await, (1, 487));
}

/// Events are kept until they are acknowledged: design 5.
#[tokio::test]
async fn events_are_offered_again_in_order_until_they_are_taken() {
    let (rig, bob) = one_phone().await;
    rig.events.fail_next(2);
    rig.carry(1, Effect::Send(invite())).await;
    let invite = bob.receive_request("INVITE").await;
    bob.respond(&invite, "180 Ringing", "bt", &[]).await;
    bob.respond(&invite, "486 Busy Here", "bt", &[]).await;
    let (call, first) = rig.events.next().await;
    let (_, second) = rig.events.next().await;
    assert_eq!((call.as_str(), first.number, second.number), ("call-1", 1, 2));
}

/// AUT-13
#[tokio::test]
async fn a_challenge_is_passed_up_for_call_control_to_answer() {
    let (rig, bob) = one_phone().await;
    rig.carry(1, Effect::Send(invite())).await;
    let invite = bob.receive_request("INVITE").await;
    bob.respond(
        &invite,
        "407 Proxy Authentication Required",
        "bt",
        &["Proxy-Authenticate: Digest realm=\"x\""],
    )
    .await;
    let What::Response(response) = rig.events.next_what().await else { panic!("a response is reported") };
    assert_eq!((response.status, response.challenges), (407, vec!["Digest realm=\"x\"".to_owned()]));
    bob.receive_request("ACK").await;
}

/// LAD-10 R1, TXN-01, TRN-08
#[tokio::test]
async fn a_request_without_an_answer_is_reported_with_its_cause() {
    let (rig, bob) = one_phone_with(fast).await;
    rig.carry(1, Effect::Send(invite())).await;
    assert_eq!(rig.failure().await, (1, Cause::Timeout));
    let nowhere = SendRequest { request_uri: "sip:bob@127.0.0.1:9".into(), ..in_dialog("BYE", 2, &bob) };
    rig.carry(2, Effect::Send(nowhere)).await;
    assert_eq!(rig.failure().await, (2, Cause::Transport));
}

/// UAC-17
#[tokio::test]
async fn each_dialog_of_a_forked_invite_is_reported_once_and_has_its_own_ack() {
    let (rig, bob) = one_phone().await;
    rig.carry(1, Effect::Send(invite())).await;
    let invite = bob.receive_request("INVITE").await;
    for tag in ["t1", "t2", "t1"] {
        bob.respond(&invite, "200 OK", tag, &[]).await;
    }
    assert_eq!(rig.response().await, (1, 200));
    assert_eq!(rig.response().await, (1, 200));
    let ack = SendRequest { to_tag: "t2".into(), ..in_dialog("ACK", 1, &bob) };
    rig.carry(2, Effect::Send(ack)).await;
    assert_eq!(bob.receive_request("ACK").await.to().unwrap().tag(), Some("t2"));
    assert!(rig.events.is_empty());
}

/// CCL-17, RFC 4579 5.1: who talks to a focus sees the URI of its conference in every request and response, and what it sends there comes
/// to its leg.
#[tokio::test]
async fn a_leg_to_a_focus_is_reached_by_the_uri_of_its_conference() {
    let (rig, bob) = one_phone().await;
    rig.carry(1, Effect::Send(SendRequest { in_conference: true, ..invite() })).await;
    let invite = bob.receive_request("INVITE").await;
    let shown = format!("<sip:conf-call-1@{};leg=a;d=", rig.address);
    let is_focus = |contact: &str| contact.starts_with(&shown) && contact.ends_with(">;isfocus");
    let contact = values(&invite, HeaderId::Contact).concat();
    assert!(is_focus(&contact), "{contact}");
    let uri = contact.trim_start_matches('<').trim_end_matches(">;isfocus").to_owned();
    bob.request(&format!("INVITE {uri}"), "b1", &dialog_of_bob("CSeq: 5 INVITE")).await;
    let What::Request(request) = rig.events.next_what().await else { panic!("it is the leg's") };
    assert_eq!((request.method.as_str(), request.from_tag.as_str()), ("INVITE", "bt"));
    let Effect::Respond(response) = answer(&request.transaction, 200) else { panic!("a response") };
    rig.carry(2, Effect::Respond(SendResponse { in_conference: true, ..response })).await;
    let contact = values(&bob.receive_status(200).await, HeaderId::Contact).concat();
    assert!(is_focus(&contact), "{contact}");
    bob.request(&format!("ACK {uri}"), "b2", &dialog_of_bob("CSeq: 5 ACK")).await;
    let What::Ack(ack) = rig.events.next_what().await else { panic!("the ACK is told") };
    assert_eq!((ack.transaction, ack.cseq), (request.transaction, 5));
}

/// TXN-16
#[tokio::test]
async fn our_2xx_is_repeated_until_its_ack_comes() {
    let (rig, bob) = one_phone_with(fast).await;
    let transaction = re_invite(&rig, &bob).await;
    rig.carry(1, answer(&transaction, 200)).await;
    let first = bob.receive_status(200).await;
    assert_eq!(first.to().unwrap().tag(), Some("ct"));
    let contact = values(&first, HeaderId::Contact).concat();
    assert!(contact.starts_with(&format!("<sip:cc.call-1.a@{};d=", rig.address)), "{contact}");
    let second = bob.receive_status(200).await;
    assert_eq!(text(&first), text(&second));
    bob.request(&format!("ACK sip:cc.call-1.a@{}", rig.address), "b2", &dialog_of_bob("CSeq: 5 ACK")).await;
    match rig.events.next_what().await {
        What::Ack(ack) => assert_eq!((ack.transaction, ack.cseq), (transaction, 5)),
        other => panic!("{other:?}"),
    }
}

/// TXN-16
#[tokio::test]
async fn a_2xx_that_is_never_acknowledged_is_reported() {
    let (rig, bob) = one_phone_with(fast).await;
    let transaction = re_invite(&rig, &bob).await;
    rig.carry(1, answer(&transaction, 200)).await;
    match rig.events.next_what().await {
        What::AckMissing(missing) => assert_eq!(missing.transaction, transaction),
        other => panic!("{other:?}"),
    }
}

/// LAD-10 R9
#[tokio::test]
async fn a_cancel_of_the_peer_is_confirmed_and_reported() {
    let (rig, bob) = one_phone().await;
    let transaction = re_invite(&rig, &bob).await;
    let mut lines = dialog_of_bob("CSeq: 5 CANCEL");
    lines.push("Reason: SIP;cause=487");
    bob.request(&format!("CANCEL sip:cc.call-1.a@{}", rig.address), "b1", &lines).await;
    assert_eq!(bob.receive_status(200).await.method_str(), "CANCEL");
    match rig.events.next_what().await {
        What::Cancel(cancel) => assert_eq!((&cancel.transaction, cancel.reason.len()), (&transaction, 1)),
        other => panic!("{other:?}"),
    }
    rig.carry(1, answer(&transaction, 487)).await;
    assert_eq!(bob.receive_status(487).await.method_str(), "INVITE");
}

/// UAC-09
#[tokio::test]
async fn a_request_for_a_call_that_nobody_knows_is_481() {
    let (rig, bob) = one_phone().await;
    rig.events.forget_all();
    bob.request(&format!("BYE sip:cc.call-9.a@{}", rig.address), "b1", &dialog_of_bob("CSeq: 5 BYE")).await;
    bob.receive_status(481).await;
}

/// UAC-17: a 200 that nobody waits for is acknowledged and ended.
#[tokio::test]
async fn a_2xx_of_a_call_that_is_gone_is_acknowledged_and_ended() {
    let (rig, bob) = one_phone().await;
    rig.carry(1, Effect::Send(invite())).await;
    let invite = bob.receive_request("INVITE").await;
    rig.events.forget_all();
    bob.respond(&invite, "200 OK", "bt", &[&format!("Contact: <sip:bob@{}>", bob.address())]).await;
    bob.receive_request("ACK").await;
    let bye = bob.receive_request("BYE").await;
    assert_eq!(bye.cseq().unwrap().number, 2);
    assert_eq!(bye.to().unwrap().tag(), Some("bt"));
}

#[tokio::test]
async fn effects_that_cannot_be_carried_are_refused() {
    let (rig, _) = one_phone().await;
    let refused = |effect: u64, what: Effect| {
        let legs = rig.legs.clone();
        async move {
            legs.carry(Request::new(request(effect, what))).await.map(drop).map_err(|status| status.code())
        }
    };
    assert_eq!(refused(1, answer("s0-0-1", 200)).await, Err(Code::NotFound));
    let nothing = CancelInvite { invite_effect: 9, headers: Vec::new() };
    assert_eq!(refused(2, Effect::Cancel(nothing)).await, Err(Code::NotFound));
    let evil = SendRequest { from_tag: "x\r\nVia: evil".into(), ..invite() };
    assert_eq!(refused(3, Effect::Send(evil)).await, Err(Code::InvalidArgument));
    assert_eq!(refused(4, Effect::Release(ReleaseLeg {})).await, Ok(()));
    rig.drain.begin();
    assert_eq!(refused(5, Effect::Send(invite())).await, Err(Code::Unavailable));
}

pub(crate) async fn one_phone() -> (Rig, Peer) {
    one_phone_with(|_| {}).await
}

/// An edge whose registrar sends everything to Bob.
async fn one_phone_with(configure: impl FnOnce(&mut edge::Config)) -> (Rig, Peer) {
    let bob = Peer::unbound().await;
    let uri = format!("sip:bob@{}", bob.address());
    let location = FakeLocation::planning(move |request| {
        assert!(request.internal, "a leg is authorised already");
        fork_to(std::slice::from_ref(&uri))
    });
    let rig = Rig::configured(location, configure).await;
    let bob = bob.toward(rig.address);
    (rig, bob)
}

/// Bob sends a request in the leg's dialog; the handle that call-control got for it.
async fn re_invite(rig: &Rig, bob: &Peer) -> String {
    let lines = dialog_of_bob("CSeq: 5 INVITE");
    bob.request(&format!("INVITE sip:cc.call-1.a@{}", rig.address), "b1", &lines).await;
    match rig.events.next_what().await {
        What::Request(request) => {
            assert_eq!((request.method.as_str(), request.cseq), ("INVITE", 5));
            assert_eq!((request.from_tag.as_str(), request.to_tag.as_str()), ("bt", "ct"));
            request.transaction
        }
        other => panic!("{other:?}"),
    }
}

pub(crate) fn dialog_of_bob(cseq: &str) -> Vec<&str> {
    vec![
        "From: <sip:bob@example.com>;tag=bt",
        "To: <sip:carillon@example.com>;tag=ct",
        "Call-ID: leg-1",
        cseq,
    ]
}

pub(crate) fn invite() -> SendRequest {
    SendRequest {
        method: "INVITE".into(),
        request_uri: "sip:bob@example.com".into(),
        from_uri: "sip:carillon@example.com".into(),
        from_tag: "ct".into(),
        to_uri: "sip:bob@example.com".into(),
        sip_call_id: "leg-1".into(),
        cseq: 1,
        ..SendRequest::default()
    }
}

pub(crate) fn in_dialog(method: &str, cseq: u32, bob: &Peer) -> SendRequest {
    SendRequest {
        method: method.into(),
        request_uri: format!("sip:bob@{}", bob.address()),
        to_tag: "bt".into(),
        cseq,
        ..invite()
    }
}

pub(crate) fn answer(transaction: &str, status: u32) -> Effect {
    Effect::Respond(SendResponse {
        transaction: transaction.to_owned(),
        status,
        to_tag: "ct".into(),
        ..SendResponse::default()
    })
}

pub(crate) fn request(effect: u64, what: Effect) -> CarryRequest {
    CarryRequest { call_id: "call-1".into(), leg_id: "a".into(), effect, what: Some(what) }
}

impl Rig {
    pub(crate) async fn carry(&self, effect: u64, what: Effect) {
        self.carry_of("a", effect, what).await;
    }

    /// Carries an effect of this leg.
    pub(crate) async fn carry_of(&self, leg: &str, effect: u64, what: Effect) {
        let request = CarryRequest { leg_id: leg.to_owned(), ..request(effect, what) };
        self.carry_request(request).await;
    }

    /// Carries an effect of any call.
    pub(crate) async fn carry_request(&self, request: CarryRequest) {
        let taken_on = self.legs.carry(Request::new(request)).await.expect("the effect is taken on");
        let taken_on = taken_on.into_inner();
        assert_eq!((taken_on.edge_id.as_str(), taken_on.edge_epoch), ("edge-1", 7));
    }

    /// Effect and cause of the next event, which is a failure.
    pub(crate) async fn failure(&self) -> (u64, Cause) {
        match self.events.next_what().await {
            What::Failed(failed) => (failed.effect, failed.cause()),
            other => panic!("{other:?}"),
        }
    }

    /// Effect and status of the next event, which is a response.
    pub(crate) async fn response(&self) -> (u64, u32) {
        match self.events.next_what().await {
            What::Response(response) => (response.effect, response.status),
            other => panic!("{other:?}"),
        }
    }
}
