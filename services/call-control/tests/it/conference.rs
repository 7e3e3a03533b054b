//! Join over replicas, store and edges: what is asked, what is refused, and what becomes of it when a replica dies.

use call_control::Config;
use call_control::engine::conference::Mixing;
use cluster_api::callcontrol::v1 as cc;
use cluster_api::callcontrol::v1::call::State;
use cluster_api::callcontrol::v1::call_control_server::CallControl as _;
use cluster_api::callcontrol::v1::call_event::Type;
use cluster_api::callcontrol::v1::join_request::Mixer;
use tonic::{Code, Request, Status};

use crate::edges::World;
use crate::rig::{self, Replica, dial_request, reason};

fn config() -> Config {
    let mixers = vec!["sip:silent.example.com".into(), "sip:mixer.example.com".into()];
    Config { mixing: Mixing { mixers, ..Mixing::default() }, ..Config::default() }
}

async fn connected(replica: &Replica, from: &str, to: &str) -> String {
    let call = replica.dial(dial_request(from, to)).await.expect("a call");
    replica.wait_for(&call.call_id, State::Answered).await.call_id
}

fn join_of(request_id: &str, call_id: &str, user: &str) -> cc::JoinRequest {
    cc::JoinRequest {
        request_id: request_id.into(),
        call_id: call_id.into(),
        party: Some(cc::Party { uri: format!("sip:{user}@example.com"), ..cc::Party::default() }),
        mixer: Mixer::Central.into(),
    }
}

async fn join(replica: &Replica, request: cc::JoinRequest) -> Result<cc::Call, Status> {
    replica.service.api.join(Request::new(request)).await.map(|call| call.into_inner())
}

/// Waits for an event of a leg; all of them so far.
async fn until(replica: &Replica, call_id: &str, kind: Type, leg_id: &str) -> Vec<cc::CallEvent> {
    let request = cc::WatchCallsRequest {
        call_id: Some(call_id.into()),
        after_cursor: Some(String::new()),
        ..cc::WatchCallsRequest::default()
    };
    let mut watch = replica.watch(request).await.expect("the call exists");
    let mut seen: Vec<cc::CallEvent> = Vec::new();
    let is_it = |event: &cc::CallEvent| event.r#type() == kind && event.leg_id.as_deref() == Some(leg_id);
    while !seen.last().is_some_and(is_it) {
        seen.push(watch.event().await);
    }
    seen
}

/// CCL-15, SCN-17: answered once it is committed, and done once; a mixer that says nothing is passed over.
#[tokio::test(start_paused = true)]
async fn a_third_party_joins_once() {
    let world = World::new(&["edge-0"]);
    let replica = rig::replica(rig::store(), &world, config());
    let one = connected(&replica, "alice", "bob").await;
    let request = join_of("join-1", &one, "carol");
    let call = join(&replica, request.clone()).await.expect("they talk");
    assert_eq!(call.call_id, one);
    until(&replica, &one, Type::PartyJoined, "c").await;
    let again = join(&replica, request.clone()).await.expect("it is the same request");
    let states: Vec<_> = again.legs.iter().map(cc::Leg::state).collect();
    assert_eq!(states, [cc::leg::State::Answered; 6]);
    assert_eq!(again.conference_uri.as_deref(), Some(format!("sip:conf-{one}@localhost").as_str()));
    let other = cc::JoinRequest { party: join_of("", "", "dave").party, ..request };
    assert_eq!(join(&replica, other).await.expect_err("other content").code(), Code::AlreadyExists);

    join(&replica, join_of("join-2", &one, "dave")).await.expect("they confer");
    until(&replica, &one, Type::PartyJoined, "g").await;
    replica.hangup("", &one).await.expect("it lives");
    let ended = replica.wait_for(&one, State::Ended).await;
    assert_eq!(ended.outcome.expect("an outcome").kind(), cc::outcome::Kind::Completed);
    let asked = world.asked(&one);
    for leg in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        let byes = asked.iter().filter(|what| **what == format!("{leg} BYE")).count();
        assert_eq!(byes, 1, "leg {leg}: {asked:?}");
    }
}

/// CCL-15: who does not come, and who refuses the mixer: the two talk on.
#[tokio::test(start_paused = true)]
async fn whoever_refuses_the_call_is_as_before() {
    let world = World::new(&["edge-0"]);
    let replica = rig::replica(rig::store(), &world, config());
    let one = connected(&replica, "alice", "bob").await;
    join(&replica, join_of("", &one, "busy")).await.expect("they talk");
    let events = until(&replica, &one, Type::LegEnded, "c").await;
    assert_eq!(events.last().and_then(|event| event.sip_status), Some(486));
    let two = connected(&replica, "alice", "stubborn").await;
    join(&replica, join_of("", &two, "carol")).await.expect("they talk");
    let events = until(&replica, &two, Type::LegEnded, "c").await;
    assert_eq!(events.last().and_then(|event| event.sip_status), Some(488));
    for call_id in [one, two] {
        let call = replica.get(&call_id).await.expect("the call");
        assert_eq!((call.state(), call.conference_uri), (State::Answered, None));
    }
}

/// CCL-13: each refusal by its name, and the one that wants a setting names it.
#[tokio::test(start_paused = true)]
async fn what_cannot_be_joined_is_refused_by_name() {
    let (replica, _world) = rig::single();
    let one = connected(&replica, "alice", "bob").await;
    let status = join(&replica, join_of("", &one, "carol")).await.expect_err("no mixer");
    assert_eq!((status.code(), reason(&status)), (Code::FailedPrecondition, "NO_MIXER".into()));
    assert!(status.message().contains("call_control.mixers"), "{}", status.message());
    let local = cc::JoinRequest { mixer: Mixer::Local.into(), ..join_of("", &one, "carol") };
    let status = join(&replica, local).await.expect_err("no phone mixes");
    assert_eq!(reason(&status), "NO_MIXER");
    let nobody = cc::JoinRequest { party: None, ..join_of("", &one, "carol") };
    assert_eq!(join(&replica, nobody).await.expect_err("nobody").code(), Code::InvalidArgument);
    let unknown = join(&replica, join_of("", "00000000000000000000000000000000-0", "carol")).await;
    assert_eq!(unknown.expect_err("no call").code(), Code::NotFound);
}

/// F4, TPC-15: the replica dies after each event of the way into the conference; another one finishes it, and all happens once.
#[tokio::test(start_paused = true)]
async fn another_replica_finishes_a_conference_that_one_began() {
    for step in 0..14 {
        let world = World::new(&["edge-0", "edge-1"]);
        let store = rig::store();
        let first = rig::replica(store.clone(), &world, config());
        let second = rig::replica(store, &world, config());
        if step % 2 == 1 {
            world.deliver_twice();
        }
        let one = connected(&first, "alice", "bob").await;
        let mut watch = second.watch_call(&one).await;
        join(&first, join_of("j", &one, "carol")).await.expect("they talk");
        for _ in 0..step {
            watch.event().await;
        }
        first.kill(&world, 0).await;
        let events = until(&second, &one, Type::PartyJoined, "c").await;
        let answered = events.iter().filter(|event| event.r#type() == Type::LegAnswered).count();
        assert_eq!(answered, 6, "step {step}");
        second.hangup("", &one).await.expect("it lives");
        second.wait_for(&one, State::Ended).await;
        let ended = watch.rest().await;
        let ended = ended.iter().filter(|event| event.r#type() == Type::LegEnded).count();
        assert_eq!(ended, 6, "step {step}: every leg ended once");
    }
}
