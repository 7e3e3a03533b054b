//! The transactions of one side: slots with serial numbers, an index by hash, and one timer for each.

use std::time::Instant;

use hashbrown::HashTable;

use crate::key::Place;
use crate::slots::Slots;
use crate::wheel::Wheel;

/// A bounded table of `T`.
///
/// The index holds slot numbers with their hashes, so that it grows without a look at the tenants. Nothing ever walks it: the
/// order in which it keeps them cannot be seen.
#[derive(Debug)]
pub(crate) struct Pool<T> {
    slots: Slots<Slot<T>>,
    index: HashTable<Indexed>,
    wheel: Wheel,
    next_serial: u64,
    space: u32,
    limit: usize,
}

#[derive(Debug)]
struct Slot<T> {
    serial: u64,
    hash: u32,
    tenant: T,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Indexed {
    slot: u32,
    hash: u32,
}

/// A hash as the index wants it, which takes its places from the low bits and its marks from the high ones.
fn spread(hash: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(hash)
}

/// What is kept of a hash.
fn folded(hash: u64) -> u32 {
    (hash ^ hash >> 32) as u32
}

impl<T> Pool<T> {
    pub(crate) fn new(now: Instant, space: u32, limit: usize) -> Self {
        Self {
            slots: Slots::new(),
            index: HashTable::new(),
            wheel: Wheel::new(now),
            next_serial: 1,
            space,
            // Slot numbers have to fit their type, with the wheel's end mark left out.
            limit: limit.min(u32::MAX as usize - 1),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.len() >= self.limit
    }

    /// Takes in a tenant. The caller has looked at [`is_full`](Self::is_full) before.
    pub(crate) fn insert(&mut self, hash: u64, tenant: T) -> Place {
        let serial = self.next_serial;
        self.next_serial += 1;
        let hash = folded(hash);
        let slot = self.slots.insert(Slot { serial, hash, tenant });
        self.index.insert_unique(spread(hash), Indexed { slot, hash }, |known| spread(known.hash));
        Place { space: self.space, slot, serial }
    }

    /// The tenant with this hash that `is_it` recognises.
    pub(crate) fn find(&self, hash: u64, mut is_it: impl FnMut(&T) -> bool) -> Option<Place> {
        let (slots, hash) = (&self.slots, folded(hash));
        let found = self.index.find(spread(hash), |known| {
            known.hash == hash && slots.get(known.slot).is_some_and(|entry| is_it(&entry.tenant))
        });
        self.place(found?.slot)
    }

    fn place(&self, slot: u32) -> Option<Place> {
        Some(Place { space: self.space, slot, serial: self.slots.get(slot)?.serial })
    }

    pub(crate) fn get(&self, place: Place) -> Option<&T> {
        let entry = self.slots.get(place.slot)?;
        (entry.serial == place.serial && place.space == self.space).then_some(&entry.tenant)
    }

    pub(crate) fn get_mut(&mut self, place: Place) -> Option<&mut T> {
        let entry = self.slots.get_mut(place.slot)?;
        (entry.serial == place.serial && place.space == self.space).then_some(&mut entry.tenant)
    }

    pub(crate) fn remove(&mut self, place: Place) -> Option<T> {
        self.get(place)?;
        let Slot { hash, tenant, .. } = self.slots.remove(place.slot)?;
        if let Ok(found) = self.index.find_entry(spread(hash), |known| known.slot == place.slot) {
            found.remove();
        }
        self.wheel.cancel(place.slot);
        Some(tenant)
    }

    /// Sets the one timer of a tenant, or takes it away.
    pub(crate) fn set_timer(&mut self, place: Place, at: Option<Instant>) {
        match at {
            Some(at) => self.wheel.schedule(place.slot, at),
            None => self.wheel.cancel(place.slot),
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.wheel.next_deadline()
    }

    /// One tenant whose timer is due, with the timer removed.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<Place> {
        let slot = self.wheel.pop(now)?;
        self.place(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_a_former_tenant_opens_nothing() {
        let mut pool = Pool::new(Instant::now(), 3, 10);
        let first = pool.insert(1, "first");
        assert_eq!(pool.remove(first), Some("first"));
        let second = pool.insert(1, "second");
        assert_eq!(first.slot, second.slot);
        assert_eq!(pool.get(first), None);
        assert_eq!(pool.remove(first), None);
        assert_eq!(pool.get(second), Some(&"second"));
        assert_eq!(pool.get(Place { space: 4, ..second }), None);
    }

    #[test]
    fn two_tenants_with_one_hash_are_told_apart() {
        let mut pool = Pool::new(Instant::now(), 0, 10);
        let a = pool.insert(7, "a");
        let b = pool.insert(7, "b");
        assert_eq!(pool.find(7, |t| *t == "b"), Some(b));
        pool.remove(a);
        assert_eq!(pool.find(7, |t| *t == "a"), None);
        assert_eq!(pool.find(7, |t| *t == "b"), Some(b));
    }

    #[test]
    fn the_bound_counts_only_those_who_live() {
        let mut pool = Pool::new(Instant::now(), 0, 1);
        let only = pool.insert(1, ());
        assert!(pool.is_full());
        pool.remove(only);
        assert!(!pool.is_full());
        assert_eq!(pool.len(), 0);
    }
}
