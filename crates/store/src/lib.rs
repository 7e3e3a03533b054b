//! One small versioned store interface with a memory and a Redis engine.
//!
//! Here: records with versions and expiry, compare-and-swap, indexes, due work under leases, event logs with
//! cursors and change notification; everything inside one [`Partition`] commits atomically. Start with [`Store`] and
//! [`Batch`]; the engines are [`MemoryStore`] and [`RedisStore`], and one conformance suite (`tests/it`) runs on both.
//!
//! Deliberately absent: transactions across partitions, scans over all keys, key patterns, and any knowledge of
//! what is stored. Repositories belong to the services that own the data.

mod batch;
mod claiming;
mod due;
mod error;
mod key;
mod log;
mod memory;
mod redis;
mod wakeups;

use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;

pub use crate::batch::{Batch, CommitOutcome, Expect, Op};
pub use crate::claiming::claim_all_due;
pub use crate::due::Due;
pub use crate::error::StoreError;
pub use crate::key::{Key, Partition, Partitions};
pub use crate::log::{BadCursor, Cursor, LogEntry, LogLimits};
pub use crate::memory::MemoryStore;
pub use crate::redis::{BadRedisUrl, RedisCounters, RedisOptions, RedisStore};
pub use crate::wakeups::Wakeups;

/// A record and the version it was read with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versioned {
    /// Changes with every write and never comes back; write with [`Expect::Version`].
    pub version: u64,
    /// The value.
    pub value: Bytes,
}

/// Part of an index.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct IndexPage {
    /// Members with their values, in octet order of the member.
    pub entries: Vec<(String, Bytes)>,
    /// Pass as `after` to go on; `None` at the end of the index.
    pub next: Option<String>,
}

/// The store.
///
/// Times are the store's own ([`Store::now`]), so that processes with different clocks agree.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Reads a record; `None` when it is absent or has expired.
    async fn get(&self, key: &Key) -> Result<Option<Versioned>, StoreError>;

    /// Reads several records of one partition at once, at most 1000: the answers are in the order of the names.
    async fn get_many(
        &self,
        partition: &Partition,
        names: &[String],
    ) -> Result<Vec<Option<Versioned>>, StoreError>;

    /// Applies a batch, all or nothing. `Ok` means: as durable as this store was configured to make it.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when an expectation did not hold. After [`StoreError::Timeout`],
    /// [`StoreError::Unreplicated`] and [`StoreError::Unavailable`] it may have happened all the same: the caller reads again
    /// before it decides.
    async fn commit(&self, batch: Batch) -> Result<CommitOutcome, StoreError>;

    /// Lists at most `limit` members of an index that come after `after` (`None`: from the start).
    async fn index(
        &self,
        partition: &Partition,
        index: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<IndexPage, StoreError>;

    /// Claims at most `limit` entries whose time has come, oldest first. Nobody else gets them for the `lease`;
    /// after that they are due again unless a commit removed or moved them.
    async fn due_claim(
        &self,
        partition: &Partition,
        queue: &str,
        lease: Duration,
        limit: usize,
    ) -> Result<Vec<Due>, StoreError>;

    /// When the next entry of the queue can be claimed; in the past when one can be claimed now.
    async fn due_next(&self, partition: &Partition, queue: &str) -> Result<Option<SystemTime>, StoreError>;

    /// Reads at most `limit` entries after a cursor; `None` begins at the oldest entry there is.
    ///
    /// # Errors
    /// [`StoreError::Trimmed`] when entries between the cursor and the oldest kept one are gone.
    async fn log_read(
        &self,
        partition: &Partition,
        log: &str,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Vec<LogEntry>, StoreError>;

    /// The cursor after the newest entry; [`Cursor::ZERO`] for a log that never had one.
    async fn log_tail(&self, partition: &Partition, log: &str) -> Result<Cursor, StoreError>;

    /// Wakes when the log may have grown.
    fn watch_log(&self, partition: &Partition, log: &str) -> Wakeups;

    /// Wakes when a record of the partition may have changed or one of its logs may have grown.
    fn watch(&self, partition: &Partition) -> Wakeups;

    /// The time of day as the store sees it.
    fn now(&self) -> SystemTime;

    /// Whether the store answers now.
    fn is_ready(&self) -> bool;

    /// Whether the records lie in the memory of this process, so that a copy of them would save nothing.
    fn is_embedded(&self) -> bool {
        false
    }
}
