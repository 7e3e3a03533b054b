//! Anchored accounts: their calls run through call-control as two dialogs.

use std::time::Duration;

use cluster_api::callcontrol::v1::{call, call_event, outcome};
use scripted_phone::{Answer, Happening, Remote, Script};
use test_support::{Carillon, Redis, TestPhone};

use crate::calls::{Watch, hang_up};
use crate::scenarios::Places;
use crate::wire::{Wire, header, status};

const OFFER: &str =
    "v=0\r\no=alice 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";
const ANSWER: &str =
    "v=0\r\no=bob 7 7 IN IP4 192.0.2.2\r\ns=-\r\nc=IN IP4 192.0.2.2\r\nt=0 0\r\nm=audio 5000 RTP/AVP 0\r\n";

fn anchor(registrar: &Carillon, name: &str) {
    let set = registrar.command(&["account", "set", &format!("sip:{name}@localhost"), "--anchor", "true"]);
    assert!(set.status.success(), "{}", String::from_utf8_lossy(&set.stderr));
}

async fn phones(places: &Places, answer: Answer) -> (TestPhone, TestPhone) {
    anchor(&places.registrar, "alice");
    let alice =
        TestPhone::registered(&places.near().sip, "sip:alice@localhost", "secret", Script::default()).await;
    let script = Script { answer, ..Script::default() };
    let bob = TestPhone::registered(&places.far().sip, "sip:bob@localhost", "secret", script).await;
    (alice, bob)
}

/// SCN-10, TPC-07: a call through Carillon as user agent on both sides, told as it goes, and ended by the callee.
#[tokio::test]
async fn a_call_of_an_anchored_account_runs_through_call_control() {
    for places in Places::all(&[]) {
        let (mut alice, mut bob) = phones(&places, Answer::After(Duration::ZERO)).await;
        let mut watch = Watch::begin_all(places.calls()).await;
        alice.act(Remote::Dial("sip:bob@localhost".into())).await;
        let connected =
            watch.until(call_event::Type::Connected).await.call.expect("every event has its call");
        assert_eq!(connected.kind(), call::Kind::Incoming);
        let [a, b] = &connected.legs[..] else { panic!("two legs: {connected:?}") };
        assert_ne!(a.sip_call_id, b.sip_call_id);
        alice.wait_for("the answer", |h| *h == Happening::Connected).await;
        bob.wait_for("the ACK", |h| *h == Happening::Connected).await;
        let drawn = places.near().command(&["ladder", &connected.call_id]);
        let text = String::from_utf8_lossy(&drawn.stdout).into_owned();
        assert!(text.matches("INVITE").count() >= 2, "{text}{}", String::from_utf8_lossy(&drawn.stderr));
        bob.act(Remote::Hangup).await;
        alice.wait_for("the BYE", |h| matches!(h, Happening::Ended { by_peer: true, .. })).await;
        let ended = watch.until(call_event::Type::Ended).await.call.and_then(|call| call.outcome);
        let ended = ended.expect("an outcome");
        assert_eq!((ended.kind(), ended.ended_by.as_str()), (outcome::Kind::Completed, "b"));
        let kinds: Vec<_> = watch.seen.iter().map(|event| event.r#type()).collect();
        for once in [call_event::Type::Created, call_event::Type::Connected, call_event::Type::Ended] {
            assert_eq!(kinds.iter().filter(|kind| **kind == once).count(), 1, "{kinds:?}");
        }
    }
}

/// SCN-13: the callee's refusal is the caller's; and a caller that gives up is heard.
#[tokio::test]
async fn an_anchored_call_that_is_not_answered_ends_on_both_sides() {
    for places in Places::all(&[]) {
        let (mut alice, _busy) = phones(&places, Answer::Refuse(Duration::ZERO, 486)).await;
        alice.act(Remote::Dial("sip:bob@localhost".into())).await;
        alice.wait_for("486", |h| matches!(h, Happening::Refused { status: 486, .. })).await;
    }
    for places in Places::all(&[]) {
        let (mut alice, mut bob) = phones(&places, Answer::Never).await;
        alice.act(Remote::Dial("sip:bob@localhost".into())).await;
        alice.wait_for("ringing", |h| matches!(h, Happening::Progress { status: 180 })).await;
        alice.act(Remote::Hangup).await;
        bob.wait_for("the CANCEL", |h| matches!(h, Happening::Ended { by_peer: true, .. })).await;
        alice.wait_for("487", |h| matches!(h, Happening::Refused { status: 487, .. })).await;
    }
}

/// API 2 (Hangup): the caller gets a refusal while it rings, both get BYE once they are connected.
#[tokio::test]
async fn an_anchored_call_is_ended_by_the_application() {
    for places in Places::all(&[]) {
        let (mut alice, mut bob) = phones(&places, Answer::After(Duration::ZERO)).await;
        let mut watch = Watch::begin_all(places.calls()).await;
        alice.act(Remote::Dial("sip:bob@localhost".into())).await;
        let connected = watch.until(call_event::Type::Connected).await;
        bob.wait_for("the ACK", |h| *h == Happening::Connected).await;
        hang_up(places.calls(), &connected.call_id);
        for phone in [&mut alice, &mut bob] {
            phone.wait_for("the BYE", |h| matches!(h, Happening::Ended { by_peer: true, .. })).await;
        }
    }
}

/// PRK-01, PRK-03, PRK-04, PRK-06: a caller that lists 100rel is told reliably: repeated until its PRACK, and answered after it.
#[tokio::test]
async fn a_caller_with_100rel_is_told_reliably() {
    for places in Places::all(&[("CARILLON_AUTH", "none")]) {
        let (alice, bob) = wires(&places);
        let contact = format!("Contact: <sip:alice@{}>", alice.address());
        let sdp = "Content-Type: application/sdp";
        let call_id =
            request(&alice, "INVITE sip:bob@localhost", &[&contact, sdp, "Supported: 100rel"], OFFER);
        let invite = bob.receive_request("INVITE");
        assert!(invite.contains("m=audio 4000"), "{invite}");
        // UAC-25: the leg, and between two edges a hop more
        let hops = header(&invite, "Max-Forwards");
        assert!(matches!(hops, Some("69" | "68")), "{hops:?}");
        let bobs = format!("Contact: <sip:bob@{}>", bob.address());
        // Reliably: what he previews is no answer, and so nothing to be told reliably
        let reliable = [bobs.as_str(), sdp, "Require: 100rel", "RSeq: 1"];
        bob.respond_with(&invite, "183 Session Progress", &reliable, ANSWER);
        let prack = bob.receive_request("PRACK");
        bob.respond(&prack, "200 OK", &[]);
        let early = said(&alice, 183);
        let again = said(&alice, 183);
        assert_eq!(early, again, "PRK-03: repeated");
        assert_eq!(header(&early, "Require"), Some("100rel"));
        assert!(early.contains("m=audio 5000"), "{early}");
        bob.respond_with(&invite, "200 OK", &[&bobs, sdp], ANSWER);
        let rack = format!("RAck: {} 1 INVITE", header(&early, "RSeq").expect("RSeq"));
        let to = format!("To: {}", header(&early, "To").expect("To"));
        let target = header(&early, "Contact").expect("Contact").trim_matches(['<', '>']).to_owned();
        let same = format!("Call-ID: {call_id}");
        alice.request(&format!("PRACK {target}"), &[&to, &same, &rack, "CSeq: 2 PRACK"]);
        let mut answers = Vec::new();
        while answers.len() < 2 {
            let text = alice.receive();
            let method = header(&text, "CSeq").unwrap_or_default().to_owned();
            if status(&text) == 200 && !answers.iter().any(|(known, _)| *known == method) {
                answers.push((method, text));
            }
        }
        assert_eq!((answers[0].0.as_str(), answers[1].0.as_str()), ("2 PRACK", "1 INVITE"));
        assert!(!answers[1].1.contains("m=audio"), "it was said before: {}", answers[1].1);
        alice.request(&format!("ACK {target}"), &[&to, &same, "CSeq: 1 ACK"]);
        bob.receive_request("ACK");
        alice.request(&format!("BYE {target}"), &[&to, &same, "CSeq: 3 BYE"]);
        let bye = bob.receive_request("BYE");
        bob.respond(&bye, "200 OK", &[]);
    }
}

/// UAC-20, UAC-25, TPC-12: INVITEs that expire, that have no hop left, and that leave the offer to the callee.
#[tokio::test]
async fn invites_are_served_as_by_any_user_agent() {
    for places in Places::all(&[("CARILLON_AUTH", "none")]) {
        let (alice, bob) = wires(&places);
        let contact = format!("Contact: <sip:alice@{}>", alice.address());
        let bobs = format!("Contact: <sip:bob@{}>", bob.address());
        let spent = alice.request("INVITE sip:bob@localhost", &[&contact, "Max-Forwards: 1"]);
        assert_eq!(status(&alice.answer_to(&spent)), 483);

        let expiring = alice.request("INVITE sip:bob@localhost", &[&contact, "Expires: 1"]);
        let invite = bob.receive_request("INVITE");
        bob.respond(&invite, "180 Ringing", &[&bobs]);
        let cancel = bob.receive_request("CANCEL");
        bob.respond(&cancel, "200 OK", &[]);
        bob.respond(&invite, "487 Request Terminated", &[]);
        assert_eq!(status(&alice.answer_to(&expiring)), 487);

        let call_id = alice.request("INVITE sip:bob@localhost", &[&contact]);
        let invite = bob.receive_request("INVITE");
        assert_eq!(header(&invite, "Content-Length"), Some("0"), "SCN-10: empty stays empty");
        bob.respond_with(&invite, "200 OK", &[&bobs, "Content-Type: application/sdp"], ANSWER);
        let answer = alice.answer_to(&call_id);
        assert!(answer.contains("m=audio 5000"), "{answer}");
        let to = format!("To: {}", header(&answer, "To").expect("To"));
        let target = header(&answer, "Contact").expect("Contact").trim_matches(['<', '>']).to_owned();
        let same = format!("Call-ID: {call_id}");
        let sdp = "Content-Type: application/sdp";
        request(&alice, &format!("ACK {target}"), &[&to, &same, "CSeq: 1 ACK", sdp], OFFER);
        let ack = bob.receive_request("ACK");
        assert!(ack.contains("m=audio 4000"), "{ack}");
    }
}

/// TPC-15: the edge that holds the caller's INVITE dies while bob rings at another one: bob stops ringing.
#[tokio::test]
async fn a_call_whose_caller_lost_its_edge_ends() {
    let mut tier = Tier::start().await;
    let (alice, mut bob) = tier.phones(Answer::Never).await;
    let mut watch = Watch::begin_all(&tier.calls[0]).await;
    alice.act(Remote::Dial("sip:bob@localhost".into())).await;
    bob.wait_for("the call", |h| matches!(h, Happening::Incoming { .. })).await;
    watch.until(call_event::Type::LegRinging).await;
    tier.edges[0].kill();
    bob.wait_for("the end", |h| matches!(h, Happening::Ended { by_peer: true, .. })).await;
    let ended =
        watch.until(call_event::Type::Ended).await.call.and_then(|call| call.outcome).expect("an outcome");
    assert_eq!((ended.sip_status, ended.ended_by.as_str()), (503, "carillon"));
}

/// TPC-15: the replica of call-control that took the call dies while it rings; the other one goes on.
#[tokio::test]
async fn an_anchored_call_outlives_a_replica_of_call_control() {
    let mut tier = Tier::start().await;
    let (mut alice, mut bob) = tier.phones(Answer::After(Duration::from_secs(1))).await;
    alice.act(Remote::Dial("sip:bob@localhost".into())).await;
    bob.wait_for("the call", |h| matches!(h, Happening::Incoming { .. })).await;
    tier.calls[0].kill();
    alice.wait_for("the answer", |h| *h == Happening::Connected).await;
    bob.wait_for("the ACK", |h| *h == Happening::Connected).await;
    alice.act(Remote::Hangup).await;
    bob.wait_for("the BYE", |h| matches!(h, Happening::Ended { by_peer: true, .. })).await;
}

/// Two edges and two replicas of call-control over Redis.
struct Tier {
    registrar: Carillon,
    calls: Vec<Carillon>,
    edges: Vec<Carillon>,
    _redis: Redis,
}

impl Tier {
    async fn start() -> Tier {
        let redis = Redis::start();
        let url = redis.url();
        let registrar = Carillon::serve(&["--roles", "registrar", "--redis", &url, "--id", "registrar-1"]);
        let at = format!("registrar={}", registrar.api);
        let calls = ["calls-1", "calls-2"].map(|id| {
            Carillon::serve(&["--roles", "call-control", "--redis", &url, "--id", id, "--peers", &at])
        });
        let engines = calls.each_ref().map(|calls| format!("call-control={}", calls.api));
        let edges = ["edge-1", "edge-2"].map(|id| {
            let peers = ["--peers", &at, "--peers", &engines[0], "--peers", &engines[1]];
            Carillon::serve(&[&["--roles", "edge", "--id", id][..], &peers[..]].concat())
        });
        let tier = Tier { registrar, calls: calls.into(), edges: edges.into(), _redis: redis };
        for name in ["alice", "bob"] {
            tier.registrar.account(&format!("sip:{name}@localhost"), "secret");
        }
        anchor(&tier.registrar, "bob");
        tier
    }

    async fn phones(&self, answer: Answer) -> (TestPhone, TestPhone) {
        let alice =
            TestPhone::registered(&self.edges[0].sip, "sip:alice@localhost", "secret", Script::default())
                .await;
        let script = Script { answer, ..Script::default() };
        let bob = TestPhone::registered(&self.edges[1].sip, "sip:bob@localhost", "secret", script).await;
        (alice, bob)
    }
}

/// Alice, and bob, who is registered.
fn wires(places: &Places) -> (Wire, Wire) {
    anchor(&places.registrar, "bob");
    let (alice, bob) = (Wire::of(places.near()), Wire::of(places.far()));
    let contact = format!("Contact: <sip:bob@{}>", bob.address());
    let lines = ["From: <sip:bob@localhost>;tag=r", "To: <sip:bob@localhost>", &contact];
    let registered = bob.request("REGISTER sip:localhost", &lines);
    assert_eq!(status(&bob.answer_to(&registered)), 200);
    (alice, bob)
}

/// A request with a body.
fn request(wire: &Wire, start: &str, lines: &[&str], body: &str) -> String {
    let (text, call_id) = wire.compose(start, lines);
    let length = format!("Content-Length: {}\r\n\r\n{body}", body.len());
    wire.send(&text.replace("Content-Length: 0\r\n\r\n", &length));
    call_id
}

/// The next response of this status.
fn said(wire: &Wire, wanted: u16) -> String {
    loop {
        let text = wire.receive();
        if status(&text) == wanted {
            return text;
        }
    }
}
