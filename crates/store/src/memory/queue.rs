//! One queue of due work.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use super::named::{Named, Slot};
use super::time::{nanos, time};
use crate::Due;

#[derive(Default)]
pub(super) struct Queue {
    named: Named<Entry>,
    by_time: BTreeSet<(u64, Slot)>,
}

struct Entry {
    at: u64,
    payload: Box<[u8]>,
    /// The last claim, until the entry is rewritten; 0 for none.
    token: u64,
}

impl Queue {
    pub(super) fn add(&mut self, id: String, at: SystemTime, payload: Bytes) {
        let at = nanos(at);
        let entry = Entry { at, payload: Vec::from(payload).into_boxed_slice(), token: 0 };
        let slot = match self.named.find(&id) {
            Some(slot) => {
                let Some(known) = self.named.get_mut(slot) else { return };
                self.by_time.remove(&(known.at, slot));
                *known = entry;
                slot
            }
            None => self.named.insert(id, entry),
        };
        self.by_time.insert((at, slot));
    }

    pub(super) fn remove(&mut self, id: &str) {
        if let Some(slot) = self.named.find(id)
            && let Some(entry) = self.named.remove(slot)
        {
            self.by_time.remove(&(entry.at, slot));
        }
    }

    pub(super) fn claim_of(&self, id: &str) -> Option<u64> {
        let entry = self.named.get(self.named.find(id)?)?;
        (entry.token != 0).then_some(entry.token)
    }

    pub(super) fn claim(
        &mut self,
        now: SystemTime,
        lease: Duration,
        limit: usize,
        last_token: &mut u64,
    ) -> Vec<Due> {
        let (now, leased) = (nanos(now), nanos(now + lease));
        let (mut claimed, mut slots) = (Vec::new(), Vec::new());
        while claimed.len() < limit && self.by_time.first().is_some_and(|&(at, _)| at <= now) {
            let Some((_, slot)) = self.by_time.pop_first() else { break };
            let Some(id) = self.named.name(slot).map(str::to_owned) else { continue };
            let Some(entry) = self.named.get_mut(slot) else { continue };
            *last_token += 1;
            (entry.at, entry.token) = (leased, *last_token);
            claimed.push(Due { id, payload: Bytes::copy_from_slice(&entry.payload), token: *last_token });
            slots.push(slot);
        }
        // Back into the order only now, so that a zero lease cannot claim the same entry twice in one go.
        self.by_time.extend(slots.into_iter().map(|slot| (leased, slot)));
        claimed
    }

    pub(super) fn next(&self) -> Option<SystemTime> {
        self.by_time.first().map(|&(at, _)| time(at))
    }
}
