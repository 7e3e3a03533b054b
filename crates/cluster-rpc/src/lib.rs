//! How services talk to each other and to business software.
//!
//! **Here:** the links ([`LocationLink`], [`LegEventsLink`], [`LegsLink`], ...: the same calls in-process or over TCP), finding and
//! choosing replicas, deadlines and retries ([`remote`]), questions over streams ([`LocationAnswers`]), who is alive ([`membership`]), who may call what ([`auth`]), and the one
//! table of refusals ([`Reason`], [`Refusal`]).
//!
//! **Not here:** the messages (`cluster-api`), and any rule of any service.
//!
//! Start reading at `links.rs`.
#![forbid(unsafe_code)]

pub mod auth;
mod bindings;
mod by_edge;
mod calls;
mod conversation;
mod envelope;
mod links;
pub mod membership;
mod reason;
pub mod remote;
pub mod server;
mod status;
pub mod trace;

pub use bindings::BindingsLink;
pub use by_edge::{CaptureLink, EDGE_ROLE, EdgeDirectory, EdgesLink, LegsLink, RequestsLink};
pub use calls::CallsLink;
pub use conversation::LocationAnswers;
pub use envelope::Envelope;
pub use links::{
    ConferencesLink, IntakeLink, LegEventsLink, LocationLink, MembershipLink, ProxiedCallsLink, SpendingLink,
};
pub use membership::Membership;
pub use reason::Reason;
pub use remote::{Address, Replicas, Wiring};
pub use status::{ERROR_DOMAIN, Refusal};
