//! A store that takes its time: between any two steps of a service, others get theirs, and a process may die there. It may be
//! away for a while, and then nobody knows whether what was under way has happened.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use store::{Batch, CommitOutcome, Cursor, Expect, MemoryStore, Op, Store as _, StoreError};
use test_support::{Hook, HookedStore, Read};
use tokio::time::sleep;

use crate::chance::Chance;
use crate::sabotage::{Sabotage, Saboteur};
use crate::trouble::Trouble;

/// The longest time to a store and back, in milliseconds.
const SLOWEST: u64 = 6;

/// What the URI of each contact begins with.
const CONTACT: &[u8] = b"sip:";

/// The store of the cluster as one process reaches it.
pub type DistantStore = HookedStore<Distance>;

/// A way to this store.
pub fn distant(
    memory: Arc<MemoryStore>,
    chance: Chance,
    trouble: Trouble,
    saboteur: Arc<Saboteur>,
) -> DistantStore {
    let distance = Distance { chance: Mutex::new(chance), trouble, saboteur, before: Mutex::default() };
    HookedStore::new(memory, distance)
}

/// What is between a process and its store.
pub struct Distance {
    chance: Mutex<Chance>,
    trouble: Trouble,
    saboteur: Arc<Saboteur>,
    /// The last value of each record that was written this way, for mistakes.
    before: Mutex<HashMap<String, Bytes>>,
}

impl Distance {
    /// Half of the way. The process may be stopped there.
    async fn travel(&self) {
        let time = self.chance.lock().below(SLOWEST / 2 + 1);
        if time > 0 {
            sleep(Duration::from_millis(time)).await;
        }
        self.trouble.thawed().await;
    }

    async fn carry_out(&self, memory: &MemoryStore, mut batch: Batch) -> Result<CommitOutcome, StoreError> {
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
        let outcome = memory.commit(batch.clone()).await;
        if !of_calls && outcome.is_ok() {
            self.revive(memory, &batch).await;
        }
        outcome
    }

    /// Whether a record of somebody's bindings gets one more. Longer it may get by what is remembered of those that went, too.
    fn grows(&self, batch: &Batch) -> bool {
        let before = self.before.lock();
        batch.ops.iter().any(|op| match op {
            Op::Put { name, value, .. } if name.starts_with("aor/") => {
                before.get(name).is_some_and(|before| contacts(before) < contacts(value))
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
                Op::DueAdd { id, .. } if id.starts_with("b/") => {
                    self.saboteur.does(Sabotage::ForgetsCallbacks, 100)
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
    async fn revive(&self, memory: &MemoryStore, batch: &Batch) {
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
                let _ = memory.commit(again).await;
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
impl Hook for Distance {
    async fn before(&self, read: Read) -> Result<(), StoreError> {
        if read == Read::Record {
            self.travel().await;
        }
        self.trouble.thawed().await;
        if self.trouble.has_no_store() { Err(StoreError::unavailable("the store is away")) } else { Ok(()) }
    }

    async fn after(&self, read: Read) {
        // Only what decides about a change is waited for. An empty answer is by far the most frequent one, and changes nothing.
        if matches!(read, Read::Record | Read::DueClaim) {
            self.travel().await;
        }
    }

    async fn commit(&self, memory: &MemoryStore, batch: Batch) -> Result<CommitOutcome, StoreError> {
        self.travel().await;
        if self.trouble.has_no_store() {
            if self.trouble.still_arrives() {
                let _ = self.carry_out(memory, batch).await;
            }
            self.travel().await;
            return Err(StoreError::Timeout { after_ms: SLOWEST });
        }
        let outcome = self.carry_out(memory, batch).await;
        // Who dies here does not know that it was done.
        self.travel().await;
        outcome
    }

    fn is_ready(&self) -> bool {
        !self.trouble.has_no_store()
    }
}

fn contacts(record: &[u8]) -> usize {
    record.windows(CONTACT.len()).filter(|octets| *octets == CONTACT).count()
}
