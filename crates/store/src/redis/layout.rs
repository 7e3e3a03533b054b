//! Keys in Redis: `carillon:{partition}:…`, the braces being the hash tag that keeps a partition in one slot.

use std::time::{Duration, UNIX_EPOCH};

use super::script::{Arg, COMMIT, Invocation};
use crate::{Batch, Expect, LogLimits, Op, Partition};

/// Versions and log numbers.
pub(super) fn meta(partition: &Partition) -> String {
    format!("carillon:{{{partition}}}:m")
}

/// Channel on which changes are announced.
pub(super) fn channel(partition: &Partition) -> String {
    format!("carillon:{{{partition}}}:changed")
}

/// A record: a string.
pub(super) fn record(partition: &Partition, name: &str) -> String {
    format!("carillon:{{{partition}}}:r:{name}")
}

/// An index: a sorted set of members, and a hash of their values.
pub(super) fn index(partition: &Partition, index: &str) -> [String; 2] {
    [format!("carillon:{{{partition}}}:i:{index}"), format!("carillon:{{{partition}}}:iv:{index}")]
}

/// A due queue: a sorted set by time in milliseconds, and a hash of claims and payloads.
pub(super) fn queue(partition: &Partition, queue: &str) -> [String; 2] {
    [format!("carillon:{{{partition}}}:d:{queue}"), format!("carillon:{{{partition}}}:dv:{queue}")]
}

/// A log: a stream.
pub(super) fn log(partition: &Partition, log: &str) -> String {
    format!("carillon:{{{partition}}}:l:{log}")
}

/// The commit script's form of a batch.
pub(super) fn commit(batch: Batch, limits: &LogLimits) -> Invocation {
    let Batch { partition, ops } = batch;
    let mut keys = Vec::with_capacity(1 + 2 * ops.len());
    let mut args = Vec::with_capacity(3 + 4 * ops.len());
    keys.push(meta(&partition));
    args.push(Arg::Text(channel(&partition)));
    args.push(Arg::Text(limits.max_entries.to_string()));
    args.push(Arg::Text(limits.retention.as_millis().to_string()));
    for op in ops {
        match op {
            Op::Put { name, value, expect: expected, ttl } => {
                keys.push(record(&partition, &name));
                args.extend([Arg::Short("P"), expect(expected), lifetime(ttl), Arg::Octets(value)]);
            }
            Op::Delete { name, expect: expected } => {
                keys.push(record(&partition, &name));
                args.extend([Arg::Short("D"), expect(expected)]);
            }
            Op::Check { name, expect: expected } => {
                keys.push(record(&partition, &name));
                args.extend([Arg::Short("C"), expect(expected)]);
            }
            Op::IndexAdd { index: name, member, value } => {
                keys.extend(index(&partition, &name));
                args.extend([Arg::Short("I"), Arg::Text(member), Arg::Octets(value)]);
            }
            Op::IndexRemove { index: name, member } => {
                keys.extend(index(&partition, &name));
                args.extend([Arg::Short("i"), Arg::Text(member)]);
            }
            Op::DueAdd { queue: name, id, at, payload } => {
                keys.extend(queue(&partition, &name));
                let millis = at.duration_since(UNIX_EPOCH).map_or(0, |at| at.as_millis());
                args.extend([
                    Arg::Short("Q"),
                    Arg::Text(id),
                    Arg::Text(millis.to_string()),
                    Arg::Octets(payload),
                ]);
            }
            Op::DueRemove { queue: name, id, token } => {
                keys.extend(queue(&partition, &name));
                let token = token.map_or(Arg::Short("*"), |token| Arg::Text(sixteen(token)));
                args.extend([Arg::Short("q"), Arg::Text(id), token]);
            }
            Op::LogAppend { log: name, entry } => {
                keys.push(log(&partition, &name));
                args.extend([Arg::Short("L"), Arg::Text(name), Arg::Octets(entry)]);
            }
        }
    }
    Invocation { script: &COMMIT, keys, args }
}

/// How many digits precede a value.
pub(super) const DIGITS: usize = 16;

fn sixteen(version: u64) -> String {
    format!("{version:016}")
}

fn expect(expect: Expect) -> Arg {
    match expect {
        Expect::Any => Arg::Short("*"),
        Expect::Absent => Arg::Short("-"),
        Expect::Version(version) => Arg::Text(sixteen(version)),
    }
}

/// Milliseconds, never 0 for a lifetime that was asked for.
fn lifetime(ttl: Option<Duration>) -> Arg {
    ttl.map_or(Arg::Short("0"), |ttl| Arg::Text(ttl.as_millis().max(1).to_string()))
}
