//! What reports of proxied calls cost the store: commits and reads grow with the partitions, not with the calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use call_control::{Config, EVENTS, Repository, read_events};
use cluster_api::callcontrol::v1 as cc;
use cluster_api::callcontrol::v1::call::State;
use cluster_api::callcontrol::v1::proxied_call_event::Type;
use cluster_api::callcontrol::v1::proxied_calls_server::ProxiedCalls as _;
use store::{Batch, CommitOutcome, Expect, MemoryStore, Store as _, StoreError};
use test_support::{Hook, HookedStore, Read};
use tonic::{Request, Status};

use super::event;
use crate::edges::World;
use crate::rig::{Replica, replica, store, story};

/// Calls of one report.
const CALLS: usize = 160;
/// Partitions of the store, by default.
const PARTITIONS: usize = 16;

/// Counts what crosses the way to the store.
#[derive(Default)]
struct Counted {
    commits: AtomicUsize,
    operations: AtomicUsize,
    records: AtomicUsize,
}

impl Counted {
    /// Commits, operations in them, and reads of records since the last look.
    fn take(&self) -> (usize, usize, usize) {
        let take = |count: &AtomicUsize| count.swap(0, Ordering::Relaxed);
        (take(&self.commits), take(&self.operations), take(&self.records))
    }
}

#[async_trait]
impl Hook for Counted {
    async fn before(&self, read: Read) -> Result<(), StoreError> {
        self.records.fetch_add(usize::from(read == Read::Record), Ordering::Relaxed);
        Ok(())
    }

    async fn commit(&self, memory: &MemoryStore, batch: Batch) -> Result<CommitOutcome, StoreError> {
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.operations.fetch_add(batch.ops.len(), Ordering::Relaxed);
        memory.commit(batch).await
    }
}

struct Rig {
    replica: Replica,
    store: Arc<HookedStore<Counted>>,
    repository: Repository,
}

fn rig() -> Rig {
    rig_with(Config::default())
}

fn rig_with(config: Config) -> Rig {
    let world = World::new(&["edge-0"]);
    let memory = store();
    let repository = Repository::new(memory.clone(), &config);
    assert_eq!(repository.partitions().len(), PARTITIONS);
    let store = Arc::new(HookedStore::new(memory, Counted::default()));
    Rig { replica: replica(store.clone(), &world, config), store, repository }
}

impl Rig {
    async fn report(&self, edge_id: &str, events: &[cc::ProxiedCallEvent]) -> Result<(), Status> {
        let events = events.to_vec();
        let request = cc::ReportRequest { edge_id: edge_id.into(), edge_epoch: 1, events };
        self.replica.service.proxied_calls.report(Request::new(request)).await.map(drop)
    }

    /// Ended calls that are listed.
    async fn ended(&self) -> usize {
        let mut count = 0;
        for partition in self.repository.partitions() {
            count += self.repository.list(partition, true, None, 1000).await.expect("an index").0.len();
        }
        count
    }

    /// Entries of all event logs, and what they tell of.
    async fn logged(&self) -> (usize, Vec<cc::CallEvent>) {
        let (mut count, mut events) = (0, Vec::new());
        for partition in self.repository.partitions() {
            let entries = self.store.memory.log_read(partition, EVENTS, None, 10_000).await.expect("a log");
            count += entries.len();
            for entry in entries {
                events.extend(read_events(entry).expect("events").into_iter().map(|(_, event)| event));
            }
        }
        (count, events)
    }
}

fn names() -> impl Iterator<Item = String> {
    (0..CALLS).map(|n| format!("px-{n}"))
}

fn told(call_id: &str, kinds: &[(u64, Type)]) -> Vec<cc::ProxiedCallEvent> {
    kinds.iter().map(|&(number, kind)| event(number, call_id, kind)).collect()
}

/// The same for every call, as an edge tells it: what happens to different calls comes mixed.
fn told_of_all(kinds: &[(u64, Type)]) -> Vec<cc::ProxiedCallEvent> {
    kinds.iter().flat_map(|kind| names().flat_map(|call_id| told(&call_id, &[*kind]))).collect()
}

const WHOLE: [(u64, Type); 4] =
    [(1, Type::Started), (2, Type::Ringing), (3, Type::Answered), (4, Type::Ended)];

#[tokio::test(start_paused = true)]
async fn calls_that_begin_and_end_in_one_report_cost_a_commit_a_partition_and_no_read() {
    let rig = rig();
    rig.store.hook.take();
    rig.report("edge-0", &told_of_all(&WHOLE)).await.expect("committed");
    let (commits, operations, reads) = rig.store.hook.take();
    assert!(commits <= PARTITIONS, "{commits} commits for {CALLS} calls");
    assert_eq!(reads, 0, "what begins is new");
    let (entries, events) = rig.logged().await;
    let expected = 2 * CALLS + commits + entries;
    assert_eq!(
        operations, expected,
        "of each call record and index; of all when they are forgotten, and their events"
    );
    assert_eq!(events.len(), 8 * CALLS);
    assert!(entries < CALLS / 2, "{entries} entries: calls share them");

    rig.report("edge-0", &told_of_all(&WHOLE)).await.expect("it is known");
    let (commits, _, reads) = rig.store.hook.take();
    assert!(commits <= PARTITIONS && reads <= PARTITIONS, "{commits} commits, {reads} reads");
    assert_eq!(rig.logged().await.1, events, "a report that comes again changes nothing");
}

#[tokio::test(start_paused = true)]
async fn calls_that_ended_together_are_forgotten_together() {
    let retention = Duration::from_secs(60);
    let rig = rig_with(Config { ended_retention: retention, ..Config::default() });
    rig.report("edge-0", &told_of_all(&WHOLE)).await.expect("committed");
    assert_eq!(rig.ended().await, CALLS);
    rig.store.hook.take();
    tokio::time::sleep(retention + Duration::from_secs(1)).await;
    assert_eq!(rig.ended().await, 0);
    let (commits, _, _) = rig.store.hook.take();
    assert!(commits <= PARTITIONS, "{commits} commits");
    for partition in rig.repository.partitions() {
        let next = rig.store.memory.due_next(partition, "due").await.expect("a queue");
        assert_eq!(next, None, "nothing is left to do");
    }
}

#[tokio::test(start_paused = true)]
async fn calls_that_go_on_cost_a_read_and_a_commit_a_partition() {
    let rig = rig();
    for kind in WHOLE {
        rig.store.hook.take();
        rig.report("edge-0", &told_of_all(&[kind])).await.expect("committed");
        let (commits, _, reads) = rig.store.hook.take();
        assert!(commits <= PARTITIONS && reads <= PARTITIONS, "{kind:?}: {commits} commits, {reads} reads");
    }
    let (_, events) = rig.logged().await;
    for call_id in names() {
        let of_call: Vec<_> = events.iter().filter(|event| event.call_id == call_id).cloned().collect();
        let expected = [
            "CREATED",
            "b LEG_DIALING",
            "b LEG_RINGING",
            "b LEG_ANSWERED",
            "CONNECTED",
            "a LEG_ENDED",
            "b LEG_ENDED",
            "ENDED",
        ];
        assert_eq!(story(&of_call), expected);
        let state = of_call[2].call.as_ref().map(cc::Call::state);
        assert_eq!(state, Some(State::Ringing), "an event has the state of its time");
    }
}

/// What one edge knows already, and what cannot be read, is in the way of no other call of the report.
#[tokio::test(start_paused = true)]
async fn a_call_that_is_known_or_unreadable_holds_up_no_other() {
    let rig = rig();
    rig.report("edge-1", &told("px-0", &[(1, Type::Refreshed)])).await.expect("committed");
    let mut damage = Batch::new(rig.repository.partition("px-1"));
    damage.put("c/px-1", &b"\xff"[..], Expect::Absent);
    rig.store.memory.commit(damage).await.expect("damaged");
    rig.report("edge-0", &told_of_all(&WHOLE)).await.expect_err("one is not committed");
    rig.report("edge-0", &told_of_all(&WHOLE)).await.expect_err("nor is it later");
    let (_, events) = rig.logged().await;
    let ends = |call_id: &str| {
        let is_end = |event: &&cc::CallEvent| event.r#type() == cc::call_event::Type::Ended;
        events.iter().filter(|event| event.call_id == call_id).filter(is_end).count()
    };
    for call_id in names() {
        assert_eq!(ends(&call_id), usize::from(call_id != "px-1"), "{call_id}");
    }
}

/// A stream goes on from any event, also from one in the middle of what was committed together.
#[tokio::test(start_paused = true)]
async fn a_watch_goes_on_between_events_of_one_commit() {
    let rig = rig();
    rig.report("edge-0", &told("px-0", &WHOLE)).await.expect("committed");
    let watch = |after: &str| cc::WatchCallsRequest {
        call_id: Some("px-0".into()),
        after_cursor: Some(after.into()),
        ..cc::WatchCallsRequest::default()
    };
    let whole = rig.replica.watch(watch("")).await.expect("open").rest().await;
    assert_eq!(whole.len(), 8);
    for n in 0..whole.len() {
        let rest = rig.replica.watch(watch(&whole[n].cursor)).await.expect("open").rest().await;
        assert_eq!(rest, whole[n + 1..], "after event {n}");
    }
}

/// The same for a watch of all calls, whose reader of the log begins there too.
#[tokio::test(start_paused = true)]
async fn a_watch_of_all_calls_goes_on_between_events_of_one_commit() {
    let rig = rig();
    let mut watch = rig.replica.watch(cc::WatchCallsRequest::default()).await.expect("open");
    watch.event().await;
    rig.report("edge-0", &told("px-0", &WHOLE)).await.expect("committed");
    let mut whole = Vec::new();
    for _ in 0..8 {
        whole.push(watch.event().await);
    }
    drop(watch);
    for n in 0..whole.len() {
        let after_cursor = Some(whole[n].cursor.clone());
        let request = cc::WatchCallsRequest { after_cursor, ..cc::WatchCallsRequest::default() };
        let mut watch = rig.replica.watch(request).await.expect("open");
        let mut rest = Vec::new();
        while n + 1 + rest.len() < whole.len() {
            // Those of other partitions come in between.
            rest.extend(Some(watch.event().await).filter(|event| event.call_id == "px-0"));
        }
        assert_eq!(story(&rest), story(&whole[n + 1..]), "after event {n}");
        let later = format!("px-later-{n}");
        rig.report("edge-0", &told(&later, &[(1, Type::Started)])).await.expect("committed");
        loop {
            let event = watch.event().await;
            assert_ne!(event.call_id, "px-0", "after event {n}");
            if event.call_id == later {
                break;
            }
        }
    }
}
