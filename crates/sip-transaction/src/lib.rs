//! The transaction layer of SIP: RFC 3261 17 with the corrections of RFC 6026 and RFC 4320.
//!
//! # What is here
//! - [`Transactions`]: one table for all transactions of a driver loop. Messages, commands, transport errors and time go
//!   in; [`Output`]s come out.
//! - The four machines, one file each, with the table of the RFC at the top: `invite_client.rs`, `invite_server.rs`,
//!   `non_invite_client.rs`, `non_invite_server.rs`. The snapshot beside each shows every state against every input.
//! - [`Wheel`]: timers that cost a few nanoseconds to set and to cancel.
//!
//! # What is deliberately absent
//! Sockets, clocks, tasks: `now` is an argument and a neighbour is an opaque value. Addressing and the Via header belong
//! to the endpoint, dialogs and the repetition of 2xx (RFC 3261 13.3.1.4) to the user agent, Timer C to the proxy.
//!
//! # Where to start
//! `table.rs` for the verbs, then a machine beside its figure in the RFC, then `matching.rs`.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod client;
mod config;
mod effect;
#[cfg(test)]
mod golden;
mod hop_by_hop;
mod invite_client;
mod invite_server;
mod key;
mod matching;
mod non_invite_client;
mod non_invite_server;
mod output;
mod pool;
mod resend;
mod segments;
mod server;
mod slots;
mod table;
mod wheel;

pub use client::{CancelOutcome, SendError};
pub use config::{Config, Timing};
pub use effect::RespondError;
pub use hop_by_hop::BuildError;
pub use key::{BadKey, ClientKey, Key, ServerKey};
pub use output::{CancelTarget, Output};
pub use table::{Stats, Transactions};
pub use wheel::Wheel;
