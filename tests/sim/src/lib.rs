//! Whole-cluster simulation in virtual time from one printed seed: the third composition root, beside the all-in-one process
//! and the separate ones.
//!
//! **Here:** the real services, linked in-process, over one store in memory that takes its time ([`store`]); scripted phones
//! ([`phones`]); a network that loses, repeats, delays and reorders datagrams ([`network`]); random work ([`workload`], and all that
//! can be done to calls: [`ladders`]), mixers and a carrier ([`lines`]), while
//! processes of every role die, stop, lose their links or their store ([`disturbance`], [`trouble`]); and what must hold when it
//! is over ([`invariants`]). [`loss`] counts what a bad network alone does to requests and calls. All chance comes from the seed, all time from the runtime, so that a seed that fails once fails
//! always. [`sabotage`] puts mistakes in on purpose: each invariant is seen to fail.
//!
//! **Deliberately absent:** TCP, TLS, gRPC encoding and Redis, which real processes are tested with elsewhere.
//!
//! Start reading at [`workload`], then `cluster.rs`.
#![forbid(unsafe_code)]

pub mod bindings;
pub mod chance;
pub mod clock;
pub mod cluster;
pub mod disturbance;
pub mod invariants;
pub mod ladders;
pub mod lines;
pub mod links;
pub mod loss;
pub mod network;
pub mod phones;
pub mod records;
pub mod registrars;
pub mod sabotage;
mod start;
pub mod store;
pub mod trace;
pub mod trouble;
pub mod watcher;
pub mod workload;
