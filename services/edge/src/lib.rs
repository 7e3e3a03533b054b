//! The edge service: transactions' user, the proxy core on the wire, admission, and the legs of call-control.
//!
//! # What is here
//! - [`Config`], [`Deps`], [`build`], [`EdgeService::bind`], [`BoundEdge::run`]: one edge.
//! - [`LegsService`], [`RequestsService`]: the gRPC faces for the other services.
//! - [`CaptureService`], [`TracesService`], [`EdgesService`]: what passed here lately and why, and the edges themselves, for
//!   operators.
//!
//! # What is deliberately absent
//! Durable state, credentials and every other service's rules: who may call whom and where a user is comes from the
//! registrar as a plan; what a call means, call-control knows. There is no span and no log line per message: counters say
//! what happened.
//!
//! # Where to start
//! The table at the top of `edge.rs`: what comes, and where it goes.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod answer;
mod arrive;
mod capture;
mod cluster;
mod compose;
mod config;
mod deps;
mod dialog_mark;
mod edge;
mod exchange;
mod flow_token;
mod forward;
mod gateway_mark;
mod gateways;
mod gathered;
mod legs;
mod operate;
mod reach;
mod refusal;
mod reject;
mod report;
mod seen;
mod service;
mod trunk_mark;

pub use capture::{CaptureService, TracesService};
pub use config::{Config, Limits};
pub use deps::Deps;
pub use exchange::RequestsService;
pub use legs::LegsService;
pub use operate::operation::EdgesService;
pub use service::{BoundEdge, EdgeService, build};
pub use sip_endpoint::{BadNetwork, Network};
