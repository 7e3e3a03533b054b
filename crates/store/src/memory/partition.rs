//! The state of one partition and what a batch does to it.

use std::time::{Duration, SystemTime};

use hashbrown::HashMap;

use super::index::Index;
use super::log::Log;
use super::queue::Queue;
use super::records::Records;
use crate::wakeups::{Changes, Watched};
use crate::{CommitOutcome, Cursor, Due, IndexPage, LogEntry, LogLimits, Op, StoreError, Versioned, Wakeups};

#[derive(Default)]
pub(super) struct PartitionState {
    /// The last version or claim token given out.
    last_version: u64,
    records: Records,
    indexes: HashMap<String, Index>,
    queues: HashMap<String, Queue>,
    logs: HashMap<String, Log>,
    watched: Watched,
    changes: Changes,
}

impl PartitionState {
    pub(super) fn get(&self, name: &str, now: SystemTime) -> Option<Versioned> {
        self.records.get(name, now)
    }

    pub(super) fn live_records(&self, now: SystemTime) -> usize {
        self.records.count(now)
    }

    pub(super) fn commit(
        &mut self,
        ops: Vec<Op>,
        now: SystemTime,
        limits: &LogLimits,
    ) -> Result<CommitOutcome, StoreError> {
        if !ops.iter().all(|op| self.holds(op, now)) {
            return Err(StoreError::Conflict);
        }
        self.records.reap(now);
        self.last_version += 1;
        let version = self.last_version;
        let mut cursors = Vec::new();
        let mut changed = false;
        for op in ops {
            changed |= matches!(op, Op::Put { .. } | Op::Delete { .. } | Op::LogAppend { .. });
            self.apply(op, version, now, limits, &mut cursors);
        }
        // Who comes later begins with what is there then.
        if changed {
            self.changes.announce();
        }
        Ok(CommitOutcome { version, cursors })
    }

    fn holds(&self, op: &Op, now: SystemTime) -> bool {
        match op {
            Op::Put { name, expect, .. } | Op::Delete { name, expect } | Op::Check { name, expect } => {
                self.records.holds(name, *expect, now)
            }
            Op::DueRemove { queue, id, token: Some(token) } => {
                self.queues.get(queue).and_then(|queue| queue.claim_of(id)) == Some(*token)
            }
            Op::DueRemove { token: None, .. }
            | Op::IndexAdd { .. }
            | Op::IndexRemove { .. }
            | Op::DueAdd { .. }
            | Op::LogAppend { .. } => true,
        }
    }

    fn apply(
        &mut self,
        op: Op,
        version: u64,
        now: SystemTime,
        limits: &LogLimits,
        cursors: &mut Vec<Cursor>,
    ) {
        match op {
            Op::Put { name, value, ttl, .. } => {
                self.records.put(name, value, ttl.map(|ttl| now + ttl), version);
            }
            Op::Delete { name, .. } => self.records.remove(&name),
            Op::Check { .. } => {}
            Op::IndexAdd { index, member, value } => {
                self.indexes.entry(index).or_default().add(&member, &value);
            }
            Op::IndexRemove { index, member } => {
                if let Some(members) = self.indexes.get_mut(&index) {
                    members.remove(&member);
                    if members.is_empty() {
                        self.indexes.remove(&index);
                    }
                }
            }
            Op::DueAdd { queue, id, at, payload } => {
                self.queues.entry(queue).or_default().add(id, at, payload);
            }
            Op::DueRemove { queue, id, .. } => {
                if let Some(queue) = self.queues.get_mut(&queue) {
                    queue.remove(&id);
                }
            }
            Op::LogAppend { log, entry, count } => {
                self.watched.announce(&log);
                cursors.push(self.logs.entry(log).or_default().append(entry, count, now, limits));
            }
        }
    }

    pub(super) fn index(&self, index: &str, after: Option<&str>, limit: usize) -> IndexPage {
        self.indexes.get(index).map_or_else(IndexPage::default, |index| index.page(after, limit))
    }

    pub(super) fn claim(&mut self, queue: &str, now: SystemTime, lease: Duration, limit: usize) -> Vec<Due> {
        self.records.reap(now);
        let Some(queue) = self.queues.get_mut(queue) else { return Vec::new() };
        queue.claim(now, lease, limit, &mut self.last_version)
    }

    pub(super) fn next_due(&self, queue: &str) -> Option<SystemTime> {
        self.queues.get(queue)?.next()
    }

    pub(super) fn log_read(
        &mut self,
        log: &str,
        after: Option<Cursor>,
        limit: usize,
        now: SystemTime,
        limits: &LogLimits,
    ) -> Result<Vec<LogEntry>, StoreError> {
        match self.logs.get_mut(log) {
            Some(log) => log.read(after, limit, now, limits),
            None if after.is_some_and(|after| after.number > 0) => Err(StoreError::Trimmed { oldest: None }),
            None => Ok(Vec::new()),
        }
    }

    pub(super) fn log_tail(&self, log: &str) -> Cursor {
        self.logs.get(log).map_or(Cursor::ZERO, Log::tail)
    }

    pub(super) fn watch_log(&mut self, log: &str) -> Wakeups {
        self.watched.watch(log)
    }

    pub(super) fn watch(&self) -> Wakeups {
        self.changes.watch()
    }
}
