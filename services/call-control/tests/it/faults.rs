//! A store that fails, also after it has written; and what is left behind in the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use call_control::Config;
use cluster_api::callcontrol::v1 as cc;
use cluster_api::callcontrol::v1::call::State;
use store::{Batch, CommitOutcome, IndexPage, MemoryStore, Partitions, Store as _, StoreError};
use test_support::{Hook, HookedStore};
use tonic::Code;

use crate::edges::World;
use crate::rig::{dial_request, for_days, reason, replica, store, story};

/// A store can be told to fail.
#[derive(Default)]
struct Failing {
    /// Commits fail and write nothing.
    down: AtomicBool,
    /// Commits write and fail all the same, as when no replica confirms.
    unreplicated: AtomicBool,
}

impl Failing {
    fn new() -> Arc<HookedStore<Failing>> {
        Arc::new(HookedStore::new(store(), Failing::default()))
    }
}

/// Reliability rule 2: what failed may have happened; asking again with the same id tells, and does it once.
#[tokio::test(start_paused = true)]
async fn a_dial_that_was_written_but_not_confirmed_is_found_by_its_request_id() {
    let (world, store) = (World::new(&["edge-0"]), Failing::new());
    let replica = replica(store.clone(), &world, Config::default());
    let request = || cc::DialRequest { request_id: "once".into(), ..dial_request("alice", "bob") };
    store.hook.unreplicated.store(true, Ordering::Relaxed);
    let status = replica.dial(request()).await.expect_err("not confirmed");
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "STORE_UNAVAILABLE"));
    let status = replica.dial(request()).await.expect_err("found, and still not confirmed");
    assert_eq!(status.code(), Code::Unavailable);
    store.hook.unreplicated.store(false, Ordering::Relaxed);

    let call = replica.dial(request()).await.expect("found and confirmed");
    replica.wait_for(&call.call_id, State::Answered).await;
    assert_eq!(replica.list(cc::ListCallsRequest::default()).await.expect("list").calls.len(), 1);
    let asked = world.asked(&call.call_id);
    assert_eq!(asked.iter().filter(|asked| *asked == "b INVITE").count(), 1, "{asked:?}");
}

/// F6: while the store is away nothing is acknowledged; when it is back the call goes on as if nothing had been.
#[tokio::test(start_paused = true)]
async fn a_call_survives_the_absence_of_the_store() {
    let (world, store) = (World::new(&["edge-0"]), Failing::new());
    let replica = replica(store.clone(), &world, Config::default());
    for unreplicated in [false, true] {
        let call = replica.dial(dial_request("alice", "bob")).await.expect("committed");
        let mut watch = replica.watch_call(&call.call_id).await;
        watch.event().await;
        let failure = if unreplicated { &store.hook.unreplicated } else { &store.hook.down };
        failure.store(true, Ordering::Relaxed);
        let status = replica.dial(dial_request("alice", "bob")).await.expect_err("nothing can be committed");
        assert_eq!(status.code(), Code::Unavailable);
        tokio::time::sleep(Duration::from_secs(5)).await;
        failure.store(false, Ordering::Relaxed);
        replica.wait_for(&call.call_id, State::Answered).await;
        replica.hangup("", &call.call_id).await.expect("hung up");
        let story = story(&watch.rest().await);
        for event in &story {
            assert_eq!(story.iter().filter(|other| *other == event).count(), 1, "{story:?}");
        }
        assert_eq!(story.last().map(String::as_str), Some("ENDED"));
    }
}

/// Every record has an expiry or an owner that removes it.
#[tokio::test(start_paused = true)]
async fn nothing_of_a_call_is_left_after_its_time() {
    let (world, store) = (World::new(&["edge-0"]), store());
    let replica = replica(store.clone(), &world, for_days());
    let callees = ["bob", "busy", "ring"];
    for n in 0..30 {
        let request =
            cc::DialRequest { request_id: format!("r{n}"), ..dial_request("alice", callees[n % 3]) };
        let call = replica.dial(request).await.expect("committed");
        if n % 3 == 0 {
            replica.wait_for(&call.call_id, State::Answered).await;
            replica.hangup("", &call.call_id).await.expect("hung up");
        }
        replica.wait_for(&call.call_id, State::Ended).await;
    }
    assert!(store.record_count() >= 60);
    tokio::time::sleep(Duration::from_secs(24 * 3600 + 300)).await;
    assert_eq!(store.record_count(), 0);
    for partition in Partitions::new("calls", 16).all() {
        for index in ["live", "ended", "edge/edge-0/1"] {
            assert_eq!(store.index(partition, index, None, 10).await, Ok(IndexPage::default()), "{index}");
        }
        assert_eq!(store.due_next(partition, "due").await, Ok(None));
    }
}

#[async_trait]
impl Hook for Failing {
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

    fn is_ready(&self) -> bool {
        !self.down.load(Ordering::Relaxed)
    }
}
