//! An account that was deleted: who watches it is told that there is no such resource, and what it published goes.
//!
//! What began after it was deleted is of an account that has the name now, and stays.

use std::sync::Arc;
use std::time::Duration;

use cluster_api::registrar::v1::BindingEvent;
use futures_util::{StreamExt as _, stream};
use store::{Batch, Due, Partition};
use tokio::time::sleep;

use super::{ApplyError, Runner};
use crate::engine::{Event, Package};
use crate::repository::{corrupt, names};

/// Tries to keep in mind that an account is gone while the store is away.
const ATTEMPTS: u32 = 5;
/// Watchers read at a time, and told together.
const PAGE: usize = 256;
const AT_ONCE: usize = 16;

impl Runner {
    /// Keeps in mind that its watchers are to be told. The stream is not read further before that is committed.
    pub(super) async fn account_has_gone(&self, event: &BindingEvent) {
        let aor = event.aor.as_str();
        let at_ms = event.time.as_ref().map_or_else(
            || self.repository.now_ms(),
            |time| {
                let (seconds, nanos) = (time.seconds.unsigned_abs(), time.nanos.unsigned_abs());
                seconds * 1_000 + u64::from(nanos) / 1_000_000
            },
        );
        let mut pause = Duration::from_millis(50);
        for _ in 0..ATTEMPTS {
            let store = self.repository.store();
            let mut batch = Batch::new(self.repository.partition(aor));
            batch.due_add(names::DUE, names::due_gone(aor), store.now(), at_ms.to_string());
            match store.commit(batch).await {
                Ok(_) => return,
                Err(error) => tracing::debug!(%error, "the end of an account is not kept yet"),
            }
            sleep(pause).await;
            pause *= 3;
        }
    }

    /// Ends what watches an account that was deleted, in every package.
    pub(super) async fn end_of_account(
        self: &Arc<Self>,
        partition: &Partition,
        aor: &str,
        due: &Due,
    ) -> Result<(), ApplyError> {
        let payload = String::from_utf8(due.payload.to_vec()).map_err(corrupt)?;
        let at_ms: u64 = payload.parse().map_err(corrupt)?;
        for package in Package::ALL {
            self.end_watchers(package, aor, at_ms).await?;
        }
        self.drop_publications(aor, at_ms).await?;
        self.forget_waiting(aor).await?;
        self.is_done(partition, due).await
    }

    async fn end_watchers(
        self: &Arc<Self>,
        package: Package,
        aor: &str,
        at_ms: u64,
    ) -> Result<(), ApplyError> {
        let mut after: Option<String> = None;
        loop {
            let page = self.repository.watchers(package, aor, after.as_deref(), PAGE).await?;
            let ends = page.entries.into_iter().map(|(id, _)| {
                let runner = Arc::clone(self);
                async move { runner.end_watcher(&id, at_ms).await }
            });
            let results: Vec<_> = stream::iter(ends).buffer_unordered(AT_ONCE).collect().await;
            results.into_iter().collect::<Result<(), _>>()?;
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(()),
            }
        }
    }

    /// RFC 6665 4.1.3: its watcher need not come again.
    async fn end_watcher(self: &Arc<Self>, id: &str, at_ms: u64) -> Result<(), ApplyError> {
        let known = self.repository.load(id).await?;
        if known.is_none_or(|known| known.subscription.create_ms > at_ms) {
            return Ok(());
        }
        match self.apply(id, &Event::NoResource, false).await {
            Ok(_) | Err(ApplyError::Unknown) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
