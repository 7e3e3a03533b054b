//! What a replica promises: an event is acknowledged only when it is durable, work that it claimed is not held for longer than the
//! lease, and a call that is hung up ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use call_control::Config;
use cluster_api::callcontrol::v1 as cc;
use cluster_api::callcontrol::v1::call::State;
use cluster_api::callcontrol::v1::call_event::Type;
use cluster_api::callcontrol::v1::leg_event::What;
use cluster_api::callcontrol::v1::leg_events_server::LegEvents as _;
use cluster_api::callcontrol::v1::outcome::Kind;
use store::{Batch, CommitOutcome, MemoryStore, Store as _, StoreError};
use test_support::{Hook, HookedStore, Read};
use tokio::sync::Notify;
use tokio::time::Instant;
use tonic::{Code, Request};

use crate::edges::World;
use crate::rig::{Replica, dial_request, replica, store, story};

/// A store that can be told what to do to its users.
#[derive(Default)]
struct Trouble {
    /// Commits fail and write nothing.
    down: AtomicBool,
    /// Commits write and fail all the same, as when no replica confirms.
    unreplicated: AtomicBool,
    /// Who claims due work stands still for ever.
    deadly: AtomicBool,
    claimed: Notify,
}

/// Reliability rule 1: what was taken before is acknowledged again only when it is known to be durable, also when nothing changes.
#[tokio::test(start_paused = true)]
async fn a_duplicate_is_acknowledged_only_when_what_is_known_is_durable() {
    let (world, store) = (World::new(&["edge-0"]), Arc::new(HookedStore::new(store(), Trouble::default())));
    let replica = replica(store.clone(), &world, Config::default());
    let call = replica.dial(dial_request("ring", "bob")).await.expect("committed");
    replica.wait_for(&call.call_id, State::Ringing).await;
    let etag = replica.get(&call.call_id).await.expect("known").etag;
    for failure in [&store.hook.down, &store.hook.unreplicated] {
        failure.store(true, Ordering::Relaxed);
        assert_eq!(deliver_first_again(&replica, &call.call_id).await, Err(Code::Unavailable));
        failure.store(false, Ordering::Relaxed);
        assert_eq!(deliver_first_again(&replica, &call.call_id).await, Ok(false));
    }
    assert_eq!(replica.get(&call.call_id).await.expect("known").etag, etag, "nothing has changed");
}

/// Reliability 3.7: a replica that dies with work it has claimed delays that work by its lease, within the 3 s of a takeover.
#[tokio::test(start_paused = true)]
async fn work_that_a_dead_replica_has_claimed_is_done_after_the_lease() {
    let (world, memory) = (World::new(&["edge-0"]), store());
    let deadly = Arc::new(HookedStore::new(Arc::clone(&memory), Trouble::default()));
    let config = || Config { partitions: 1, ..Config::default() };
    let first = replica(deadly.clone(), &world, config());
    let call = first.dial(dial_request("ring", "bob")).await.expect("committed");
    first.wait_for(&call.call_id, State::Ringing).await;
    // All effects are carried; what is left is that the phone rings too long.
    tokio::time::sleep(Duration::from_secs(10)).await;
    deadly.hook.deadly.store(true, Ordering::Relaxed);
    deadly.hook.claimed.notified().await;
    let claimed = Instant::now();
    first.kill(&world, 0).await;
    let second = replica(memory, &world, config());
    let ended = second.wait_for(&call.call_id, State::Ended).await;
    assert_eq!(ended.outcome.expect("outcome").kind(), Kind::NoAnswer);
    let seconds = claimed.elapsed().as_secs_f64();
    assert!((2.0..3.0).contains(&seconds), "virtual time: {seconds}");
}

/// TPC-15: a hang-up ends the call also where no edge ever took anything on, and says who it was.
#[tokio::test(start_paused = true)]
async fn a_hang_up_ends_a_call_that_no_edge_carries() {
    let world = World::new(&[]);
    let replica = replica(store(), &world, Config::default());
    let call = replica.dial(dial_request("alice", "bob")).await.expect("committed");
    let mut watch = replica.watch_call(&call.call_id).await;
    assert_eq!(watch.event().await.r#type(), Type::Snapshot);
    replica.hangup("", &call.call_id).await.expect("hung up");
    assert_eq!(story(&watch.rest().await), ["a LEG_ENDED", "ENDED"]);
    let outcome = replica.get(&call.call_id).await.expect("known").outcome.expect("outcome");
    let found = (outcome.kind(), outcome.sip_status, outcome.ended_by.as_str());
    assert_eq!(found, (Kind::Cancelled, 487, "api"));
}

/// Delivers the first event of the call's edge once more; whether the call is gone.
async fn deliver_first_again(replica: &Replica, call_id: &str) -> Result<bool, Code> {
    let event = cc::LegEvent {
        leg_id: "a".to_owned(),
        number: 1,
        what: Some(What::Failed(cc::RequestFailed { effect: 1, ..cc::RequestFailed::default() })),
        ..cc::LegEvent::default()
    };
    let delivery = cc::DeliverRequest {
        call_id: call_id.to_owned(),
        edge_id: "edge-0".to_owned(),
        edge_epoch: 1,
        events: vec![event],
    };
    let answer = replica.service.leg_events.deliver(Request::new(delivery)).await;
    answer.map(|answer| answer.into_inner().gone).map_err(|status| status.code())
}

#[async_trait]
impl Hook for Trouble {
    async fn after(&self, read: Read) {
        if read == Read::DueClaim && self.deadly.load(Ordering::Relaxed) {
            self.claimed.notify_one();
            std::future::pending::<()>().await;
        }
    }

    async fn commit(&self, memory: &MemoryStore, batch: Batch) -> Result<CommitOutcome, StoreError> {
        if self.down.load(Ordering::Relaxed) {
            return Err(StoreError::unavailable("played"));
        }
        let outcome = memory.commit(batch).await?;
        if self.unreplicated.load(Ordering::Relaxed) {
            return Err(StoreError::Unreplicated { confirmed: 0, wanted: 1 });
        }
        Ok(outcome)
    }
}
