//! What other services are told when they ask for something that the edge does not do.

use cluster_rpc::{Reason, Refusal};
use tonic::Status;

/// A field is not what it has to be.
pub(crate) fn bad_field(field: &str, expected: impl Into<String>) -> Status {
    Refusal::field(Reason::BadField, field, expected).into()
}

/// There is no room now.
pub(crate) fn overloaded(what: &str) -> Status {
    Refusal::new(Reason::Overloaded, what).into()
}

/// It is not on this edge, or not any more.
pub(crate) fn not_here(what: &str) -> Status {
    Refusal::new(Reason::LegNotFound, what).into()
}
