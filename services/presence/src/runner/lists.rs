//! Lists: who is on them is told so, and a change of one of them reaches those who watch the list.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use store::{Batch, StoreError};

use super::fan_out::Origin;
use super::{ApplyError, Runner};
use crate::engine::Package;
use crate::repository::names;

/// How long the version is remembered by which a change of a member is told.
const REMEMBERED: Duration = Duration::from_secs(3_600);
/// Members whose bindings are learnt together.
const AT_ONCE: usize = 16;

impl Runner {
    /// Carries out what the last change of a list left to do: its members and former members are told, then its watchers.
    ///
    /// A member that changes before it was told reaches nobody, so the watchers look again after it.
    pub(crate) async fn settle_list(self: &Arc<Self>, uri: &str) -> Result<(), ApplyError> {
        for _ in 0..self.config.commit_attempts {
            let (record, expect) = self.repository.list(uri).await?;
            let (marker, mut batch) = (names::list_marker(uri), Batch::new(self.repository.partition(uri)));
            batch.due_remove(names::DUE, names::due_list(uri));
            let Some(mut record) = record else {
                // Whoever makes it anew meanwhile has a due entry of its own.
                batch.check(names::list(uri), expect);
                return match self.repository.store().commit(batch).await {
                    Ok(_) | Err(StoreError::Conflict) => Ok(()),
                    Err(error) => Err(error.into()),
                };
            };
            self.repository.tell_members(&record).await?;
            match record.is_removed {
                true => batch.delete(names::list(uri), expect),
                false => {
                    record.former.clear();
                    batch.put(names::list(uri), record.write(), expect)
                }
            };
            batch.put_for(&marker, "", store::Expect::Any, REMEMBERED);
            match self.repository.commit_telling(batch, uri, &[Package::Presence]).await {
                Ok(outcome) => {
                    self.fan_out(Package::Presence, uri, Origin::Commit(marker, outcome.version));
                    self.learn_members(uri);
                    return Ok(());
                }
                Err(StoreError::Conflict) => self.counts.conflicts.inc(),
                Err(error) => return Err(error.into()),
            }
        }
        Err(ApplyError::Contended)
    }

    /// Tells the watchers of the lists that show somebody who has changed. Each list has a due entry of its own.
    pub(super) async fn tell_lists_of(self: &Arc<Self>, member: &str) -> Result<(), ApplyError> {
        let (lists, is_cut) = self.repository.lists_above(member).await?;
        if is_cut {
            self.counts.limits.with_label_values(&["lists_above"]).inc();
        }
        for uri in lists {
            let marker = names::list_marker(&uri);
            let mut batch = Batch::new(self.repository.partition(&uri));
            let store = self.repository.store();
            let at = store.now() + self.config.notify_lease;
            batch.put_for(&marker, "", store::Expect::Any, REMEMBERED).due_add(
                names::DUE,
                names::due_member(&uri),
                at,
                "",
            );
            let version = store.commit(batch).await?.version;
            self.fan_out_list(&uri, Origin::Commit(marker, version));
        }
        Ok(())
    }

    /// Learns where the members of a list are registered, in the background.
    pub(crate) fn learn_members(self: &Arc<Self>, uri: &str) {
        let (runner, uri) = (Arc::clone(self), uri.to_owned());
        let work = async move {
            let Ok((Some(record), _)) = runner.repository.list(&uri).await else { return };
            let members: Vec<String> = record.own_members().map(str::to_owned).collect();
            let learning = members.into_iter().map(|member| {
                let runner = Arc::clone(&runner);
                async move { runner.learn(Package::Presence, &member, None).await }
            });
            stream::iter(learning).buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
        };
        if self.tasks.spawn("bindings", work).is_err() {
            self.counts.limits.with_label_values(&["tasks"]).inc();
        }
    }
}
