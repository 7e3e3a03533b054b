//! One queue of due work.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use crate::Due;

#[derive(Default)]
pub(super) struct Queue {
    entries: HashMap<String, Entry>,
    by_time: BTreeSet<(SystemTime, String)>,
}

struct Entry {
    at: SystemTime,
    payload: Bytes,
    /// The last claim, until the entry is rewritten.
    token: Option<u64>,
}

impl Queue {
    pub(super) fn add(&mut self, id: String, at: SystemTime, payload: Bytes) {
        self.remove(&id);
        self.by_time.insert((at, id.clone()));
        self.entries.insert(id, Entry { at, payload, token: None });
    }

    pub(super) fn remove(&mut self, id: &str) {
        if let Some((id, entry)) = self.entries.remove_entry(id) {
            self.by_time.remove(&(entry.at, id));
        }
    }

    pub(super) fn claim_of(&self, id: &str) -> Option<u64> {
        self.entries.get(id)?.token
    }

    pub(super) fn claim(
        &mut self,
        now: SystemTime,
        lease: Duration,
        limit: usize,
        last_token: &mut u64,
    ) -> Vec<Due> {
        let mut claimed = Vec::new();
        while claimed.len() < limit && self.by_time.first().is_some_and(|(at, _)| *at <= now) {
            let Some((_, id)) = self.by_time.pop_first() else { break };
            let Some(entry) = self.entries.get_mut(&id) else { continue };
            *last_token += 1;
            entry.at = now + lease;
            entry.token = Some(*last_token);
            claimed.push(Due { id, payload: entry.payload.clone(), token: *last_token });
        }
        // Back into the order only now, so that a zero lease cannot claim the same entry twice in one go.
        for due in &claimed {
            self.by_time.insert((now + lease, due.id.clone()));
        }
        claimed
    }

    pub(super) fn next(&self) -> Option<SystemTime> {
        self.by_time.first().map(|(at, _)| *at)
    }
}
