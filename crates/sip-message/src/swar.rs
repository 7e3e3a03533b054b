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

/// How many bytes from the beginning on are above `"` (0x22), below DEL, and neither `<` nor `>`: bytes that every URI,
/// address and identifier may hold. They may hold a few others too, so the byte that ends the run is no verdict.
#[inline]
pub(crate) fn plain_run(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        let suspects = unplain(u128::from_le_bytes(*chunk));
        if suspects != 0 {
            return at + suspects.trailing_zeros() as usize / 8;
        }
        at += WIDTH;
    }
    let left = bytes.len() - at;
    match bytes.last_chunk() {
        // The zeros that are shifted in end the run.
        Some(last) if left > 0 => {
            let word = u128::from_le_bytes(*last) >> (8 * (WIDTH - left));
            at + unplain(word).trailing_zeros() as usize / 8
        }
        _ => {
            let plain = |byte: &u8| matches!(byte, b'#'..=b'~') && !matches!(byte, b'<' | b'>');
            at + bytes[at..].iter().take_while(|byte| plain(byte)).count()
        }
    }
}

/// The high bit of every byte that is not plain, with the precision of [`below`].
fn unplain(word: u128) -> u128 {
    let low = word.wrapping_sub(all(b'"' + 1));
    let delete = word.wrapping_add(ONES);
    // `<` and `>` differ in one bit only.
    let angle = ((word | all(0x02)) ^ all(b'>')).wrapping_sub(ONES);
    (word | low | delete | angle) & HIGH
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
    fn a_plain_run_ends_at_the_first_other_byte() {
        for byte in 0..=255u8 {
            let plain = byte > b'"' && byte < 0x7f && !matches!(byte, b'<' | b'>');
            for length in 0..50 {
                for at in 0..length {
                    let mut text = vec![b'a'; length];
                    text[at] = byte;
                    let expected = if plain { length } else { at };
                    assert_eq!(plain_run(&text), expected, "{byte} at {at} of {length}");
                    text[at..].fill(byte);
                    assert_eq!(plain_run(&text), expected, "{byte} from {at} of {length}");
                }
            }
        }
    }
}
