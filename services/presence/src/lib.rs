//! The presence service: subscriptions, publications, lists, summaries, stored messages.
//!
//! A subscription is a record in the store and a pure function over it ([`engine`]). Any replica takes any SUBSCRIBE and any change:
//! it loads the record, steps it, commits record, NOTIFY and due time together, answers, and then has an edge send the NOTIFY
//! (`runner`). No replica owns a subscription.
//!
//! **Here:** the event packages of [`engine::Package`], publications, policies, lists of resources in package presence (RFC 4662),
//! and messages that wait for their users (`mail`). Everything else is refused: a phone gets 489. Nothing is accepted here and then
//! lost.
//!
//! **Deliberately absent:** sockets toward phones and SIP text (edges have them), routing and accounts (the registrar).
//!
//! Members of lists in other domains are subscribed to there (`elsewhere`).
//!
//! Start reading at [`Deps`] and [`Presence`], then `intake/subscribe.rs`, `runner`, and [`engine`].
#![forbid(unsafe_code)]

mod api;
pub mod calls;
mod config;
mod counts;
pub mod edges;
mod elsewhere;
pub mod engine;
mod intake;
mod mail;
mod refusal;
pub mod registrations;
mod repository;
mod runner;
mod service;
mod topics;
mod watch;

pub use config::Config;
pub use service::{Deps, Presence, build};
