//! When ended calls are dropped from their index: one entry of the list of due work for all that end in one commit.

use std::time::SystemTime;

use prost::Message as _;
use store::{Batch, Due};

use super::names::{self, DUE, DueWork};

/// The payload of such an entry.
#[derive(Clone, PartialEq, prost::Message)]
struct Ended {
    /// Where the calls stand in the index.
    #[prost(string, repeated, tag = "1")]
    positions: Vec<String>,
}

/// Puts it on the list that ended calls are to be forgotten.
pub(super) fn forget_later(batch: &mut Batch, positions: Vec<String>, at: SystemTime) {
    if let Some(first) = positions.first() {
        let id = names::due_forget_all(first);
        batch.due_add(DUE, id, at, Ended { positions }.encode_to_vec());
    }
}

/// Where the ended calls stand that an entry is about; `None` when it is about something else, or cannot be read.
pub(super) fn positions(due: &Due) -> Option<Vec<String>> {
    match DueWork::parse(&due.id)? {
        DueWork::Forget(position) => Some(vec![position.to_owned()]),
        DueWork::ForgetAll => Some(Ended::decode(due.payload.clone()).ok()?.positions),
        DueWork::Timer(_) | DueWork::Effects(_) | DueWork::LostEdge(_) | DueWork::Callback(_) => None,
    }
}
