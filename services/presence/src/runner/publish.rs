//! Publications: applied in order, one commit each. RFC 3903 6

use std::sync::Arc;

use bytes::Bytes;
use store::{Batch, Due, Expect, Partition, StoreError};

use super::{ApplyError, Origin, Runner};
use crate::engine::Package;
use crate::repository::{names, time};
use crate::topics::Publications;
use crate::topics::publications::{Publishing, Unpublished};

/// What is told of a publication that stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// Its tag.
    pub etag: String,
    /// When it lapses; `None` when it is gone.
    pub expire_ms: Option<u64>,
}

impl Runner {
    /// Applies a PUBLISH; committed when this returns `Ok(Ok)`.
    ///
    /// # Errors
    /// When the store fails; inside, when it is refused.
    pub async fn publish(
        self: &Arc<Self>,
        aor: &str,
        asked: &Publishing,
    ) -> Result<Result<Published, Unpublished>, ApplyError> {
        for _ in 0..self.config.commit_attempts {
            let name = names::state(Package::Presence, aor);
            let (value, expect) = self.repository.record(aor, &name).await?;
            let before = Publications::read(value.as_ref())?;
            let mut after = before.clone();
            let now_ms = self.repository.now_ms();
            if let Err(refused) = after.publish(asked.clone(), now_ms) {
                let limit = match refused {
                    Unpublished::Full => Some("publications"),
                    Unpublished::TooOften => Some("publication_rate"),
                    Unpublished::NoMatch | Unpublished::NoDocument => None,
                };
                if let Some(limit) = limit {
                    self.counts.limits.with_label_values(&[limit]).inc();
                }
                return Ok(Err(refused));
            }
            let known = after.all.iter().find(|known| known.etag == asked.etag);
            let expire_ms = known.map(|known| known.expire_ms);
            let published = Published { etag: asked.etag.clone(), expire_ms };
            if after == before {
                return Ok(Ok(published));
            }
            let refreshes = asked.document.is_none() && asked.expires_s > 0;
            match self.put_publications(aor, &name, &after, expect, !refreshes).await {
                Ok(()) => return Ok(Ok(published)),
                Err(StoreError::Conflict) => self.counts.conflicts.inc(),
                Err(error) => return Err(error.into()),
            }
        }
        Err(ApplyError::Contended)
    }

    /// Commits publications, with the due entry of the next one that lapses, and tells who watches.
    async fn put_publications(
        self: &Arc<Self>,
        aor: &str,
        name: &str,
        after: &Publications,
        expect: Expect,
        is_told: bool,
    ) -> Result<(), StoreError> {
        let mut batch = Batch::new(self.repository.partition(aor));
        match after.write() {
            Some(value) => batch.put(name, Bytes::from(value), expect),
            None => batch.delete(name, expect),
        };
        match after.next_ms() {
            Some(next) => batch.due_add(names::DUE, names::due_publications(aor), time(next), ""),
            None => batch.due_remove(names::DUE, names::due_publications(aor)),
        };
        if is_told {
            self.log_published(&mut batch, aor, after).await?;
        }
        let told: &[Package] = if is_told { &[Package::Presence] } else { &[] };
        let outcome = self.repository.commit_telling(batch, aor, told).await?;
        if is_told {
            self.fan_out(Package::Presence, aor, Origin::Commit(name.to_owned(), outcome.version));
        }
        Ok(())
    }

    /// Removes what was published until then.
    pub(super) async fn drop_publications(
        self: &Arc<Self>,
        aor: &str,
        until_ms: u64,
    ) -> Result<(), ApplyError> {
        let name = names::state(Package::Presence, aor);
        for _ in 0..self.config.commit_attempts {
            let (value, expect) = self.repository.record(aor, &name).await?;
            let before = Publications::read(value.as_ref())?;
            let mut after = before.clone();
            after.all.retain(|publication| publication.since_ms > until_ms);
            if after.all.len() == before.all.len() {
                return Ok(());
            }
            if after.all.is_empty() {
                after = Publications::default();
            }
            match self.put_publications(aor, &name, &after, expect, true).await {
                Ok(()) => return Ok(()),
                Err(StoreError::Conflict) => self.counts.conflicts.inc(),
                Err(error) => return Err(error.into()),
            }
        }
        Err(ApplyError::Contended)
    }

    /// Removes what has lapsed.
    pub(super) async fn lapse_publications(
        self: &Arc<Self>,
        partition: &Partition,
        aor: &str,
        due: &Due,
    ) -> Result<(), ApplyError> {
        let name = names::state(Package::Presence, aor);
        let (value, expect) = self.repository.record(aor, &name).await?;
        let before = Publications::read(value.as_ref())?;
        let mut after = before.clone();
        after.lapse(self.repository.now_ms());
        if after.all.is_empty() {
            // The last ones to know of a removal that is repeated have long given up.
            after = Publications::default();
        }
        if after == before {
            return self.is_done(partition, due).await;
        }
        match self.put_publications(aor, &name, &after, expect, true).await {
            // Somebody published meanwhile, and saw to it.
            Ok(()) | Err(StoreError::Conflict) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
