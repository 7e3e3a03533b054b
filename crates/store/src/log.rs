//! Event logs: cursors and entries.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;

/// A place in a log: right after one entry, or after one of the several things that an entry tells of.
///
/// What the entries of one log tell of is numbered without gaps, so that a reader sees whether it missed anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cursor {
    /// Store time of the entry in milliseconds since 1970; never decreases within a log.
    pub millis: u64,
    /// Number of the entry in its log, from 1; 0 is the place before the first. An entry that tells of several things has the
    /// number of the last of them, and those before it belong to the others.
    pub number: u64,
}

impl Cursor {
    /// The place before the first entry that a log ever had.
    pub const ZERO: Cursor = Cursor { millis: 0, number: 0 };

    /// When the entry was appended.
    pub fn time(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.millis)
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.millis, self.number)
    }
}

/// The text was no cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected <milliseconds>-<number>")]
pub struct BadCursor;

impl FromStr for Cursor {
    type Err = BadCursor;

    fn from_str(text: &str) -> Result<Cursor, BadCursor> {
        let (millis, number) = text.split_once('-').ok_or(BadCursor)?;
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit());
        if !digits(millis) || !digits(number) {
            return Err(BadCursor);
        }
        Ok(Cursor {
            millis: millis.parse().map_err(|_| BadCursor)?,
            number: number.parse().map_err(|_| BadCursor)?,
        })
    }
}

/// One entry of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// The place right after it.
    pub cursor: Cursor,
    /// How many things it tells of; the numbers up to that of the cursor are theirs. A reader who comes from between them gets
    /// the whole entry, and passes over what it knows.
    pub count: u16,
    /// What was appended.
    pub entry: Bytes,
}

/// How much a log keeps.
#[derive(Clone, Copy, Debug)]
pub struct LogLimits {
    /// Entries older than this are dropped. Default 2 h, twice what the API promises.
    pub retention: Duration,
    /// At most about this many entries, whatever their age: the bound on memory. Default 20 000 per log; a service
    /// that spreads its events over 16 partitions keeps 320 000, more than the 100 000 that event streams promise.
    pub max_entries: usize,
    /// At most about this many octets of entries. Default 8 MiB per log. The memory engine alone keeps to it; on Redis
    /// `maxmemory` is the operator's bound.
    pub max_octets: usize,
}

impl Default for LogLimits {
    fn default() -> LogLimits {
        LogLimits { retention: Duration::from_secs(2 * 3600), max_entries: 20_000, max_octets: 8 << 20 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_being_text() {
        let cursor = Cursor { millis: 1_700_000_000_000, number: 42 };
        assert_eq!(cursor.to_string(), "1700000000000-42");
        assert_eq!("1700000000000-42".parse(), Ok(cursor));
    }

    #[test]
    fn what_is_no_cursor_is_refused() {
        for text in ["", "-", "1-", "-1", "+1-1", "1-1-1", "x-1", "99999999999999999999-1", " 1-1"] {
            assert_eq!(text.parse::<Cursor>(), Err(BadCursor), "{text:?}");
        }
    }
}
