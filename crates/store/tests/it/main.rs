//! The conformance suite, on both engines, and what only the Redis engine can show.

mod conformance;
mod faults;
mod rig;
mod server;
mod topologies;
