//! Contacts that are refreshed, for those who watch where somebody is registered (RFC 3680).
//!
//! The registrar logs no REGISTER that only extends the time of a contact: most of its log would be that, whether anybody watches or not.
//! So the bindings are looked at again shortly before the time is over that watchers were told: one question to the registrar for each
//! time that was told, by any replica, and no watcher counts a contact down to its end that goes on.

use std::sync::Arc;

use cluster_api::registrar::v1::binding_event::Type;
use store::{Batch, Due, Partition, StoreError};

use super::{ApplyError, Origin, Runner};
use crate::engine::Package;
use crate::repository::{names, time};
use crate::topics::Bindings;

/// When it is looked, before the end of the time that was told: phones refresh earlier, most of them much.
const LEADS_MS: [u64; 2] = [10_000, 1_000];
/// How long after it: by then the registrar has said that a contact has expired, and else it was refreshed in its last second.
const AFTER_MS: u64 = 1_000;

impl Runner {
    /// Adds to a commit of bindings that they are looked at before the first of their times is over.
    pub(super) fn plan_look(&self, batch: &mut Batch, aor: &str, bindings: &Bindings) {
        let entry = names::due_bindings(aor);
        match bindings.first_expiry_ms() {
            Some(end) => batch.due_add(names::DUE, entry, time(look_ms(end, self.repository.now_ms())), ""),
            None => batch.due_remove(names::DUE, entry),
        };
    }

    /// The time that watchers know of a contact is nearly over.
    pub(super) async fn look_at_bindings(
        self: &Arc<Self>,
        partition: &Partition,
        aor: &str,
        due: &Due,
    ) -> Result<(), ApplyError> {
        let (package, name) = (Package::Reg, names::bindings(Package::Reg, aor));
        let (value, expect) = self.repository.record(aor, &name).await?;
        let before = Bindings::read(value.as_ref())?;
        if value.is_none() || self.repository.head(package, aor).await?.watchers == 0 {
            return self.is_done(partition, due).await;
        }
        let listed = match self.listed(aor).await {
            Ok(listed) => listed,
            Err(status) => {
                tracing::debug!(error = status.message(), "bindings are looked at after the next claim");
                return Ok(());
            }
        };
        let mut after = before.after(package, listed, Some(Type::Expired));
        if after.has_lost(&before, self.repository.now_ms()) {
            // What ended it is on its way here, and says why.
            after = before.clone();
        }
        let mut batch = Batch::new(partition);
        self.plan_look(&mut batch, aor, &after);
        let committed = if after == before {
            batch.check(&name, expect);
            self.repository.store().commit(batch).await
        } else {
            batch.put(&name, after.write(), expect);
            self.repository.commit_telling(batch, aor, &[package]).await
        };
        match committed {
            Ok(outcome) if after != before => {
                self.fan_out(package, aor, Origin::Commit(name, outcome.version));
                Ok(())
            }
            // Whoever learnt something meanwhile planned the next look.
            Ok(_) | Err(StoreError::Conflict) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// The next look at contacts of which the first lapses then, as far as watchers know.
pub fn look_ms(end_ms: u64, now_ms: u64) -> u64 {
    let before = LEADS_MS.iter().map(|lead| end_ms.saturating_sub(*lead));
    let later = before.chain([end_ms + AFTER_MS]).find(|at| *at > now_ms);
    later.unwrap_or(now_ms + LEADS_MS[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_looked_before_the_end_and_once_after_it() {
        let mut looks = vec![look_ms(60_000, 0)];
        while looks.len() < 4 {
            looks.extend(looks.last().map(|now| look_ms(60_000, *now)));
        }
        assert_eq!(looks, [50_000, 59_000, 61_000, 71_000]);
        assert_eq!(look_ms(500, 0), 1_500, "a static contact of a moment");
    }
}
