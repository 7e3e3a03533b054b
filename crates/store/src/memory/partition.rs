//! The state of one partition and what a batch does to it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::sync::watch;

use super::log::Log;
use super::queue::Queue;
use crate::{
    CommitOutcome, Cursor, Due, Expect, IndexPage, LogEntry, LogLimits, Op, StoreError, Versioned, Wakeups,
};

/// How many expired records one commit removes at most: keeps up with any rate, costs no commit much.
const REAP: usize = 4;

#[derive(Default)]
pub(super) struct PartitionState {
    /// The last version or claim token given out.
    last_version: u64,
    records: HashMap<String, Record>,
    expiries: BTreeSet<(SystemTime, String)>,
    indexes: HashMap<String, BTreeMap<String, Bytes>>,
    queues: HashMap<String, Queue>,
    logs: HashMap<String, Log>,
    changes: watch::Sender<u64>,
}

struct Record {
    version: u64,
    value: Bytes,
    expires: Option<SystemTime>,
}

impl Record {
    fn lives(&self, now: SystemTime) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }
}

impl PartitionState {
    pub(super) fn get(&self, name: &str, now: SystemTime) -> Option<Versioned> {
        let record = self.records.get(name).filter(|record| record.lives(now))?;
        Some(Versioned { version: record.version, value: record.value.clone() })
    }

    pub(super) fn live_records(&self, now: SystemTime) -> usize {
        self.records.values().filter(|record| record.lives(now)).count()
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
        self.reap(now);
        self.last_version += 1;
        let version = self.last_version;
        let mut cursors = Vec::new();
        let mut changed = false;
        for op in ops {
            changed |= matches!(op, Op::Put { .. } | Op::Delete { .. } | Op::LogAppend { .. });
            self.apply(op, version, now, limits, &mut cursors);
        }
        if changed {
            self.changes.send_modify(|count| *count = count.wrapping_add(1));
        }
        Ok(CommitOutcome { version, cursors })
    }

    fn holds(&self, op: &Op, now: SystemTime) -> bool {
        match op {
            Op::Put { name, expect, .. } | Op::Delete { name, expect } | Op::Check { name, expect } => {
                match expect {
                    Expect::Any => true,
                    Expect::Absent => !self.records.get(name).is_some_and(|record| record.lives(now)),
                    Expect::Version(version) => self
                        .records
                        .get(name)
                        .is_some_and(|record| record.version == *version && record.lives(now)),
                }
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
            Op::Put { name, value, ttl, .. } => self.put(name, value, ttl.map(|ttl| now + ttl), version),
            Op::Delete { name, .. } => self.remove(&name),
            Op::Check { .. } => {}
            Op::IndexAdd { index, member, value } => {
                self.indexes.entry(index).or_default().insert(member, value);
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
            Op::LogAppend { log, entry } => {
                cursors.push(self.logs.entry(log).or_default().append(entry, now, limits));
            }
        }
    }

    fn put(&mut self, name: String, value: Bytes, expires: Option<SystemTime>, version: u64) {
        if let Some(expires) = expires {
            self.expiries.insert((expires, name.clone()));
        }
        match self.records.get_mut(&name) {
            Some(record) => {
                let old = record.expires;
                *record = Record { version, value, expires };
                if let Some(old) = old.filter(|old| Some(*old) != expires) {
                    self.expiries.remove(&(old, name));
                }
            }
            None => {
                self.records.insert(name, Record { version, value, expires });
            }
        }
    }

    fn remove(&mut self, name: &str) {
        if let Some((name, Record { expires: Some(expires), .. })) = self.records.remove_entry(name) {
            self.expiries.remove(&(expires, name));
        }
    }

    fn reap(&mut self, now: SystemTime) {
        for _ in 0..REAP {
            match self.expiries.first() {
                Some((expires, _)) if *expires <= now => {}
                _ => return,
            }
            if let Some((_, name)) = self.expiries.pop_first() {
                self.records.remove(&name);
            }
        }
    }

    pub(super) fn index(&self, index: &str, after: Option<&str>, limit: usize) -> IndexPage {
        let Some(members) = self.indexes.get(index) else { return IndexPage::default() };
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rest = members.range::<str, _>((from, Bound::Unbounded));
        let entries: Vec<_> =
            rest.by_ref().take(limit).map(|(member, value)| (member.clone(), value.clone())).collect();
        let next = rest.next().and_then(|_| entries.last().map(|(member, _)| member.clone()));
        IndexPage { entries, next }
    }

    pub(super) fn claim(&mut self, queue: &str, now: SystemTime, lease: Duration, limit: usize) -> Vec<Due> {
        self.reap(now);
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
        self.logs.entry(log.to_owned()).or_default().watch()
    }

    pub(super) fn watch(&self) -> Wakeups {
        Wakeups::new(self.changes.subscribe())
    }
}
