//! What commits while a stream begins, a feed that lags behind its newest stream, and a log that loses entries under it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use call_control::Config;
use cluster_api::callcontrol::v1 as cc;
use cluster_api::callcontrol::v1::call::State;
use cluster_api::callcontrol::v1::call_event::Type;
use store::{Batch, CommitOutcome, MemoryStore, Store as _, StoreError};
use test_support::{Hook, HookedStore, Read};
use tokio::sync::Notify;
use tonic::Code;

use crate::edges::World;
use crate::rig::{Replica, Watch, dial_request, reason, replica, store, story};

/// Reads of a log can be stopped, and can find that entries are gone.
#[derive(Default)]
struct Log {
    /// How many reads are still to be stopped, each before and after.
    stops: AtomicUsize,
    reached: Notify,
    go_on: Notify,
    trimmed: AtomicBool,
}

impl Log {
    async fn stop(&self) {
        let left = |stops: usize| stops.checked_sub(1);
        if self.stops.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left).is_ok() {
            self.reached.notify_one();
            self.go_on.notified().await;
        }
    }
}

/// Two replicas over one store of one partition: one that watches, and one whose reads nobody stops.
struct Rig {
    log: Arc<HookedStore<Log>>,
    watcher: Replica,
    other: Replica,
}

impl Rig {
    fn start() -> Rig {
        let (world, memory) = (World::new(&["edge-0"]), store());
        let config = || Config { partitions: 1, ..Config::default() };
        let log = Arc::new(HookedStore::new(Arc::clone(&memory), Log::default()));
        let watcher = replica(log.clone(), &world, config());
        let other = replica(memory, &world, config());
        Rig { log, watcher, other }
    }

    async fn watch(&self) -> Watch {
        self.watcher.watch(cc::WatchCallsRequest::default()).await.expect("open")
    }

    async fn ringing(&self) -> String {
        let call = self.other.dial(dial_request("ring", "bob")).await.expect("committed");
        self.other.wait_for(&call.call_id, State::Ringing).await;
        call.call_id
    }

    async fn end(&self, call_id: &str) {
        self.other.hangup("", call_id).await.expect("hung up");
        self.other.wait_for(call_id, State::Ended).await;
    }
}

/// Reliability 3.6: whatever is committed before, between and after the looks at the end of the log and at the calls, nothing is lost,
/// and nothing older follows what was shown.
#[tokio::test(start_paused = true)]
async fn what_commits_while_a_stream_begins_is_neither_lost_nor_told_again() {
    let rig = Rig::start();
    let first = rig.ringing().await;
    rig.log.hook.stops.store(2, Ordering::Relaxed);
    let mut watch = rig.watch().await;
    rig.log.hook.reached.notified().await;
    let second = rig.ringing().await;
    rig.log.hook.go_on.notify_one();
    rig.log.hook.reached.notified().await;
    let third = rig.ringing().await;
    rig.end(&first).await;
    rig.log.hook.go_on.notify_one();

    let mut seen: HashMap<String, Vec<cc::CallEvent>> = HashMap::new();
    let mut snapshots = 0;
    while snapshots < 2 {
        let event = watch.event().await;
        snapshots += usize::from(event.r#type() == Type::Snapshot);
        seen.entry(event.call_id.clone()).or_default().push(event);
    }
    rig.end(&second).await;
    rig.end(&third).await;
    let mut ends = 0;
    while ends < 3 {
        let event = watch.event().await;
        ends += usize::from(event.r#type() == Type::Ended);
        seen.entry(event.call_id.clone()).or_default().push(event);
    }
    assert_eq!(story(&seen[&first]), ["a LEG_ENDED", "ENDED"], "it was over before the calls were looked at");
    for call_id in [&second, &third] {
        assert_eq!(story(&seen[call_id]), ["SNAPSHOT", "a LEG_ENDED", "ENDED"]);
        let shown = seen[call_id][0].call.as_ref().map(|call| call.state());
        assert_eq!(shown, Some(State::Ringing));
    }
}

/// Reliability 3.6: a stream that begins while the feed of its log lags behind gets nothing from before its beginning.
#[tokio::test(start_paused = true)]
async fn a_feed_that_lags_tells_its_newest_stream_nothing_old() {
    let rig = Rig::start();
    let mut early = rig.watch().await;
    assert_eq!(early.event().await.r#type(), Type::Snapshot);
    rig.log.hook.stops.store(1, Ordering::Relaxed);
    let over = rig.ringing().await;
    rig.log.hook.reached.notified().await;
    rig.end(&over).await;
    let mut late = rig.watch().await;
    assert_eq!(late.event().await.call, None, "no call is alive");
    rig.log.hook.go_on.notify_one();
    let fresh = rig.ringing().await;
    rig.end(&fresh).await;

    let whole = ["CREATED", "a LEG_DIALING", "a LEG_RINGING", "a LEG_ENDED", "ENDED"];
    for (watch, calls) in [(&mut early, vec![&over, &fresh]), (&mut late, vec![&fresh])] {
        for call_id in calls {
            let mut events = Vec::new();
            for _ in whole {
                events.push(watch.event().await);
            }
            assert_eq!(story(&events), whole);
            assert!(events.iter().all(|event| event.call_id == *call_id), "{events:#?}");
        }
    }
}

/// Reliability 3.6: a stream whose log lost entries that it has not seen says so; its client begins anew.
#[tokio::test(start_paused = true)]
async fn a_stream_whose_log_lost_entries_says_so() {
    let rig = Rig::start();
    let mut watch = rig.watch().await;
    assert_eq!(watch.event().await.r#type(), Type::Snapshot);
    rig.log.hook.trimmed.store(true, Ordering::Relaxed);
    let call_id = rig.ringing().await;
    let status = watch.next().await.expect("no quiet end").expect_err("entries are gone");
    assert_eq!((status.code(), reason(&status).as_str()), (Code::OutOfRange, "CURSOR_TOO_OLD"));
    assert!(watch.next().await.is_none(), "nothing follows");

    rig.log.hook.trimmed.store(false, Ordering::Relaxed);
    let mut anew = rig.watch().await;
    assert_eq!(anew.event().await.call_id, call_id);
    rig.end(&call_id).await;
    assert_eq!(story(&[anew.event().await, anew.event().await]), ["a LEG_ENDED", "ENDED"]);
}

#[async_trait]
impl Hook for Log {
    async fn before(&self, read: Read) -> Result<(), StoreError> {
        if read == Read::Log {
            if self.trimmed.load(Ordering::Relaxed) {
                return Err(StoreError::Trimmed { oldest: None });
            }
            self.stop().await;
        }
        Ok(())
    }

    async fn after(&self, read: Read) {
        if read == Read::Log {
            self.stop().await;
        }
    }

    async fn commit(&self, memory: &MemoryStore, batch: Batch) -> Result<CommitOutcome, StoreError> {
        memory.commit(batch).await
    }
}
