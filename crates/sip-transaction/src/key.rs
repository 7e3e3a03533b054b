//! The names of transactions: cheap to copy, printable, and never given to a second transaction.

use std::fmt;
use std::str::FromStr;

/// A client transaction of one [`Transactions`](crate::Transactions) table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientKey(pub(crate) Place);

/// A server transaction of one [`Transactions`](crate::Transactions) table.
///
/// Its printed form is an opaque handle that other services may keep and hand back:
///
/// ```
/// # use sip_transaction::ServerKey;
/// let key: ServerKey = "s7-1f-2a3".parse().unwrap();
/// assert_eq!(key.to_string(), "s7-1f-2a3");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerKey(pub(crate) Place);

/// A transaction of either side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Key {
    /// One that sent a request.
    Client(ClientKey),
    /// One that received a request.
    Server(ServerKey),
}

/// Where a transaction lies. The serial number tells the tenants of one slot apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Place {
    /// The table, as named in its configuration.
    pub(crate) space: u32,
    pub(crate) slot: u32,
    pub(crate) serial: u64,
}

/// A text that no table ever printed as a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a transaction handle: expected {0} followed by three hexadecimal numbers joined by '-'")]
pub struct BadKey(char);

impl fmt::Display for ClientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "c{}", self.0)
    }
}

impl fmt::Display for ServerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s{}", self.0)
    }
}

impl FromStr for ClientKey {
    type Err = BadKey;

    fn from_str(text: &str) -> Result<Self, BadKey> {
        Place::parse(text, 'c').map(Self)
    }
}

impl FromStr for ServerKey {
    type Err = BadKey;

    fn from_str(text: &str) -> Result<Self, BadKey> {
        Place::parse(text, 's').map(Self)
    }
}

impl Place {
    fn parse(text: &str, side: char) -> Result<Self, BadKey> {
        let bad = BadKey(side);
        let mut parts = text.strip_prefix(side).ok_or(bad)?.split('-');
        let mut number = || {
            let digits = parts.next().filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
            u64::from_str_radix(digits, 16).ok()
        };
        let (Some(space), Some(slot), Some(serial)) = (number(), number(), number()) else { return Err(bad) };
        if parts.next().is_some() {
            return Err(bad);
        }
        let space = u32::try_from(space).map_err(|_| bad)?;
        let slot = u32::try_from(slot).map_err(|_| bad)?;
        Ok(Self { space, slot, serial })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{:x}-{:x}", self.space, self.slot, self.serial)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_its_printed_form() {
        let place = Place { space: u32::MAX, slot: 0, serial: u64::MAX };
        assert_eq!(ServerKey(place).to_string().parse(), Ok(ServerKey(place)));
        assert_eq!(ClientKey(place).to_string().parse(), Ok(ClientKey(place)));
    }

    #[test]
    fn a_text_that_no_table_printed_is_no_key() {
        for text in ["", "s", "s1-2", "s1-2-3-4", "c1-2-3", "s1-2-g", "s100000000-1-1", "s+1-2-3", "s1--3"] {
            assert!(text.parse::<ServerKey>().is_err(), "{text:?}");
        }
    }
}
