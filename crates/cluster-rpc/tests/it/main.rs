//! Integration tests of `cluster-rpc`: links over real connections on loopback.

mod edges;
mod membership;
mod reasons;
mod replicas;
mod rig;
mod streams;
