//! Sockets, flows and the one driver loop that runs the transaction machines.
//!
//! # What is here
//! - [`Endpoint`]: UDP and TCP on the same port, TLS and WebSocket on others, the [`Transactions`](sip_transaction::Transactions) above them, and a
//!   loop that lets one thing happen after the other. Whatever is built on top is a [`TransactionUser`], called in the
//!   loop with a [`Context`] to act through. There is no lock, and no task for a transaction.
//! - [`DatagramSocket`]: the seam below, where a simulation puts a network of its own.
//! - [`Hop`]: where a message came from or goes. [`Target`] and [`locate`](locate()): from a URI to a hop's address
//!   by RFC 3263, which [`Locating`] is without the asking; [`Dns`] is asked, and [`Resolver`] is the one of a process.
//! - [`Counters`]: what happened, by reason. [`Witness`]: sees each message pass, for those who want to look on.
//!
//! # What is deliberately absent
//! Rules: what to do with a request is the user's affair, and so are drain and admission. A WebSocket is never opened by us: only
//! phones have reason to (RFC 7118 5).
//!
//! # Where to start
//! `user.rs` for what the endpoint calls and `context.rs` for what can be done then; `driver.rs` for the loop and `dispatch.rs`
//! for what it hands to the user;
//! `inbound.rs` and `outbound.rs` for the rules of RFC 3261 18; `opening.rs` for what comes before the first message of a connection,
//! `tls/` for who a peer is, `reused.rs` for which connection a request takes. `mmsg.rs` is the only file with unsafe code.
#![deny(unsafe_code)]
#![warn(missing_docs)]

mod aliased;
mod config;
mod context;
mod counters;
mod datagrams;
mod dispatch;
mod dns;
mod domain_shares;
mod driver;
mod endpoint;
mod flow;
mod hop;
mod inbound;
mod kernel;
mod lingering;
mod locate;
mod locating;
#[allow(
    unsafe_code,
    reason = "recvmmsg, sendmmsg, the error queue and registering for reading alone have no safe wrapper"
)]
mod mmsg;
mod names;
mod network;
mod opening;
mod outbound;
mod refused_tcp;
mod resolver;
mod returning;
mod reused;
mod silence;
mod srv_order;
mod strangers;
mod stream;
mod stun;
mod target;
mod timers;
mod tls;
mod udp;
mod user;
mod waiting;
mod websocket;
mod witness;
mod work;

pub use config::{Config, Listen, ListenStream, Siblings};
pub use context::{Context, Load};
pub use counters::{Counter, Counters};
pub use datagrams::{Backlog, DatagramSocket, Outgoing, Returned};
pub use dns::{Answer, Dns, DnsError, Naptr, Srv, SystemDns};
pub use endpoint::{Endpoint, Handle};
pub use flow::{FlowEnd, FlowView};
pub use hop::{Arrival, FlowId, Hop, SocketId, Transport};
pub use locate::locate;
pub use locating::{Locating, MAX_DESTINATIONS, MAX_HOSTS, Output as LocatingOutput, Reply as LocatingReply};
pub use names::OwnVia;
pub use network::{BadNetwork, Network};
pub use resolver::{Resolver, ResolverConfig, ResolverError};
pub use strangers::source_of;
pub use target::{Destination, Target};
pub use timers::TimerId;
pub use tls::{CertificateFiles, Distrust, Shown, Tls, TlsFiles, TlsProblem, domain_identities, is_identity};
pub use user::{Failure, TransactionUser};
pub use witness::{Direction, Seen, Witness};
pub use work::Busy;

pub use sip_transaction::{
    BuildError, CancelOutcome, CancelTarget, ClientKey, Key, RespondError, SendError, ServerKey,
};
