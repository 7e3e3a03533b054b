//! Failures of the store as refusals of the API.

use cluster_rpc::{Reason, Refusal};
use store::StoreError;

/// What the caller of an rpc is told when the store failed.
pub fn of_store(error: StoreError) -> Refusal {
    match &error {
        StoreError::Invalid { .. } | StoreError::Corrupt { .. } => {
            tracing::error!(%error, "the store holds or was given what cannot be used");
        }
        // The caller is told, and the store's own links warn once when they break: no line for each rpc.
        _ => tracing::debug!(%error, "the store failed an rpc"),
    }
    match error {
        StoreError::Conflict => Refusal::new(Reason::Contention, "others changed the same at the same time"),
        StoreError::Unavailable { .. } => Refusal::new(
            Reason::StoreUnavailable,
            "the store is away, the log of this service says why; ask again, and read first whether a change happened all the same",
        ),
        StoreError::Timeout { .. } | StoreError::Unreplicated { .. } => Refusal::new(
            Reason::StoreUnavailable,
            "the store did not confirm in time; read to find out whether it happened",
        ),
        StoreError::Trimmed { .. } => Refusal::new(
            Reason::CursorTooOld,
            "what followed this cursor is no longer kept; watch anew without it, which begins with a snapshot",
        ),
        StoreError::Invalid { .. } | StoreError::Corrupt { .. } => {
            Refusal::new(Reason::Internal, "what is stored cannot be used; the log of this service says more")
        }
    }
}
