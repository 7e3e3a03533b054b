//! Calls between phones, which the edges merely proxy: watched, listed and ended by the application.

use std::time::Duration;

use cluster_api::callcontrol::v1::{Call, call, call_event, outcome};
use scripted_phone::{Answer, Happening, Remote, Script};
use serde_json::Value;
use test_support::{Carillon, Redis, TestPhone};

use crate::calls::{Watch, hang_up};

async fn phone(carillon: &Carillon, name: &str, answer: Answer) -> TestPhone {
    let script = Script { answer, ..Script::default() };
    TestPhone::registered(&carillon.sip, &format!("sip:{name}@localhost"), "secret", script).await
}

fn at_once() -> Answer {
    Answer::After(Duration::ZERO)
}

fn accounts(carillon: &Carillon) {
    for name in ["alice", "bob"] {
        carillon.account(&format!("sip:{name}@localhost"), "secret");
    }
}

async fn told(watch: &mut Watch, kind: call_event::Type) -> Call {
    watch.until(kind).await.call.expect("every event has its call")
}

async fn ended_by_peer(phone: &mut TestPhone) {
    phone.wait_for("the BYE", |h| matches!(h, Happening::Ended { by_peer: true, .. })).await;
}

/// API 2: a call of phones is told like a dialled one, with the contact that answered, and who hung up.
#[tokio::test]
async fn a_call_of_phones_is_told_to_the_application() {
    let carillon = Carillon::all_in_one();
    accounts(&carillon);
    let alice = phone(&carillon, "alice", at_once()).await;
    let mut bob = phone(&carillon, "bob", at_once()).await;
    let mut watch = Watch::begin_all(&carillon).await;
    alice.act(Remote::Dial("sip:bob@localhost".into())).await;
    let connected = told(&mut watch, call_event::Type::Connected).await;
    assert_eq!(connected.kind(), call::Kind::Proxied);
    let [_, b] = &connected.legs[..] else { panic!("two legs: {connected:?}") };
    assert!(b.remote_target.starts_with("sip:bob@127.0.0.1:"), "{}", b.remote_target);
    let listed = carillon.command(&["calls"]);
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(listed.contains(&connected.call_id) && listed.contains("bob@localhost"), "{listed}");

    let drawn = carillon.command(&["ladder", &connected.call_id]);
    let drawn = String::from_utf8_lossy(&drawn.stdout).into_owned();
    assert!(drawn.contains("INVITE") && drawn.contains("200"), "{drawn}");

    bob.wait_for("the call", |h| *h == Happening::Connected).await;
    bob.act(Remote::Hangup).await;
    let ended = told(&mut watch, call_event::Type::Ended).await.outcome.expect("an outcome");
    assert_eq!((ended.kind(), ended.ended_by.as_str()), (outcome::Kind::Completed, "b"));
}

/// API 2 (Hangup): CANCEL while it rings, BYE to both once it is answered; who asked is told how it ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_of_phones_is_ended_by_the_application() {
    let carillon = Carillon::all_in_one();
    accounts(&carillon);
    let mut alice = phone(&carillon, "alice", at_once()).await;
    let bob = phone(&carillon, "bob", Answer::Never).await;
    let mut watch = Watch::begin_all(&carillon).await;
    alice.act(Remote::Dial("sip:bob@localhost".into())).await;
    let rings = told(&mut watch, call_event::Type::LegRinging).await;
    hang_up(&carillon, &rings.call_id);
    let ended = told(&mut watch, call_event::Type::Ended).await.outcome.expect("an outcome");
    assert_eq!(
        (ended.kind(), ended.sip_status, ended.ended_by.as_str()),
        (outcome::Kind::Cancelled, 487, "api")
    );
    alice.wait_for("487", |h| matches!(h, Happening::Refused { status: 487, .. })).await;
    drop(bob);

    let mut bob = phone(&carillon, "bob", at_once()).await;
    alice.act(Remote::Dial("sip:bob@localhost".into())).await;
    let connected = told(&mut watch, call_event::Type::Connected).await;
    let shown = carillon.command(&["hangup", &connected.call_id, "--json"]);
    let shown: Value = serde_json::from_slice(&shown.stdout).expect("the call");
    assert_eq!(
        (&shown["state"], &shown["outcome"]["kind"]),
        (&"ENDED".into(), &"COMPLETED".into()),
        "{shown}"
    );
    ended_by_peer(&mut alice).await;
    ended_by_peer(&mut bob).await;
    let ended = told(&mut watch, call_event::Type::Ended).await.outcome.expect("an outcome");
    assert_eq!((ended.kind(), ended.ended_by.as_str()), (outcome::Kind::Completed, "api"));
}

/// The same with each phone at an edge of its own, and the edge that took the INVITE dead by the time of the hangup.
#[tokio::test]
async fn an_answered_call_is_ended_by_another_edge_than_the_one_that_set_it_up() {
    let Tier { mut first, second, registrar, calls, redis: _redis } = Tier::start();
    accounts(&registrar);
    let mut alice = phone(&first, "alice", at_once()).await;
    let mut bob = phone(&second, "bob", at_once()).await;
    let mut watch = Watch::begin_all(&calls).await;
    alice.act(Remote::Dial("sip:bob@localhost".into())).await;
    let connected = told(&mut watch, call_event::Type::Connected).await;
    first.kill();
    hang_up(&calls, &connected.call_id);
    ended_by_peer(&mut alice).await;
    ended_by_peer(&mut bob).await;
    let ended = told(&mut watch, call_event::Type::Ended).await.outcome.expect("an outcome");
    assert_eq!(ended.ended_by, "api");
}

/// TXN-17, F1: the edge that took the INVITE dies while bob rings at another one: bob's phone stops ringing, the application learns why.
#[tokio::test]
async fn a_phone_stops_ringing_when_the_edge_that_called_it_dies() {
    let Tier { mut first, second, registrar, calls, redis: _redis } = Tier::start();
    accounts(&registrar);
    let alice = phone(&first, "alice", at_once()).await;
    let mut bob = phone(&second, "bob", Answer::After(Duration::from_secs(3600))).await;
    let mut watch = Watch::begin_all(&calls).await;
    alice.act(Remote::Dial("sip:bob@localhost".into())).await;
    told(&mut watch, call_event::Type::LegRinging).await;
    first.kill();
    ended_by_peer(&mut bob).await;
    let ended = told(&mut watch, call_event::Type::Ended).await.outcome.expect("an outcome");
    assert_eq!(ended.ended_by, "carillon");
}

/// Two edges, and what they need.
struct Tier {
    first: Carillon,
    second: Carillon,
    registrar: Carillon,
    calls: Carillon,
    redis: Redis,
}

impl Tier {
    fn start() -> Self {
        let redis = Redis::start();
        let registrar =
            Carillon::serve(&["--roles", "registrar", "--redis", &redis.url(), "--id", "registrar-1"]);
        let at = format!("registrar={}", registrar.api);
        let calls =
            ["--roles", "call-control", "--redis", &redis.url(), "--id", "call-control-1", "--peers", &at];
        let calls = Carillon::serve(&calls);
        let engine = format!("call-control={}", calls.api);
        let edge = |id| Carillon::serve(&["--roles", "edge", "--id", id, "--peers", &at, "--peers", &engine]);
        let (first, second) = (edge("edge-1"), edge("edge-2"));
        Self { first, second, registrar, calls, redis }
    }
}
