//! A change is told to all watchers of a resource. Each is a step of its own: one that fails, or does not answer, delays no other.

use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use store::{Batch, Due, Expect, StoreError};

use super::{ApplyError, Known, Runner};
use crate::engine::{Event, Package};
use crate::repository::names;

/// Watchers read at a time.
const PAGE: usize = 256;
/// Watchers of one resource that are looked at together.
const AT_ONCE: usize = 16;

/// What is known of the due entry of a fan-out.
pub enum Origin {
    /// This replica committed the change of this record, which has this version.
    Commit(String, u64),
    /// Another one did, and has not finished.
    Claim(Due),
}

impl Runner {
    /// Tells the watchers of a resource what has changed, in the background, and those of the lists that it is on.
    pub fn fan_out(self: &Arc<Self>, package: Package, resource: &str, origin: Origin) {
        let (runner, resource) = (Arc::clone(self), resource.to_owned());
        self.spawn_fan_out(async move {
            runner.tell_watchers(package, &resource).await?;
            if package == Package::Presence {
                runner.tell_lists_of(&resource).await?;
            }
            runner.is_told(&resource, &names::due_fan_out(package, &resource), origin).await
        });
    }

    /// Tells the watchers of a list what has changed of its members, in the background.
    pub fn fan_out_list(self: &Arc<Self>, uri: &str, origin: Origin) {
        let (runner, uri) = (Arc::clone(self), uri.to_owned());
        self.spawn_fan_out(async move {
            runner.tell_watchers(Package::Presence, &uri).await?;
            runner.is_told(&uri, &names::due_member(&uri), origin).await
        });
    }

    pub(crate) fn spawn_fan_out(
        &self,
        telling: impl Future<Output = Result<(), ApplyError>> + Send + 'static,
    ) {
        let work = async move {
            if let Err(error) = telling.await {
                tracing::debug!(%error, "watchers are told after the next claim");
            }
        };
        if self.tasks.spawn("fan-out", work).is_err() {
            // The due entry that was committed with the change brings it up again.
            self.counts.limits.with_label_values(&["tasks"]).inc();
        }
    }

    async fn tell_watchers(self: &Arc<Self>, package: Package, resource: &str) -> Result<(), ApplyError> {
        let mut after: Option<String> = None;
        loop {
            let page = self.repository.watchers(package, resource, after.as_deref(), PAGE).await?;
            // Read once for all of them: each commit checks that it is still so. The list of watchers is checked by none, and read after
            // each of those who watch it, so that nobody is told an older one after a newer one.
            let read = match page.entries.is_empty() || package == Package::Winfo {
                true => None,
                false => Some(self.repository.topic(package, resource, false, None).await?),
            };
            let looks = page.entries.into_iter().map(|(id, _)| {
                let (runner, known) = (Arc::clone(self), Known { subscription: None, read: read.as_ref() });
                async move {
                    match runner.apply_knowing(&id, &Event::Look, false, known).await {
                        Ok(_) | Err(ApplyError::Unknown) => Ok(()),
                        Err(error) => Err(error),
                    }
                }
            });
            let results: Vec<_> = stream::iter(looks).buffer_unordered(AT_ONCE).collect().await;
            results.into_iter().collect::<Result<(), _>>()?;
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(()),
            }
        }
    }

    /// Everybody was told: the due entry goes.
    pub(crate) async fn is_told(
        &self,
        resource: &str,
        entry: &str,
        origin: Origin,
    ) -> Result<(), ApplyError> {
        let mut batch = Batch::new(self.repository.partition(resource));
        match origin {
            Origin::Commit(name, version) => {
                // A change that came later has an entry of its own, which stays.
                batch.check(name, Expect::Version(version)).due_remove(names::DUE, entry)
            }
            Origin::Claim(due) => batch.due_done(names::DUE, &due),
        };
        match self.repository.store().commit(batch).await {
            Ok(_) | Err(StoreError::Conflict) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
