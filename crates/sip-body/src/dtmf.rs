//! Key presses in INFO: `application/dtmf-relay` and `application/dtmf`, registered nowhere and sent by many.

use crate::media_type::MediaType;

/// The key of a body of this type: a digit, `*`, `#`, or A to D in upper case.
pub fn digit(content_type: &str, content: &[u8]) -> Option<char> {
    let media_type = MediaType::parse(content_type.as_bytes())?;
    let text = std::str::from_utf8(content).ok()?;
    let key = if media_type.is("application/dtmf-relay") {
        text.lines().find_map(signal)?
    } else if media_type.is("application/dtmf") {
        text.trim()
    } else {
        return None;
    };
    let mut letters = key.chars();
    let key = letters.next().filter(|_| letters.as_str().is_empty())?.to_ascii_uppercase();
    (key.is_ascii_digit() || matches!(key, 'A'..='D' | '*' | '#')).then_some(key)
}

/// The value of a line `Signal=…`.
fn signal(line: &str) -> Option<&str> {
    let (name, value) = line.split_once('=')?;
    name.trim().eq_ignore_ascii_case("Signal").then(|| value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_presses_are_read_from_both_common_forms() {
        for (content_type, content, key) in [
            ("application/dtmf-relay", "Signal=5\r\nDuration=160\r\n", Some('5')),
            ("application/DTMF-relay;x=y", "Duration=160\r\n signal = a\r\n", Some('A')),
            ("application/dtmf", "#", Some('#')),
            ("application/dtmf", " * \r\n", Some('*')),
            ("application/dtmf", "55", None),
            ("application/dtmf", "e", None),
            ("application/dtmf", "", None),
            ("text/plain", "5", None),
            ("application/dtmf-relay", "no signal here", None),
            ("application/dtmf-relay", "Signals=5", None),
            ("application/dtmf-relay", "Signal=\u{1f514}", None),
        ] {
            assert_eq!(digit(content_type, content.as_bytes()), key, "{content_type}: {content:?}");
        }
    }
}
