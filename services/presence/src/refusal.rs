//! Failures as refusals of the API.

use cluster_rpc::{Reason, Refusal};
use store::StoreError;
use tonic::Status;

use crate::runner::ApplyError;

/// The refusal that belongs to a failure of the store.
pub fn of_store(error: StoreError) -> Status {
    store_rpc::of_store(error).into()
}

/// Nobody has this address of record.
pub fn unknown_account(aor: &str) -> Status {
    Refusal::new(Reason::AccountNotFound, format!("there is no account {aor:.200}")).into()
}

/// The refusal that belongs to a change that was not made.
pub fn of_change(error: ApplyError) -> Status {
    match error {
        ApplyError::Contended | ApplyError::Unknown => of_store(StoreError::Conflict),
        ApplyError::Store(error) => of_store(error),
    }
}
