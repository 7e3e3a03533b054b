//! The octets of what the ring keeps, one behind the other.
//!
//! A copy costs less than keeping each message where it was received: its memory would be touched again only much later, when it
//! makes room, and no two messages in between could use the same.
//!
//! Nor is it copied to its place at once: that has not been touched for as long, and whatever waits for memory next (any lock) would
//! wait for each text. Texts are gathered where the processor has them at hand, and go to their places many at a time.

use std::collections::VecDeque;

/// Octets of a block; a longer text gets one of its own size.
const BLOCK: usize = 64 * 1024;
/// Octets that are gathered; a longer text goes to its place at once.
const GATHERED: usize = 8 * 1024;

/// Texts in the order in which they came. The oldest go first.
#[derive(Default)]
pub(super) struct Texts {
    blocks: VecDeque<Vec<u8>>,
    /// Number of the first block.
    first: u64,
    /// A block that made room, to be filled again.
    spare: Option<Vec<u8>>,
    /// What comes next in the last block.
    gathered: Vec<u8>,
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
        let taken = length + self.gathered.len();
        let has_room = |block: &Vec<u8>| block.capacity() - block.len() >= taken;
        let has_block = self.blocks.back().is_some_and(has_room);
        if taken > GATHERED || !has_block {
            self.place_gathered();
        }
        if !has_block {
            let spare = self.spare.take().filter(|_| length <= BLOCK);
            self.blocks.push_back(spare.unwrap_or_else(|| Vec::with_capacity(length.max(BLOCK))));
        }
        let block = self.first + self.blocks.len() as u64 - 1;
        let Some(last) = self.blocks.back_mut() else { return Place { block, start: 0, length: 0 } };
        let start = (last.len() + self.gathered.len()) as u32;
        let to = if length > GATHERED { last } else { &mut self.gathered };
        parts.iter().for_each(|part| to.extend_from_slice(part));
        Place { block, start, length: length as u32 }
    }

    fn place_gathered(&mut self) {
        if let Some(last) = self.blocks.back_mut() {
            last.extend_from_slice(&self.gathered);
        }
        self.gathered.clear();
    }

    /// A text that is still there.
    pub(super) fn get(&self, place: Place) -> &[u8] {
        let Some(at) = place.block.checked_sub(self.first).map(|at| at as usize) else { return &[] };
        let Some(block) = self.blocks.get(at) else { return &[] };
        let is_last = at + 1 == self.blocks.len();
        let start = place.start as usize;
        let text = match start.checked_sub(block.len()) {
            Some(start) if is_last => self.gathered.get(start..start + place.len()),
            _ => block.get(start..start + place.len()),
        };
        text.unwrap_or_default()
    }

    /// Forgets what stands before this text; everything without one.
    pub(super) fn keep_from(&mut self, oldest: Option<Place>) {
        let end = self.first + self.blocks.len() as u64;
        let first = oldest.map_or(end, |oldest| oldest.block);
        while self.first < first {
            let Some(mut block) = self.blocks.pop_front() else { return };
            self.first += 1;
            if self.blocks.is_empty() {
                self.gathered.clear();
            }
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

    #[test]
    fn texts_are_whole_wherever_gathering_ends_and_when_all_are_forgotten_early() {
        let mut texts = Texts::default();
        let lengths = [0, 1, GATHERED - 1, GATHERED, GATHERED + 1, BLOCK - 1, BLOCK, BLOCK + 1, 7];
        let mut kept = Vec::new();
        for (n, length) in lengths.iter().cycle().take(10 * lengths.len()).enumerate() {
            let text = vec![n as u8; *length];
            kept.push((texts.push(&[&text]), text));
            assert!(kept.iter().all(|(place, text)| texts.get(*place) == text), "after {n}");
        }
        let few = texts.push(&[b"gathered"]);
        texts.keep_from(Some(few));
        assert_eq!((texts.get(few), texts.get(kept[3].0)), (&b"gathered"[..], &[][..]));
        texts.keep_from(None);
        let next = texts.push(&[b"next"]);
        assert_eq!((texts.get(next), texts.get(few)), (&b"next"[..], &[][..]));
    }
}
