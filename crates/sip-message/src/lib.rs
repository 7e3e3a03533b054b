//! Bytes to SIP messages and back: parse, print, edit by splicing, headers, URIs, stream framing.
//!
//! # What is here
//! - [`Message`]: the bytes as received and a table of where each header stands. [`Message::parse`]
//!   is one pass without an allocation; a header is typed only when somebody asks for it, and typed
//!   views ([`Via`], [`NameAddr`], [`Uri`], …) borrow from the message.
//! - [`Edit`]: forwarding by splicing. Whatever is not touched leaves byte for byte.
//! - [`RequestBuilder`], [`ResponseBuilder`]: new messages from checked parts.
//! - [`Framer`]: messages out of a byte stream.
//!
//! # What is deliberately absent
//! Sockets, clocks and randomness; transactions and routing; credentials and bodies, which have
//! crates of their own. No status code is chosen here: an error says what was wrong, the edge's
//! reject table says how to answer it.
//!
//! # Where to start
//! `message/parse.rs` for the pass over the bytes, `edit/mod.rs` for forwarding.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod build;
mod edit;
mod error;
mod frame;
mod grammar;
mod header;
mod limits;
mod message;
mod method;
mod status;
mod swar;
mod uri;

pub use build::{RequestBuilder, ResponseBuilder, Written};
pub use edit::Edit;
pub use error::{BuildError, HeaderError, HeaderFault, ParseError, ParseErrorKind, SyntaxError};
pub use frame::{Frame, Framer};
pub use grammar::is_token;
pub use header::*;
pub use limits::Limits;
pub use message::{Essentials, Field, Message, SentBy};
pub use method::Method;
pub use status::standard_reason;
pub use uri::{
    MAX_URI_BYTES, MAX_URI_PARTS, Scheme, Uri, UriHeader, host_ip, percent_decode, percent_encode,
};
