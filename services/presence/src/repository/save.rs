//! One change of a subscription and everything that commits with it.

use std::time::Duration;

use prost::Message as _;
use store::{Batch, Due, Expect, Partition, StoreError};

use super::{Loaded, Read, Repository, corrupt, names, time};
use crate::engine::{Package, Standing, Subscription};
use crate::runner::look_ms;
use crate::topics::{Line, Waiting, waiting_record};

/// How long a watcher that has gone stays in the list, for those who watch it: longer than the least time between two notifications.
const REMEMBERED: Duration = Duration::from_secs(30);

/// A step, ready to be committed.
pub struct Change<'a> {
    /// The subscription before; `None` for a new one.
    pub before: Option<&'a Loaded>,
    /// The subscription after.
    pub after: &'a Subscription,
    /// Its package.
    pub package: Package,
    /// What the step was made of; `None` when it depends on nothing else.
    pub read: Option<&'a Read>,
    /// How many watch, where that changes.
    pub head: Option<&'a Head>,
    /// Nothing can happen any more.
    pub is_over: bool,
}

/// What was committed.
#[derive(Clone, Copy, Debug)]
pub struct Saved {
    /// Version of the records.
    pub version: u64,
    /// Whether those are to be told who watch the watchers.
    pub tells_watchers: bool,
    /// Whether all who watch the same are to be told where it is registered.
    pub tells_bindings: bool,
}

/// How many watch a resource in a package.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    expect: Expect,
    /// The number.
    pub watchers: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct HeadRecord {
    #[prost(uint32, tag = "1")]
    watchers: u32,
}

impl Repository {
    /// Reads how many watch.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn head(&self, package: Package, resource: &str) -> Result<Head, StoreError> {
        let (value, expect) = self.record(resource, &names::head(package, resource)).await?;
        let record = value.map(HeadRecord::decode).transpose().map_err(corrupt)?.unwrap_or_default();
        Ok(Head { expect, watchers: record.watchers })
    }

    /// Commits a change.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when something that the change was made of is different now.
    pub async fn save(&self, change: &Change<'_>) -> Result<Saved, StoreError> {
        let Change { before, after, package, read, head, is_over } = *change;
        let (id, resource) = (after.id.as_str(), after.resource.as_str());
        let mut batch = Batch::new(self.partition(resource));
        let checks = change.checks();
        for (name, expect) in checks {
            batch.check(name, *expect);
        }
        let expect = before.map_or(Expect::Absent, |before| Expect::Version(before.version));
        let (name, index) = (names::subscription(id), names::watchers(package, resource));
        if is_over {
            batch.delete(name, expect).due_remove(names::DUE, names::due_timer(id));
        } else {
            batch.put(name, after.encode_to_vec(), expect);
            batch.due_add(names::DUE, names::due_timer(id), time(after.due_ms()), "");
        }
        let tells_watchers = self.put_line(&mut batch, change, index);
        let mut tells_bindings = false;
        if change.begins_to_wait() {
            self.put_waiter(&mut batch, after).await?;
        }
        if let Some(learnt) = read.and_then(|read| read.learnt.as_ref()) {
            batch.put(&learnt.name, learnt.value.clone(), learnt.expect);
            let due = names::due_fan_out(package, resource);
            batch.due_add(names::DUE, due, self.store.now() + self.lease, "");
            if let (Package::Reg, Some(end_ms)) = (package, learnt.end_ms) {
                let look = look_ms(end_ms, self.now_ms());
                batch.due_add(names::DUE, names::due_bindings(resource), time(look), "");
            }
            tells_bindings = true;
        }
        self.put_notify(&mut batch, before, after, is_over);
        if let Some(head) = head {
            let listed = names::listed(resource);
            let is_listed = package == Package::Presence
                && checks.iter().any(|(name, expect)| *name == listed && *expect != Expect::Absent);
            if package.is_of_bindings() && is_over && head.watchers <= 1 && !is_listed {
                batch.delete(names::bindings(package, resource), Expect::Any);
                if package == Package::Reg {
                    batch.due_remove(names::DUE, names::due_bindings(resource));
                }
            }
            if package == Package::Dialog && is_over && head.watchers <= 1 {
                batch.delete(names::state(package, resource), Expect::Any);
                batch.index_remove(names::WATCHED, resource);
                batch.due_remove(names::DUE, names::due_dialogs(resource));
            }
            if package == Package::Winfo && is_over && head.watchers <= 1 {
                batch.delete(names::state(package, resource), Expect::Any);
            }
            put_head(&mut batch, names::head(package, resource), head, before.is_none());
        }
        let version = self.store.commit(batch).await?.version;
        Ok(Saved { version, tells_watchers, tells_bindings })
    }

    /// Its watcher waits for a decision from now on.
    async fn put_waiter(&self, batch: &mut Batch, ended: &Subscription) -> Result<(), StoreError> {
        let name = waiting_record(&ended.resource);
        let (value, expect) = self.record(&ended.resource, &name).await?;
        let mut waiting = Waiting::read(value.as_ref())?;
        waiting.add(ended, self.now_ms());
        put_waiting(batch, &ended.resource, &waiting, expect);
        Ok(())
    }

    /// Keeps the list of watchers; returns whether those are to be told who watch it.
    fn put_line(&self, batch: &mut Batch, change: &Change<'_>, index: String) -> bool {
        let Change { before, after, package, is_over, .. } = *change;
        let (id, resource) = (after.id.as_str(), after.resource.as_str());
        let before = before.map(|before| &before.subscription);
        let is_watched = || {
            let head = names::head(Package::Winfo, resource);
            change.checks().iter().any(|(name, expect)| *name == head && *expect != Expect::Absent)
        };
        let is_watched = package == Package::Presence && is_watched();
        if is_over && !is_watched {
            batch.index_remove(index, id);
            return false;
        }
        let line = Line::of(after);
        let is_new = before.is_none_or(|known| Line::of(known) != line);
        if is_over && line.is_waiting() {
            // It is among those who wait.
            batch.index_remove(index, id);
            return false;
        }
        if is_over {
            // RFC 3858 3: its end is told before it is forgotten
            batch.due_add(names::DUE, names::due_forget(id), self.store.now() + REMEMBERED, index.clone());
        }
        if is_new {
            batch.index_add(index, id, line.encode_to_vec());
        }
        if is_new && is_watched {
            let marker = names::state(Package::Winfo, resource);
            let due = names::due_fan_out(Package::Winfo, resource);
            batch.put(marker, "", Expect::Any).due_add(names::DUE, due, self.store.now() + self.lease, "");
        }
        is_new && is_watched
    }

    /// Forgets a watcher that has gone.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn forget_watcher(&self, partition: &Partition, id: &str, due: &Due) -> Result<(), StoreError> {
        let mut batch = Batch::new(partition);
        let index = String::from_utf8(due.payload.to_vec()).map_err(corrupt)?;
        batch.index_remove(index, id).due_done(names::DUE, due);
        match self.store.commit(batch).await {
            Ok(_) | Err(StoreError::Conflict) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Whoever commits a NOTIFY sends it; the due entry is for the case that it dies before there is an answer.
    fn put_notify(&self, batch: &mut Batch, before: Option<&Loaded>, after: &Subscription, is_over: bool) {
        let number = |subscription: &Subscription| subscription.notify.as_ref().map(|notify| notify.number);
        let old = before.and_then(|before| number(&before.subscription));
        let new = number(after).filter(|_| !is_over);
        if new.is_some() && new != old {
            batch.due_add(names::DUE, names::due_notify(&after.id), self.store.now() + self.lease, "");
        } else if old.is_some() && new.is_none() {
            batch.due_remove(names::DUE, names::due_notify(&after.id));
        }
    }
}

impl Change<'_> {
    fn checks(&self) -> &[(String, Expect)] {
        self.read.map_or(&[], |read| &read.checks)
    }

    /// Whether the time of a subscription is over that nobody had decided about. RFC 3857 4.7.1
    fn begins_to_wait(&self) -> bool {
        let had_ended = self.before.is_some_and(|before| before.subscription.is_ended());
        let is_lapsed = self.after.ended == "timeout" && self.after.standing() == Standing::Pending;
        self.package == Package::Presence && !self.after.is_list && is_lapsed && !had_ended
    }
}

/// Adds to a commit who waits, and when the next one is given up.
pub fn put_waiting(batch: &mut Batch, resource: &str, waiting: &Waiting, expect: Expect) {
    let (name, due) = (waiting_record(resource), names::due_waiting(resource));
    match waiting.write() {
        Some(value) => batch.put(name, value, expect),
        None => batch.delete(name, expect),
    };
    match waiting.next_ms() {
        Some(next) => batch.due_add(names::DUE, due, time(next), ""),
        None => batch.due_remove(names::DUE, due),
    };
}

fn put_head(batch: &mut Batch, name: String, head: &Head, is_new: bool) {
    let watchers = if is_new { head.watchers + 1 } else { head.watchers.saturating_sub(1) };
    if watchers == 0 {
        batch.delete(name, head.expect);
    } else {
        batch.put(name, HeadRecord { watchers }.encode_to_vec(), head.expect);
    }
}
