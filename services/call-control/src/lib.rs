//! The call-control service: the call engine, its store, and the CallControl API.
//!
//! A call is a record in the store and a pure function over it ([`engine`]). Any replica takes any event of any call: it loads
//! the record, steps it, commits record, effects, timers and call events together, acknowledges, and then carries the
//! effects out ([`runner`]). No replica owns a call.
//!
//! Deliberately absent: sockets toward phones and SIP text (edges have them), routing (the registrar), media.
//!
//! Start reading at [`service`] (what it needs and offers), then [`runner`], then [`engine`].
#![forbid(unsafe_code)]

pub mod api;
pub mod config;
mod counts;
pub mod deliver;
pub mod edges;
pub mod engine;
pub mod proxied;
mod proxied_call;
pub mod record;
mod refusal;
pub mod repository;
pub mod runner;
pub mod service;
mod violations;
mod watch;
pub mod wire;

pub use config::Config;
pub use service::{Deps, Service, build};
