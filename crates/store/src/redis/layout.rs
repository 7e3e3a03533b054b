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

/// The commit script's form of a batch. What follows one another in the same index or queue is one command of the server.
pub(super) fn commit(batch: Batch, limits: &LogLimits) -> Invocation {
    let Batch { partition, ops } = batch;
    let mut keys = Vec::with_capacity(1 + 2 * ops.len());
    let mut args = Vec::with_capacity(3 + 4 * ops.len());
    keys.push(meta(&partition));
    args.push(Arg::Text(channel(&partition)));
    args.push(Arg::Text(limits.max_entries.to_string()));
    args.push(Arg::Text(limits.retention.as_millis().to_string()));
    let mut runs = Runs { keys, args, last: None };
    for op in ops {
        runs.add(&partition, op);
    }
    let Runs { keys, args, .. } = runs;
    Invocation { script: &COMMIT, keys, args }
}

/// Keys and arguments of the script.
struct Runs {
    keys: Vec<String>,
    args: Vec<Arg>,
    last: Option<Run>,
}

/// Operations on one index or queue that one command carries out.
struct Run {
    what: &'static str,
    name: String,
    /// Where its length stands among the arguments.
    at: usize,
    length: usize,
}

impl Runs {
    fn add(&mut self, partition: &Partition, op: Op) {
        match op {
            Op::Put { name, value, expect: expected, ttl } => {
                let args = [Arg::Short("P"), expect(expected), lifetime(ttl), Arg::Octets(value)];
                self.single([record(partition, &name)], args);
            }
            Op::Delete { name, expect: expected } => {
                self.single([record(partition, &name)], [Arg::Short("D"), expect(expected)]);
            }
            Op::Check { name, expect: expected } => {
                self.single([record(partition, &name)], [Arg::Short("C"), expect(expected)]);
            }
            Op::IndexAdd { index: name, member, value } => {
                // Members with a value and members without one are two commands.
                let what = if value.is_empty() { "I" } else { "I with values" };
                self.run(what, name, |name| index(partition, name), [Arg::Text(member), Arg::Octets(value)]);
            }
            Op::IndexRemove { index: name, member } => {
                self.run("i", name, |name| index(partition, name), [Arg::Text(member)]);
            }
            Op::DueAdd { queue: name, id, at, payload } => {
                let millis = at.duration_since(UNIX_EPOCH).map_or(0, |at| at.as_millis());
                let args = [Arg::Text(id), Arg::Text(millis.to_string()), Arg::Octets(payload)];
                self.run("Q", name, |name| queue(partition, name), args);
            }
            Op::DueRemove { queue: name, id, token: None } => {
                self.run("r", name, |name| queue(partition, name), [Arg::Text(id)]);
            }
            Op::DueRemove { queue: name, id, token: Some(token) } => {
                let args = [Arg::Short("q"), Arg::Text(id), Arg::Text(sixteen(token))];
                self.single(queue(partition, &name), args);
            }
            Op::LogAppend { log: name, entry, count } => {
                let key = log(partition, &name);
                let args =
                    [Arg::Short("L"), Arg::Text(name), Arg::Octets(entry), Arg::Text(count.to_string())];
                self.single([key], args);
            }
        }
    }

    fn single<const K: usize, const A: usize>(&mut self, keys: [String; K], args: [Arg; A]) {
        self.last = None;
        self.keys.extend(keys);
        self.args.extend(args);
    }

    fn run<const A: usize>(
        &mut self,
        what: &'static str,
        name: String,
        keys: impl FnOnce(&str) -> [String; 2],
        args: [Arg; A],
    ) {
        match &mut self.last {
            Some(run) if run.what == what && run.name == name => {
                run.length += 1;
                self.args[run.at] = Arg::Text(run.length.to_string());
            }
            _ => {
                self.keys.extend(keys(&name));
                self.args.extend([Arg::Short(&what[..1]), Arg::Short("1")]);
                self.last = Some(Run { what, name, at: self.args.len() - 1, length: 1 });
            }
        }
        self.args.extend(args);
    }
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
