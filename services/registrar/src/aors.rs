//! The repository of addresses of record: one record each, changed by compare-and-swap.
//!
//! A record is kept with its version, so that a change costs one commit and no read. Whatever is decided without a write, and
//! from memory, is decided again from a fresh read: memory alone never refuses anybody. It is kept as it is stored: decoding
//! takes a microsecond, the decoded form ten times the memory. Over an embedded store nothing is kept.
//!
//! Changes of one address of record wait for each other in arrival order (RFC 3261 10.3). That queue is the only lock of
//! this service that is held across an await.

use std::{
    collections::HashMap,
    hash::BuildHasher as _,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use cluster_api::registrar::v1::binding_event::Type;
use hashbrown::DefaultHashBuilder;
use prost::Message as _;
use store::{Batch, Expect, Key, Op, Partition, Partitions, Store, StoreError};
use tokio::time::Instant;

use crate::meters::Meters;
use crate::record::{AorRecord, BindingChange, BindingRecord};

/// Number of partitions; part of the stored layout.
const PARTITIONS: u16 = 16;
/// How long a change tries against other replicas. One that has many changes of the same record in its queue commits each
/// without reading, and so wins every race until the queue is empty; to outlast it takes time, not a number of attempts.
const PATIENCE: Duration = Duration::from_secs(1);
const SHARDS: usize = 64;
/// Queues where nothing is cached: few enough to stay in the processor's caches. A queue is held for as long as the store takes, which
/// answers at once.
const QUEUES: usize = 64;

/// The queue of expiring bindings in each partition.
pub(crate) const EXPIRY_QUEUE: &str = "expiry";
/// The log of changed bindings in each partition.
pub(crate) const CHANGE_LOG: &str = "bindings";
/// The index of addresses of record that have bindings, in each partition.
pub(crate) const BOUND_INDEX: &str = "bound";
/// The index of accounts in each partition.
pub(crate) const ACCOUNT_INDEX: &str = "accounts";

/// All addresses of record.
pub(crate) struct Aors {
    store: Arc<dyn Store>,
    partitions: Partitions,
    forget_after: Duration,
    slots: Slots,
    hasher: DefaultHashBuilder,
    meters: Arc<Meters>,
}

/// Where the queues of the addresses of record are.
enum Slots {
    /// One each, with what is cached of it.
    Each { shards: Vec<parking_lot::Mutex<HashMap<Box<str>, Arc<Slot>>>>, per_shard: usize },
    /// Several share one, and nothing is cached: for a store that answers at once.
    Shared(Vec<Slot>),
}

/// A queue, which is the mutex, and what is cached behind it.
#[derive(Default)]
struct Slot {
    cached: tokio::sync::Mutex<Option<Cached>>,
}

/// A queue that is waited in.
enum Queue<'a> {
    Own(Arc<Slot>),
    Shared(&'a Slot),
}

impl std::ops::Deref for Queue<'_> {
    type Target = Slot;

    fn deref(&self) -> &Slot {
        match self {
            Self::Own(slot) => slot,
            Self::Shared(slot) => slot,
        }
    }
}

struct Cached {
    /// 0 when there is no record.
    version: u64,
    /// The record as it is stored.
    value: Bytes,
}

/// What a change works on.
pub(crate) struct Draft<'a> {
    pub aor: &'a str,
    /// The record, empty when there is none. May be changed only by who commits.
    pub record: &'a mut AorRecord,
    /// Whether there is a record.
    pub exists: bool,
    /// Store time in milliseconds since 1970.
    pub now_ms: u64,
    /// Further operations in the same partition.
    pub ops: Vec<Op>,
    /// The user is unknown from now on, without the grace that a user without account has after the last binding.
    pub is_forgotten: bool,
}

/// What a change decided.
pub(crate) enum Change<T> {
    /// Nothing is written.
    Keep(T),
    /// The draft is committed, and then this holds.
    Commit(T),
}

/// Why a change did not happen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ChangeError {
    /// Others were faster too often.
    #[error("others changed the record faster for {PATIENCE:?}")]
    Contended,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Aors {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        cached: usize,
        forget_after: Duration,
        meters: Arc<Meters>,
    ) -> Self {
        Self {
            partitions: Partitions::new("aor", PARTITIONS),
            forget_after,
            slots: match cached {
                cached if cached == 0 || store.is_embedded() => {
                    Slots::Shared((0..QUEUES).map(|_| Slot::default()).collect())
                }
                cached => Slots::Each {
                    shards: (0..SHARDS).map(|_| parking_lot::Mutex::default()).collect(),
                    per_shard: (cached / SHARDS).max(16),
                },
            },
            hasher: DefaultHashBuilder::default(),
            meters,
            store,
        }
    }

    pub(crate) fn store(&self) -> &dyn Store {
        &*self.store
    }

    pub(crate) fn partitions(&self) -> &[Partition] {
        self.partitions.all()
    }

    pub(crate) fn partition_of(&self, aor: &str) -> &Partition {
        self.partitions.of(aor)
    }

    /// Store time in milliseconds since 1970.
    pub(crate) fn now_ms(&self) -> u64 {
        millis(self.store.now())
    }

    /// Reads a record afresh and looks at it; an absent one is empty.
    pub(crate) async fn read<T>(
        &self,
        aor: &str,
        look: impl FnOnce(&AorRecord) -> T,
    ) -> Result<T, StoreError> {
        let Some(found) = self.store.get(&self.partition_of(aor).key(name_of(aor))).await? else {
            return Ok(look(&AorRecord::new()));
        };
        Ok(look(&AorRecord::read(&*found.value)?))
    }

    /// Changes a record. `decide` may be called several times, each time with the newest record known; a change that is
    /// not committed must leave the record as it was.
    pub(crate) async fn change<T>(
        &self,
        aor: &str,
        mut decide: impl FnMut(&mut Draft<'_>) -> Change<T>,
    ) -> Result<T, ChangeError> {
        let slot = self.slot(aor);
        // Who waits comes before who tries: the order of arrival stands.
        let mut cached = match slot.cached.try_lock() {
            Ok(cached) => cached,
            Err(_) => slot.cached.lock().await,
        };
        let key = self.partition_of(aor).key(name_of(aor));
        let mut deadline = None;
        loop {
            let is_fresh = cached.is_none();
            // taken out, so that a change that ends midway leaves nothing behind
            let known = match cached.take() {
                Some(known) => known,
                None => self.load(&key).await?,
            };
            let version = known.version;
            let mut record = match version {
                0 => AorRecord::new(),
                _ => AorRecord::read(&*known.value)?,
            };
            let now_ms = self.now_ms();
            let mut draft = Draft {
                aor,
                record: &mut record,
                exists: version != 0,
                now_ms,
                ops: Vec::new(),
                is_forgotten: false,
            };
            match decide(&mut draft) {
                Change::Keep(reply) if is_fresh => {
                    self.keep(&mut cached, known);
                    return Ok(reply);
                }
                Change::Keep(_) => {}
                Change::Commit(reply) => {
                    let Draft { ops, is_forgotten, .. } = draft;
                    self.plan_forgetting(&mut record, is_forgotten, now_ms);
                    match self.write(aor, &key, version, &mut record, ops, now_ms).await {
                        Ok(written) => {
                            self.keep(&mut cached, written);
                            return Ok(reply);
                        }
                        Err(StoreError::Conflict) => self.meters.conflicts.inc(),
                        Err(error) => return Err(error.into()),
                    }
                }
            }
            let now = Instant::now();
            if now >= *deadline.get_or_insert(now + PATIENCE) {
                return Err(ChangeError::Contended);
            }
        }
    }

    async fn load(&self, key: &Key) -> Result<Cached, StoreError> {
        Ok(match self.store.get(key).await? {
            Some(found) => Cached { version: found.version, value: found.value },
            None => Cached { version: 0, value: Bytes::new() },
        })
    }

    fn keep(&self, cached: &mut Option<Cached>, known: Cached) {
        *cached = match self.slots {
            Slots::Each { .. } => Some(known),
            Slots::Shared(_) => None,
        };
    }

    /// Commits a record; returns what is stored now.
    async fn write(
        &self,
        aor: &str,
        key: &Key,
        version: u64,
        record: &mut AorRecord,
        ops: Vec<Op>,
        now_ms: u64,
    ) -> Result<Cached, StoreError> {
        let expect = if version == 0 { Expect::Absent } else { Expect::Version(version) };
        let mut batch = Batch::new(&key.partition);
        Self::plan_expiry(aor, record, now_ms, &mut batch);
        Self::plan_listing(aor, record, &mut batch);
        let is_empty = record.is_empty();
        let mut value = Bytes::new();
        if is_empty {
            batch.delete(key.name.clone(), expect);
        } else {
            let ttl = self.time_to_live(record, now_ms);
            let encoded = Bytes::from(record.encode_to_vec());
            if let Slots::Each { .. } = self.slots {
                value = encoded.clone();
            }
            batch.push(Op::Put { name: key.name.clone(), value: encoded, expect, ttl });
        }
        batch.ops.extend(ops);
        let outcome = self.store.commit(batch).await?;
        Ok(Cached { version: if is_empty { 0 } else { outcome.version }, value })
    }

    /// Lists the record among those with bindings, or takes it off that list, when that changes.
    fn plan_listing(aor: &str, record: &mut AorRecord, batch: &mut Batch) {
        let is_bound = !record.bindings.is_empty();
        if is_bound && !record.is_listed {
            batch.index_add(BOUND_INDEX, aor, Bytes::new());
        } else if !is_bound && record.is_listed {
            batch.index_remove(BOUND_INDEX, aor);
        }
        record.is_listed = is_bound;
    }

    /// Keeps one due entry per record, never later than the first expiry. It may be earlier: a refresh leaves it alone,
    /// and who claims it then moves it on.
    fn plan_expiry(aor: &str, record: &mut AorRecord, now_ms: u64, batch: &mut Batch) {
        let needed = record.first_expiry_ms();
        let is_early_enough = |at| record.due_ms > now_ms && record.due_ms <= at;
        match needed {
            Some(at) if !is_early_enough(at) => {
                record.due_ms = at;
                batch.due_add(EXPIRY_QUEUE, aor, time(at), Bytes::new());
            }
            None if record.due_ms != 0 => {
                record.due_ms = 0;
                batch.due_remove(EXPIRY_QUEUE, aor);
            }
            Some(_) | None => {}
        }
    }

    /// A user without account stays known for a while after the last binding.
    fn plan_forgetting(&self, record: &mut AorRecord, is_forgotten: bool, now_ms: u64) {
        let is_bare = record.account.is_none() && record.bindings.is_empty();
        let forget_after = u64::try_from(self.forget_after.as_millis()).unwrap_or(u64::MAX);
        record.forget_ms = match record.forget_ms {
            _ if !is_bare || is_forgotten => 0,
            0 => now_ms.saturating_add(forget_after),
            at if at <= now_ms => 0,
            at => at,
        };
    }

    /// A record without account goes by itself some time after its last binding, even if nobody claims the expiry.
    fn time_to_live(&self, record: &AorRecord, now_ms: u64) -> Option<Duration> {
        if record.account.is_some() {
            return None;
        }
        let last = record.bindings.iter().map(|binding| binding.expires_ms).max();
        match last {
            Some(crate::record::NEVER_MS) => None,
            Some(at) => Some(Duration::from_millis(at.saturating_sub(now_ms)) + self.forget_after),
            None => Some(Duration::from_millis(record.forget_ms.saturating_sub(now_ms).max(1))),
        }
    }

    fn slot(&self, aor: &str) -> Queue<'_> {
        let hash = usize::try_from(self.hasher.hash_one(aor) >> 32).expect("32 bits fit");
        let (shards, per_shard) = match &self.slots {
            Slots::Shared(queues) => return Queue::Shared(&queues[hash % queues.len()]),
            Slots::Each { shards, per_shard } => (shards, *per_shard),
        };
        let mut slots = shards[hash % shards.len()].lock();
        if let Some(slot) = slots.get(aor) {
            return Queue::Own(slot.clone());
        }
        if slots.len() >= per_shard {
            let mut excess = slots.len() / 4;
            // one with a second owner is in use: its queue must not be split in two
            slots.retain(|_, slot| {
                let is_kept = excess == 0 || Arc::strong_count(slot) > 1;
                excess -= usize::from(!is_kept);
                self.meters.cached.sub(i64::from(!is_kept));
                is_kept
            });
        }
        self.meters.cached.inc();
        Queue::Own(slots.entry(aor.into()).or_default().clone())
    }
}

/// A changed binding for those who watch.
pub(crate) fn note(aor: &str, kind: Type, binding: &BindingRecord) -> Op {
    // Nobody who watches can read the token of the flow, nor may push the phone.
    let shown = BindingRecord { flow: String::new(), push: None, ..binding.clone() };
    let change = BindingChange { aor: aor.to_owned(), kind: kind.into(), binding: Some(shown) };
    Op::LogAppend { log: CHANGE_LOG.to_owned(), entry: change.encode_to_vec().into(), count: 1 }
}

/// Says in the log that an account was deleted, bound or not.
pub(crate) fn note_deleted(aor: &str) -> Op {
    let change = BindingChange { aor: aor.to_owned(), kind: Type::Deactivated.into(), binding: None };
    Op::LogAppend { log: CHANGE_LOG.to_owned(), entry: change.encode_to_vec().into(), count: 1 }
}

/// Name of the record of an address of record.
pub(crate) fn name_of(aor: &str) -> String {
    // Without room to spare: it is kept as it is.
    ["aor/", aor].concat()
}

pub(crate) fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

pub(crate) fn time(millis: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(millis)
}
