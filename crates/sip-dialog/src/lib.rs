//! Dialogs as values: identifiers, route set, remote target, sequence numbers.
//!
//! # What is here
//! - [`Dialog`]: made from a response to our request or from a request to us, then asked for the next request and told of
//!   what the peer sends. RFC 3261 12
//! - [`RouteSet`]: the layout of Request-URI and Route, strict routers included. RFC 3261 12.2.1.1
//!
//! # What is deliberately absent
//! Transactions, timers and bodies. Offer and answer, session timer and event subscriptions are kept by whoever uses the
//! dialog; a re-INVITE that fails changes nothing here (RFC 3261 14.1).
//!
//! # Where to start
//! `dialog.rs`.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod dialog;
mod route_set;
#[cfg(test)]
mod samples;

pub use dialog::{Dialog, DialogId, NoDialog, NotAccepted, State};
pub use route_set::{Layout, RouteSet};
