//! Bindings whose time has come: found as due work by whichever replica is first (REG-17).

use std::time::Duration;

use cluster_api::registrar::v1::binding_event::Type;
use futures_util::stream::{self, StreamExt as _};
use store::{Batch, Due, Expect, Partition, StoreError, claim_all_due};

use crate::{
    Shared,
    aors::{BOUND_INDEX, Change, ChangeError, EXPIRY_QUEUE, name_of, note},
};

/// How long a claimed record is left to its claimer.
const LEASE: Duration = Duration::from_secs(5);
/// Records of one partition that are changed at a time.
const AT_ONCE: usize = 4;

impl Shared {
    /// Removes what has expired in all partitions. What cannot be done now comes again after the lease, and holds up nothing else.
    pub(crate) async fn expire(&self) {
        let expire = |partition: Partition, claimed: Vec<Due>| async move {
            let expiring = claimed.into_iter().map(|due| self.expire_due(&partition, due));
            stream::iter(expiring).buffer_unordered(AT_ONCE).collect().await
        };
        claim_all_due(self.aors.store(), self.aors.partitions(), EXPIRY_QUEUE, LEASE, expire).await;
    }

    async fn expire_due(&self, partition: &Partition, due: Due) {
        match self.expire_one(partition, &due.id).await {
            Ok(()) => {}
            Err(ChangeError::Store(error @ (StoreError::Corrupt { .. } | StoreError::Invalid { .. }))) => {
                tracing::error!(%error, %partition, "a record of bindings cannot be read, and they do not expire");
            }
            Err(error) => tracing::debug!(%error, "expired bindings are left to the next claim"),
        }
    }

    /// Whatever is found, the due entry is moved to the next expiry or removed with the same commit.
    async fn expire_one(&self, partition: &Partition, aor: &str) -> Result<(), ChangeError> {
        let exists = self
            .aors
            .change(aor, |draft| {
                if !draft.exists {
                    return Change::Keep(false);
                }
                let now_ms = draft.now_ms;
                let expired = draft.record.take_expired(now_ms);
                draft.ops.extend(expired.iter().map(|binding| note(aor, Type::Expired, binding)));
                self.meters.expired.inc_by(u64::try_from(expired.len()).unwrap_or(0));
                // the entry that was claimed is in the past: it is planned anew
                Change::Commit(true)
            })
            .await?;
        if exists {
            return Ok(());
        }
        let mut batch = Batch::new(partition);
        batch
            .check(name_of(aor), Expect::Absent)
            .due_remove(EXPIRY_QUEUE, aor)
            .index_remove(BOUND_INDEX, aor);
        match self.aors.store().commit(batch).await {
            // a record that came up meanwhile has planned its own entry
            Ok(_) | Err(StoreError::Conflict) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
