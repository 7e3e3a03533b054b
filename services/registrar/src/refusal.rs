//! Failures of the store as refusals of the API.

use cluster_rpc::Refusal;
use store::StoreError;
pub(crate) use store_rpc::of_store;

use crate::aors::ChangeError;

/// What the caller of an rpc is told when a record was not changed.
pub(crate) fn of_change(error: ChangeError) -> Refusal {
    match error {
        ChangeError::Contended => of_store(StoreError::Conflict),
        ChangeError::Store(error) => of_store(error),
    }
}
