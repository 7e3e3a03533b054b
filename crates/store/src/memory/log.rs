//! One event log.

use std::collections::VecDeque;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use crate::{Cursor, LogEntry, LogLimits, StoreError};

#[derive(Default)]
pub(super) struct Log {
    tail: Cursor,
    /// The millisecond of each entry, and the entry. Numbers have no gaps: the last one's is that of the tail.
    entries: VecDeque<(u64, Box<[u8]>)>,
    octets: usize,
}

impl Log {
    pub(super) fn append(&mut self, entry: Bytes, now: SystemTime, limits: &LogLimits) -> Cursor {
        self.tail = Cursor { millis: self.tail.millis.max(millis(now)), number: self.tail.number + 1 };
        self.octets += entry.len();
        if self.entries.len() == self.entries.capacity() {
            // Not twice as much: there are many entries, and seldom suddenly more.
            self.entries.reserve_exact(self.entries.len() / 8 + 4);
        }
        self.entries.push_back((self.tail.millis, Vec::from(entry).into_boxed_slice()));
        self.trim(now, limits);
        self.tail
    }

    fn trim(&mut self, now: SystemTime, limits: &LogLimits) {
        let oldest = millis(now).saturating_sub(limits.retention.as_millis() as u64);
        while let Some((millis, entry)) = self.entries.front() {
            let is_much = self.entries.len() > limits.max_entries
                || (self.octets > limits.max_octets && self.entries.len() > 1);
            if !is_much && *millis >= oldest {
                return;
            }
            self.octets -= entry.len();
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
        let first_number = self.tail.number + 1 - self.entries.len() as u64;
        let skip = match after {
            None => 0,
            Some(after) => {
                let oldest = self.entries.front().map(|&(millis, _)| Cursor { millis, number: first_number });
                if after.number + 1 < first_number || after.number > self.tail.number {
                    return Err(StoreError::Trimmed { oldest });
                }
                (after.number + 1 - first_number) as usize
            }
        };
        let shown = |(number, (millis, entry)): (u64, &(u64, Box<[u8]>))| LogEntry {
            cursor: Cursor { millis: *millis, number },
            entry: Bytes::copy_from_slice(entry),
        };
        Ok((first_number..).zip(&self.entries).skip(skip).take(limit).map(shown).collect())
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
        let first = log.append("1".into(), at(0), &limits);
        let second = log.append("2".into(), at(5), &limits);

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
            log.append(vec![0; 300].into(), now, &limits);
        }
        assert_eq!(log.read(None, 100, now, &limits).map(|entries| entries.len()), Ok(3));
        log.append(vec![0; 5000].into(), now, &limits);
        assert_eq!(log.read(None, 100, now, &limits).map(|entries| entries.len()), Ok(1), "the newest stays");
    }
}
