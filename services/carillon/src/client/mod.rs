//! The client commands: each a few rpcs and a way to show the answer.

mod account;
mod bindings;
mod call_view;
mod calls;
mod connect;
mod dial;
mod edges;
mod follow;
mod forward;
mod ladder;
mod message;
mod mwi;
mod pcap;
mod presence;
mod refusal;
mod transfer;
mod trunk;

pub use account::run as account;
pub use bindings::run as bindings;
pub use call_view::event_line;
pub use calls::{call_filter, hangup, list as calls, show as call_show};
pub use connect::{Connection, connect};
pub use dial::{dial, exit_status};
pub use edges::list as edges;
pub use forward::run as forward;
#[cfg(test)]
pub use ladder::LadderMessage;
pub use ladder::{Gathered, gather, run as ladder};
pub use message::run as message;
pub use mwi::run as mwi;
pub use presence::run as presence;
pub use refusal::Refusal;
pub use transfer::transfer;
pub use trunk::run as trunk;
