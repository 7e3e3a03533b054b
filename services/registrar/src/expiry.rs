//! Bindings whose time has come: found as due work by whichever replica is first (REG-17).

use std::time::Duration;

use cluster_api::registrar::v1::binding_event::Type;
use store::{Batch, Expect, Partition, StoreError};

use crate::{
    Shared,
    aors::{BOUND_INDEX, Change, ChangeError, EXPIRY_QUEUE, name_of, note},
};

/// How long a claimed record is left to its claimer.
const LEASE: Duration = Duration::from_secs(5);
/// Records claimed at a time.
const CLAIM: usize = 64;

impl Shared {
    /// Removes what has expired in all partitions.
    ///
    /// # Errors
    /// The first failure of the store; the rest is looked for the next time.
    pub(crate) async fn expire(&self) -> Result<(), ChangeError> {
        for partition in self.aors.partitions() {
            self.expire_in(partition).await?;
        }
        Ok(())
    }

    async fn expire_in(&self, partition: &Partition) -> Result<usize, ChangeError> {
        let mut count = 0;
        loop {
            let claimed = self.aors.store().due_claim(partition, EXPIRY_QUEUE, LEASE, CLAIM).await?;
            for due in &claimed {
                self.expire_one(partition, &due.id).await?;
            }
            count += claimed.len();
            if claimed.len() < CLAIM {
                return Ok(count);
            }
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
