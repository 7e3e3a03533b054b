//! An embedded store with something in its way: a test says what its users meet, and how much they are told.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use store::{
    Batch, CommitOutcome, Cursor, Due, IndexPage, Key, LogEntry, MemoryStore, Partition, Store, StoreError,
    Versioned, Wakeups,
};

/// A way to read, for those who treat them differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// A record.
    Record,
    /// A page of an index.
    Index,
    /// Due work, which is claimed by reading it.
    DueClaim,
    /// The time of the next due work.
    DueNext,
    /// Entries of a log, or its end.
    Log,
}

/// What is in the way.
#[async_trait]
pub trait Hook: Send + Sync + 'static {
    /// Happens before a read; an error is what the caller gets instead.
    async fn before(&self, _read: Read) -> Result<(), StoreError> {
        Ok(())
    }

    /// Happens after a read that found something, or failed.
    async fn after(&self, _read: Read) {}

    /// Carries a commit out, or not.
    async fn commit(&self, memory: &MemoryStore, batch: Batch) -> Result<CommitOutcome, StoreError>;

    /// Whether the store says that it can be used.
    fn is_ready(&self) -> bool {
        true
    }
}

/// The store with a hook. It does not pass for an embedded one, so its users keep copies as they would of Redis.
pub struct HookedStore<H> {
    /// The store itself.
    pub memory: Arc<MemoryStore>,
    /// What is in its way.
    pub hook: H,
}

impl<H: Hook> HookedStore<H> {
    /// Puts a hook before a store.
    pub fn new(memory: Arc<MemoryStore>, hook: H) -> Self {
        Self { memory, hook }
    }

    async fn read<T>(
        &self,
        kind: Read,
        read: impl Future<Output = Result<T, StoreError>> + Send,
        is_nothing: impl FnOnce(&T) -> bool + Send,
    ) -> Result<T, StoreError> {
        self.hook.before(kind).await?;
        let found = read.await;
        if !found.as_ref().is_ok_and(is_nothing) {
            self.hook.after(kind).await;
        }
        found
    }
}

#[async_trait]
impl<H: Hook> Store for HookedStore<H> {
    async fn get(&self, key: &Key) -> Result<Option<Versioned>, StoreError> {
        // That there is none is as much of an answer as a record.
        self.read(Read::Record, self.memory.get(key), |_| false).await
    }

    async fn get_many(
        &self,
        partition: &Partition,
        names: &[String],
    ) -> Result<Vec<Option<Versioned>>, StoreError> {
        self.read(Read::Record, self.memory.get_many(partition, names), |_| false).await
    }

    async fn commit(&self, batch: Batch) -> Result<CommitOutcome, StoreError> {
        self.hook.commit(&self.memory, batch).await
    }

    async fn index(
        &self,
        partition: &Partition,
        index: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<IndexPage, StoreError> {
        let page = self.memory.index(partition, index, after, limit);
        self.read(Read::Index, page, |page| page.entries.is_empty()).await
    }

    async fn due_claim(
        &self,
        partition: &Partition,
        queue: &str,
        lease: Duration,
        limit: usize,
    ) -> Result<Vec<Due>, StoreError> {
        let claimed = self.memory.due_claim(partition, queue, lease, limit);
        self.read(Read::DueClaim, claimed, Vec::is_empty).await
    }

    async fn due_next(&self, partition: &Partition, queue: &str) -> Result<Option<SystemTime>, StoreError> {
        self.read(Read::DueNext, self.memory.due_next(partition, queue), Option::is_none).await
    }

    async fn log_read(
        &self,
        partition: &Partition,
        log: &str,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Vec<LogEntry>, StoreError> {
        self.read(Read::Log, self.memory.log_read(partition, log, after, limit), Vec::is_empty).await
    }

    async fn log_tail(&self, partition: &Partition, log: &str) -> Result<Cursor, StoreError> {
        self.read(Read::Log, self.memory.log_tail(partition, log), |_| false).await
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
        self.hook.is_ready()
    }
}
