//! A store that fails, also after it has written; and what is left behind in the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use call_control::Config;
use cluster_api::callcontrol::v1 as cc;
use cluster_api::callcontrol::v1::call::State;
use store::{
    Batch, CommitOutcome, Cursor, Due, IndexPage, Key, LogEntry, MemoryStore, Partition, Partitions, Store,
    StoreError, Versioned, Wakeups,
};
use tonic::Code;

use crate::edges::World;
use crate::rig::{dial_request, for_days, reason, replica, store, story};

/// A store that can be told to fail.
struct Failing {
    inner: Arc<MemoryStore>,
    /// Commits fail and write nothing.
    down: AtomicBool,
    /// Commits write and fail all the same, as when no replica confirms.
    unreplicated: AtomicBool,
}

impl Failing {
    fn new() -> Arc<Failing> {
        Arc::new(Failing {
            inner: store(),
            down: AtomicBool::new(false),
            unreplicated: AtomicBool::new(false),
        })
    }
}

/// Reliability rule 2: what failed may have happened; asking again with the same id tells, and does it once.
#[tokio::test(start_paused = true)]
async fn a_dial_that_was_written_but_not_confirmed_is_found_by_its_request_id() {
    let (world, store) = (World::new(&["edge-0"]), Failing::new());
    let replica = replica(store.clone(), &world, Config::default());
    let request = || cc::DialRequest { request_id: "once".into(), ..dial_request("alice", "bob") };
    store.unreplicated.store(true, Ordering::Relaxed);
    let status = replica.dial(request()).await.expect_err("not confirmed");
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "STORE_UNAVAILABLE"));
    let status = replica.dial(request()).await.expect_err("found, and still not confirmed");
    assert_eq!(status.code(), Code::Unavailable);
    store.unreplicated.store(false, Ordering::Relaxed);

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
        let failure = if unreplicated { &store.unreplicated } else { &store.down };
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
impl Store for Failing {
    async fn get(&self, key: &Key) -> Result<Option<Versioned>, StoreError> {
        self.inner.get(key).await
    }

    async fn commit(&self, batch: Batch) -> Result<CommitOutcome, StoreError> {
        if self.down.load(Ordering::Relaxed) {
            return Err(StoreError::unavailable("played"));
        }
        let outcome = self.inner.commit(batch).await?;
        if self.unreplicated.load(Ordering::Relaxed) {
            return Err(StoreError::Unreplicated { confirmed: 0, wanted: 1 });
        }
        Ok(outcome)
    }

    async fn index(
        &self,
        partition: &Partition,
        index: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<IndexPage, StoreError> {
        self.inner.index(partition, index, after, limit).await
    }

    async fn due_claim(
        &self,
        partition: &Partition,
        queue: &str,
        lease: Duration,
        limit: usize,
    ) -> Result<Vec<Due>, StoreError> {
        self.inner.due_claim(partition, queue, lease, limit).await
    }

    async fn due_next(&self, partition: &Partition, queue: &str) -> Result<Option<SystemTime>, StoreError> {
        self.inner.due_next(partition, queue).await
    }

    async fn log_read(
        &self,
        partition: &Partition,
        log: &str,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Vec<LogEntry>, StoreError> {
        self.inner.log_read(partition, log, after, limit).await
    }

    async fn log_tail(&self, partition: &Partition, log: &str) -> Result<Cursor, StoreError> {
        self.inner.log_tail(partition, log).await
    }

    fn watch_log(&self, partition: &Partition, log: &str) -> Wakeups {
        self.inner.watch_log(partition, log)
    }

    fn watch(&self, partition: &Partition) -> Wakeups {
        self.inner.watch(partition)
    }

    fn now(&self) -> SystemTime {
        self.inner.now()
    }

    fn is_ready(&self) -> bool {
        !self.down.load(Ordering::Relaxed)
    }
}
