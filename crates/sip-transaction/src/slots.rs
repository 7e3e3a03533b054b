//! Numbered slots that give memory back after a burst.

use std::collections::BTreeSet;

/// Slots of a block.
const SIZE: usize = 512;

/// Slots in blocks. The lowest block with room takes the next item, so that the higher ones empty themselves when there is less
/// to hold; an empty block keeps no memory.
#[derive(Debug)]
pub(crate) struct Slots<T> {
    blocks: Vec<Block<T>>,
    with_room: BTreeSet<u32>,
    len: usize,
}

#[derive(Debug)]
struct Block<T> {
    items: Vec<Option<T>>,
    free: Vec<u16>,
}

impl<T> Slots<T> {
    pub(crate) fn new() -> Self {
        Self { blocks: Vec::new(), with_room: BTreeSet::new(), len: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn insert(&mut self, item: T) -> u32 {
        let at = match self.with_room.first() {
            Some(&at) => at,
            None => {
                let at = self.blocks.len() as u32;
                self.blocks.push(Block::new());
                self.with_room.insert(at);
                at
            }
        };
        let block = &mut self.blocks[at as usize];
        let slot = block.insert(item);
        if block.is_full() {
            self.with_room.remove(&at);
        }
        self.len += 1;
        at * SIZE as u32 + u32::from(slot)
    }

    pub(crate) fn get(&self, slot: u32) -> Option<&T> {
        let slot = slot as usize;
        self.blocks.get(slot / SIZE)?.items.get(slot % SIZE)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, slot: u32) -> Option<&mut T> {
        let slot = slot as usize;
        self.blocks.get_mut(slot / SIZE)?.items.get_mut(slot % SIZE)?.as_mut()
    }

    pub(crate) fn remove(&mut self, slot: u32) -> Option<T> {
        let (at, within) = (slot as usize / SIZE, slot as usize % SIZE);
        let block = self.blocks.get_mut(at)?;
        let item = block.items.get_mut(within)?.take()?;
        if block.is_full() {
            self.with_room.insert(at as u32);
        }
        block.free.push(within as u16);
        // The first one stays: with one item at a time it would come and go with each.
        if at > 0 && block.free.len() == block.items.len() {
            *block = Block::new();
        }
        self.len -= 1;
        Some(item)
    }
}

impl<T> Block<T> {
    fn new() -> Self {
        Self { items: Vec::new(), free: Vec::new() }
    }

    fn is_full(&self) -> bool {
        self.free.is_empty() && self.items.len() == SIZE
    }

    fn insert(&mut self, item: T) -> u16 {
        match self.free.pop() {
            Some(slot) => {
                self.items[usize::from(slot)] = Some(item);
                slot
            }
            None => {
                if self.items.is_empty() {
                    self.items.reserve_exact(SIZE);
                }
                self.items.push(Some(item));
                (self.items.len() - 1) as u16
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks_in_use<T>(slots: &Slots<T>) -> usize {
        slots.blocks.iter().filter(|block| block.items.capacity() > 0).count()
    }

    #[test]
    fn every_item_has_a_slot_of_its_own_until_it_is_removed() {
        let mut slots = Slots::new();
        let numbers: Vec<u32> = (0..3 * SIZE as u32).map(|n| slots.insert(n)).collect();
        assert!(numbers.iter().enumerate().all(|(n, &slot)| slots.get(slot) == Some(&(n as u32))));
        let gone = numbers[700];
        assert_eq!((slots.remove(gone), slots.remove(gone), slots.get(gone)), (Some(700), None, None));
        assert_eq!((slots.insert(7), slots.len()), (gone, 3 * SIZE));
        assert_eq!(slots.get_mut(gone), Some(&mut 7));
    }

    #[test]
    fn a_burst_leaves_no_memory_behind_although_somebody_is_always_there() {
        let mut slots = Slots::new();
        let mut there: Vec<u32> = (0..10 * SIZE as u32).map(|n| slots.insert(n)).collect();
        assert_eq!(blocks_in_use(&slots), 10);
        // Each one that goes is followed by another one, until the last of the burst has gone.
        for slot in there.drain(..).rev().collect::<Vec<_>>() {
            slots.remove(slot);
            let next = slots.insert(0);
            slots.remove(next);
        }
        assert_eq!((slots.len(), blocks_in_use(&slots)), (0, 1));
    }
}
