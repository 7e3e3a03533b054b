//! One change of a call and everything that commits with it.

use std::collections::BTreeSet;
use std::time::SystemTime;

use cluster_api::callcontrol::v1 as wire;
use prost::Message as _;
use store::{Batch, Expect, StoreError};

use super::Repository;
use super::events;
use super::listing::{Position, Summary};
use super::names::{self, DUE};
use super::requests::RequestUse;
use super::stored::{Head, Known, Loaded, Moved};
use crate::edges::EdgeLife;
use crate::engine::DueChange;
use crate::engine::call::Call;

/// A step, or several in a row, ready to be committed.
#[derive(Debug)]
pub struct Change<'a> {
    /// The call before; `None` for a new one.
    pub before: Option<&'a Loaded>,
    /// The call after.
    pub after: Call,
    /// What the application learns, in order.
    pub events: Vec<wire::CallEvent>,
    /// What becomes of the engine's timer.
    pub due: DueChange,
    /// Nothing can happen any more.
    pub finished: bool,
    /// The request id that is used by this change.
    pub request: Option<&'a RequestUse>,
}

impl Repository {
    /// Commits a change; returns the call as it now is.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when another replica was faster, or the request id is used already.
    pub async fn save(&self, mut change: Change<'_>) -> Result<Loaded, StoreError> {
        let now = self.store.now();
        let number = self.partition_number(&change.after.call_id);
        let begin = match change.before {
            Some(before) => before.begin,
            None => Some(self.place_before(number).await?),
        };
        let head = Head { revision: revision(&change), begin };
        let mut batch = self.batch(&change, head, now);
        events::append(&mut batch, std::mem::take(&mut change.events));
        let outcome = self.store.commit(batch).await?;
        self.passed(number, &outcome.cursors);
        let (version, Head { revision, begin }) = (outcome.version, head);
        let moved = if change.finished { Moved::of(&change.after) } else { Vec::new() };
        Ok(Loaded { version, revision, begin, moved, known: known(change.after, revision, change.finished) })
    }

    fn batch(&self, change: &Change<'_>, head: Head, now: SystemTime) -> Batch {
        let call = &change.after;
        let call_id = call.call_id.as_str();
        let before = change.before.and_then(|before| match &before.known {
            Known::Live(call) => Some(&**call),
            Known::Proxied(_) | Known::Over(_) => None,
        });
        let mut batch = Batch::new(self.partition(call_id));
        self.put_record(&mut batch, change, head);
        if let Some(request) = change.request {
            let name = names::request(&request.request_id);
            batch.put_for(name, request.encode_to_vec(), Expect::Absent, self.request_retention);
        }
        let position = Position::of(call.create_ms, &call.call_id);
        let old = before.map(Summary::of);
        if self.put_listing(&mut batch, &position, old.as_ref(), &Summary::of(call)) {
            let forget = names::due_forget(position.as_str());
            batch.due_add(DUE, forget, now + self.ended_retention, "");
        }
        let old_edges = before.map(edges_of).unwrap_or_default();
        let new_edges = if change.finished { BTreeSet::new() } else { edges_of(call) };
        put_edges(&mut batch, call_id, &old_edges, &new_edges);
        self.put_dialogs(&mut batch, before, call);
        match change.due {
            DueChange::Keep => {}
            DueChange::At(at) => {
                batch.due_add(DUE, names::due_timer(call_id), SystemTime::from(at), "");
            }
            DueChange::Clear => {
                batch.due_remove(DUE, names::due_timer(call_id));
            }
        }
        if let Some(id) = self.callback_to_tell(before, call) {
            batch.due_add(DUE, names::due_callback(id), now, "");
        }
        let had_effects = before.is_some_and(|before| !before.outbox.is_empty());
        let has_effects = !call.outbox.is_empty();
        if has_effects && !had_effects {
            // Whoever commits carries them; this is for the case that it dies before it has.
            batch.due_add(DUE, names::due_effects(call_id), now + self.lease, "");
        } else if had_effects && !has_effects {
            batch.due_remove(DUE, names::due_effects(call_id));
        }
        batch
    }

    /// The callback that has to know of this step: its call is connected, or over.
    fn callback_to_tell<'c>(&self, before: Option<&Call>, after: &'c Call) -> Option<&'c str> {
        let reached = |call: &Call| (call.answer_ms > 0, call.end_ms > 0);
        let is_news = before.is_some_and(|before| reached(before) != reached(after));
        let id = Some(after.callback_id.as_str()).filter(|id| is_news && !id.is_empty())?;
        (self.partition_number(id) == self.partition_number(&after.call_id)).then_some(id)
    }

    fn put_record(&self, batch: &mut Batch, change: &Change<'_>, head: Head) {
        let value = match change.finished {
            false => head.live(&change.after),
            true => {
                let moved = Moved::of(&change.after);
                head.over(crate::wire::public::call(&change.after, head.revision), moved)
            }
        };
        let expect = change.before.map_or(Expect::Absent, |before| Expect::Version(before.version));
        let name = names::call(&change.after.call_id);
        if change.finished {
            batch.put_for(name, value, expect, self.ended_retention);
        } else {
            batch.put(name, value, expect);
        }
    }

    /// True when this is its end: then it is to be forgotten after a time.
    pub(super) fn put_listing(
        &self,
        batch: &mut Batch,
        position: &Position,
        old: Option<&Summary>,
        new: &Summary,
    ) -> bool {
        if old == Some(new) {
            return false;
        }
        if !new.is_ended() {
            batch.index_add(names::LIVE, position.as_str(), new.encode_to_vec());
            return false;
        }
        if old.is_some_and(|old| !old.is_ended()) {
            batch.index_remove(names::LIVE, position.as_str());
        }
        batch.index_add(names::ENDED, position.as_str(), new.encode_to_vec());
        !old.is_some_and(Summary::is_ended)
    }
}

/// Keeps the list of calls that depend on each edge.
pub(super) fn put_edges(
    batch: &mut Batch,
    call_id: &str,
    old: &BTreeSet<EdgeLife>,
    new: &BTreeSet<EdgeLife>,
) {
    for edge in new.difference(old) {
        batch.index_add(names::EDGES, names::edge(edge), "");
        batch.index_add(names::calls_of(edge), call_id, "");
    }
    for edge in old.difference(new) {
        batch.index_remove(names::calls_of(edge), call_id);
    }
}

/// The lives of edges that a call would miss.
fn edges_of(call: &Call) -> BTreeSet<EdgeLife> {
    let of_legs = call.legs.iter().flat_map(|leg| {
        let invite = leg.invite.iter().map(|invite| (&invite.edge_id, invite.edge_epoch));
        let pending = leg.pending.iter().map(|pending| (&pending.edge_id, pending.edge_epoch));
        let served = leg.served.iter().map(|served| (&served.edge_id, served.edge_epoch));
        std::iter::once((&leg.edge_id, leg.edge_epoch)).chain(invite).chain(pending).chain(served)
    });
    let named = of_legs.filter(|(id, _)| !id.is_empty());
    let all = named.map(|(id, epoch)| EdgeLife { id: id.clone(), epoch });
    // What the record already knows to be lost needs no further notice.
    let is_known_lost = |edge: &EdgeLife| {
        call.lost.iter().any(|lost| lost.edge_id == edge.id && lost.edge_epoch == edge.epoch)
    };
    all.filter(|edge| !is_known_lost(edge)).collect()
}

fn revision(change: &Change<'_>) -> u64 {
    change.before.map_or(0, |before| before.revision) + 1
}

fn known(call: Call, revision: u64, finished: bool) -> Known {
    if finished {
        Known::Over(Box::new(crate::wire::public::call(&call, revision)))
    } else {
        Known::Live(Box::new(call))
    }
}
