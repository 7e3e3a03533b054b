//! One change of a subscription and everything that commits with it.

use prost::Message as _;
use store::{Batch, Expect, StoreError};

use super::{Loaded, Read, Repository, corrupt, names, time};
use crate::engine::{Package, Subscription};

/// A step, ready to be committed.
pub struct Change<'a> {
    /// The subscription before; `None` for a new one.
    pub before: Option<&'a Loaded>,
    /// The subscription after.
    pub after: &'a Subscription,
    /// Its package.
    pub package: Package,
    /// What the step was made of.
    pub read: &'a Read,
    /// How many watch, where that changes.
    pub head: Option<&'a Head>,
    /// Nothing can happen any more.
    pub is_over: bool,
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

    /// Commits a change; returns the version of the record.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when something that the change was made of is different now.
    pub async fn save(&self, change: &Change<'_>) -> Result<u64, StoreError> {
        let Change { before, after, package, read, head, is_over } = *change;
        let (id, resource) = (after.id.as_str(), after.resource.as_str());
        let mut batch = Batch::new(self.partition(resource));
        for (name, expect) in &read.checks {
            batch.check(name, *expect);
        }
        let expect = before.map_or(Expect::Absent, |before| Expect::Version(before.version));
        let (name, index) = (names::subscription(id), names::watchers(package, resource));
        if is_over {
            batch.delete(name, expect).index_remove(index, id);
            batch.due_remove(names::DUE, names::due_timer(id));
        } else {
            batch.put(name, after.encode_to_vec(), expect);
            batch.due_add(names::DUE, names::due_timer(id), time(after.due_ms()), "");
            if before.is_none() {
                batch.index_add(index, id, "");
            }
        }
        self.put_notify(&mut batch, before, after, is_over);
        if let Some(head) = head {
            if package.is_of_bindings() && is_over && head.watchers <= 1 {
                batch.delete(names::bindings(package, resource), Expect::Any);
            }
            put_head(&mut batch, names::head(package, resource), head, before.is_none());
        }
        Ok(self.store.commit(batch).await?.version)
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

fn put_head(batch: &mut Batch, name: String, head: &Head, is_new: bool) {
    let watchers = if is_new { head.watchers + 1 } else { head.watchers.saturating_sub(1) };
    if watchers == 0 {
        batch.delete(name, head.expect);
    } else {
        batch.put(name, HeadRecord { watchers }.encode_to_vec(), head.expect);
    }
}
