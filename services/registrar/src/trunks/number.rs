//! Telephone numbers in Request-URIs: tel URIs and user parts that are numbers (RFC 3966 5, RFC 3261 19.1.6).

use sip_message::{Scheme, Uri};

/// No number in global form is longer than 15 digits; prefixes of carriers come in front.
const LONGEST: usize = 32;

/// The number that a URI names, without visual separators and parameters: of a tel URI, of a user part in global form, and of
/// any number that says so by `user=phone`.
pub(crate) fn number_of(uri: &Uri<'_>) -> Option<String> {
    match uri.scheme {
        Scheme::Tel => {
            let aor = uri.aor()?;
            plain(aor.strip_prefix("tel:")?)
        }
        Scheme::Sip | Scheme::Sips => {
            let user = std::str::from_utf8(uri.user?).ok()?;
            let says_so = uri.param("user").is_some_and(|value| value.eq_ignore_ascii_case("phone"));
            (says_so || user.starts_with('+')).then(|| plain(user)).flatten()
        }
        Scheme::Other(_) => None,
    }
}

/// Digits with a `+` in front or without one.
pub(crate) fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or(text);
    !digits.is_empty() && digits.len() <= LONGEST && digits.bytes().all(|octet| octet.is_ascii_digit())
}

/// The beginning of numbers: of all of them, of those in global form, or of some.
pub(crate) fn is_prefix(text: &str) -> bool {
    text.is_empty() || text == "+" || is_number(text)
}

fn plain(subscriber: &str) -> Option<String> {
    let number = subscriber.split(';').next().unwrap_or_default();
    let number: String = number.chars().filter(|octet| !matches!(octet, '-' | '.' | '(' | ')')).collect();
    is_number(&number).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3966 5.1.1: one number in all its spellings, and names that are none.
    #[test]
    fn numbers_are_told_from_names() {
        let number = |uri: &str| number_of(&Uri::parse(uri.as_bytes()).unwrap());
        for same in [
            "tel:+49-30-1234",
            "tel:+49(30)1234;isub=1",
            "sip:+49301234@d",
            "sip:+49.30.1234@d;user=phone",
            "sip:+49301234;isub=1@d;user=PHONE",
        ] {
            assert_eq!(number(same).as_deref(), Some("+49301234"), "{same}");
        }
        assert_eq!(number("sip:0301234@d;user=phone").as_deref(), Some("0301234"));
        for none in ["sip:0301234@d", "sip:+@d", "sip:+4930x@d", "sip:bob@d;user=phone", "sip:d", "x:+49"] {
            assert_eq!(number(none), None, "{none}");
        }
        assert_eq!(number(&format!("sip:+{}@d", "1".repeat(40))), None);
    }
}
