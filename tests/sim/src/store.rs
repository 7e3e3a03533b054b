//! A store that takes its time: between any two steps of a service, others get theirs, and a process may die there. It may be
//! away for a while, and then nobody knows whether what was under way has happened.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use store::{
    Batch, CommitOutcome, Cursor, Due, Expect, IndexPage, Key, LogEntry, MemoryStore, Op, Partition, Store,
    StoreError, Versioned, Wakeups,
};
use tokio::time::sleep;

use crate::chance::Chance;
use crate::sabotage::{Sabotage, Saboteur};
use crate::trouble::Trouble;

/// The longest time to a store and back, in milliseconds.
const SLOWEST: u64 = 6;

/// What a binding takes at least, in octets.
const CONTACT: usize = 80;

/// The store of the cluster as one process reaches it.
pub struct DistantStore {
    memory: Arc<MemoryStore>,
    chance: Mutex<Chance>,
    trouble: Trouble,
    saboteur: Arc<Saboteur>,
    /// The last value of each record that was written this way, for mistakes.
    before: Mutex<HashMap<String, Bytes>>,
}

impl DistantStore {
    /// A way to this store.
    pub fn new(memory: Arc<MemoryStore>, chance: Chance, trouble: Trouble, saboteur: Arc<Saboteur>) -> Self {
        Self { memory, chance: Mutex::new(chance), trouble, saboteur, before: Mutex::default() }
    }

    /// Half of the way. The process may be stopped there.
    async fn travel(&self) {
        let time = self.chance.lock().below(SLOWEST / 2 + 1);
        if time > 0 {
            sleep(Duration::from_millis(time)).await;
        }
        self.trouble.thawed().await;
    }

    /// What a read has to pass.
    async fn reach(&self) -> Result<(), StoreError> {
        self.trouble.thawed().await;
        if self.trouble.has_no_store() { Err(StoreError::unavailable("the store is away")) } else { Ok(()) }
    }

    async fn carry_out(&self, mut batch: Batch) -> Result<CommitOutcome, StoreError> {
        let forged = || Ok(CommitOutcome { version: u64::MAX, cursors: vec![Cursor::ZERO; batch.ops.len()] });
        let of_calls = batch.partition.as_str().contains("calls");
        let touches =
            |prefix: &str| batch.ops.iter().any(|op| put_of(op).is_some_and(|name| name.starts_with(prefix)));
        if of_calls && touches("c/") && self.saboteur.does(Sabotage::ForgetsSteps, 5)
            || !of_calls && self.grows(&batch) && self.saboteur.does(Sabotage::ForgetsBindings, 30)
        {
            return forged();
        }
        self.spoil(&mut batch);
        let outcome = self.memory.commit(batch.clone()).await;
        if !of_calls && outcome.is_ok() {
            self.revive(&batch).await;
        }
        outcome
    }

    /// Whether a record of somebody's bindings gets longer by one.
    fn grows(&self, batch: &Batch) -> bool {
        let before = self.before.lock();
        batch.ops.iter().any(|op| match op {
            Op::Put { name, value, .. } if name.starts_with("aor/") => {
                before.get(name).is_some_and(|before| before.len() + CONTACT <= value.len())
            }
            _ => false,
        })
    }

    /// Mistakes inside of a batch.
    fn spoil(&self, batch: &mut Batch) {
        let mut spoilt = Vec::with_capacity(batch.ops.len());
        for mut op in batch.ops.drain(..) {
            if let Op::Put { name, ttl: Some(ttl), .. } = &mut op
                && name.starts_with("c/")
                && self.saboteur.does(Sabotage::ForgetsTheEnded, 30)
            {
                *ttl = Duration::from_secs(1);
            }
            let loses = match &op {
                Op::Put { name, .. } if name.starts_with("r/") => {
                    self.saboteur.does(Sabotage::ForgetsRequests, 100)
                }
                Op::DueRemove { id, .. } if id.starts_with("x/") => {
                    self.saboteur.does(Sabotage::KeepsDueWork, 100)
                }
                Op::LogAppend { .. } => self.saboteur.does(Sabotage::LosesEvents, 5),
                _ => false,
            };
            let repeats =
                matches!(op, Op::LogAppend { .. }) && self.saboteur.does(Sabotage::RepeatsEvents, 10);
            spoilt.extend(repeats.then(|| op.clone()));
            spoilt.extend((!loses).then_some(op));
        }
        batch.ops = spoilt;
    }

    /// Writes what was there before a record shrank or went.
    async fn revive(&self, batch: &Batch) {
        for op in &batch.ops {
            let (name, size) = match op {
                Op::Put { name, value, .. } => (name, value.len()),
                Op::Delete { name, .. } => (name, 0),
                _ => continue,
            };
            let old = self.before.lock().get(name).cloned();
            if let Some(old) = old.filter(|old| old.len() > size)
                && self.saboteur.does(Sabotage::RevivesBindings, 50)
            {
                let mut again = Batch::new(&batch.partition);
                again.put(name.clone(), old, Expect::Any);
                // A conflict is as good as a failure here.
                let _ = self.memory.commit(again).await;
            } else if let Op::Put { value, .. } = op {
                self.before.lock().insert(name.clone(), value.clone());
            }
        }
    }
}

fn put_of(op: &Op) -> Option<&str> {
    match op {
        Op::Put { name, .. } => Some(name),
        _ => None,
    }
}

#[async_trait]
impl Store for DistantStore {
    async fn get(&self, key: &Key) -> Result<Option<Versioned>, StoreError> {
        self.travel().await;
        self.reach().await?;
        let found = self.memory.get(key).await;
        self.travel().await;
        found
    }

    async fn commit(&self, batch: Batch) -> Result<CommitOutcome, StoreError> {
        self.travel().await;
        if self.trouble.has_no_store() {
            if self.trouble.still_arrives() {
                let _ = self.carry_out(batch).await;
            }
            self.travel().await;
            return Err(StoreError::Timeout { after_ms: SLOWEST });
        }
        let outcome = self.carry_out(batch).await;
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
        self.reach().await?;
        self.memory.index(partition, index, after, limit).await
    }

    async fn due_claim(
        &self,
        partition: &Partition,
        queue: &str,
        lease: Duration,
        limit: usize,
    ) -> Result<Vec<Due>, StoreError> {
        self.reach().await?;
        let claimed = self.memory.due_claim(partition, queue, lease, limit).await;
        // An empty answer is not waited for: it is by far the most frequent one, and changes nothing.
        if claimed.as_ref().is_ok_and(|claimed| !claimed.is_empty()) {
            self.travel().await;
        }
        claimed
    }

    async fn due_next(&self, partition: &Partition, queue: &str) -> Result<Option<SystemTime>, StoreError> {
        self.reach().await?;
        self.memory.due_next(partition, queue).await
    }

    async fn log_read(
        &self,
        partition: &Partition,
        log: &str,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Vec<LogEntry>, StoreError> {
        self.reach().await?;
        self.memory.log_read(partition, log, after, limit).await
    }

    async fn log_tail(&self, partition: &Partition, log: &str) -> Result<Cursor, StoreError> {
        self.reach().await?;
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
        !self.trouble.has_no_store()
    }
}
