//! The memory engine: the store of the all-in-one process and of tests.
//!
//! One mutex per partition, held for the few hundred nanoseconds of one operation and never across an await.

mod index;
mod log;
mod named;
mod partition;
mod queue;
mod records;
mod time;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use hashbrown::HashMap;
use parking_lot::{Mutex, RwLock};

use self::partition::PartitionState;
use crate::{
    Batch, CommitOutcome, Cursor, Due, IndexPage, Key, LogEntry, LogLimits, Partition, Store, StoreError,
    Versioned, Wakeups,
};

/// The store in the memory of this process. Nothing survives the process.
pub struct MemoryStore {
    clock: Box<dyn Fn() -> SystemTime + Send + Sync>,
    log_limits: LogLimits,
    partitions: RwLock<HashMap<Partition, Arc<Mutex<PartitionState>>>>,
}

impl MemoryStore {
    /// An empty store whose time is what `clock` says.
    pub fn new(clock: impl Fn() -> SystemTime + Send + Sync + 'static) -> MemoryStore {
        MemoryStore::with_log_limits(clock, LogLimits::default())
    }

    /// As [`MemoryStore::new`], with other bounds on logs.
    pub fn with_log_limits(
        clock: impl Fn() -> SystemTime + Send + Sync + 'static,
        log_limits: LogLimits,
    ) -> MemoryStore {
        MemoryStore { clock: Box::new(clock), log_limits, partitions: RwLock::default() }
    }

    /// Records that have not expired, over all partitions: what a leak test compares before and after.
    pub fn record_count(&self) -> usize {
        let now = self.now();
        self.partitions.read().values().map(|partition| partition.lock().live_records(now)).sum()
    }

    fn with<T>(&self, partition: &Partition, act: impl FnOnce(&mut PartitionState, SystemTime) -> T) -> T {
        let now = self.now();
        if let Some(state) = self.partitions.read().get(partition) {
            return act(&mut state.lock(), now);
        }
        let state = Arc::clone(self.partitions.write().entry(partition.clone()).or_default());
        let mut state = state.lock();
        act(&mut state, now)
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn get(&self, key: &Key) -> Result<Option<Versioned>, StoreError> {
        Ok(self.with(&key.partition, |state, now| state.get(&key.name, now)))
    }

    async fn get_many(
        &self,
        partition: &Partition,
        names: &[String],
    ) -> Result<Vec<Option<Versioned>>, StoreError> {
        crate::batch::check_names(names)?;
        Ok(self.with(partition, |state, now| names.iter().map(|name| state.get(name, now)).collect()))
    }

    async fn commit(&self, batch: Batch) -> Result<CommitOutcome, StoreError> {
        crate::batch::check_limits(&batch)?;
        let Batch { partition, ops } = batch;
        self.with(&partition, |state, now| state.commit(ops, now, &self.log_limits))
    }

    async fn index(
        &self,
        partition: &Partition,
        index: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<IndexPage, StoreError> {
        Ok(self.with(partition, |state, _| state.index(index, after, limit)))
    }

    async fn due_claim(
        &self,
        partition: &Partition,
        queue: &str,
        lease: Duration,
        limit: usize,
    ) -> Result<Vec<Due>, StoreError> {
        Ok(self.with(partition, |state, now| state.claim(queue, now, lease, limit)))
    }

    async fn due_next(&self, partition: &Partition, queue: &str) -> Result<Option<SystemTime>, StoreError> {
        Ok(self.with(partition, |state, _| state.next_due(queue)))
    }

    async fn log_read(
        &self,
        partition: &Partition,
        log: &str,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Vec<LogEntry>, StoreError> {
        self.with(partition, |state, now| state.log_read(log, after, limit, now, &self.log_limits))
    }

    async fn log_tail(&self, partition: &Partition, log: &str) -> Result<Cursor, StoreError> {
        Ok(self.with(partition, |state, _| state.log_tail(log)))
    }

    fn watch_log(&self, partition: &Partition, log: &str) -> Wakeups {
        self.with(partition, |state, _| state.watch_log(log))
    }

    fn watch(&self, partition: &Partition) -> Wakeups {
        self.with(partition, |state, _| state.watch())
    }

    fn now(&self) -> SystemTime {
        (self.clock)()
    }

    fn is_ready(&self) -> bool {
        true
    }

    fn is_embedded(&self) -> bool {
        true
    }
}
