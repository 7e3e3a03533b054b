//! One entry of a History-Info and its number. RFC 7044 5

use std::fmt;

use sip_message::NameAddr;

/// The number of an entry: one part for each time that the request was sent on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Index(Vec<u32>);

/// As deep as an index may be; Max-Forwards ends no request before.
const DEEPEST: usize = 100;

/// What the URI of an entry was made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    /// Nothing that is told.
    None,
    /// It is where that one is registered.
    Registered(Index),
    /// It is somebody else that the request was led to.
    Mapped(Index),
    /// It is the same URI.
    Unchanged(Index),
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) uri: Vec<u8>,
    pub(super) index: Index,
    pub(super) origin: Origin,
    /// The status that ended it.
    pub(super) reason: Option<u16>,
    /// Whether its URI is not told.
    pub(super) is_hidden: bool,
}

/// Whom RFC 3323 4.1.1.2 names instead of somebody.
pub(super) const NOBODY: &str = "sip:anonymous@anonymous.invalid";

impl Index {
    /// The number of the first entry.
    pub(super) fn first() -> Self {
        Self(vec![1])
    }

    /// The number of a value, if it has one that can be read.
    pub(super) fn of(value: &[u8]) -> Option<Self> {
        let entry = NameAddr::parse(value).ok()?;
        let parts = entry.param("index")?.split('.').take(DEEPEST + 1).map(|part| part.parse().ok());
        parts.collect::<Option<Vec<u32>>>().filter(|parts| parts.len() <= DEEPEST).map(Self)
    }

    /// A number below this one.
    pub(super) fn below(&self, number: u32) -> Self {
        Self(self.0.iter().copied().chain([number]).collect())
    }
}

impl fmt::Display for Index {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, part) in self.0.iter().enumerate() {
            write!(formatter, "{}{part}", if at == 0 { "" } else { "." })?;
        }
        Ok(())
    }
}

impl Entry {
    /// An entry without a reason.
    pub(super) fn new(uri: Vec<u8>, index: Index, origin: Origin) -> Self {
        Self { uri, index, origin, reason: None, is_hidden: false }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let uri = String::from_utf8_lossy(&self.uri);
        write!(formatter, "<{}", if self.is_hidden { NOBODY } else { &uri })?;
        if let Some(status) = self.reason {
            write!(formatter, "?Reason=SIP%3Bcause%3D{status}")?;
        }
        write!(formatter, ">;index={}", self.index)?;
        match &self.origin {
            Origin::None => Ok(()),
            Origin::Registered(index) => write!(formatter, ";rc={index}"),
            Origin::Mapped(index) => write!(formatter, ";mp={index}"),
            Origin::Unchanged(index) => write!(formatter, ";np={index}"),
        }
    }
}

/// A value that came, with its URI hidden and everything else kept.
pub(super) fn anonymous(value: &[u8]) -> Vec<u8> {
    let Ok(entry) = NameAddr::parse(value) else { return value.to_vec() };
    let mut hidden = format!("<{NOBODY}>");
    for param in entry.params.iter() {
        hidden.push(';');
        hidden.push_str(param.name);
        if let Some(value) = param.value {
            hidden.push('=');
            hidden.push_str(&String::from_utf8_lossy(value));
        }
    }
    hidden.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FWD-06: numbers count in parts, not in letters, and what cannot be read is no number.
    #[test]
    fn numbers_are_read_and_ordered() {
        let of = |index: &str| Index::of(format!("<sip:a@h>;index={index}").as_bytes());
        assert!(of("1.2").unwrap() < of("1.10").unwrap());
        assert!(of("1").unwrap() < of("1.1").unwrap());
        assert_eq!(of("1.2").unwrap().below(3).to_string(), "1.2.3");
        let deep = vec!["1"; DEEPEST + 1].join(".");
        for bad in ["", "x", "1..2", "1.-2", "99999999999", &deep] {
            assert_eq!(of(bad), None, "{bad}");
        }
        assert_eq!(Index::of(b"<sip:a@h>"), None);
    }

    /// FWD-06
    #[test]
    fn an_entry_is_written_with_its_reason_inside_the_uri() {
        let entry =
            Entry::new(b"sip:b@h".to_vec(), Index::first().below(1), Origin::Registered(Index::first()));
        let failed = Entry { reason: Some(408), ..entry.clone() };
        assert_eq!(failed.to_string(), "<sip:b@h?Reason=SIP%3Bcause%3D408>;index=1.1;rc=1");
        let hidden = Entry { is_hidden: true, ..entry };
        assert_eq!(hidden.to_string(), "<sip:anonymous@anonymous.invalid>;index=1.1;rc=1");
        let came = b"\"Bob\" <sip:b@h?Privacy=history>;index=1.1;mp=1;x=\"y z\"";
        let shown = String::from_utf8(anonymous(came)).unwrap();
        assert_eq!(shown, "<sip:anonymous@anonymous.invalid>;index=1.1;mp=1;x=\"y z\"");
    }
}
