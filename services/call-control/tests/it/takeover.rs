//! What one replica leaves undone, another finishes; what happens twice, counts once. Reliability rows F4 and F1.

use std::time::Duration;

use call_control::Config;
use cluster_api::callcontrol::v1 as cc;
use cluster_api::callcontrol::v1::call::State;
use cluster_api::callcontrol::v1::outcome::Kind;

use crate::edges::World;
use crate::rig::{dial_request, replica, store, story};

/// F4: killed after the commit of Dial and before the INVITE went out.
#[tokio::test(start_paused = true)]
async fn effects_of_a_replica_that_died_after_its_commit_are_carried_by_another() {
    let (world, store) = (World::new(&["edge-0"]), store());
    let first = replica(store.clone(), &world, Config::default());
    let second = replica(store, &world, Config::default());
    first.way.cut();
    let call = first.dial(dial_request("alice", "bob")).await.expect("committed");
    tokio::task::yield_now().await;
    assert_eq!(world.attempts(&call.call_id), 0);
    let died = tokio::time::Instant::now();
    first.kill(&world, 0).await;

    second.wait_for(&call.call_id, State::Answered).await;
    let took = died.elapsed();
    assert!(took < Duration::from_secs(3), "virtual time until it was connected: {took:?}");
    second.hangup("", &call.call_id).await.expect("the other replica ends it");
    let ended = second.wait_for(&call.call_id, State::Ended).await;
    assert_eq!(ended.outcome.expect("outcome").kind(), Kind::Completed);
}

/// F4, at every step of the call: the replica that takes an event dies right after its commit.
#[tokio::test(start_paused = true)]
async fn a_call_connects_whichever_step_its_replica_dies_after() {
    for step in 0..6 {
        let (world, store) = (World::new(&["edge-0"]), store());
        let first = replica(store.clone(), &world, Config::default());
        let second = replica(store, &world, Config::default());
        let call = first.dial(dial_request("alice", "bob")).await.expect("committed");
        let mut watch = second.watch_call(&call.call_id).await;
        for _ in 0..step {
            watch.event().await;
        }
        first.kill(&world, 0).await;
        let mut events = Vec::new();
        loop {
            let event = watch.event().await;
            let is_connected = event.r#type() == cc::call_event::Type::Connected;
            events.push(event);
            if is_connected {
                break;
            }
        }
        second.hangup("", &call.call_id).await.expect("hung up");
        events.extend(watch.rest().await);
        let story = story(&events);
        for event in &story {
            assert_eq!(story.iter().filter(|other| *other == event).count(), 1, "step {step}: {story:?}");
        }
        assert_eq!(story.last().map(String::as_str), Some("ENDED"), "step {step}");
    }
}

#[tokio::test(start_paused = true)]
async fn events_may_come_to_any_replica_and_twice() {
    let (world, store) = (World::new(&["edge-0", "edge-1"]), store());
    let replicas: Vec<_> = (0..3).map(|_| replica(store.clone(), &world, Config::default())).collect();
    world.deliver_twice();
    for n in 0..10 {
        let call = replicas[n % 3].dial(dial_request("alice", "bob")).await.expect("committed");
        let mut watch = replicas[(n + 1) % 3].watch_call(&call.call_id).await;
        replicas[(n + 2) % 3].wait_for(&call.call_id, State::Answered).await;
        replicas[n % 3].hangup(&format!("end-{n}"), &call.call_id).await.expect("hung up");
        let story = story(&watch.rest().await);
        let expected = [
            "SNAPSHOT",
            "a LEG_RINGING",
            "a LEG_ANSWERED",
            "b LEG_DIALING",
            "b LEG_RINGING",
            "b LEG_ANSWERED",
            "CONNECTED",
            "a LEG_ENDED",
            "b LEG_ENDED",
            "ENDED",
        ];
        assert_eq!(story, expected);
        let asked = world.asked(&call.call_id);
        let invites = asked.iter().filter(|asked| asked.ends_with("INVITE")).count();
        assert_eq!(invites, 3, "{asked:?}");
    }
}

/// Reliability 3.7: a dead replica's timer fires on another one, not early and not much later.
#[tokio::test(start_paused = true)]
async fn a_timer_of_a_dead_replica_fires_on_another() {
    let (world, store) = (World::new(&["edge-0"]), store());
    let first = replica(store.clone(), &world, Config::default());
    let second = replica(store, &world, Config::default());
    let start = tokio::time::Instant::now();
    let call = first.dial(dial_request("ring", "bob")).await.expect("committed");
    first.wait_for(&call.call_id, State::Ringing).await;
    first.kill(&world, 0).await;
    let ended = second.wait_for(&call.call_id, State::Ended).await;
    assert_eq!(ended.outcome.expect("outcome").kind(), Kind::NoAnswer);
    let seconds = start.elapsed().as_secs_f64();
    assert!((60.0..65.0).contains(&seconds), "virtual time: {seconds}");
}

/// F1: legs of a lost edge that still ring end with a clear event.
#[tokio::test(start_paused = true)]
async fn a_ringing_leg_of_a_lost_edge_ends_with_a_clear_event() {
    let (world, store) = (World::new(&["edge-0"]), store());
    let replica = replica(store, &world, Config::default());
    let call = replica.dial(dial_request("ring", "bob")).await.expect("committed");
    replica.wait_for(&call.call_id, State::Ringing).await;
    let lost = tokio::time::Instant::now();
    world.lose_edge("edge-0");
    let ended = replica.wait_for(&call.call_id, State::Ended).await;
    let outcome = ended.outcome.expect("outcome");
    assert_eq!((outcome.kind(), outcome.sip_status), (Kind::Failed, 503));
    assert_eq!(outcome.ended_by, "carillon");
    assert!(lost.elapsed() < Duration::from_secs(4), "virtual time: {:?}", lost.elapsed());
}

/// F1: a connected call goes on over another edge.
#[tokio::test(start_paused = true)]
async fn a_connected_call_goes_on_over_another_edge() {
    let (world, store) = (World::new(&["edge-0", "edge-1"]), store());
    let replica = replica(store, &world, Config::default());
    let call = replica.dial(dial_request("alice", "bob")).await.expect("committed");
    replica.wait_for(&call.call_id, State::Answered).await;
    // Whatever the last answers still cause is over.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let edge = replica.get(&call.call_id).await.expect("known").legs[0].edge_id.clone();
    world.lose_edge(&edge);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(replica.get(&call.call_id).await.expect("known").state(), State::Answered);
    replica.hangup("", &call.call_id).await.expect("hung up");
    let ended = replica.wait_for(&call.call_id, State::Ended).await;
    assert_eq!(ended.outcome.expect("outcome").kind(), Kind::Completed);
    let asked = world.asked(&call.call_id);
    assert!(asked.contains(&"a BYE".to_owned()) && asked.contains(&"b BYE".to_owned()), "{asked:?}");
}

/// Absence from a list that is not complete proves nothing.
#[tokio::test(start_paused = true)]
async fn an_edge_that_is_merely_not_listed_is_not_lost() {
    let (world, store) = (World::new(&["edge-0"]), store());
    let replica = replica(store, &world, Config::default());
    let call = replica.dial(dial_request("ring", "bob")).await.expect("committed");
    replica.wait_for(&call.call_id, State::Ringing).await;
    world.set_complete(false);
    world.lose_edge("edge-0");
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(replica.get(&call.call_id).await.expect("known").state(), State::Ringing);
}
