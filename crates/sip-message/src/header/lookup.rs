//! From the name on the wire to the number of the header, in one or two probes.

use super::HeaderId;
use super::id::KNOWN;
use crate::swar;

impl HeaderId {
    /// Finds a header by its long or compact name, in any case. MSG-02, MSG-03
    pub fn from_name(name: &[u8]) -> HeaderId {
        if let [letter] = name {
            return COMPACT[usize::from(letter.to_ascii_lowercase() & 0x7f) * usize::from(letter.is_ascii())];
        }
        let mut slot = hash(name);
        loop {
            let index = usize::from(SLOTS[slot]);
            if index == EMPTY {
                return HeaderId::Other;
            }
            let (id, known, _) = KNOWN[index];
            if known.as_bytes().eq_ignore_ascii_case(name) {
                return id;
            }
            slot = (slot + 1) % SLOTS.len();
        }
    }

    /// The known name that the line begins with, and its length, when its colon follows at once: what nearly every line
    /// of nearly every message is. Anything else, even a known name of sixteen letters or more, is `None`.
    ///
    /// The name is compared without the bit that tells small letters from capitals. That takes CR for a hyphen, so the
    /// caller must know that the colon stands before the end of the line.
    #[inline]
    pub(crate) fn at_line_start(line: &[u8; swar::WIDTH]) -> Option<(HeaderId, usize)> {
        let word = u128::from_le_bytes(*line);
        let colons = swar::equal(word, b':');
        let name_len = colons.trailing_zeros() as usize / 8;
        if name_len >= swar::WIDTH {
            return None;
        }
        let key = (word | swar::all(0x20)) & MASKS[name_len];
        let mut slot = key_hash(key);
        loop {
            let index = usize::from(KEY_SLOTS[slot]);
            if index == EMPTY {
                return None;
            }
            let (known, id) = KEYS[index];
            if known == key {
                return Some((id, name_len));
            }
            slot = (slot + 1) % SIZE;
        }
    }
}

const EMPTY: usize = 255;
const SIZE: usize = 512;
static SLOTS: [u8; SIZE] = slots();
static COMPACT: [HeaderId; 128] = compact();
/// Long and compact names in small letters as numbers, zero when the name is too long for one.
static KEYS: [(u128, HeaderId); KEY_COUNT] = keys();
static KEY_SLOTS: [u8; SIZE] = key_slots();

/// The first bytes, so many as the place says. A name without letters is no key.
static MASKS: [u128; swar::WIDTH] = {
    let mut masks = [0; swar::WIDTH];
    let mut length = 1;
    while length < swar::WIDTH {
        masks[length] = masks[length - 1] << 8 | 0xff;
        length += 1;
    }
    masks
};

const KEY_COUNT: usize = {
    let mut count = KNOWN.len();
    let mut index = 0;
    while index < KNOWN.len() {
        count += KNOWN[index].2.is_some() as usize;
        index += 1;
    }
    assert!(count < EMPTY, "the slots count in bytes");
    count
};

/// Length, first, middle and last letter tell the known names apart well enough.
const fn hash(name: &[u8]) -> usize {
    if name.is_empty() {
        return 0;
    }
    let first = (name[0] | 0x20) as usize;
    let middle = (name[name.len() / 2] | 0x20) as usize;
    let last = (name[name.len() - 1] | 0x20) as usize;
    (name.len() * 37 + first * 7 + middle * 59 + last * 131) % SIZE
}

const fn key_hash(key: u128) -> usize {
    let folded = (key as u64) ^ ((key >> 64) as u64).rotate_left(29);
    (folded.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - SIZE.trailing_zeros())) as usize
}

const fn slots() -> [u8; SIZE] {
    let mut slots = [EMPTY as u8; SIZE];
    let mut index = 0;
    while index < KNOWN.len() {
        let mut slot = hash(KNOWN[index].1.as_bytes());
        while slots[slot] as usize != EMPTY {
            slot = (slot + 1) % SIZE;
        }
        slots[slot] = index as u8;
        index += 1;
    }
    slots
}

const fn compact() -> [HeaderId; 128] {
    let mut table = [HeaderId::Other; 128];
    let mut index = 0;
    while index < KNOWN.len() {
        if let Some(letter) = KNOWN[index].2 {
            table[letter as usize] = KNOWN[index].0;
        }
        index += 1;
    }
    table
}

const fn keys() -> [(u128, HeaderId); KEY_COUNT] {
    let mut keys = [(0, HeaderId::Other); KEY_COUNT];
    let (mut index, mut next) = (0, KNOWN.len());
    while index < KNOWN.len() {
        let (id, name, compact) = KNOWN[index];
        keys[index] = (key(name.as_bytes()), id);
        if let Some(letter) = compact {
            keys[next] = (letter as u128, id);
            next += 1;
        }
        index += 1;
    }
    keys
}

const fn key(name: &[u8]) -> u128 {
    let mut key = 0;
    let mut index = name.len();
    while index > 0 && name.len() < swar::WIDTH {
        index -= 1;
        assert!(name[index].is_ascii_alphabetic() || name[index] == b'-', "another letter would have a twin");
        key = key << 8 | (name[index] | 0x20) as u128;
    }
    key
}

const fn key_slots() -> [u8; SIZE] {
    let mut slots = [EMPTY as u8; SIZE];
    let keys = keys();
    let mut index = 0;
    while index < KEY_COUNT {
        if keys[index].0 != 0 {
            let mut slot = key_hash(keys[index].0);
            while slots[slot] as usize != EMPTY {
                slot = (slot + 1) % SIZE;
            }
            slots[slot] = index as u8;
        }
        index += 1;
    }
    slots
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_line_start(line: &str) -> Option<(HeaderId, usize)> {
        HeaderId::at_line_start(format!("{line:<16}").as_bytes().first_chunk().unwrap())
    }

    /// MSG-02, MSG-03
    #[test]
    fn a_line_begins_with_the_same_header_that_its_name_alone_is() {
        for (id, name, compact) in KNOWN {
            let expected = (name.len() < swar::WIDTH).then_some((*id, name.len()));
            for spelled in [(*name).to_owned(), name.to_ascii_uppercase(), name.to_ascii_lowercase()] {
                assert_eq!(at_line_start(&format!("{spelled}: x")), expected);
            }
            if let Some(letter) = compact {
                assert_eq!(at_line_start(&format!("{}:", char::from(*letter))), Some((*id, 1)));
                assert_eq!(
                    at_line_start(&format!("{}:", letter.to_ascii_uppercase() as char)),
                    Some((*id, 1))
                );
            }
        }
        for other in
            [":", "z:", "Vi:", "Vias:", "Via :", "X-Via:", "To\0:", "@ia:", "\u{0}", "no colon at all here"]
        {
            assert_eq!(at_line_start(other), None, "{other}");
        }
    }

    #[test]
    fn a_lookup_probes_few_slots() {
        for (_, name, _) in KNOWN {
            let mut slot = hash(name.as_bytes());
            let mut probes = 1;
            while KNOWN[usize::from(SLOTS[slot])].1 != *name {
                slot = (slot + 1) % SLOTS.len();
                probes += 1;
            }
            assert!(probes <= 4, "{name} needs {probes} probes");
        }
        for (key, id) in KEYS.iter().filter(|(key, _)| *key != 0) {
            let mut slot = key_hash(*key);
            let mut probes = 1;
            while KEYS[usize::from(KEY_SLOTS[slot])].0 != *key {
                slot = (slot + 1) % SIZE;
                probes += 1;
            }
            assert!(probes <= 4, "{id} needs {probes} probes");
        }
    }
}
