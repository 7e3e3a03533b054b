//! One event log.

use std::collections::VecDeque;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use crate::{Cursor, LogEntry, LogLimits, StoreError};

#[derive(Default)]
pub(super) struct Log {
    tail: Cursor,
    entries: VecDeque<Kept>,
    /// How many things they tell of. Numbers have no gaps: the last one is that of the tail.
    count: u64,
    octets: usize,
}

/// An entry.
struct Kept {
    /// Its millisecond, and in the lowest 16 bits how many things it tells of: there are many entries.
    time_and_count: u64,
    octets: Box<[u8]>,
}

impl Kept {
    fn millis(&self) -> u64 {
        self.time_and_count >> 16
    }

    fn count(&self) -> u16 {
        self.time_and_count as u16
    }
}

impl Log {
    pub(super) fn append(&mut self, entry: Bytes, count: u16, now: SystemTime, limits: &LogLimits) -> Cursor {
        let number = self.tail.number + u64::from(count);
        self.tail = Cursor { millis: self.tail.millis.max(millis(now)), number };
        self.octets += entry.len();
        self.count += u64::from(count);
        if self.entries.len() == self.entries.capacity() {
            // Not twice as much: there are many entries, and seldom suddenly more.
            self.entries.reserve_exact(self.entries.len() / 8 + 4);
        }
        let time_and_count = self.tail.millis << 16 | u64::from(count);
        self.entries.push_back(Kept { time_and_count, octets: Vec::from(entry).into_boxed_slice() });
        self.trim(now, limits);
        self.tail
    }

    fn trim(&mut self, now: SystemTime, limits: &LogLimits) {
        let oldest = millis(now).saturating_sub(limits.retention.as_millis() as u64);
        while let Some(first) = self.entries.front() {
            let is_much = self.entries.len() > limits.max_entries
                || (self.octets > limits.max_octets && self.entries.len() > 1);
            if !is_much && first.millis() >= oldest {
                return;
            }
            self.octets -= first.octets.len();
            self.count -= u64::from(first.count());
            self.entries.pop_front();
        }
    }

    pub(super) fn read(
        &mut self,
        after: Option<Cursor>,
        limit: usize,
        now: SystemTime,
        limits: &LogLimits,
    ) -> Result<Vec<LogEntry>, StoreError> {
        self.trim(now, limits);
        let before_first = self.tail.number - self.count;
        let after = match after {
            None => before_first,
            Some(after) if after.number < before_first || after.number > self.tail.number => {
                let first = self.entries.front();
                let oldest = first.map(|first| Cursor {
                    millis: first.millis(),
                    number: before_first + u64::from(first.count()),
                });
                return Err(StoreError::Trimmed { oldest });
            }
            Some(after) => after.number,
        };
        // Who reads is mostly near the end.
        let (mut begin, mut number) = (self.entries.len(), self.tail.number);
        while number > after && begin > 0 {
            begin -= 1;
            number -= u64::from(self.entries[begin].count());
        }
        let shown = self.entries.range(begin..).take(limit).map(|kept| {
            number += u64::from(kept.count());
            LogEntry {
                cursor: Cursor { millis: kept.millis(), number },
                count: kept.count(),
                entry: Bytes::copy_from_slice(&kept.octets),
            }
        });
        Ok(shown.collect())
    }

    pub(super) fn tail(&self) -> Cursor {
        self.tail
    }
}

fn millis(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn entries_older_than_the_retention_are_gone_and_the_reader_is_told() {
        let limits = LogLimits { retention: Duration::from_secs(10), max_entries: 100, max_octets: 1000 };
        let at = |seconds: u64| UNIX_EPOCH + Duration::from_secs(1_000_000 + seconds);
        let mut log = Log::default();
        let first = log.append("1".into(), 1, at(0), &limits);
        let second = log.append("2".into(), 1, at(5), &limits);

        let kept = log.read(Some(first), 10, at(12), &limits).expect("nothing is missing after the first");
        assert_eq!(kept.len(), 1);
        let missing = log.read(Some(first), 10, at(16), &limits);
        assert_eq!(missing, Err(StoreError::Trimmed { oldest: None }));
        assert_eq!(log.read(Some(second), 10, at(16), &limits), Ok(vec![]));
    }

    #[test]
    fn a_log_of_large_entries_is_bounded_by_their_octets() {
        let limits = LogLimits { max_octets: 1000, ..LogLimits::default() };
        let now = UNIX_EPOCH + Duration::from_secs(1_000_000);
        let mut log = Log::default();
        for _ in 0..50 {
            log.append(vec![0; 300].into(), 1, now, &limits);
        }
        assert_eq!(log.read(None, 100, now, &limits).map(|entries| entries.len()), Ok(3));
        log.append(vec![0; 5000].into(), 1, now, &limits);
        assert_eq!(log.read(None, 100, now, &limits).map(|entries| entries.len()), Ok(1), "the newest stays");
    }
}
