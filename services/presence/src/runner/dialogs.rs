//! The calls of users whom somebody watches: learnt when somebody begins to, kept until nobody does.
//!
//! The record of a user is what says that its calls are watched. It is there before the calls are listed, so that
//! whatever happens to a call is either in the list or told afterwards (`follow_calls`), or both: revisions decide.

use std::sync::Arc;
use std::time::Duration;

use cluster_api::presence::v1::watcher_policy::Action;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use store::{Batch, Due, Expect, Partition, StoreError};
use tokio::time::timeout;

use super::lease::End;
use super::{ApplyError, Origin, Runner};
use crate::engine::Package;
use crate::repository::names;
use crate::topics::dialogs::{Taken, dialogs_of, revision};
use crate::topics::{Dialogs, Policy, policy_record};

/// How long a SUBSCRIBE waits for the calls that its first NOTIFY is to tell; later they are told as a change.
const FIRST_LOOK: Duration = Duration::from_millis(500);
/// Users whose calls are changed at a time.
const AT_ONCE: usize = 16;

impl Runner {
    /// Sees to it that the calls of somebody are known whom this watcher is about to watch.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn know_dialogs(self: &Arc<Self>, aor: &str, watcher: &str) -> Result<(), ApplyError> {
        let name = names::state(Package::Dialog, aor);
        let (value, _) = self.repository.record(aor, &name).await?;
        if Dialogs::read(value.as_ref())?.is_learnt {
            return Ok(());
        }
        if value.is_none() {
            let (policy, _) = self.repository.record(aor, &policy_record(aor)).await?;
            let policy = Policy::read(aor, policy.as_ref())?;
            if !policy.is_owner(watcher) && policy.action(watcher) == Action::Block {
                return Ok(());
            }
            let mut batch = Batch::new(self.repository.partition(aor));
            let at = self.repository.store().now() + self.config.lease;
            batch
                .put(&name, Dialogs::default().write(), Expect::Absent)
                .index_add(names::WATCHED, aor, "")
                .due_add(names::DUE, names::due_dialogs(aor), at, "");
            match self.repository.store().commit(batch).await {
                // Somebody else begins to watch too.
                Ok(_) | Err(StoreError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let (runner, aors) = (Arc::clone(self), vec![aor.to_owned()]);
        let learning =
            self.tasks.spawn("dialogs", async move { runner.learn_dialogs(aors).await.map_err(drop) });
        match learning {
            Ok(learning) => drop(timeout(FIRST_LOOK, learning).await),
            // The due entry brings it up again.
            Err(_) => self.counts.limits.with_label_values(&["tasks"]).inc(),
        }
        Ok(())
    }

    /// Learns the calls that go on of users who are watched.
    pub(super) async fn learn_dialogs(self: &Arc<Self>, aors: Vec<String>) -> Result<(), End> {
        let mut before = Vec::with_capacity(aors.len());
        for aor in aors {
            let (value, _) = self.repository.record(&aor, &names::state(Package::Dialog, &aor)).await?;
            before.push((aor, Dialogs::read(value.as_ref())?));
        }
        let live = self.live_calls.by_user(&*self.calls).await.map_err(End::Service)?;
        let learn = |(aor, before): (String, Dialogs)| {
            let (runner, live) = (Arc::clone(self), Arc::clone(&live));
            async move {
                let calls = live.get(&aor).map(Vec::as_slice).unwrap_or_default();
                let learn = |dialogs: &mut Dialogs, now_ms| {
                    for call in calls {
                        runner.take_call(dialogs, &aor, call, now_ms);
                    }
                    dialogs.end_others(&before, |id| calls.iter().any(|call| call.call_id == id), now_ms);
                    dialogs.is_learnt = true;
                };
                runner.change_dialogs(&aor, learn).await
            }
        };
        stream::iter(before).map(learn).buffer_unordered(AT_ONCE).try_collect::<()>().await
    }

    /// Takes a call as it is now.
    pub(super) fn take_call(
        &self,
        dialogs: &mut Dialogs,
        aor: &str,
        call: &cluster_api::callcontrol::v1::Call,
        now_ms: u64,
    ) {
        let taken = dialogs.take(&call.call_id, revision(call), dialogs_of(aor, call), now_ms);
        if taken == Taken::Full {
            self.counts.limits.with_label_values(&["dialogs"]).inc();
        }
    }

    /// Changes what is known of the calls of somebody who is watched, and tells who watches.
    pub(super) async fn change_dialogs(
        self: &Arc<Self>,
        aor: &str,
        change: impl Fn(&mut Dialogs, u64),
    ) -> Result<(), End> {
        let (package, name) = (Package::Dialog, names::state(Package::Dialog, aor));
        for _ in 0..self.config.commit_attempts {
            let (value, expect) = self.repository.record(aor, &name).await?;
            // Nobody watches any more.
            let Some(value) = value else { return Ok(()) };
            let before = Dialogs::read(Some(&value))?;
            let mut after = before.clone();
            change(&mut after, self.repository.now_ms());
            if after == before {
                return Ok(());
            }
            let mut batch = Batch::new(self.repository.partition(aor));
            batch.put(&name, after.write(), expect);
            match self.repository.commit_telling(batch, aor, &[package]).await {
                Ok(outcome) => {
                    self.fan_out(package, aor, Origin::Commit(name, outcome.version));
                    return Ok(());
                }
                Err(StoreError::Conflict) => self.counts.conflicts.inc(),
                Err(error) => return Err(End::Store(error)),
            }
        }
        Err(End::Lost)
    }

    /// The calls of somebody may not have been learnt, or the watcher may not have come.
    pub(super) async fn look_at_dialogs(
        self: &Arc<Self>,
        partition: &Partition,
        aor: &str,
        due: &Due,
    ) -> Result<(), ApplyError> {
        let (package, name) = (Package::Dialog, names::state(Package::Dialog, aor));
        let (value, expect) = self.repository.record(aor, &name).await?;
        let head = self.repository.head(package, aor).await?;
        if value.is_some() && head.watchers == 0 {
            let mut batch = Batch::new(partition);
            batch
                .check(names::head(package, aor), Expect::Absent)
                .delete(&name, expect)
                .index_remove(names::WATCHED, aor)
                .due_done(names::DUE, due);
            return match self.repository.store().commit(batch).await {
                // It came just now, or is claimed again.
                Ok(_) | Err(StoreError::Conflict) => Ok(()),
                Err(error) => Err(error.into()),
            };
        }
        if value.is_some() && !Dialogs::read(value.as_ref())?.is_learnt {
            match self.learn_dialogs(vec![aor.to_owned()]).await {
                Ok(()) => {}
                Err(End::Store(error)) => return Err(error.into()),
                Err(End::Lost) => return Err(ApplyError::Contended),
                Err(End::Service(status)) => {
                    tracing::debug!(error = status.message(), "calls are learnt after the next claim");
                    return Ok(());
                }
            }
        }
        self.is_done(partition, due).await
    }
}
