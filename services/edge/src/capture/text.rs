//! The octets of what the ring keeps, one behind the other.
//!
//! A copy costs less than keeping each message where it was received: its memory would be touched again only much later, when it
//! makes room, and no two messages in between could use the same.

use std::collections::VecDeque;

/// Octets of a block; a longer text gets one of its own size.
const BLOCK: usize = 64 * 1024;

/// Texts in the order in which they came. The oldest go first.
#[derive(Default)]
pub(super) struct Texts {
    blocks: VecDeque<Vec<u8>>,
    /// Number of the first block.
    first: u64,
    /// A block that made room, to be filled again.
    spare: Option<Vec<u8>>,
}

/// Where a text stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    block: u64,
    start: u32,
    length: u32,
}

impl Place {
    pub(super) fn len(self) -> usize {
        self.length as usize
    }
}

impl Texts {
    /// Keeps the parts as one text.
    pub(super) fn push(&mut self, parts: &[&[u8]]) -> Place {
        let length = parts.iter().map(|part| part.len()).sum::<usize>();
        let has_room = |block: &Vec<u8>| block.capacity() - block.len() >= length;
        if !self.blocks.back().is_some_and(has_room) {
            let spare = self.spare.take().filter(|_| length <= BLOCK);
            self.blocks.push_back(spare.unwrap_or_else(|| Vec::with_capacity(length.max(BLOCK))));
        }
        let block = self.first + self.blocks.len() as u64 - 1;
        let Some(last) = self.blocks.back_mut() else { return Place { block, start: 0, length: 0 } };
        let start = last.len() as u32;
        parts.iter().for_each(|part| last.extend_from_slice(part));
        Place { block, start, length: length as u32 }
    }

    /// A text that is still there.
    pub(super) fn get(&self, place: Place) -> &[u8] {
        let block = place.block.checked_sub(self.first).and_then(|at| self.blocks.get(at as usize));
        let start = place.start as usize;
        block.and_then(|block| block.get(start..start + place.len())).unwrap_or_default()
    }

    /// Forgets what stands before this text; everything without one.
    pub(super) fn keep_from(&mut self, oldest: Option<Place>) {
        let end = self.first + self.blocks.len() as u64;
        let first = oldest.map_or(end, |oldest| oldest.block);
        while self.first < first {
            let Some(mut block) = self.blocks.pop_front() else { return };
            self.first += 1;
            block.clear();
            self.spare = Some(block).filter(|block| block.capacity() == BLOCK);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_there_until_they_are_forgotten_and_blocks_are_used_again() {
        let mut texts = Texts::default();
        let mut places = VecDeque::new();
        for n in 0..5000_usize {
            let text = vec![n as u8; 100 + n % 900];
            places.push_back((texts.push(&[&text]), text));
            if places.len() > 300 {
                places.pop_front();
                texts.keep_from(places.front().map(|(place, _)| *place));
            }
            if n % 500 == 0 {
                assert!(places.iter().all(|(place, text)| texts.get(*place) == text));
            }
        }
        assert!(texts.blocks.len() <= 5, "{}", texts.blocks.len());
        let large = texts.push(&[&[7; BLOCK], &[7; BLOCK]]);
        assert_eq!((texts.get(large).len(), large.len()), (2 * BLOCK, 2 * BLOCK));
        texts.keep_from(None);
        assert!(texts.blocks.is_empty() && texts.get(large).is_empty());
        let next = texts.push(&[b"next"]);
        assert_eq!(texts.get(next), b"next");
    }
}
