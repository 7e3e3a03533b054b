//! Calls in the store. Names and schema, all in one place:
//!
//! | in each partition `calls-N` | what                                                                                    |
//! |-----------------------------|-----------------------------------------------------------------------------------------|
//! | record `c/CALL`             | the call ([`stored`]); of an ended call its public form, for the configured time        |
//! | record `r/REQUEST`          | what a request id was used for                                                          |
//! | record `d/DIALOG`           | the call that has this dialog, when its Call-ID does not say ([`dialogs`](self))        |
//! | record `lost/EDGE/EPOCH`    | some replica has taken the loss of this edge on                                         |
//! | index `live`, `ended`       | calls by [`Position`], newest first, with a [`Summary`]                                 |
//! | index `edge/EDGE/EPOCH`     | calls that depend on this life of an edge                                               |
//! | index `edges`               | the lives of edges for which there is such an index                                     |
//! | queue `due`                 | `t/CALL` the engine's timer, `o/CALL` effects not carried yet, `x/…` an ended call to be dropped from its index, `y/…` several that ended in one commit, `l/EDGE/EPOCH` a lost edge |
//! | log `events`                | call events; those of one call and commit are one entry, and those of several proxied calls ([`events`], `proxied/story.rs`) |
//!
//! What there is of callbacks beside is told in [`callbacks`].
//!
//! A call id ends with the number of its partition, so that a call and the request id that made it commit together.

mod callbacks;
mod change;
mod claims;
mod dialogs;
mod events;
mod filter;
mod forgetting;
mod listing;
mod merge;
mod names;
mod proxied;
mod requests;
mod stored;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ambient::Entropy;
use parking_lot::Mutex;
use store::{Cursor, Due, Partition, Partitions, Store, StoreError};

pub use self::callbacks::{Bounds, CallbackChange, CallbackSummary, LoadedCallback, NotMade};
pub use self::change::Change;
pub use self::events::read as read_events;
pub use self::filter::Filter;
pub use self::listing::{Listed, Position, Summary};
pub use self::names::{DUE, DueWork, EVENTS};
pub use self::proxied::{CALLS_AT_ONCE, ProxiedChange};
pub use self::requests::RequestUse;
pub use self::stored::{Known, Loaded, Moved};
use crate::config::Config;
use crate::edges::EdgeLife;

/// How old a look at the end of an event log may be: short against the time in which the log drops its oldest entries.
const RECENT: Duration = Duration::from_secs(5);
/// Operations of a commit that forgets, after which it takes no further claim: a claim is about [`CALLS_AT_ONCE`] calls at most.
const FORGOTTEN_AT_ONCE: usize = 200;

/// The calls in the store.
pub struct Repository {
    store: Arc<dyn Store>,
    partitions: Partitions,
    /// For each partition, how far its event log was at the latest commit of this replica.
    tails: Vec<Mutex<Option<Cursor>>>,
    lease: Duration,
    ended_retention: Duration,
    request_retention: Duration,
}

impl Repository {
    /// The calls in this store.
    pub fn new(store: Arc<dyn Store>, config: &Config) -> Repository {
        let partitions = Partitions::new("calls", config.partitions);
        Repository {
            store,
            tails: partitions.all().iter().map(|_| Mutex::default()).collect(),
            partitions,
            lease: config.lease,
            ended_retention: config.ended_retention,
            request_retention: config.request_retention,
        }
    }

    /// The store itself, for logs and due work.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// All partitions, in order.
    pub fn partitions(&self) -> &[Partition] {
        self.partitions.all()
    }

    /// The number of the partition in which a call lives.
    pub fn partition_number(&self, call_id: &str) -> usize {
        let count = self.partitions().len();
        let named = call_id.rsplit_once('-').and_then(|(_, number)| usize::from_str_radix(number, 16).ok());
        // Ids made elsewhere (calls that edges proxy) carry no number: they are spread by hash.
        let named = named.filter(|number| *number < count && names::is_own_id(call_id));
        named.unwrap_or_else(|| self.partitions.number_of(call_id))
    }

    /// The partition in which a call lives.
    pub fn partition(&self, call_id: &str) -> &Partition {
        &self.partitions()[self.partition_number(call_id)]
    }

    /// A fresh call id in the partition that belongs to a request id (any partition for an empty one). Ids sort by the store's
    /// time of their making.
    pub fn new_call_id(&self, request_id: &str, entropy: &dyn Entropy) -> String {
        let since = self.now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let mut random = [0; 10];
        entropy.fill(&mut random);
        let millis = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        let unique =
            uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid().simple().to_string();
        let key = if request_id.is_empty() { &unique } else { request_id };
        names::own_id(&unique, self.partitions.number_of(key))
    }

    /// The store's time.
    pub fn now(&self) -> SystemTime {
        self.store.now()
    }

    /// A place in the event log of a partition before everything that is appended from now on: where this replica saw the log
    /// last, if that was just now, else where it ends.
    async fn place_before(&self, number: usize) -> Result<Cursor, StoreError> {
        let recent = self.now().checked_sub(RECENT).unwrap_or(SystemTime::UNIX_EPOCH);
        let seen = *self.tails[number].lock();
        if let Some(seen) = seen.filter(|seen| seen.time() >= recent) {
            return Ok(seen);
        }
        self.store.log_tail(&self.partitions()[number], EVENTS).await
    }

    /// The log was at least so far.
    fn passed(&self, number: usize, cursors: &[Cursor]) {
        if let Some(last) = cursors.last() {
            let mut seen = self.tails[number].lock();
            *seen = (*seen).max(Some(*last));
        }
    }

    /// Reads a call.
    ///
    /// # Errors
    /// When the store fails, or the record cannot be read.
    pub async fn load(&self, call_id: &str) -> Result<Option<Loaded>, StoreError> {
        let key = self.partition(call_id).key(names::call(call_id));
        self.store.get(&key).await?.map(stored::read).transpose()
    }

    /// Makes sure that a call, as it was read, is as durable as an acknowledgement promises: a commit that changes nothing,
    /// but is confirmed by the replicas like any other.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the call has changed meanwhile.
    pub async fn confirm(&self, call_id: &str, version: u64) -> Result<(), StoreError> {
        let mut batch = store::Batch::new(self.partition(call_id));
        batch.check(names::call(call_id), store::Expect::Version(version));
        self.store.commit(batch).await.map(drop)
    }

    /// Removes a due entry.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn due_done(&self, partition: &Partition, due_id: &str) -> Result<(), StoreError> {
        let mut batch = store::Batch::new(partition);
        batch.due_remove(DUE, due_id);
        self.store.commit(batch).await.map(drop)
    }

    /// Drops ended calls from the index: those that these claims are about. How many they are.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn forget_ended(&self, partition: &Partition, claimed: &[Due]) -> Result<usize, StoreError> {
        // What cannot be read was written by a later version.
        let mut readable = Vec::with_capacity(claimed.len());
        for due in claimed {
            readable.extend(forgetting::positions(due).map(|positions| (due.id.as_str(), positions)));
        }
        let mut readable = readable.into_iter().peekable();
        let mut count = 0;
        while readable.peek().is_some() {
            let (mut forgotten, mut done) = (Vec::new(), Vec::new());
            while let Some((id, positions)) =
                readable.next_if(|_| forgotten.len() + done.len() < FORGOTTEN_AT_ONCE)
            {
                forgotten.extend(positions);
                done.push(id);
            }
            count += forgotten.len();
            let mut batch = store::Batch::new(partition);
            for position in forgotten {
                batch.index_remove(names::ENDED, position);
            }
            for id in done {
                batch.due_remove(DUE, id);
            }
            self.store.commit(batch).await?;
        }
        Ok(count)
    }

    /// The lives of edges on which calls of a partition depend or depended.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn edges(&self, partition: &Partition) -> Result<Vec<EdgeLife>, StoreError> {
        let page = self.store.index(partition, names::EDGES, None, 1000).await?;
        Ok(page.entries.iter().filter_map(|(member, _)| names::parse_edge(member)).collect())
    }

    /// Puts the loss of an edge on the list of due work of a partition, unless some replica has done so.
    ///
    /// # Errors
    /// When the store fails; somebody else having been first is none.
    pub async fn edge_is_lost(&self, partition: &Partition, edge: &EdgeLife) -> Result<(), StoreError> {
        let mut batch = store::Batch::new(partition);
        batch.put_for(names::lost(edge), "", store::Expect::Absent, Duration::from_secs(600)).due_add(
            DUE,
            names::due_lost(edge),
            self.store.now(),
            "",
        );
        match self.store.commit(batch).await {
            Err(StoreError::Conflict) => Ok(()),
            result => result.map(drop),
        }
    }

    /// Some calls that depend on an edge.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn calls_of_edge(
        &self,
        partition: &Partition,
        edge: &EdgeLife,
        after: Option<&str>,
    ) -> Result<(Vec<String>, Option<String>), StoreError> {
        let page = self.store.index(partition, &names::calls_of(edge), after, 200).await?;
        Ok((page.entries.into_iter().map(|(call_id, _)| call_id).collect(), page.next))
    }

    /// Ends the work on a lost edge.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn edge_is_done(&self, partition: &Partition, edge: &EdgeLife) -> Result<(), StoreError> {
        let mut batch = store::Batch::new(partition);
        batch
            .index_remove(names::EDGES, names::edge(edge))
            .due_remove(DUE, names::due_lost(edge))
            .delete(names::lost(edge), store::Expect::Any);
        self.store.commit(batch).await.map(drop)
    }

    /// Takes a call that no longer exists out of the list of an edge.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn leave_edge(
        &self,
        partition: &Partition,
        edge: &EdgeLife,
        call_id: &str,
    ) -> Result<(), StoreError> {
        let mut batch = store::Batch::new(partition);
        batch.index_remove(names::calls_of(edge), call_id);
        self.store.commit(batch).await.map(drop)
    }
}
