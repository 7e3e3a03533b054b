//! What is wrong with a message that came in.

use std::fmt;

/// Which kind of thing a field should have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// Any field that is missing or out of range.
    Field,
    /// A URI.
    Uri,
    /// An address of record.
    Aor,
    /// A header name or value.
    Header,
}

/// One field is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which field, by its path in the request: `from.headers[2].name`.
    pub field: String,
    /// Which kind of thing it should have been.
    pub kind: FaultKind,
    /// What was expected.
    pub expected: String,
}

impl Fault {
    /// A fault of `field`.
    pub fn new(kind: FaultKind, field: impl Into<String>, expected: impl Into<String>) -> Self {
        Self { field: field.into(), kind, expected: expected.into() }
    }

    /// The same fault seen from the message around it.
    pub fn within(mut self, outer: &str) -> Self {
        self.field = format!("{outer}.{}", self.field);
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.field, self.expected)
    }
}

impl std::error::Error for Fault {}
