//! The stateful proxy core as a pure machine: request checks, forwarding, fork, response context.
//!
//! # What is here
//! - [`check_request`]: what RFC 3261 16.3 asks of a request before it goes on.
//! - [`Own`], [`Arrived`]: who we are, and what of a request's route was meant for us (16.4).
//! - [`Forwarding`]: the copy that goes out on one branch, made by splicing (16.6); [`strict_router`]: what may stand in its Request-URI.
//! - [`as_request_uri`]: what a URI loses when it becomes a Request-URI (16.6).
//! - [`RoutingDigest`]: branch parameters that show loops (RFC 5393).
//! - [`ResponseContext`]: which branches run and which response goes up (16.7–16.10).
//!
//! # What is deliberately absent
//! Transactions, sockets, name resolution, and where targets come from: the edge does the sending, and the registrar
//! decides. The machine never reads a target or a response beyond what its two small traits say.
//!
//! # Where to start
//! The table at the top of `response_context.rs`.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod check;
mod forward;
mod loops;
mod own;
mod request_uri;
mod response_context;
mod route;
#[cfg(test)]
mod samples;

pub use check::{Allowance, MAX_BREADTH, Refusal, check_extensions, check_request};
pub use forward::{Forwarding, strict_router};
pub use loops::{Hexadecimal, RoutingDigest};
pub use own::Own;
pub use request_uri::as_request_uri;
pub use response_context::{
    Best, BranchFailure, BranchId, CancelCause, Condition, Group, Nature, Output, Response, ResponseContext,
    Settings, Target,
};
pub use route::Arrived;
