//! What is sought in other domains, in the store: load, step, commit, then send and tell.

use std::collections::HashMap;
use std::sync::Arc;

use store::{Batch, Expect, StoreError};

use super::{Happened, Sought, Step, begin, due_name, due_told, record_name, sought_by};
use crate::engine::Event;
use crate::repository::{Repository, names, time};
use crate::runner::{ApplyError, Origin, Runner};

/// Records of one watcher that are read at once.
const AT_ONCE: usize = 800;

impl Repository {
    /// The id of a member for a watcher. It lives in the partition of the watcher, with all that it seeks.
    pub fn sought_id(&self, watcher: &str, member: &str) -> String {
        self.id_of(watcher, &["elsewhere", watcher, member])
    }

    /// What a watcher knows of these members, by URI.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn sought(
        &self,
        watcher: &str,
        members: &[String],
    ) -> Result<HashMap<String, Sought>, StoreError> {
        let mut found = HashMap::with_capacity(members.len());
        for some in members.chunks(AT_ONCE) {
            let names: Vec<String> =
                some.iter().map(|member| record_name(&self.sought_id(watcher, member))).collect();
            let values = self.store().get_many(self.partition(watcher), &names).await?;
            for (member, value) in some.iter().zip(values) {
                if let Some(value) = value {
                    found.insert(member.clone(), Sought::read(&value.value)?);
                }
            }
        }
        Ok(found)
    }
}

impl Runner {
    /// What is sought by this id.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn sought(&self, id: &str) -> Result<Option<Sought>, StoreError> {
        let Some(partition) = self.repository.home_of(id) else { return Ok(None) };
        let found = self.repository.store().get(&partition.key(record_name(id))).await?;
        found.map(|found| Sought::read(&found.value)).transpose()
    }

    /// Gives what is sought what happened, and commits what follows. `is_claimed`: its due entry was, and has to be rewritten.
    ///
    /// # Errors
    /// When nobody seeks it, or the store fails.
    pub async fn apply_sought(
        self: &Arc<Self>,
        id: &str,
        happened: &Happened<'_>,
        is_claimed: bool,
    ) -> Result<Step, ApplyError> {
        let partition = self.repository.home_of(id).ok_or(ApplyError::Unknown)?;
        for _ in 0..self.config.commit_attempts {
            let found = self.repository.store().get(&partition.key(record_name(id))).await?;
            let found = found.ok_or(ApplyError::Unknown)?;
            let before = Sought::read(&found.value)?;
            match self.step_sought((Some(&before), found.version), before.clone(), happened, is_claimed).await
            {
                Err(StoreError::Conflict) => self.counts.conflicts.inc(),
                result => return Ok(result?),
            }
        }
        Err(ApplyError::Contended)
    }

    async fn step_sought(
        self: &Arc<Self>,
        (before, version): (Option<&Sought>, u64),
        mut after: Sought,
        happened: &Happened<'_>,
        is_claimed: bool,
    ) -> Result<Step, StoreError> {
        let now_ms = self.repository.now_ms();
        let step = after.step(happened, now_ms);
        if before == Some(&after) && !step.is_over && !is_claimed {
            return Ok(step);
        }
        let (id, watcher) = (after.id.clone(), after.watcher.clone());
        let mut batch = Batch::new(self.repository.partition(&watcher));
        let expect = before.map_or(Expect::Absent, |_| Expect::Version(version));
        if step.is_over {
            batch.delete(record_name(&id), expect).due_remove(names::DUE, due_name(&id));
            batch.due_remove(names::DUE, due_told(&id)).index_remove(sought_by(&watcher), &id);
        } else {
            batch.put(record_name(&id), after.write(), expect);
            batch.due_add(names::DUE, due_name(&id), time(after.due_ms(now_ms)), "");
            if before.is_none() {
                batch.index_add(sought_by(&watcher), &id, "");
            }
        }
        let store = self.repository.store();
        if step.tells && !step.is_over {
            batch.due_add(names::DUE, due_told(&id), store.now() + self.config.notify_lease, "");
        }
        let version = store.commit(batch).await?.version;
        if step.tells && !step.is_over {
            self.tell_seekers(after.clone(), Origin::Commit(record_name(&id), version));
        }
        if step.asks {
            self.ask_elsewhere(&after);
        }
        Ok(step)
    }

    /// Seeks members of other domains for a subscription to a list, in the background. It is seen to again with each look at the
    /// subscription, so that nothing is lost with this replica.
    pub fn seek(self: &Arc<Self>, watcher: &str, subscription: &str, members: Vec<String>) {
        if members.is_empty() {
            return;
        }
        let (runner, watcher, subscription) = (Arc::clone(self), watcher.to_owned(), subscription.to_owned());
        let work = async move {
            if let Err(error) = runner.seek_all(&watcher, &subscription, &members).await {
                tracing::debug!(%error, "members of other domains are sought with the next look");
            }
        };
        if self.tasks.spawn("elsewhere", work).is_err() {
            self.counts.limits.with_label_values(&["tasks"]).inc();
        }
    }

    async fn seek_all(
        self: &Arc<Self>,
        watcher: &str,
        subscription: &str,
        members: &[String],
    ) -> Result<(), ApplyError> {
        let most = self.config.members_elsewhere as usize;
        let partition = self.repository.partition(watcher);
        let page = self.repository.store().index(partition, &sought_by(watcher), None, most).await?;
        let mut count = page.entries.len();
        for member in members {
            let id = self.repository.sought_id(watcher, member);
            let wanted = Happened::Wanted(subscription);
            match self.apply_sought(&id, &wanted, false).await {
                Err(ApplyError::Unknown) if count >= most => {
                    self.counts.limits.with_label_values(&["members_elsewhere"]).inc();
                }
                Err(ApplyError::Unknown) => {
                    let new = begin(id.clone(), watcher, member, self.entropy.token(16));
                    count += 1;
                    match self.step_sought((None, 0), new, &wanted, false).await {
                        // Another look was first.
                        Err(StoreError::Conflict) => drop(self.apply_sought(&id, &wanted, false).await?),
                        result => drop(result?),
                    }
                }
                result => drop(result?),
            }
        }
        Ok(())
    }

    /// A subscription to a list has ended: what it alone wanted is sought no more. What is not told of it goes by itself.
    pub fn release(self: &Arc<Self>, watcher: &str, subscription: &str, members: Vec<String>) {
        if members.is_empty() {
            return;
        }
        let (runner, watcher, subscription) = (Arc::clone(self), watcher.to_owned(), subscription.to_owned());
        let work = async move {
            for member in members {
                let id = runner.repository.sought_id(&watcher, &member);
                let released = runner.apply_sought(&id, &Happened::Released(&subscription), false).await;
                if let Err(error @ (ApplyError::Store(_) | ApplyError::Contended)) = released {
                    tracing::debug!(%error, "a member of another domain is sought for a while longer");
                }
            }
        };
        if self.tasks.spawn("elsewhere", work).is_err() {
            self.counts.limits.with_label_values(&["tasks"]).inc();
        }
    }

    /// The time of what is sought has come: also of a request whose replica may have died.
    pub async fn look_at_sought(self: &Arc<Self>, id: &str) -> Result<(), ApplyError> {
        let before = self.sought(id).await?.ok_or(ApplyError::Unknown)?;
        let step = self.apply_sought(id, &Happened::Look, true).await?;
        if before.ask.is_some() && !step.asks {
            self.ask_elsewhere(&before);
        }
        Ok(())
    }

    /// Those who want it look at it once more, in the background.
    pub fn tell_seekers(self: &Arc<Self>, sought: Sought, origin: Origin) {
        let runner = Arc::clone(self);
        self.spawn_fan_out(async move {
            for want in &sought.wants {
                match runner.apply(&want.subscription, &Event::Look, false).await {
                    Ok(_) | Err(ApplyError::Unknown) => {}
                    Err(error) => return Err(error),
                }
            }
            runner.is_told(&sought.watcher, &due_told(&sought.id), origin).await
        });
    }
}
