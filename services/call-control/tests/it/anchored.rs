//! Calls that phones begin, over replicas that die and events that come twice.

use std::time::Duration;

use call_control::Config;
use cluster_api::callcontrol::v1 as cc;
use cluster_api::callcontrol::v1::call::{Kind as Origin, State};
use cluster_api::callcontrol::v1::outcome::Kind;

use crate::edges::World;
use crate::rig::{Replica, Watch, replica, store, story};

const CALL: &str = "in-0190abcdef";

/// TPC-15: whichever replica gets an event, and how often: one call, each thing told once.
#[tokio::test(start_paused = true)]
async fn an_invite_that_is_delivered_twice_makes_one_call() {
    let (world, store) = (World::new(&["edge-0", "edge-1"]), store());
    let replicas: Vec<_> = (0..3).map(|_| replica(store.clone(), &world, Config::default())).collect();
    world.deliver_twice();
    for n in 0..6 {
        let call_id = format!("{CALL}{n}");
        world.call_in("edge-0", &call_id, "bob");
        let mut watch = begun(&replicas[n % 3], &call_id).await;
        let answered = replicas[(n + 1) % 3].wait_for(&call_id, State::Answered).await;
        assert_eq!(answered.kind(), Origin::Incoming);
        tokio::time::sleep(Duration::from_secs(1)).await;
        replicas[(n + 2) % 3].hangup("", &call_id).await.expect("hung up");
        let story = story(&watch.rest().await);
        let expected = [
            "b LEG_RINGING",
            "b LEG_ANSWERED",
            "a LEG_ANSWERED",
            "CONNECTED",
            "a LEG_ENDED",
            "b LEG_ENDED",
            "ENDED",
        ];
        assert_eq!(
            story.iter().filter(|told| expected.contains(&told.as_str())).collect::<Vec<_>>(),
            expected
        );
        let asked = world.asked(&call_id);
        assert_eq!(asked.iter().filter(|asked| asked.ends_with("INVITE")).count(), 1, "{asked:?}");
    }
}

/// TPC-15, F4, at every step: the replica that takes an event dies right after its commit.
#[tokio::test(start_paused = true)]
async fn an_anchored_call_connects_whichever_step_its_replica_dies_after() {
    for step in 0..6 {
        let (world, store) = (World::new(&["edge-0"]), store());
        let first = replica(store.clone(), &world, Config::default());
        let second = replica(store, &world, Config::default());
        if step == 0 {
            first.way.cut();
        }
        world.call_in("edge-0", CALL, "bob");
        let mut watch = begun(&second, CALL).await;
        for _ in 1..step {
            watch.event().await;
        }
        first.kill(&world, 0).await;
        second.wait_for(CALL, State::Answered).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        second.hangup("", CALL).await.expect("hung up");
        let ended = second.wait_for(CALL, State::Ended).await;
        assert_eq!(ended.outcome.expect("outcome").kind(), Kind::Completed, "step {step}");
        let asked = world.asked(CALL);
        for once in ["b INVITE", "b ACK", "a BYE", "b BYE"] {
            assert_eq!(asked.iter().filter(|asked| *asked == once).count(), 1, "step {step}: {asked:?}");
        }
    }
}

/// LAD-9, CCL-09, F4: alice takes her place in her call at another phone, by the leg's URI or by the name of bob with the Call-ID that
/// her first phone made; the replica that takes an event dies right after its commit, at every step.
#[tokio::test(start_paused = true)]
async fn a_place_is_taken_whichever_step_its_replica_dies_after() {
    const NEW: &str = "in-0190abcdff";
    for (by_leg, step) in [true, false].into_iter().flat_map(|by_leg| (0..5).map(move |step| (by_leg, step)))
    {
        let (world, store) = (World::new(&["edge-0"]), store());
        let first = replica(store.clone(), &world, Config::default());
        let second = replica(store.clone(), &world, Config::default());
        world.call_in("edge-0", CALL, "bob");
        drop(begun(&second, CALL).await);
        second.wait_for(CALL, State::Answered).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let replaces = dialog_of_leg_a(store).await;
        if step == 0 {
            first.way.cut();
        }
        let uri = if by_leg { format!("sip:cc.{CALL}.a@edge-0") } else { "sip:bob@example.com".into() };
        world.call_in_about("edge-0", NEW, &uri, vec![replaces]);
        let mut watch = begun(&second, NEW).await;
        for _ in 1..step {
            watch.event().await;
        }
        first.kill(&world, 0).await;
        second.wait_for(NEW, State::Answered).await;
        let ended = second.wait_for(CALL, State::Ended).await;
        assert_eq!(ended.outcome.expect("outcome").kind(), Kind::Completed, "step {step}");
        tokio::time::sleep(Duration::from_secs(1)).await;
        for (call_id, once) in [(CALL, "a BYE"), (NEW, "b INVITE"), (NEW, "b ACK")] {
            let asked = world.asked(call_id);
            assert_eq!(asked.iter().filter(|asked| *asked == once).count(), 1, "step {step}: {asked:?}");
        }
        second.hangup("", NEW).await.expect("hung up");
        second.wait_for(NEW, State::Ended).await;
    }
}

/// CCL-09, CCL-13: a dialog that has ended is declined, whoever made its Call-ID and whoever is called, also when nothing is left of its call
/// but what applications may see; with the tags the other way round it never was one.
#[tokio::test(start_paused = true)]
async fn a_dialog_that_has_ended_is_declined() {
    let (world, store) = (World::new(&["edge-0"]), store());
    let replica = replica(store.clone(), &world, Config::default());
    world.call_in("edge-0", CALL, "bob");
    drop(begun(&replica, CALL).await);
    let legs = replica.wait_for(CALL, State::Answered).await.legs;
    replica.hangup("", CALL).await.expect("hung up");
    replica.wait_for(CALL, State::Ended).await;
    for (round, wait) in [Duration::ZERO, Duration::from_secs(180)].into_iter().enumerate() {
        tokio::time::sleep(wait).await;
        for (at, leg) in legs.iter().enumerate() {
            let (ours, theirs) = (&leg.local_tag, &leg.remote_tag);
            for (to_tag, from_tag, status) in [(ours, theirs, 603), (theirs, ours, 481)] {
                for name in ["Replaces", "Join"] {
                    let value = format!("{};to-tag={to_tag};from-tag={from_tag}", leg.sip_call_id);
                    let new = format!("in-{round}-{at}-{status}-{name}");
                    let header = cluster_api::sip::v1::Header { name: name.into(), value };
                    world.call_in_about("edge-0", &new, "sip:bob@example.com", vec![header]);
                    drop(begun(&replica, &new).await);
                    let outcome = replica.wait_for(&new, State::Ended).await.outcome.expect("outcome");
                    assert_eq!(outcome.sip_status, status, "{new}");
                    assert!(!world.asked(&new).contains(&"b INVITE".to_owned()), "{new}: nobody is called");
                }
            }
        }
    }
}

async fn dialog_of_leg_a(store: std::sync::Arc<dyn store::Store>) -> cluster_api::sip::v1::Header {
    let loaded = call_control::Repository::new(store, &Config::default()).load(CALL).await.expect("a store");
    let call_control::Known::Live(call) = loaded.expect("the call").known else { panic!("a live call") };
    let leg = &call.legs[0];
    let value = format!("{};to-tag={};from-tag={}", leg.sip_call_id, leg.local_tag, leg.remote_tag);
    cluster_api::sip::v1::Header { name: "Replaces".into(), value }
}

/// F1: the edge with the caller's INVITE is lost while it rings: a clear event within the takeover time.
#[tokio::test(start_paused = true)]
async fn a_call_ends_with_the_edge_that_holds_its_invite() {
    let (world, store) = (World::new(&["edge-0", "edge-1"]), store());
    let replica = replica(store, &world, Config::default());
    world.call_in("edge-0", CALL, "ring");
    drop(begun(&replica, CALL).await);
    replica.wait_for(CALL, State::Ringing).await;
    let lost = tokio::time::Instant::now();
    world.lose_edge("edge-0");
    let ended = replica.wait_for(CALL, State::Ended).await;
    let outcome = ended.outcome.expect("outcome");
    assert_eq!(
        (outcome.kind(), outcome.sip_status, outcome.ended_by.as_str()),
        (Kind::Failed, 503, "carillon")
    );
    assert!(lost.elapsed() < Duration::from_secs(4), "virtual time: {:?}", lost.elapsed());
    assert!(world.asked(CALL).contains(&"b BYE".to_owned()), "bob is told by the other edge");
}

/// A call that is over stays over, whatever an edge delivers again.
#[tokio::test(start_paused = true)]
async fn the_invite_of_a_call_that_is_over_begins_none() {
    let (world, store) = (World::new(&["edge-0"]), store());
    let replica = replica(store, &world, Config::default());
    world.call_in("edge-0", CALL, "busy");
    drop(begun(&replica, CALL).await);
    replica.wait_for(CALL, State::Ended).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let again = cc::DeliverRequest {
        call_id: CALL.into(),
        edge_id: "edge-0".into(),
        edge_epoch: 1,
        events: vec![cc::LegEvent {
            leg_id: "a".into(),
            number: 1,
            what: Some(cc::leg_event::What::Incoming(cc::CallReceived::default())),
            ..cc::LegEvent::default()
        }],
    };
    use cluster_api::callcontrol::v1::leg_events_server::LegEvents as _;
    let delivered = replica.service.leg_events.deliver(tonic::Request::new(again)).await.expect("an answer");
    assert!(delivered.into_inner().gone);
}

/// Watches a call as soon as it is there.
async fn begun(replica: &Replica, call_id: &str) -> Watch {
    loop {
        let request =
            cc::WatchCallsRequest { call_id: Some(call_id.to_owned()), ..cc::WatchCallsRequest::default() };
        match replica.watch(request).await {
            Ok(watch) => return watch,
            Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    }
}
