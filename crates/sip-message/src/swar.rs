//! Sixteen bytes at a time in plain registers: for values of a few dozen bytes this is quicker than the call of a
//! vectorized search, and needs no `unsafe`.

/// Bytes that are looked at together.
pub(crate) const WIDTH: usize = 16;

const ONES: u128 = u128::from_le_bytes([1; WIDTH]);
const HIGH: u128 = u128::from_le_bytes([0x80; WIDTH]);

/// The same byte in every place.
pub(crate) const fn all(byte: u8) -> u128 {
    ONES * byte as u128
}

/// The high bit of every byte below `bound`, at most 128. Exact for the lowest such byte, because nothing has been
/// borrowed before it; a byte above it may be marked by mistake.
pub(crate) const fn below(word: u128, bound: u8) -> u128 {
    word.wrapping_sub(all(bound)) & !word & HIGH
}

/// The high bit of every byte that is `byte`, with the same precision as [`below`].
pub(crate) const fn equal(word: u128, byte: u8) -> u128 {
    below(word ^ all(byte), 1)
}

/// Where the first CR or LF stands.
#[inline]
pub(crate) fn line_end(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        let controls = below(u128::from_le_bytes(*chunk), b'\r' + 1);
        if controls == 0 {
            at += WIDTH;
            continue;
        }
        at += controls.trailing_zeros() as usize / 8;
        if matches!(bytes[at], b'\r' | b'\n') {
            return Some(at);
        }
        at += 1; // a tab, or something that whoever reads the value will refuse
    }
    bytes[at..].iter().position(|byte| matches!(byte, b'\r' | b'\n')).map(|found| at + found)
}

/// Where `byte` stands for the first time.
#[inline]
pub(crate) fn find(bytes: &[u8], byte: u8) -> Option<usize> {
    let mut at = 0;
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        let found = equal(u128::from_le_bytes(*chunk), byte);
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize / 8);
        }
        at += WIDTH;
    }
    bytes[at..].iter().position(|other| *other == byte).map(|found| at + found)
}

/// Are all bytes of a kind that every URI, address and identifier may hold? `false` is no verdict: it also comes for rare
/// letters and for fewer than sixteen bytes, and the caller then looks at each byte.
///
/// True means: above `"` (0x22), below DEL, and neither `<` nor `>`.
#[inline]
pub(crate) fn is_plain(bytes: &[u8]) -> bool {
    let Some(last) = bytes.last_chunk() else {
        return false;
    };
    let mut suspects = unplain(*last);
    for chunk in bytes.as_chunks().0 {
        suspects |= unplain(*chunk);
    }
    suspects & HIGH == 0
}

/// Has a high bit if a byte is not plain. May also have one beside such a byte.
fn unplain(chunk: [u8; WIDTH]) -> u128 {
    let word = u128::from_le_bytes(chunk);
    let low = word.wrapping_sub(all(b'"' + 1));
    let delete = word.wrapping_add(ONES);
    // `<` and `>` differ in one bit only.
    let angle = ((word | all(0x02)) ^ all(b'>')).wrapping_sub(ONES);
    word | low | delete | angle
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_are_found_wherever_they_stand() {
        for byte in 0..=255u8 {
            for length in 0..50 {
                for at in 0..length {
                    let mut text = vec![b'a'; length];
                    text[at] = byte;
                    let expected = matches!(byte, b'\r' | b'\n').then_some(at);
                    assert_eq!(line_end(&text), expected, "{byte} at {at} of {length}");
                    text.fill(b'\t');
                    text[at] = byte;
                    assert_eq!(line_end(&text), expected, "{byte} at {at} of {length} among tabs");
                }
            }
        }
    }

    #[test]
    fn a_byte_is_found_wherever_it_stands_for_the_first_time() {
        for byte in 0..=255u8 {
            for length in 0..50 {
                for at in 0..length {
                    let mut text = vec![byte.wrapping_add(1); length];
                    text[at..].fill(byte);
                    assert_eq!(find(&text, byte), Some(at));
                }
                assert_eq!(find(&vec![byte ^ 0x80; length], byte), None);
            }
        }
    }

    #[test]
    fn every_byte_that_is_not_plain_is_noticed() {
        for byte in 0..=255u8 {
            let plain = byte > b'"' && byte < 0x7f && !matches!(byte, b'<' | b'>');
            for length in WIDTH..50 {
                for at in 0..length {
                    let mut text = vec![b'a'; length];
                    text[at] = byte;
                    assert_eq!(is_plain(&text), plain, "{byte} at {at} of {length}");
                }
            }
        }
        assert!(!is_plain(b"short"));
    }
}
