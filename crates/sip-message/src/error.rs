//! What can be wrong with bytes that claim to be SIP, one small type per cause.

use crate::HeaderId;

/// A value that does not follow its grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected} at offset {offset}")]
pub struct SyntaxError {
    /// What the grammar wanted here.
    pub expected: &'static str,
    /// Offset from the start of the value.
    pub offset: usize,
}

/// A datagram or frame that is no SIP message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected} at offset {offset}")]
pub struct ParseError {
    /// Which rule was broken; decides how the message is answered.
    pub kind: ParseErrorKind,
    /// What was expected instead.
    pub expected: &'static str,
    /// Offset from the first byte of the start line.
    pub offset: usize,
}

/// The rule that a message broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ParseErrorKind {
    /// Nothing but line ends: a keep-alive, not a message.
    Empty,
    /// The first line is neither a request line nor a status line.
    StartLine,
    /// It is no line: who sends it speaks TLS, on a stream that has none.
    Tls,
    /// A well-formed start line of another protocol version (505 for a request).
    Version,
    /// The Request-URI is no URI (400), or too long (414).
    RequestUri,
    /// The Request-URI is longer than the limit (414).
    RequestUriTooLong,
    /// A header line without a name, without a colon, or with a bad octet.
    HeaderLine,
    /// The blank line after the headers is missing.
    UnfinishedHead,
    /// Content-Length is no number, or two of them disagree.
    ContentLength,
    /// A stream message without Content-Length.
    MissingContentLength,
    /// Fewer body bytes than Content-Length says.
    ShortBody,
    /// More header lines, or more values of one header, than the limit.
    TooMany,
    /// A header line longer than the limit.
    LineTooLong,
    /// Head or body larger than the limit (513).
    TooLarge,
}

/// A header that is absent or cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{header}: {fault}")]
pub struct HeaderError {
    /// The header in question.
    pub header: HeaderId,
    /// What is wrong with it.
    pub fault: HeaderFault,
}

/// What is wrong with a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderFault {
    /// There is none.
    #[error("missing")]
    Missing,
    /// It may appear once and appears more often.
    #[error("more than one value")]
    Repeated,
    /// Its value does not follow its grammar.
    #[error("{0}")]
    Syntax(#[from] SyntaxError),
    /// It contradicts the rest of the message.
    #[error("{0}")]
    Contradiction(&'static str),
}

impl HeaderError {
    /// The reason phrase of an answer to a request that has this header so. RFC 3261 21.4.1
    pub fn reason(&self) -> String {
        let header = self.header;
        match self.fault {
            HeaderFault::Missing => format!("Missing {header}"),
            HeaderFault::Repeated => format!("More Than One {header}"),
            HeaderFault::Syntax(_) | HeaderFault::Contradiction(_) => format!("Bad {header}"),
        }
    }

    pub(crate) fn missing(header: HeaderId) -> Self {
        HeaderError { header, fault: HeaderFault::Missing }
    }

    pub(crate) fn syntax(header: HeaderId) -> impl FnOnce(SyntaxError) -> Self {
        move |error| HeaderError { header, fault: HeaderFault::Syntax(error) }
    }
}

/// Something that must not be written into a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// The header name is not a token.
    #[error("header name {0:?} is not a token")]
    Name(String),
    /// The value of the named header holds CR, LF or NUL.
    #[error("value of {name} holds a line end or NUL at offset {offset}")]
    Value {
        /// The header, or the part of the start line.
        name: String,
        /// Offset of the first bad octet.
        offset: usize,
    },
    /// Content-Length is counted when the message is written and cannot be given.
    #[error("{0} is set by the message itself")]
    Reserved(HeaderId),
    /// The Request-URI is not a URI.
    #[error("Request-URI: {0}")]
    Uri(SyntaxError),
    /// The method is not a token.
    #[error("method {0:?} is not a token")]
    Method(String),
    /// The head would pass 65,535 bytes.
    #[error("message head passes 65535 bytes")]
    TooLarge,
    /// A header to be edited cannot be read.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// The operation needs a request (or a response) and the message is the other kind.
    #[error("the message is not a {0}")]
    WrongKind(&'static str),
}
