//! In which order the effects of a step leave, when they are for different phones.

use std::time::Duration;

use call_control::Config;
use cluster_api::callcontrol::v1::call::State;
use tokio::time::Instant;

use crate::edges::World;
use crate::rig::{dial_request, replica, store};

/// Longer than anything else takes, and shorter than an effect waits for its turn.
const LATE: Duration = Duration::from_millis(50);

/// LAD-1, LAD-4: steps 3 and 4, 9 and 10, and the BYE of both, whichever edges the legs are on and however late one of them is.
#[tokio::test(start_paused = true)]
async fn what_one_phone_gets_leaves_before_what_the_other_gets_later() {
    for edges in [&["edge-0"][..], &["edge-0", "edge-1"]] {
        for late in ["a ACK", "b ACK", "a BYE"] {
            let world = World::new(edges);
            let replica = replica(store(), &world, Config::default());
            world.hesitate(late, LATE);
            let call = replica.dial(dial_request("alice", "bob")).await.expect("committed");
            replica.wait_for(&call.call_id, State::Answered).await;
            replica.hangup("", &call.call_id).await.expect("hung up");
            replica.wait_for(&call.call_id, State::Ended).await;
            tokio::time::sleep(4 * LATE).await;
            let ladder = ["a INVITE", "a ACK", "b INVITE", "a INVITE", "b ACK", "a ACK", "a BYE", "b BYE"];
            assert_eq!(world.wire(&call.call_id)[..8], ladder, "{late} is late, edges: {edges:?}");
        }
    }
}

/// LAD-1 d: who rings stops ringing before the other one is hung up on.
#[tokio::test(start_paused = true)]
async fn cancel_leaves_before_the_bye_of_the_other_party() {
    let world = World::new(&["edge-0", "edge-1"]);
    let replica = replica(store(), &world, Config::default());
    world.hesitate("b CANCEL", LATE);
    let call = replica.dial(dial_request("alice", "ring")).await.expect("committed");
    replica.wait_for(&call.call_id, State::Ringing).await;
    while !world.wire(&call.call_id).contains(&"b INVITE".to_owned()) {
        tokio::time::sleep(LATE).await;
    }
    replica.hangup("", &call.call_id).await.expect("hung up");
    replica.wait_for(&call.call_id, State::Ended).await;
    assert_eq!(world.wire(&call.call_id)[3..5], ["b CANCEL", "a BYE"]);
}

/// F1: the phone on a living edge is not kept waiting for one whose edge does not answer.
#[tokio::test(start_paused = true)]
async fn an_edge_that_does_not_answer_holds_the_other_leg_up_for_a_moment_only() {
    let world = World::new(&["edge-0"]);
    let replica = replica(store(), &world, Config::default());
    let call = replica.dial(dial_request("alice", "bob")).await.expect("committed");
    replica.wait_for(&call.call_id, State::Answered).await;
    world.hesitate("a BYE", Duration::from_secs(3600));
    let begun = Instant::now();
    replica.hangup("", &call.call_id).await.expect("hung up");
    while !world.wire(&call.call_id).contains(&"b BYE".to_owned()) {
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert!(begun.elapsed() < Config::default().carry_timeout, "virtual time");
    }
}
