//! The rules of dialogs, over plain values: route set, remote target, sequence numbers. RFC 3261 12
//!
//! # What is here
//! - [`RouteSet`]: in which order requests travel, and the layout of Request-URI and Route, strict routers included.
//! - [`target`]: which messages move the remote target; [`sequence`]: which requests of the peer come in order.
//! - [`Dialog`]: the dialog of a response to our request, for who has nothing but that response.
//!
//! # What is deliberately absent
//! A record of a dialog: who keeps one keeps it in a form of its own, and asks here what a message changes in it. Transactions,
//! timers and bodies; offer and answer, session timers and subscriptions.
//!
//! # Where to start
//! `route_set.rs`.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod dialog;
mod route_set;
#[cfg(test)]
mod samples;
pub mod sequence;
pub mod target;

pub use dialog::{Dialog, NoDialog};
pub use route_set::{Layout, RouteSet, Side};
