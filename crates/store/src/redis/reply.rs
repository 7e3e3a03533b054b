//! Reading what the server said.

use ::redis::{ErrorKind, RedisError, Value};
use bytes::Bytes;

use super::layout::DIGITS;
use super::options::RedisOptions;
use crate::{CommitOutcome, Cursor, Due, IndexPage, LogEntry, StoreError, Versioned};

/// Codes with which a server refuses to work for now, or for good until it or its configuration changes.
const REFUSALS: [&str; 16] = [
    "READONLY",
    "LOADING",
    "MISCONF",
    "MASTERDOWN",
    "CLUSTERDOWN",
    "TRYAGAIN",
    "NOREPLICAS",
    "OOM",
    "BUSY",
    "UNKILLABLE",
    "NOAUTH",
    "WRONGPASS",
    "NOPERM",
    "MOVED",
    "ASK",
    "UNBLOCKED",
];

/// The error for callers, and whether the connection is worth keeping.
pub(super) fn failure(error: &RedisError, options: &RedisOptions) -> (StoreError, Connection) {
    if error.is_timeout() {
        let after_ms = options.response_timeout.as_millis() as u64;
        return (StoreError::Timeout { after_ms }, Connection::Broken);
    }
    match error.code() {
        Some(code) if REFUSALS.contains(&code) => {
            let keep = matches!(code, "OOM" | "BUSY" | "NOREPLICAS" | "TRYAGAIN");
            let connection = if keep { Connection::Fine } else { Connection::Broken };
            (StoreError::unavailable(error.to_string()), connection)
        }
        Some(_) => (StoreError::Corrupt { reason: error.to_string() }, Connection::Fine),
        None if error.kind() == ErrorKind::Parse || error.kind() == ErrorKind::UnexpectedReturnType => {
            (StoreError::Corrupt { reason: error.to_string() }, Connection::Broken)
        }
        None => (StoreError::unavailable(error.to_string()), Connection::Broken),
    }
}

/// What to do with the connection that gave an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Connection {
    Fine,
    Broken,
}

/// Whether the server does not know the script (any more).
pub(super) fn is_no_script(value: &Value) -> bool {
    matches!(value, Value::ServerError(error) if error.code() == "NOSCRIPT")
}

pub(super) fn commit(value: Value) -> Result<CommitOutcome, StoreError> {
    let mut items = items(value)?.into_iter();
    match items.next() {
        Some(Value::Int(0)) => return Err(StoreError::Conflict),
        Some(Value::Int(1)) => {}
        other => return Err(unexpected(&other)),
    }
    let version = number(&octets(items.next())?)?;
    let cursors = items.map(|item| cursor(&octets(Some(item))?)).collect::<Result<_, _>>()?;
    Ok(CommitOutcome { version, cursors })
}

pub(super) fn record(value: Value) -> Result<Option<Versioned>, StoreError> {
    match value {
        Value::Nil => Ok(None),
        value => {
            let (version, value) = numbered(octets(Some(value))?)?;
            Ok(Some(Versioned { version, value }))
        }
    }
}

pub(super) fn records(value: Value) -> Result<Vec<Option<Versioned>>, StoreError> {
    items(value)?.into_iter().map(record).collect()
}

pub(super) fn claims(value: Value) -> Result<Vec<Due>, StoreError> {
    let mut items = items(value)?.into_iter();
    let mut claims = Vec::with_capacity(items.len() / 3);
    while let Some(id) = items.next() {
        let id = text(&octets(Some(id))?)?;
        let token = number(&octets(items.next())?)?;
        claims.push(Due { id, token, payload: octets(items.next())? });
    }
    Ok(claims)
}

pub(super) fn page(value: Value, limit: usize) -> Result<IndexPage, StoreError> {
    let mut items = items(value)?.into_iter();
    let mut entries = Vec::with_capacity(items.len() / 2);
    while let Some(member) = items.next() {
        entries.push((text(&octets(Some(member))?)?, octets(items.next())?));
    }
    let more = entries.len() > limit;
    entries.truncate(limit);
    let next = if more { entries.last().map(|(member, _)| member.clone()) } else { None };
    Ok(IndexPage { entries, next })
}

pub(super) fn entries(value: Value, after: Option<Cursor>) -> Result<Vec<LogEntry>, StoreError> {
    let mut items = items(value)?.into_iter();
    let newest = number(&octets(items.next())?)?;
    let oldest = octets(items.next())?;
    let oldest = if oldest.is_empty() { None } else { Some(cursor(&oldest)?) };
    let mut entries: Vec<LogEntry> = Vec::with_capacity(items.len() / 3);
    while let Some(id) = items.next() {
        let (cursor, entry) = (cursor(&octets(Some(id))?)?, octets(items.next())?);
        let count = u16::try_from(number(&octets(items.next())?)?);
        let count = count.map_err(|_| corrupt("an entry of a log tells of too much"))?;
        entries.push(LogEntry { cursor, count, entry });
    }
    if let Some(after) = after {
        // Numbers have no gaps: what comes next, or where the log ends, shows whether something is missing.
        let follows = match entries.first() {
            Some(first) => {
                let last = after.number + u64::from(first.count);
                (after.number + 1..=last).contains(&first.cursor.number)
            }
            None => newest == after.number,
        };
        if !follows {
            return Err(StoreError::Trimmed { oldest });
        }
    }
    Ok(entries)
}

/// The score of the first member of a sorted set.
pub(super) fn score(value: Value) -> Result<Option<u64>, StoreError> {
    let mut items = items(value)?;
    // RESP3 nests each member with its score.
    if let Some(Value::Array(_)) = items.first() {
        items = self::items(items.swap_remove(0))?;
    }
    match items.into_iter().nth(1) {
        None => Ok(None),
        Some(Value::Double(score)) => Ok(Some(score as u64)),
        Some(score) => {
            let score: f64 =
                text(&octets(Some(score))?)?.parse().map_err(|_| corrupt("a due time is no number"))?;
            Ok(Some(score as u64))
        }
    }
}

/// Seconds and microseconds of TIME, as microseconds.
pub(super) fn time(value: Value) -> Result<u64, StoreError> {
    let mut items = items(value)?.into_iter();
    let seconds = number(&octets(items.next())?)?;
    Ok(seconds * 1_000_000 + number(&octets(items.next())?)?)
}

/// Number and millisecond of a log's newest entry.
pub(super) fn tail(value: Value) -> Result<Cursor, StoreError> {
    let mut items = items(value)?.into_iter();
    let mut field = || match items.next() {
        None | Some(Value::Nil) => Ok(0),
        item => number(&octets(item)?),
    };
    Ok(Cursor { number: field()?, millis: field()? })
}

fn numbered(octets: Bytes) -> Result<(u64, Bytes), StoreError> {
    match octets.get(..DIGITS) {
        Some(digits) => Ok((number(digits)?, octets.slice(DIGITS..))),
        None => Err(corrupt("a record is shorter than its version")),
    }
}

fn items(value: Value) -> Result<Vec<Value>, StoreError> {
    match value {
        Value::Array(items) => Ok(items),
        other => Err(unexpected(&other)),
    }
}

fn octets(value: Option<Value>) -> Result<Bytes, StoreError> {
    match value {
        Some(Value::BulkString(octets)) => Ok(octets.into()),
        Some(Value::SimpleString(text)) => Ok(text.into()),
        Some(Value::Int(number)) => Ok(number.to_string().into()),
        other => Err(unexpected(&other)),
    }
}

fn text(octets: &[u8]) -> Result<String, StoreError> {
    String::from_utf8(octets.to_vec()).map_err(|_| corrupt("a name is not UTF-8"))
}

fn number(octets: &[u8]) -> Result<u64, StoreError> {
    let text = std::str::from_utf8(octets).map_err(|_| corrupt("a number is not text"))?;
    text.parse().map_err(|_| corrupt("a number is not decimal"))
}

fn cursor(octets: &[u8]) -> Result<Cursor, StoreError> {
    text(octets)?.parse().map_err(|_| corrupt("a cursor is not <milliseconds>-<number>"))
}

fn corrupt(reason: &str) -> StoreError {
    StoreError::Corrupt { reason: reason.to_owned() }
}

fn unexpected(value: &impl std::fmt::Debug) -> StoreError {
    let mut reason = format!("unexpected answer {value:?}");
    reason.truncate(200);
    StoreError::Corrupt { reason }
}
