//! The service around the engine: replicas over one store, with edges and phones that are played here. All of it runs in
//! virtual time.
//!
//! Start reading at `rig.rs` (replicas), `edges.rs` (edges and phones), then `dial.rs`.

mod anchored;
mod attended;
mod callbacks;
mod conference;
mod dial;
mod edges;
mod faults;
mod linked;
mod list;
mod lost_edge;
mod no_edge;
mod order;
mod over_redis;
mod promises;
mod proxied;
mod rig;
mod takeover;
mod two_calls;
mod watch;
mod watch_races;
