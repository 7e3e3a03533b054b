//! What a commit does: a list of operations on one partition, all or nothing.

use std::time::{Duration, SystemTime};

use bytes::Bytes;

use crate::{Cursor, Partition, StoreError};

/// Operations that take effect together or not at all.
///
/// Every expectation is checked against the state before the batch; then the operations are applied in order.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Where everything in it lives.
    pub partition: Partition,
    /// The operations, in order.
    pub ops: Vec<Op>,
}

/// One operation of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Writes a record.
    Put {
        /// Name of the record.
        name: String,
        /// Its new value.
        value: Bytes,
        /// What must be there before.
        expect: Expect,
        /// When the store removes it by itself; `None`: never. A Put replaces an earlier expiry.
        ttl: Option<Duration>,
    },
    /// Removes a record; removing an absent one is no error.
    Delete {
        /// Name of the record.
        name: String,
        /// What must be there before.
        expect: Expect,
    },
    /// Changes nothing, but the batch fails unless the expectation holds.
    Check {
        /// Name of the record.
        name: String,
        /// What must be there.
        expect: Expect,
    },
    /// Adds a member to an index or replaces its value.
    IndexAdd {
        /// Name of the index.
        index: String,
        /// The member; members are listed in octet order.
        member: String,
        /// What the listing shows beside the member; may be empty.
        value: Bytes,
    },
    /// Removes a member of an index.
    IndexRemove {
        /// Name of the index.
        index: String,
        /// The member.
        member: String,
    },
    /// Adds a due entry, or moves and rewrites the one with the same id (which ends any claim on it).
    DueAdd {
        /// Name of the queue.
        queue: String,
        /// Id of the entry in the queue.
        id: String,
        /// From when on it may be claimed, in store time.
        at: SystemTime,
        /// What the claimer needs to know.
        payload: Bytes,
    },
    /// Removes a due entry.
    DueRemove {
        /// Name of the queue.
        queue: String,
        /// Id of the entry.
        id: String,
        /// With the token of a claim, the batch fails with a conflict unless that claim still holds
        /// (nobody claimed the entry again, rewrote or removed it).
        token: Option<u64>,
    },
    /// Appends to an event log.
    LogAppend {
        /// Name of the log.
        log: String,
        /// The entry.
        entry: Bytes,
        /// How many things it tells of: it takes as many numbers of the log. At least 1.
        count: u16,
    },
}

/// What must be true of a record before a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Anything.
    Any,
    /// It does not exist (or has expired).
    Absent,
    /// It exists with exactly this version.
    Version(u64),
}

/// What a commit did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitOutcome {
    /// The version that every record put by the batch now has. Larger than any version the partition had before;
    /// a version never comes back, not even after a delete.
    pub version: u64,
    /// The cursors behind the appended log entries, in the order of the batch.
    pub cursors: Vec<Cursor>,
}

impl Batch {
    /// An empty batch.
    pub fn new(partition: &Partition) -> Batch {
        Batch { partition: partition.clone(), ops: Vec::with_capacity(4) }
    }

    /// Adds a [`Op::Put`] without expiry.
    pub fn put(&mut self, name: impl Into<String>, value: impl Into<Bytes>, expect: Expect) -> &mut Batch {
        self.push(Op::Put { name: name.into(), value: value.into(), expect, ttl: None })
    }

    /// Adds a [`Op::Put`] that expires.
    pub fn put_for(
        &mut self,
        name: impl Into<String>,
        value: impl Into<Bytes>,
        expect: Expect,
        ttl: Duration,
    ) -> &mut Batch {
        self.push(Op::Put { name: name.into(), value: value.into(), expect, ttl: Some(ttl) })
    }

    /// Adds a [`Op::Delete`].
    pub fn delete(&mut self, name: impl Into<String>, expect: Expect) -> &mut Batch {
        self.push(Op::Delete { name: name.into(), expect })
    }

    /// Adds a [`Op::Check`].
    pub fn check(&mut self, name: impl Into<String>, expect: Expect) -> &mut Batch {
        self.push(Op::Check { name: name.into(), expect })
    }

    /// Adds a [`Op::IndexAdd`].
    pub fn index_add(
        &mut self,
        index: impl Into<String>,
        member: impl Into<String>,
        value: impl Into<Bytes>,
    ) -> &mut Batch {
        self.push(Op::IndexAdd { index: index.into(), member: member.into(), value: value.into() })
    }

    /// Adds a [`Op::IndexRemove`].
    pub fn index_remove(&mut self, index: impl Into<String>, member: impl Into<String>) -> &mut Batch {
        self.push(Op::IndexRemove { index: index.into(), member: member.into() })
    }

    /// Adds a [`Op::DueAdd`].
    pub fn due_add(
        &mut self,
        queue: impl Into<String>,
        id: impl Into<String>,
        at: SystemTime,
        payload: impl Into<Bytes>,
    ) -> &mut Batch {
        self.push(Op::DueAdd { queue: queue.into(), id: id.into(), at, payload: payload.into() })
    }

    /// Adds a [`Op::DueRemove`] that ignores claims.
    pub fn due_remove(&mut self, queue: impl Into<String>, id: impl Into<String>) -> &mut Batch {
        self.push(Op::DueRemove { queue: queue.into(), id: id.into(), token: None })
    }

    /// Adds a [`Op::DueRemove`] that needs the claim to hold.
    pub fn due_done(&mut self, queue: impl Into<String>, due: &crate::Due) -> &mut Batch {
        self.push(Op::DueRemove { queue: queue.into(), id: due.id.clone(), token: Some(due.token) })
    }

    /// Adds a [`Op::LogAppend`] that tells of one thing.
    pub fn log_append(&mut self, log: impl Into<String>, entry: impl Into<Bytes>) -> &mut Batch {
        self.log_append_many(log, entry, 1)
    }

    /// Adds a [`Op::LogAppend`] that tells of several things: a reader may stop and begin between any two of them.
    pub fn log_append_many(
        &mut self,
        log: impl Into<String>,
        entry: impl Into<Bytes>,
        count: u16,
    ) -> &mut Batch {
        self.push(Op::LogAppend { log: log.into(), entry: entry.into(), count })
    }

    /// Adds an operation.
    pub fn push(&mut self, op: Op) -> &mut Batch {
        self.ops.push(op);
        self
    }
}

/// Operations in one batch at most: one batch is one uninterrupted piece of work for the server.
const MAX_OPS: usize = 256;
/// Octets of one value or payload at most.
const MAX_VALUE: usize = 1 << 20;
/// Octets of one name at most.
const MAX_NAME: usize = 2048;

/// Refuses what would stall the store for everybody.
pub(crate) fn check_limits(batch: &Batch) -> Result<(), StoreError> {
    let invalid = |reason| Err(StoreError::Invalid { reason });
    if batch.ops.len() > MAX_OPS {
        return invalid("more than 256 operations in a batch");
    }
    for op in &batch.ops {
        let (names, value): ([&str; 2], &[u8]) = match op {
            Op::Put { name, value, .. } => ([name, name], value),
            Op::Delete { name, .. } | Op::Check { name, .. } => ([name, name], &[]),
            Op::IndexAdd { index, member, value } => ([index, member], value),
            Op::IndexRemove { index, member } => ([index, member], &[]),
            Op::DueAdd { queue, id, payload, .. } => ([queue, id], payload),
            Op::DueRemove { queue, id, .. } => ([queue, id], &[]),
            Op::LogAppend { count: 0, .. } => return invalid("an entry of a log that tells of nothing"),
            Op::LogAppend { log, entry, .. } => ([log, log], entry),
        };
        if names.iter().any(|name| name.is_empty() || name.len() > MAX_NAME) {
            return invalid("a name is empty or longer than 2048 octets");
        }
        if value.len() > MAX_VALUE {
            return invalid("a value is larger than 1 MiB");
        }
    }
    Ok(())
}

/// Records that are read at once at most.
const MAX_NAMES: usize = 1000;

/// Refuses to read so much at once that others wait.
pub(crate) fn check_names(names: &[String]) -> Result<(), StoreError> {
    if names.len() > MAX_NAMES {
        return Err(StoreError::Invalid { reason: "more than 1000 records at once" });
    }
    Ok(())
}
