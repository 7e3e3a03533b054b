//! Failures as refusals of the API.

use cluster_rpc::{Reason, Refusal};
use store::StoreError;
use tonic::Status;

/// The refusal that belongs to a failure of the store.
pub fn unavailable(error: StoreError) -> Status {
    store_rpc::of_store(error).into()
}

/// Nobody has this address of record.
pub fn unknown_account(aor: &str) -> Status {
    Refusal::new(Reason::AccountNotFound, format!("there is no account {aor:.200}")).into()
}
