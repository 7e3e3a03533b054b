//! `%HH` escapes. RFC 3261 19.1.2

use std::borrow::Cow;

/// Undoes every escape. The result may hold any octet, CR, LF and NUL included: check it before it
/// goes into a message.
pub fn percent_decode(bytes: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'%', bytes).is_none() {
        return Cow::Borrowed(bytes);
    }
    Cow::Owned(unescape(bytes).map(|(byte, _)| byte).collect())
}

/// Escapes everything but the unreserved characters, so that the result fits every part of a URI.
pub fn percent_encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-_.!~*'()".contains(byte) {
            text.push(char::from(*byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

/// Bytes with escapes undone; the flag says that a byte was escaped and is reserved.
pub(super) fn unescape(bytes: &[u8]) -> impl Iterator<Item = (u8, bool)> + '_ {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (first, tail) = rest.split_first()?;
        if *first == b'%'
            && let [high, low, tail @ ..] = tail
            && let (Some(high), Some(low)) = (hex(*high), hex(*low))
        {
            rest = tail;
            let byte = high << 4 | low;
            return Some((byte, b";/?:@&=+$,".contains(&byte)));
        }
        rest = tail;
        Some((*first, false))
    })
}

/// Does an escape stand at the beginning?
pub(super) fn is_escape(bytes: &[u8]) -> bool {
    matches!(bytes, [b'%', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit())
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|digit| digit as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// MSG-07
    #[test]
    fn encoding_and_decoding_are_inverse() {
        let bytes: Vec<u8> = (0..=255).collect();
        assert_eq!(percent_decode(percent_encode(&bytes).as_bytes()).as_ref(), bytes);
        assert_eq!(percent_encode(b"a b@c"), "a%20b%40c");
    }

    #[test]
    fn a_percent_sign_that_begins_no_escape_stays() {
        assert_eq!(percent_decode(b"100%, %4, %zz, %41").as_ref(), b"100%, %4, %zz, A");
    }
}
