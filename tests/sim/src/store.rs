//! A store that takes its time: between any two steps of a service, others get theirs, and a process may die there.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use parking_lot::Mutex;
use store::{
    Batch, CommitOutcome, Cursor, Due, IndexPage, Key, LogEntry, MemoryStore, Partition, Store, StoreError,
    Versioned, Wakeups,
};
use tokio::time::sleep;

use crate::chance::Chance;

/// The longest time to a store and back, in milliseconds.
const SLOWEST: u64 = 6;

/// The store of the cluster as one process reaches it.
pub struct DistantStore {
    memory: Arc<MemoryStore>,
    chance: Mutex<Chance>,
}

impl DistantStore {
    /// A way to this store.
    pub fn new(memory: Arc<MemoryStore>, chance: Chance) -> Self {
        Self { memory, chance: Mutex::new(chance) }
    }

    /// Half of the way.
    async fn travel(&self) {
        let time = self.chance.lock().below(SLOWEST / 2 + 1);
        if time > 0 {
            sleep(Duration::from_millis(time)).await;
        }
    }
}

#[async_trait]
impl Store for DistantStore {
    async fn get(&self, key: &Key) -> Result<Option<Versioned>, StoreError> {
        self.travel().await;
        let found = self.memory.get(key).await;
        self.travel().await;
        found
    }

    async fn commit(&self, batch: Batch) -> Result<CommitOutcome, StoreError> {
        self.travel().await;
        let outcome = self.memory.commit(batch).await;
        // Who dies here does not know that it was done.
        self.travel().await;
        outcome
    }

    async fn index(
        &self,
        partition: &Partition,
        index: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<IndexPage, StoreError> {
        self.memory.index(partition, index, after, limit).await
    }

    async fn due_claim(
        &self,
        partition: &Partition,
        queue: &str,
        lease: Duration,
        limit: usize,
    ) -> Result<Vec<Due>, StoreError> {
        let claimed = self.memory.due_claim(partition, queue, lease, limit).await;
        // An empty answer is not waited for: it is by far the most frequent one, and changes nothing.
        if claimed.as_ref().is_ok_and(|claimed| !claimed.is_empty()) {
            self.travel().await;
        }
        claimed
    }

    async fn due_next(&self, partition: &Partition, queue: &str) -> Result<Option<SystemTime>, StoreError> {
        self.memory.due_next(partition, queue).await
    }

    async fn log_read(
        &self,
        partition: &Partition,
        log: &str,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Vec<LogEntry>, StoreError> {
        self.memory.log_read(partition, log, after, limit).await
    }

    async fn log_tail(&self, partition: &Partition, log: &str) -> Result<Cursor, StoreError> {
        self.memory.log_tail(partition, log).await
    }

    fn watch_log(&self, partition: &Partition, log: &str) -> Wakeups {
        self.memory.watch_log(partition, log)
    }

    fn watch(&self, partition: &Partition) -> Wakeups {
        self.memory.watch(partition)
    }

    fn now(&self) -> SystemTime {
        self.memory.now()
    }

    fn is_ready(&self) -> bool {
        true
    }
}
