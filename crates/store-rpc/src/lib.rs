//! What rpcs over the store have in common.
//!
//! **Here:** request ids that take effect once ([`RequestIds`]), records of a schema that is known
//! ([`read_record`]), and failures of the store as refusals of the API ([`of_store`]).
//!
//! **Deliberately absent:** any record of any service. Call-control commits a request id with the call that it made, and needs
//! no claim of its own.
//!
//! Start reading at `request_ids.rs`.
#![forbid(unsafe_code)]

mod record;
mod refusal;
mod request_ids;

pub use record::read_record;
pub use refusal::of_store;
pub use request_ids::{RequestIds, RequestUse};
