//! What must not be shown: secrets never, personal addresses in part.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A secret. `Debug`, `Display` and serialisation print `***`; only [`Redacted::expose`] gives it out.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Redacted<T>(T);

impl<T> Redacted<T> {
    /// Wraps a secret.
    pub fn new(secret: T) -> Self {
        Self(secret)
    }

    /// The secret, for the one place that needs it.
    pub fn expose(&self) -> &T {
        &self.0
    }

    /// The secret itself.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> From<T> for Redacted<T> {
    fn from(secret: T) -> Self {
        Self(secret)
    }
}

impl<T> fmt::Debug for Redacted<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

impl<T> fmt::Display for Redacted<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

impl<T> Serialize for Redacted<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("***")
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Redacted<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Self)
    }
}

/// A SIP or tel address for logs: the user part shows its first character only, the host stays.
#[derive(Clone, Copy)]
pub struct Masked<'a>(pub &'a str);

impl fmt::Display for Masked<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = self.0.split_once(':').unwrap_or(("", self.0));
        // The last @ ends the user part: everything before it may hold a password.
        let (user, host) = match rest.rsplit_once('@') {
            Some((user, host)) => (user, Some(host)),
            None if scheme.eq_ignore_ascii_case("tel") => (rest, None),
            None => return formatter.write_str(self.0),
        };
        if !scheme.is_empty() {
            write!(formatter, "{scheme}:")?;
        }
        if let Some(first) = user.chars().next() {
            write!(formatter, "{first}")?;
        }
        formatter.write_str("***")?;
        host.map_or(Ok(()), |host| write!(formatter, "@{host}"))
    }
}

impl fmt::Debug for Masked<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// T22
    #[test]
    fn a_secret_is_never_printed_nor_serialised() {
        let secret = Redacted::new("s3cret".to_owned());
        assert_eq!(format!("{secret} {secret:?} {:?}", Some(&secret)), "*** *** Some(***)");
        assert_eq!(serde_json::to_string(&secret).expect("a string"), "\"***\"");
        assert_eq!(secret.expose(), "s3cret");
    }

    #[test]
    fn a_secret_is_read_as_it_stands() {
        let secret: Redacted<String> = serde_json::from_str("\"s3cret\"").expect("a string");
        assert_eq!(secret.into_inner(), "s3cret");
    }

    #[test]
    fn a_masked_address_shows_where_but_not_who() {
        for (address, masked) in [
            ("sip:alice@example.com", "sip:a***@example.com"),
            ("sips:bob:pass@word@example.com;x=1", "sips:b***@example.com;x=1"),
            ("tel:+15551234", "tel:+***"),
            ("sip:example.com", "sip:example.com"),
            ("alice@example.com", "a***@example.com"),
            ("", ""),
        ] {
            assert_eq!(Masked(address).to_string(), masked);
        }
    }
}
