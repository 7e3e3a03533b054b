//! Entries found by name, each in a slot whose number stands for it in ordered sets.
//!
//! An embedded store keeps a record for every phone: what an entry costs beside its content decides how many there can be.

use std::hash::BuildHasher as _;

use hashbrown::{DefaultHashBuilder, HashTable};

/// The number of a slot, as long as its entry lives.
pub(super) type Slot = u32;

pub(super) struct Named<T> {
    slots: Vec<Option<Entry<T>>>,
    free: Vec<Slot>,
    index: HashTable<Slot>,
    /// Seeded by chance, so that nobody can choose names that collide.
    hasher: DefaultHashBuilder,
}

struct Entry<T> {
    name: Box<str>,
    content: T,
}

impl<T> Default for Named<T> {
    fn default() -> Self {
        let hasher = DefaultHashBuilder::default();
        Self { slots: Vec::new(), free: Vec::new(), index: HashTable::new(), hasher }
    }
}

impl<T> Named<T> {
    pub(super) fn find(&self, name: &str) -> Option<Slot> {
        let is_it =
            |&slot: &Slot| self.slots[slot as usize].as_ref().is_some_and(|entry| *entry.name == *name);
        self.index.find(self.hasher.hash_one(name), is_it).copied()
    }

    pub(super) fn get(&self, slot: Slot) -> Option<&T> {
        self.slots.get(slot as usize)?.as_ref().map(|entry| &entry.content)
    }

    pub(super) fn get_mut(&mut self, slot: Slot) -> Option<&mut T> {
        self.slots.get_mut(slot as usize)?.as_mut().map(|entry| &mut entry.content)
    }

    pub(super) fn name(&self, slot: Slot) -> Option<&str> {
        self.slots.get(slot as usize)?.as_ref().map(|entry| &*entry.name)
    }

    pub(super) fn contents(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().flatten().map(|entry| &entry.content)
    }

    /// Adds an entry whose name is not there yet.
    pub(super) fn insert(&mut self, name: String, content: T) -> Slot {
        let hash = self.hasher.hash_one(name.as_str());
        let entry = Some(Entry { name: name.into(), content });
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = entry;
                slot
            }
            None => {
                let slot = Slot::try_from(self.slots.len()).expect("fewer entries than 2^32 fit into memory");
                grow(&mut self.slots);
                self.slots.push(entry);
                slot
            }
        };
        let Self { slots, index, hasher, .. } = self;
        let hash_of =
            |&slot: &Slot| slots[slot as usize].as_ref().map_or(0, |entry| hasher.hash_one(&*entry.name));
        index.insert_unique(hash, slot, hash_of);
        slot
    }

    pub(super) fn remove(&mut self, slot: Slot) -> Option<T> {
        let Entry { name, content } = self.slots.get_mut(slot as usize)?.take()?;
        let hash = self.hasher.hash_one(&*name);
        if let Ok(found) = self.index.find_entry(hash, |&known| known == slot) {
            found.remove();
        }
        self.free.push(slot);
        Some(content)
    }
}

/// Makes room by an eighth: doubling would leave half of a large table empty.
fn grow<T>(slots: &mut Vec<T>) {
    if slots.len() == slots.capacity() {
        slots.reserve_exact(slots.len() / 8 + 4);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_found_by_name_until_they_are_removed() {
        let mut named = Named::default();
        let slots: Vec<Slot> = (0..1000).map(|n| named.insert(format!("n{n}"), n)).collect();
        assert_eq!(named.find("n1000"), None);
        for (n, &slot) in slots.iter().enumerate() {
            assert_eq!(named.find(&format!("n{n}")), Some(slot));
            assert_eq!((named.get(slot), named.name(slot)), (Some(&n), Some(format!("n{n}").as_str())));
        }
        for (n, &slot) in slots.iter().enumerate().filter(|(n, _)| n % 3 == 0) {
            assert_eq!(named.remove(slot), Some(n));
            assert_eq!((named.find(&format!("n{n}")), named.remove(slot)), (None, None));
        }
        assert_eq!(named.contents().count(), 666);
        let again = named.insert("n0".to_owned(), 7);
        assert!(slots.contains(&again), "a slot is used again");
        assert_eq!(named.find("n0"), Some(again));
        assert_eq!(named.find("n1"), Some(slots[1]));
    }
}
