//! Subscriptions and what they are about, in the store.
//!
//! Everything of one resource commits together: a NOTIFY is made from exactly the state that its commit checks, so that no replica
//! tells an older state after a newer one.

mod composed;
mod lists;
pub mod names;
mod save;

use std::fmt::Display;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use cluster_api::registrar::v1::Binding;
use prost::Message as _;
use sha2::{Digest as _, Sha256};
use store::{Batch, CommitOutcome, Expect, Partition, Partitions, Store, StoreError, Versioned};

use self::composed::Composed;
pub use self::save::{Change, Saved, put_waiting};
use crate::config::Config;
use crate::engine::{Package, SCHEMA, Subscription, Topic};
use crate::topics::{self, Bindings, Line, Whole};

/// The records of the service.
#[derive(Clone)]
pub struct Repository {
    store: Arc<dyn Store>,
    partitions: Partitions,
    lease: Duration,
    most_lines: usize,
    composed: Arc<Composed>,
}

/// A subscription as it was read.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// Version of the record.
    pub version: u64,
    /// The subscription.
    pub subscription: Subscription,
}

/// A topic as it was read.
pub struct Read {
    /// What was read, and in which version.
    pub checks: Vec<(String, Expect)>,
    /// The topic.
    pub topic: Box<dyn Topic>,
    /// Of a list: its members in other domains, where its watcher may seek them.
    pub elsewhere: Vec<String>,
    /// Those of them that the subscription has not said lately that it wants.
    pub unsought: Vec<String>,
    /// Where somebody is registered, when that was not known so: it commits with what is made of it.
    pub learnt: Option<Learnt>,
}

/// A record of bindings that is to be written.
pub struct Learnt {
    /// Its name.
    pub name: String,
    /// What is in it.
    pub value: Bytes,
    /// What was read before the registrar was asked.
    pub expect: Expect,
    /// When the first of them lapses, in milliseconds since 1970.
    pub end_ms: Option<u64>,
}

/// Who watches a list, and may seek its members in other domains.
#[derive(Clone, Debug)]
pub struct Seeker {
    /// Address of record.
    pub watcher: String,
    /// Id of the subscription to the list.
    pub subscription: String,
}

impl Seeker {
    /// That of a subscription.
    pub fn of(subscription: &Subscription) -> Seeker {
        Seeker { watcher: subscription.watcher.clone(), subscription: subscription.id.clone() }
    }
}

impl Repository {
    /// The records in this store.
    pub fn new(store: Arc<dyn Store>, config: &Config) -> Repository {
        Repository {
            store,
            partitions: Partitions::new("presence", config.partitions),
            lease: config.notify_lease,
            most_lines: config.watchers as usize * 2,
            composed: Arc::default(),
        }
    }

    /// The store.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// All partitions.
    pub fn partitions(&self) -> &[Partition] {
        self.partitions.all()
    }

    /// Where a resource lives.
    pub fn partition(&self, resource: &str) -> &Partition {
        self.partitions.of(resource)
    }

    /// Store time in milliseconds since 1970.
    pub fn now_ms(&self) -> u64 {
        millis(self.store.now())
    }

    /// The id of what these parts name: the same for whoever is asked again, and not to be guessed without them.
    pub fn id_of(&self, resource: &str, parts: &[&str]) -> String {
        let home = self.partition(resource);
        let number = self.partitions().iter().position(|partition| partition == home).unwrap_or_default();
        format!("{}-{number:x}", digest(parts))
    }

    /// Where the thing of this id lives; `None` when the id is none of ours.
    pub fn home_of(&self, id: &str) -> Option<&Partition> {
        let (unique, number) = id.split_once('-')?;
        let is_ours = unique.len() == 32 && unique.bytes().all(|octet| octet.is_ascii_hexdigit());
        self.partitions().get(usize::from_str_radix(number, 16).ok().filter(|_| is_ours)?)
    }

    /// Reads a subscription.
    ///
    /// # Errors
    /// When the store fails, or a later version wrote the record.
    pub async fn load(&self, id: &str) -> Result<Option<Loaded>, StoreError> {
        let Some(partition) = self.home_of(id) else { return Ok(None) };
        self.store.get(&partition.key(names::subscription(id))).await?.map(loaded).transpose()
    }

    /// Reads several subscriptions of a resource, at most 1,000; those that are gone are left out.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn load_all(&self, resource: &str, ids: &[String]) -> Result<Vec<Subscription>, StoreError> {
        let names: Vec<String> = ids.iter().map(|id| names::subscription(id)).collect();
        let found = self.store.get_many(self.partition(resource), &names).await?;
        found.into_iter().flatten().map(|found| loaded(found).map(|loaded| loaded.subscription)).collect()
    }

    /// Reads what a package says of a resource.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn topic(
        &self,
        package: Package,
        resource: &str,
        is_list: bool,
        seeker: Option<Seeker>,
    ) -> Result<Read, StoreError> {
        if is_list {
            return self.list_topic(resource, seeker).await;
        }
        self.topic_with(package, resource, std::future::ready(None)).await
    }

    /// The same of one that is nobody's list, with what the registrar lists now: `None` when it cannot be asked, inside when nobody has
    /// the address of record. It is asked after the records were read, so that of two replicas the one that asked later writes.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn topic_with(
        &self,
        package: Package,
        resource: &str,
        listed: impl Future<Output = Option<Option<Vec<Binding>>>>,
    ) -> Result<Read, StoreError> {
        let records = topics::records(package, resource);
        let found = self.store.get_many(self.partition(resource), &records).await?;
        let mut values: Vec<Option<Bytes>> =
            found.iter().map(|found| found.as_ref().map(|found| found.value.clone())).collect();
        let expect =
            found.iter().map(|found| found.as_ref().map_or(Expect::Absent, |f| Expect::Version(f.version)));
        let mut checks: Vec<(String, Expect)> = records.into_iter().zip(expect).collect();
        let mut whole = Whole::default();
        if package == Package::Presence
            && let [_, Some((_, state)), Some((_, bindings))] = [0, 1, 2].map(|at| checks.get(at).cloned())
            && values.iter().take(3).flatten().map(Bytes::len).sum::<usize>() <= composed::MOST_OCTETS
        {
            whole = self.composed.of(resource, [state, bindings]);
        }
        let mut learnt = None;
        if let (Some(at), Some(listed)) = (topics::bindings_at(package), listed.await) {
            let known = Bindings::read(values[at].as_ref())?;
            let seen = known.seen(package, listed, topics::seconds(self.store.now()));
            if !seen.is_as(&known) {
                let value = Bytes::from(seen.write());
                values[at] = Some(value.clone());
                let (name, expect) = checks.remove(at);
                learnt = Some(Learnt { name, value, expect, end_ms: seen.first_expiry_ms() });
                whole = Whole::default();
            }
        }
        let lines = match package {
            Package::Winfo => self.lines(resource).await?,
            Package::Presence
            | Package::MessageSummary
            | Package::Reg
            | Package::Dialog
            | Package::Conference => Vec::new(),
        };
        Ok(Read {
            checks,
            topic: topics::read(package, resource, &values, (lines, whole), self.store.now())?,
            elsewhere: Vec::new(),
            unsought: Vec::new(),
            learnt,
        })
    }

    /// Who watches the presence of a resource: as many as may, and those that have just gone.
    async fn lines(&self, resource: &str) -> Result<Vec<(String, Line)>, StoreError> {
        let page = self.watchers(Package::Presence, resource, None, self.most_lines).await?;
        page.entries.into_iter().map(|(id, value)| Ok((id, Line::read(value)?))).collect()
    }

    /// Reads one record of a resource.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn record(&self, resource: &str, name: &str) -> Result<(Option<Bytes>, Expect), StoreError> {
        let found = self.store.get(&self.partition(resource).key(name)).await?;
        Ok(match found {
            Some(found) => (Some(found.value), Expect::Version(found.version)),
            None => (None, Expect::Absent),
        })
    }

    /// Commits, with the watchers of these packages to be told by whoever is first: the caller, or another replica after a lease.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn commit_telling(
        &self,
        mut batch: Batch,
        resource: &str,
        packages: &[Package],
    ) -> Result<CommitOutcome, StoreError> {
        let at = self.store.now() + self.lease;
        for package in packages {
            batch.due_add(names::DUE, names::due_fan_out(*package, resource), at, "");
        }
        self.store.commit(batch).await
    }

    /// A page of who watches, by subscription id.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn watchers(
        &self,
        package: Package,
        resource: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<store::IndexPage, StoreError> {
        self.store.index(self.partition(resource), &names::watchers(package, resource), after, limit).await
    }
}

fn loaded(found: Versioned) -> Result<Loaded, StoreError> {
    let subscription = Subscription::decode(found.value).map_err(corrupt)?;
    if !(1..=SCHEMA).contains(&subscription.schema) {
        return Err(corrupt(format!("a subscription of schema {}", subscription.schema)));
    }
    Ok(Loaded { version: found.version, subscription })
}

/// Thirty-two hexadecimal digits that only these parts give.
pub fn digest(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    hash.finalize().iter().take(16).map(|octet| format!("{octet:02x}")).collect()
}

/// What is stored is none of ours.
pub fn corrupt(reason: impl Display) -> StoreError {
    StoreError::Corrupt { reason: reason.to_string() }
}

/// Milliseconds since 1970.
pub fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A time of so many milliseconds since 1970.
pub fn time(ms: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(ms)
}
