//! What passed this edge lately, and why it did what it did: for `carillon ladder`.
//!
//! - `ring.rs`: the bounded ring that the driver loop writes to. Writing copies the octets of a
//!   message to `text.rs` and reads nothing.
//! - `find.rs`: the steps of one call, read from the ring when somebody asks; `mask.rs`: what is hidden from them.
//! - `why.rs`: decisions and their reasons in words.
//! - `service.rs`: the ring of this edge as `carillon.trace.v1.Capture`.
//! - `merge.rs`: the rings of all edges as one ladder with names; `traces.rs`: `carillon.trace.v1.Traces`.

mod find;
mod mask;
mod merge;
mod ring;
mod service;
mod text;
mod traces;
pub(crate) mod why;

pub(crate) use ring::{Decided, Ring};
pub use service::CaptureService;
pub use traces::TracesService;
