//! The records of one partition, and which of them have expired.

use std::collections::BTreeSet;
use std::time::SystemTime;

use bytes::Bytes;

use super::named::{Named, Slot};
use super::time::{NEVER, nanos};
use crate::{Expect, Versioned};

/// How many expired records one commit removes at most: keeps up with any rate, costs no commit much.
const REAP: usize = 4;

#[derive(Default)]
pub(super) struct Records {
    named: Named<Record>,
    /// When to look at a record again. A refresh leaves its entry alone: who finds it too early moves it on.
    looks: BTreeSet<(u64, Slot)>,
}

struct Record {
    version: u64,
    value: Box<[u8]>,
    /// In nanoseconds since 1970, as all times here; [`NEVER`] for a record that stays.
    expires: u64,
    /// Its entry among the looks, never later than `expires`; [`NEVER`] for none.
    look: u64,
}

impl Records {
    pub(super) fn get(&self, name: &str, now: SystemTime) -> Option<Versioned> {
        let record = self.living(name, nanos(now))?;
        Some(Versioned { version: record.version, value: Bytes::copy_from_slice(&record.value) })
    }

    pub(super) fn holds(&self, name: &str, expect: Expect, now: SystemTime) -> bool {
        match expect {
            Expect::Any => true,
            Expect::Absent => self.living(name, nanos(now)).is_none(),
            Expect::Version(version) => {
                self.living(name, nanos(now)).is_some_and(|record| record.version == version)
            }
        }
    }

    pub(super) fn count(&self, now: SystemTime) -> usize {
        let now = nanos(now);
        self.named.contents().filter(|record| now < record.expires).count()
    }

    fn living(&self, name: &str, now: u64) -> Option<&Record> {
        self.named.get(self.named.find(name)?).filter(|record| now < record.expires)
    }

    pub(super) fn put(&mut self, name: String, value: Bytes, expires: Option<SystemTime>, version: u64) {
        let expires = expires.map_or(NEVER, nanos);
        match self.named.find(&name) {
            Some(slot) => {
                let Some(record) = self.named.get_mut(slot) else { return };
                (record.version, record.expires) = (version, expires);
                if record.value.len() == value.len() {
                    // A refresh: its memory was just read, while a new piece would be cold, or fresh.
                    record.value.copy_from_slice(&value);
                } else {
                    record.value = boxed(value);
                }
                if expires < record.look {
                    self.looks.remove(&(record.look, slot));
                    self.looks.insert((expires, slot));
                    record.look = expires;
                }
            }
            None => {
                let record = Record { version, value: boxed(value), expires, look: expires };
                let slot = self.named.insert(name, record);
                if expires != NEVER {
                    self.looks.insert((expires, slot));
                }
            }
        }
    }

    pub(super) fn remove(&mut self, name: &str) {
        if let Some(slot) = self.named.find(name)
            && let Some(record) = self.named.remove(slot)
        {
            self.looks.remove(&(record.look, slot));
        }
    }

    /// Removes some of what has expired.
    pub(super) fn reap(&mut self, now: SystemTime) {
        let now = nanos(now);
        for _ in 0..REAP {
            if self.looks.first().is_none_or(|&(at, _)| at > now) {
                return;
            }
            let Some((_, slot)) = self.looks.pop_first() else { return };
            let Some(record) = self.named.get_mut(slot) else { continue };
            record.look = record.expires;
            match record.expires {
                NEVER => {}
                expires if expires > now => {
                    self.looks.insert((expires, slot));
                }
                _ => {
                    self.named.remove(slot);
                }
            }
        }
    }
}

/// Without room to spare: it is kept as it is.
fn boxed(value: Bytes) -> Box<[u8]> {
    Vec::from(value).into_boxed_slice()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::time::time;
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        time(1_000_000_000_000 + seconds * 1_000_000_000)
    }

    #[test]
    fn a_refreshed_record_lives_to_its_new_end_and_is_removed_then() {
        let mut records = Records::default();
        records.put("a".into(), "1".into(), Some(at(10)), 1);
        records.put("a".into(), "2".into(), Some(at(20)), 2);
        records.reap(at(15));
        assert_eq!(records.get("a", at(19)), Some(Versioned { version: 2, value: "2".into() }));
        assert_eq!(records.get("a", at(20)), None);
        records.reap(at(20));
        assert_eq!((records.named.contents().count(), records.looks.len()), (0, 0));
    }

    #[test]
    fn the_last_value_is_the_one_that_is_there_whatever_its_length() {
        let mut records = Records::default();
        for (version, value) in ["first", "again", "longer than that", "", "short"].into_iter().enumerate() {
            records.put("a".into(), value.into(), None, version as u64);
            let expected = Versioned { version: version as u64, value: value.into() };
            assert_eq!(records.get("a", at(0)), Some(expected));
        }
    }

    #[test]
    fn a_record_that_is_cut_short_is_removed_early() {
        let mut records = Records::default();
        records.put("a".into(), "1".into(), Some(at(100)), 1);
        records.put("a".into(), "2".into(), Some(at(10)), 2);
        records.reap(at(11));
        assert_eq!((records.named.contents().count(), records.looks.len()), (0, 0));
    }

    #[test]
    fn a_record_that_stays_at_last_is_not_looked_at_for_ever() {
        let mut records = Records::default();
        records.put("a".into(), "1".into(), Some(at(10)), 1);
        records.put("a".into(), "2".into(), None, 2);
        records.reap(at(11));
        assert_eq!((records.count(at(1000)), records.looks.len()), (1, 0));
        records.put("a".into(), "3".into(), Some(at(2000)), 3);
        assert_eq!(records.looks.len(), 1);
        records.remove("a");
        assert_eq!((records.count(at(0)), records.looks.len()), (0, 0));
    }

    #[test]
    fn one_visit_removes_a_few_and_the_next_visits_the_rest() {
        let mut records = Records::default();
        for n in 0..10 {
            records.put(format!("r{n}"), "v".into(), Some(at(10)), n);
        }
        let mut left = Vec::new();
        for _ in 0..3 {
            records.reap(at(10) + Duration::from_millis(1));
            left.push(records.named.contents().count());
        }
        assert_eq!(left, [6, 2, 0]);
    }
}
