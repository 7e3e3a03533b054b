//! The call-control service: the call engine, its store, and the CallControl API.
//!
//! A call is a record in the store and a pure function over it ([`engine`]). Any replica takes any event of any call: it loads
//! the record, steps it, commits record, effects, timers and call events together, acknowledges, and then carries the
//! effects out (`runner`). No replica owns a call.
//!
//! Deliberately absent: sockets toward phones and SIP text (edges have them), routing (the registrar), media.
//!
//! Start reading at [`Deps`] and [`Service`] (what it needs and offers), then `runner`, then [`engine`].
#![forbid(unsafe_code)]

mod api;
mod callback;
mod config;
mod counts;
mod deliver;
pub mod edges;
pub mod engine;
mod proxied;
pub mod record;
mod refusal;
mod repository;
mod runner;
mod service;
mod violations;
mod watch;
mod wire;

pub use api::{CallControlApi, TONES};
pub use config::Config;
pub use deliver::Deliver;
pub use proxied::Reports;
pub use repository::{EVENTS, Known, Loaded, Repository, read_events};
pub use service::{Deps, Service, build};
pub use violations::can_be_dialled;
pub use wire::effects::carry_request;
