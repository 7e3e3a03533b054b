//! Callbacks in the store. Those of one user live in one partition, and with them how many there are; the calls of their attempts too.
//!
//! | in each partition | what |
//! |---|---|
//! | record `b/CALLBACK` | the callback, until a time after its end |
//! | record `k/`, `k/USER` | how many are not over: in the partition, and of a user (the address of record of `from`) |
//! | record `w/PARTY` | the callback that calls this party now, see [`claims`](super::claims) |
//! | record `r/REQUEST` | what a request id was used for; that of RequestCallback in the partition of the id itself |
//! | index `callbacks` | callbacks by [`Position`], newest first, with a summary |
//! | queue `due` | `b/CALLBACK` when to look at it |

use std::time::{Duration, SystemTime};

use ambient::Entropy;
use cluster_api::callcontrol::v1 as wire;
use prost::Message as _;
use store::{Batch, Expect, StoreError};

use super::names::{self, DUE};
use super::{Position, Repository, RequestUse};
use crate::callback::machine::record::{Callback, SCHEMA};
use crate::engine::claim::takers::address_of_record;

/// Entries read from one index at once.
const CHUNK: usize = 200;
/// Entries looked at for one page: a filter that matches hardly anything gives short pages, not long waits.
const LARGEST_SEARCH: usize = 10_000;

/// A callback as it was read.
#[derive(Clone, Debug)]
pub struct LoadedCallback {
    /// The store's version of the record.
    version: u64,
    /// The callback.
    pub callback: Callback,
}

/// A step, ready to be committed.
#[derive(Debug)]
pub struct CallbackChange<'a> {
    /// The callback before.
    pub before: &'a LoadedCallback,
    /// The callback after.
    pub after: Callback,
    /// The request id that is used by this change.
    pub request: Option<&'a RequestUse>,
}

/// How many callbacks there may be that are not over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Of one user.
    pub of_user: usize,
    /// In one partition.
    pub in_partition: usize,
}

/// Why a callback was not made.
#[derive(Debug)]
pub enum NotMade {
    /// There are as many as there may be: of the user, or in all.
    Full(&'static str),
    /// The store failed.
    Store(StoreError),
}

/// Some callbacks of the list, newest first.
#[derive(Debug)]
pub struct CallbackPage {
    /// Those that match.
    pub callbacks: Vec<Callback>,
    /// Where the list goes on; none at its end.
    pub next: Option<Position>,
}

/// What filters look at before the callback itself is read.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct CallbackSummary {
    /// Public state.
    #[prost(enumeration = "wire::callback::State", tag = "1")]
    pub state: i32,
    /// Address of record of `from`.
    #[prost(string, tag = "2")]
    pub from: String,
    /// Address of record of `to`.
    #[prost(string, tag = "3")]
    pub to: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Count {
    #[prost(uint32, tag = "1")]
    count: u32,
}

/// Counts as they were read, with what is expected of them at the commit.
struct Counts([(String, u32, Expect); 2]);

impl CallbackSummary {
    fn of(callback: &Callback) -> CallbackSummary {
        CallbackSummary {
            state: crate::wire::public::callback_state(callback.state()).into(),
            from: address_of_record(&callback.from.uri),
            to: address_of_record(&callback.to.uri),
        }
    }
}

impl Repository {
    /// A fresh id in the partition of a user.
    pub fn new_callback_id(&self, user: &str, entropy: &dyn Entropy) -> String {
        self.new_call_id(&address_of_record(user), entropy)
    }

    /// What a request id was used for by RequestCallback, or notes this use of it: then and now it stands for the same callback.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn claim_request(&self, request: RequestUse) -> Result<RequestUse, StoreError> {
        let partition = &self.partitions()[self.partitions.number_of(&request.request_id)];
        let name = names::request(&request.request_id);
        loop {
            if let Some(found) = self.store.get(&partition.key(name.clone())).await? {
                return RequestUse::decode(found.value).map_err(corrupt);
            }
            let mut batch = Batch::new(partition);
            batch.put_for(name.clone(), request.encode_to_vec(), Expect::Absent, self.request_retention);
            match self.store.commit(batch).await {
                Ok(_) => return Ok(request),
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether this request id has made a callback.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn was_made_by(&self, request_id: &str) -> Result<bool, StoreError> {
        if request_id.is_empty() {
            return Ok(false);
        }
        let partition = &self.partitions()[self.partitions.number_of(request_id)];
        let Some(found) = self.store.get(&partition.key(names::request(request_id))).await? else {
            return Ok(false);
        };
        let used = RequestUse::decode(found.value).map_err(corrupt)?;
        Ok(self.load_callback(&used.call_id).await?.is_some())
    }

    /// Reads a callback.
    ///
    /// # Errors
    /// When the store fails, or the record cannot be read.
    pub async fn load_callback(&self, id: &str) -> Result<Option<LoadedCallback>, StoreError> {
        let found = self.store.get(&self.partition(id).key(names::callback(id))).await?;
        let read = |found: store::Versioned| {
            let callback = Callback::decode(found.value).map_err(corrupt)?;
            match callback.schema {
                1..=SCHEMA => Ok(LoadedCallback { version: found.version, callback }),
                other => {
                    Err(corrupt(format!("a callback of schema {other}, this version reads up to {SCHEMA}")))
                }
            }
        };
        found.map(read).transpose()
    }

    /// Makes sure that a callback, as it was read, is as durable as an acknowledgement promises.
    ///
    /// # Errors
    /// When the store fails; that it has changed meanwhile is none.
    pub async fn confirm_callback(&self, loaded: &LoadedCallback) -> Result<(), StoreError> {
        let id = &loaded.callback.callback_id;
        let mut batch = Batch::new(self.partition(id));
        batch.check(names::callback(id), Expect::Version(loaded.version));
        match self.store.commit(batch).await {
            Err(StoreError::Conflict) => Ok(()),
            result => result.map(drop),
        }
    }

    /// Commits a new callback, once for its id.
    ///
    /// # Errors
    /// When there are too many, or the store fails.
    pub async fn make_callback(&self, new: &Callback, bounds: Bounds) -> Result<LoadedCallback, NotMade> {
        let id = new.callback_id.as_str();
        loop {
            if let Some(loaded) = self.load_callback(id).await.map_err(NotMade::Store)? {
                self.confirm_callback(&loaded).await.map_err(NotMade::Store)?;
                return Ok(loaded);
            }
            let counts = self.counts_of(new).await.map_err(NotMade::Store)?;
            let [(_, of_user, _), (_, in_partition, _)] = &counts.0;
            if *of_user as usize >= bounds.of_user {
                return Err(NotMade::Full("limits.callbacks_per_user"));
            }
            if *in_partition as usize >= bounds.in_partition {
                return Err(NotMade::Full("limits.callbacks"));
            }
            let mut batch = Batch::new(self.partition(id));
            batch.put(names::callback(id), new.encode_to_vec(), Expect::Absent);
            counts.put(&mut batch, |count| count + 1);
            self.put_callback_listing(&mut batch, None, new);
            match self.store.commit(batch).await {
                Ok(outcome) => return Ok(LoadedCallback { version: outcome.version, callback: new.clone() }),
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(NotMade::Store(error)),
            }
        }
    }

    /// Commits a step.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when another replica was faster, or the request id is used already.
    pub async fn save_callback(&self, change: CallbackChange<'_>) -> Result<LoadedCallback, StoreError> {
        let CallbackChange { before, after, request } = change;
        let id = after.callback_id.as_str();
        let mut batch = Batch::new(self.partition(id));
        batch.put(names::callback(id), after.encode_to_vec(), Expect::Version(before.version));
        if let Some(request) = request {
            let name = names::request(&request.request_id);
            batch.put_for(name, request.encode_to_vec(), Expect::Absent, self.request_retention);
        }
        if after.is_over() && !before.callback.is_over() {
            self.counts_of(&after).await?.put(&mut batch, |count| count.saturating_sub(1));
        }
        self.put_callback_listing(&mut batch, Some(&before.callback), &after);
        let version = self.store.commit(batch).await?.version;
        Ok(LoadedCallback { version, callback: after })
    }

    fn put_callback_listing(&self, batch: &mut Batch, before: Option<&Callback>, after: &Callback) {
        let summary = CallbackSummary::of(after);
        if before.map(CallbackSummary::of).as_ref() != Some(&summary) {
            batch.index_add(names::CALLBACKS, position(after).as_str(), summary.encode_to_vec());
        }
        let due = millis(after.due_ms.min(self.forgotten_ms(after)));
        batch.due_add(DUE, names::due_callback(&after.callback_id), due, "");
    }

    async fn counts_of(&self, callback: &Callback) -> Result<Counts, StoreError> {
        let user = address_of_record(&callback.from.uri);
        let names = [names::callbacks_of(&user), names::callbacks_of("")];
        let found = self.store.get_many(self.partition(&callback.callback_id), &names).await?;
        let mut counts = names.map(|name| (name, 0, Expect::Absent));
        for ((_, count, expect), found) in counts.iter_mut().zip(found) {
            if let Some(found) = found {
                *expect = Expect::Version(found.version);
                *count = Count::decode(found.value).map_err(corrupt)?.count;
            }
        }
        Ok(Counts(counts))
    }

    /// When an ended callback is forgotten; never, while it goes on.
    fn forgotten_ms(&self, callback: &Callback) -> u64 {
        let retention = u64::try_from(self.ended_retention.as_millis()).unwrap_or(u64::MAX);
        if callback.is_over() { callback.end_ms.saturating_add(retention) } else { u64::MAX }
    }

    /// Whether it is over for so long that it may go.
    pub fn is_forgettable(&self, callback: &Callback) -> bool {
        crate::config::millis_of(self.now()) >= self.forgotten_ms(callback)
    }

    /// Forgets a callback.
    ///
    /// # Errors
    /// When the store fails, or it has changed meanwhile.
    pub async fn forget_callback(&self, loaded: &LoadedCallback) -> Result<(), StoreError> {
        let callback = &loaded.callback;
        let id = callback.callback_id.as_str();
        let mut batch = Batch::new(self.partition(id));
        batch
            .delete(names::callback(id), Expect::Version(loaded.version))
            .index_remove(names::CALLBACKS, position(callback).as_str())
            .due_remove(DUE, names::due_callback(id));
        self.store.commit(batch).await.map(drop)
    }

    /// About `size` callbacks that match, from a position on, newest first.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn list_callbacks(
        &self,
        matches: impl Fn(&CallbackSummary) -> bool,
        after: Option<Position>,
        size: usize,
    ) -> Result<CallbackPage, StoreError> {
        let (mut callbacks, mut after, mut seen) = (Vec::new(), after, 0);
        loop {
            let mut listed = Vec::new();
            // Up to where every partition has told everything
            let mut told: Option<String> = None;
            for partition in self.partitions() {
                let from = after.as_ref().map(Position::as_str);
                let page = self.store.index(partition, names::CALLBACKS, from, CHUNK).await?;
                if page.next.is_some()
                    && let Some((last, _)) = page.entries.last()
                {
                    told = Some(told.map_or(last.clone(), |told| told.min(last.clone())));
                }
                listed.extend(page.entries);
            }
            listed.sort();
            listed.retain(|(member, _)| told.as_ref().is_none_or(|told| member <= told));
            for (member, value) in listed {
                let position = Position::from_text(&member);
                if matches(&CallbackSummary::decode(value).map_err(corrupt)?) {
                    let loaded = self.load_callback(position.call_id()).await?;
                    callbacks.extend(loaded.map(|loaded| loaded.callback));
                }
                after = Some(position);
                seen += 1;
                if callbacks.len() >= size || seen >= LARGEST_SEARCH {
                    return Ok(CallbackPage { callbacks, next: after });
                }
            }
            if told.is_none() {
                return Ok(CallbackPage { callbacks, next: None });
            }
        }
    }
}

impl Counts {
    fn put(self, batch: &mut Batch, change: impl Fn(u32) -> u32) {
        for (name, count, expect) in self.0 {
            match change(count) {
                0 => batch.delete(name, expect),
                count => batch.put(name, Count { count }.encode_to_vec(), expect),
            };
        }
    }
}

fn position(callback: &Callback) -> Position {
    Position::of(callback.create_ms, &callback.callback_id)
}

fn millis(time_ms: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(time_ms)
}

fn corrupt(error: impl ToString) -> StoreError {
    StoreError::Corrupt { reason: error.to_string() }
}
