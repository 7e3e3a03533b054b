//! Those who wait for a decision are given up when it has not come for long. RFC 3857 4.7.1

use std::sync::Arc;

use store::{Batch, Due, Partition, StoreError};

use super::{ApplyError, Origin, Runner};
use crate::engine::Package;
use crate::repository::put_waiting;
use crate::topics::{Waiting, waiting_record};

impl Runner {
    /// Forgets who has waited for too long, and tells those who watch the watchers.
    pub(super) async fn give_up_waiting(
        self: &Arc<Self>,
        partition: &Partition,
        aor: &str,
        due: &Due,
    ) -> Result<(), ApplyError> {
        let name = waiting_record(aor);
        let (value, expect) = self.repository.record(aor, &name).await?;
        let before = Waiting::read(value.as_ref())?;
        let mut after = before.clone();
        after.give_up(self.repository.now_ms());
        if after == before && after.next_ms().is_none() {
            return self.is_done(partition, due).await;
        }
        let mut batch = Batch::new(partition);
        put_waiting(&mut batch, aor, &after, expect);
        match self.repository.commit_telling(batch, aor, &[Package::Winfo]).await {
            Ok(outcome) => {
                self.fan_out(Package::Winfo, aor, Origin::Commit(name, outcome.version));
                Ok(())
            }
            // Somebody began to wait meanwhile, and set the time anew.
            Err(StoreError::Conflict) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Forgets all who wait for the decision of somebody who has gone.
    pub(super) async fn forget_waiting(&self, aor: &str) -> Result<(), ApplyError> {
        let (value, expect) = self.repository.record(aor, &waiting_record(aor)).await?;
        if value.is_none() {
            return Ok(());
        }
        let mut batch = Batch::new(self.repository.partition(aor));
        put_waiting(&mut batch, aor, &Waiting::default(), expect);
        match self.repository.store().commit(batch).await {
            // Who has begun to wait meanwhile waits for the one that has the name now.
            Ok(_) | Err(StoreError::Conflict) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
