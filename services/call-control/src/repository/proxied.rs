//! Changes of proxied calls. What one report tells of the calls of a partition is one commit: each commit costs the store more than a
//! call does.

use std::collections::BTreeSet;
use std::time::SystemTime;

use prost::Message as _;
use store::{Batch, Cursor, Expect, Op, StoreError};

use super::change::put_edges;
use super::listing::{Position, Summary};
use super::names::{self, DUE};
use super::requests::RequestUse;
use super::stored::{self, Head, Known, Loaded};
use super::{Repository, events, forgetting};
use crate::proxied::call::ProxiedCall;
use crate::proxied::story::{Story, Teller};

/// Calls of one commit at most: with ten operations each, within what the store takes as one batch.
pub const CALLS_AT_ONCE: usize = 24;

/// A change of a proxied call.
#[derive(Debug)]
pub struct ProxiedChange<'a> {
    /// The call before; `None` for a new one.
    pub before: Option<&'a Loaded>,
    /// The call after.
    pub call: ProxiedCall,
    /// What the application learns.
    pub told: Teller,
    /// The request id that is used by this change.
    pub request: Option<&'a RequestUse>,
}

impl Repository {
    /// Reads calls of one partition, in the order of their ids.
    ///
    /// # Errors
    /// When the store fails; for each call by itself, when its record cannot be read.
    pub async fn load_many(
        &self,
        number: usize,
        call_ids: &[&str],
    ) -> Result<Vec<Result<Option<Loaded>, StoreError>>, StoreError> {
        let names: Vec<_> = call_ids.iter().map(|call_id| names::call(call_id)).collect();
        let found = self.store.get_many(&self.partitions()[number], &names).await?;
        Ok(found.into_iter().map(|found| found.map(stored::read).transpose()).collect())
    }

    /// Commits a change of a proxied call.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when another report was faster.
    pub async fn save_proxied(&self, change: ProxiedChange<'_>) -> Result<(), StoreError> {
        let number = self.partition_number(&change.call.call.call_id);
        self.save_all_proxied(number, vec![change]).await
    }

    /// Commits changes of at most [`CALLS_AT_ONCE`] proxied calls of one partition, all or none.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when another report of one of them was faster.
    pub async fn save_all_proxied(
        &self,
        number: usize,
        changes: Vec<ProxiedChange<'_>>,
    ) -> Result<(), StoreError> {
        let now = self.store.now();
        let begin = match changes.iter().any(|change| change.before.is_none()) {
            true => Some(self.place_before(number).await?),
            false => None,
        };
        let mut batch = Batch::new(&self.partitions()[number]);
        let mut together =
            Together { begin, now, stories: Vec::with_capacity(changes.len()), ended: Vec::new() };
        for change in changes {
            self.put_proxied(&mut batch, change, &mut together);
        }
        forgetting::forget_later(&mut batch, together.ended, now + self.ended_retention);
        events::append_stories(&mut batch, together.stories)?;
        // Side by side, the store does what concerns one index or queue at once. Calls do not share members, so only the order
        // of what happens to one call counts, and that within one index or queue.
        batch.ops.sort_by(|a, b| place(a).cmp(&place(b)));
        batch.ops.dedup_by(|a, b| matches!(a, Op::IndexAdd { .. }) && a == b);
        let outcome = self.store.commit(batch).await?;
        self.passed(number, &outcome.cursors);
        Ok(())
    }

    fn put_proxied(&self, batch: &mut Batch, change: ProxiedChange<'_>, together: &mut Together) {
        let ProxiedChange { before, mut call, told, request } = change;
        let Together { begin, now, .. } = *together;
        let revision = before.map_or(0, |before| before.revision) + 1;
        let head = Head { revision, begin: before.map_or(begin, |before| before.begin) };
        let old = before.map(|before| Summary::of_public(&before.public()));
        let new = Summary::of_public(&call.call);
        call.call.etag = revision.to_string();
        together.stories.extend(told.end(&call.call.etag));
        let call_id = call.call.call_id.clone();
        let position = Position::of(crate::wire::moment(call.call.create_time.as_ref()).millis(), &call_id);
        let expect = before.map_or(Expect::Absent, |before| Expect::Version(before.version));
        let old_edges: BTreeSet<_> = match before.map(|before| &before.known) {
            Some(Known::Proxied(before)) => before.depends_on().into_iter().collect(),
            Some(Known::Live(_) | Known::Over(_)) | None => BTreeSet::new(),
        };
        let new_edges: BTreeSet<_> = call.depends_on().into_iter().collect();
        if new.is_ended() {
            batch.put_for(
                names::call(&call_id),
                head.over(call.call, Vec::new()),
                expect,
                self.ended_retention,
            );
            if before.is_some() {
                batch.due_remove(DUE, names::due_timer(&call_id));
            }
        } else {
            batch.due_add(DUE, names::due_timer(&call_id), SystemTime::from(call.due(now.into())), "");
            batch.put(names::call(&call_id), head.proxied(call), expect);
        }
        put_edges(batch, &call_id, &old_edges, &new_edges);
        if let Some(request) = request {
            let name = names::request(&request.request_id);
            batch.put_for(name, request.encode_to_vec(), Expect::Absent, self.request_retention);
        }
        if self.put_listing(batch, &position, old.as_ref(), &new) {
            together.ended.push(position.as_str().to_owned());
        }
    }
}

/// What the calls of a commit share.
struct Together {
    /// Where the log is read from for calls that begin now.
    begin: Option<Cursor>,
    now: SystemTime,
    stories: Vec<Story>,
    /// Positions of those that end.
    ended: Vec<String>,
}

/// Where an operation stands in a batch: by what it changes. Entries of a log keep their order.
fn place(op: &Op) -> (u8, &str, &str) {
    match op {
        Op::Put { .. } | Op::Delete { .. } | Op::Check { .. } => (0, "", ""),
        Op::IndexRemove { index, .. } => (1, index, ""),
        Op::IndexAdd { index, member, .. } => (2, index, member),
        Op::DueRemove { queue, .. } => (3, queue, ""),
        Op::DueAdd { queue, .. } => (4, queue, ""),
        Op::LogAppend { log, .. } => (5, log, ""),
    }
}
