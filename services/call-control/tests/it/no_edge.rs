//! No edge is alive, or none that could be asked.

use std::time::Duration;

use call_control::Config;
use cluster_api::callcontrol::v1 as cc;
use cluster_api::callcontrol::v1::call::State;
use cluster_api::callcontrol::v1::leg_event::What;
use cluster_api::callcontrol::v1::leg_events_server::LegEvents as _;
use cluster_api::callcontrol::v1::outcome::Kind;
use tokio::time::{Instant, sleep};
use tonic::Request;

use crate::edges::World;
use crate::rig::{Replica, dial_request, replica, store};

/// Longer than anything is tried again.
const LATER: Duration = Duration::from_secs(180);

/// F1: the call ends with a clear outcome, and an edge that comes later rings nobody for it.
#[tokio::test(start_paused = true)]
async fn a_call_for_which_there_is_no_edge_ends_and_is_never_carried() {
    let (world, store) = (World::new(&[]), store());
    let replica = replica(store, &world, Config::default());
    let begun = Instant::now();
    let call = replica.dial(dial_request("alice", "bob")).await.expect("committed");
    let ended = replica.wait_for(&call.call_id, State::Ended).await;
    assert!(begun.elapsed() < Duration::from_secs(5), "virtual time: {:?}", begun.elapsed());
    let outcome = ended.outcome.expect("outcome");
    let found = (outcome.kind(), outcome.sip_status, outcome.ended_by.as_str());
    assert_eq!(found, (Kind::Failed, 503, "carillon"));
    assert_eq!(outcome.sip_reason, "No edge takes new work");
    is_never_carried(&world, &call.call_id).await;
}

/// F4: the replica that made the call dies before it gives up; another one does.
#[tokio::test(start_paused = true)]
async fn another_replica_ends_it_when_the_first_dies() {
    let (world, store) = (World::new(&[]), store());
    let first = replica(store.clone(), &world, Config::default());
    let second = replica(store, &world, Config::default());
    let begun = Instant::now();
    let call = first.dial(dial_request("alice", "bob")).await.expect("committed");
    first.kill(&world, 0).await;
    let ended = second.wait_for(&call.call_id, State::Ended).await;
    assert!(begun.elapsed() < Duration::from_secs(8), "virtual time: {:?}", begun.elapsed());
    assert_eq!(ended.outcome.expect("outcome").kind(), Kind::Failed);
    is_never_carried(&world, &call.call_id).await;
}

#[tokio::test(start_paused = true)]
async fn a_hangup_ends_it_at_once() {
    let (world, store) = (World::new(&[]), store());
    let replica = replica(store, &world, Config::default());
    let call = replica.dial(dial_request("alice", "bob")).await.expect("committed");
    let call = replica.hangup("", &call.call_id).await.expect("hung up");
    assert_eq!(call.state(), State::Ended);
    assert_eq!(call.outcome.expect("outcome").kind(), Kind::Cancelled);
    is_never_carried(&world, &call.call_id).await;
}

/// An edge that has the INVITE all the same is told that the call is gone, upon which it cancels it.
#[tokio::test(start_paused = true)]
async fn an_edge_that_has_the_invite_all_the_same_is_told_that_the_call_is_gone() {
    let (world, store) = (World::new(&[]), store());
    let replica = replica(store, &world, Config::default());
    let call = replica.dial(dial_request("ring", "bob")).await.expect("committed");
    replica.wait_for(&call.call_id, State::Ended).await;
    assert!(deliver_ringing(&replica, &call.call_id).await);
}

/// An edge that comes in time is used.
#[tokio::test(start_paused = true)]
async fn a_call_waits_a_little_for_an_edge() {
    let (world, store) = (World::new(&[]), store());
    let replica = replica(store, &world, Config::default());
    let call = replica.dial(dial_request("alice", "bob")).await.expect("committed");
    sleep(Duration::from_secs(2)).await;
    world.add_edge("edge-0");
    replica.wait_for(&call.call_id, State::Answered).await;
}

/// An edge that began after the last list was made is found as soon as it is needed.
#[tokio::test(start_paused = true)]
async fn a_new_list_is_asked_for_when_no_edge_is_known() {
    let (world, store) = (World::new(&[]), store());
    let replica = replica(store, &world, Config::default());
    world.add_unlisted("edge-0");
    let call = replica.dial(dial_request("alice", "bob")).await.expect("committed");
    replica.wait_for(&call.call_id, State::Answered).await;
}

async fn is_never_carried(world: &World, call_id: &str) {
    world.add_edge("edge-0");
    sleep(LATER).await;
    assert_eq!(world.attempts(call_id), 0, "{:?}", world.asked(call_id));
}

/// Whether the call is gone for the edge that says that its phone rings.
async fn deliver_ringing(replica: &Replica, call_id: &str) -> bool {
    let ringing = cc::ResponseReceived {
        effect: 1,
        status: 180,
        method: "INVITE".to_owned(),
        cseq: 1,
        to_tag: "tag".to_owned(),
        ..cc::ResponseReceived::default()
    };
    let event = cc::LegEvent {
        leg_id: "a".to_owned(),
        number: 1,
        what: Some(What::Response(ringing)),
        ..cc::LegEvent::default()
    };
    let delivery = cc::DeliverRequest {
        call_id: call_id.to_owned(),
        edge_id: "edge-0".to_owned(),
        edge_epoch: 1,
        events: vec![event],
    };
    replica.service.leg_events.deliver(Request::new(delivery)).await.expect("answered").into_inner().gone
}
