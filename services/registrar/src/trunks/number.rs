//! Telephone numbers in Request-URIs: tel URIs and user parts that are numbers (RFC 3966 5, RFC 3261 19.1.6).
//!
//! | of | taken for a number |
//! |---|---|
//! | a tel URI, a user part in global form, one with `user=phone` | always ([`Number::of`]) |
//! | a user part of digits alone, where the next hop is a gateway | it is dialled all the same ([`Number::dialled`]) |
//! | whatever else of a user part a gateway might dial | only to be judged ([`judged`]) |
//!
//! Escapes are undone first: `%2B33` is `+33` (RFC 3261 19.1.4).

use sip_message::{Scheme, Uri, percent_decode};

use crate::tolls::global;

/// No number in global form is longer than 15 digits; prefixes of carriers come in front.
const LONGEST: usize = 32;
/// What of a number says which way it takes: that is for the trunk to say, and not for who dials. RFC 4694 4, RFC 4904 4
const WAYS: [&str; 3] = ["cic", "tgrp", "trunk-context"];

/// A number as it is dialled, and what is said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Number {
    /// Digits, with a `+` in front of the global form.
    pub digits: String,
    /// Parameters, escapes undone, names in small letters.
    params: Vec<(String, Option<String>)>,
}

impl Number {
    /// The number that a URI names by what it says of itself.
    pub(crate) fn of(uri: &Uri<'_>) -> Option<Self> {
        match uri.scheme {
            Scheme::Tel => {
                let raw = uri.raw();
                let colon = raw.iter().position(|octet| *octet == b':')?;
                Self::read(&raw[colon + 1..])
            }
            Scheme::Sip | Scheme::Sips => {
                let user = uri.user?;
                let says_so = uri.param("user").is_some_and(|value| value.eq_ignore_ascii_case("phone"));
                (says_so || percent_decode(user).starts_with(b"+")).then(|| Self::read(user)).flatten()
            }
            Scheme::Other(_) => None,
        }
    }

    /// The number that a gateway dials for a URI, whether it says to be one or not.
    pub(crate) fn dialled(uri: &Uri<'_>) -> Option<Self> {
        Self::of(uri).or_else(|| Self::read(uri.user?))
    }

    /// The place that a number in local form belongs to: the beginning of global numbers, or a domain. RFC 3966 5.1.5
    pub(crate) fn context(&self) -> Option<&str> {
        self.param("phone-context").filter(|_| !self.digits.starts_with('+'))
    }

    /// The context, where it is the beginning of global numbers, without visual separators.
    pub(crate) fn global_context(&self) -> Option<String> {
        self.context().map(plain_text).filter(|context| is_number(context) && context.starts_with('+'))
    }

    /// In the user part of a URI: isub and postd first, the others by name. RFC 3261 19.1.6
    pub(crate) fn params(&self) -> String {
        let rank = |name: &str| match name {
            "isub" => 0,
            "postd" => 1,
            _ => 2,
        };
        let mut kept: Vec<_> =
            self.params.iter().filter(|(name, _)| !WAYS.contains(&name.as_str())).collect();
        kept.retain(|(name, _)| name != "phone-context" || self.context().is_some());
        kept.sort_by(|(one, _), (two, _)| (rank(one), one).cmp(&(rank(two), two)));
        kept.into_iter().fold(String::new(), |mut text, (name, value)| {
            text.push(';');
            escape(name, &mut text);
            if let Some(value) = value {
                text.push('=');
                escape(value, &mut text);
            }
            text
        })
    }

    /// The same number in global form, where its context says how that begins.
    pub(crate) fn in_global_form(&self) -> Option<Self> {
        let digits = global(&self.digits, Some(&self.global_context()?));
        Some(Self { digits, ..self.without_context() })
    }

    pub(super) fn without_context(&self) -> Self {
        let params = self.params.iter().filter(|(name, _)| name != "phone-context").cloned().collect();
        Self { digits: self.digits.clone(), params }
    }

    fn param(&self, wanted: &str) -> Option<&str> {
        let found = self.params.iter().find(|(name, _)| name == wanted);
        found.map(|(_, value)| value.as_deref().unwrap_or_default())
    }

    /// RFC 3966 3: each parameter once, and a context that is one.
    fn is_sound(&self) -> bool {
        let once = |name: &str| self.params.iter().filter(|(known, _)| known == name).count() <= 1;
        once("phone-context") && once("rn") && self.param("phone-context").is_none_or(is_context)
    }

    fn read(subscriber: &[u8]) -> Option<Self> {
        let mut parts = subscriber.split(|octet| *octet == b';').map(text);
        let digits = plain_text(&parts.next()??);
        let params = parts.map(|part| {
            let part = part?;
            Some(match part.split_once('=') {
                Some((name, value)) => (name.to_ascii_lowercase(), Some(value.to_owned())),
                None => (part.to_ascii_lowercase(), None),
            })
        });
        let params = params.collect::<Option<Vec<_>>>()?;
        is_number(&digits).then_some(Self { digits, params })
    }
}

/// The digits of the number that a URI names.
pub(crate) fn number_of(uri: &Uri<'_>) -> Option<String> {
    Number::of(uri).map(|number| number.digits)
}

/// Whether a number says of itself what cannot be: a context that is none (RFC 3966 5.1.5).
pub(crate) fn is_unsound(uri: &Uri<'_>) -> bool {
    Number::of(uri).is_some_and(|number| !number.is_sound())
}

/// All numbers that a gateway may find in the user part of a URI: the number that it is, the routing number that it names (RFC 4694),
/// and where it is none the runs of digits of what begins as no name does.
pub(crate) fn judged(uri: &Uri<'_>) -> Vec<String> {
    let number = Number::dialled(uri);
    let routing = number.as_ref().and_then(|number| number.param("rn")).map(runs).unwrap_or_default();
    match number {
        Some(number) => std::iter::once(number.digits).chain(routing).collect(),
        None => {
            let user = percent_decode(uri.user.unwrap_or_default()).into_owned();
            let user = String::from_utf8_lossy(&user).into_owned();
            let begins = user.chars().find(|c| c.is_alphanumeric());
            if begins.is_some_and(|first| first.is_ascii_digit()) { runs(&user) } else { Vec::new() }
        }
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

/// A context is the beginning of global numbers, or a domain name whose last label begins with a letter. RFC 3966 3
fn is_context(text: &str) -> bool {
    if text.starts_with('+') {
        return is_number(&plain_text(text));
    }
    let is_label = |label: &str| {
        let is_inner = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'-';
        !label.is_empty() && label.bytes().all(is_inner) && !label.starts_with('-') && !label.ends_with('-')
    };
    let name = text.strip_suffix('.').unwrap_or(text);
    let last = name.rsplit('.').next().unwrap_or_default();
    name.split('.').all(is_label) && last.starts_with(|c: char| c.is_ascii_alphabetic())
}

fn text(part: &[u8]) -> Option<String> {
    String::from_utf8(percent_decode(part).into_owned()).ok()
}

fn plain_text(subscriber: &str) -> String {
    subscriber.chars().filter(|octet| !matches!(octet, '-' | '.' | '(' | ')')).collect()
}

/// Digits that stand together but for what separates them to the eye, with the `+` in front of them.
fn runs(text: &str) -> Vec<String> {
    let mut found = vec![String::new()];
    for octet in text.chars().filter(|octet| !matches!(octet, '-' | '.' | '(' | ')' | ' ' | '/')) {
        let last = found.last_mut().expect("there is one from the beginning");
        match octet {
            '0'..='9' => last.push(octet),
            '+' if last.is_empty() => last.push(octet),
            '+' => found.push("+".to_owned()),
            _ if last.is_empty() => {}
            _ => found.push(String::new()),
        }
    }
    found.retain(|run| run.len() > usize::from(run.starts_with('+')));
    found
}

/// Everything that may not stand in the user part of a SIP URI, and what divides parameters. RFC 3261 25.1
fn escape(text: &str, into: &mut String) {
    for octet in text.bytes() {
        if octet.is_ascii_alphanumeric() || b"-_.!~*'()&+$,?/".contains(&octet) {
            into.push(char::from(octet));
        } else {
            into.push_str(&format!("%{octet:02X}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Uri<'_> {
        Uri::parse(text.as_bytes()).unwrap()
    }

    /// RFC 3966 5.1.1, RFC 3261 19.1.4: one number in all its spellings, and names that are none.
    #[test]
    fn numbers_are_told_from_names() {
        let number = |text: &str| number_of(&uri(text));
        for same in [
            "tel:+49-30-1234",
            "tel:+49(30)1234;isub=1",
            "sip:+49301234@d",
            "sip:%2b49301234@d",
            "sip:+%349301234@d",
            "sip:%2B4%393%301234@d;user=phone",
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

    /// T6: what a gateway could dial is judged, however it is dressed; a name is none.
    #[test]
    fn whatever_a_gateway_could_dial_is_judged() {
        for (dialled, expected) in [
            ("sip:0033123@d", vec!["0033123"]),
            ("sip:%30%3033(1)23@d", vec!["0033123"]),
            ("sip:+33123p22@d", vec!["+33123", "22"]),
            ("sip:+33%20123@d", vec!["+33123"]),
            ("sip:+33123%3Bx@d", vec!["+33123"]),
            ("sip:*31*0033123@d", vec!["31", "0033123"]),
            ("sip:*31#+33123@d", vec!["31", "+33123"]),
            ("tel:+4930;npdi;rn=+33900", vec!["+4930", "+33900"]),
            ("tel:+4930;ext=33", vec!["+4930"]),
            ("sip:alice2@d", vec![]),
            ("sip:d", vec![]),
        ] {
            assert_eq!(judged(&uri(dialled)), expected, "{dialled}");
        }
    }

    /// RFC 3966 5.1.5: a context is the beginning of global numbers or a domain, and there is one.
    #[test]
    fn a_number_belongs_to_one_context() {
        for good in [
            "tel:112",
            "tel:030;phone-context=+49",
            "tel:030;phone-context=+4-9",
            "tel:1;phone-context=a-b.c",
        ] {
            assert!(!is_unsound(&uri(good)), "{good}");
        }
        for bad in [
            "tel:33123;phone-context=+",
            "tel:33123;phone-context",
            "tel:33123;phone-context=49",
            "tel:33123;phone-context=a..b",
            "tel:33123;phone-context=+49;phone-context=+33",
            "tel:33123;phone-context=+49;%70hone-context=+33",
            "sip:33123;phone-context=+4x@d;user=phone",
        ] {
            assert!(is_unsound(&uri(bad)), "{bad}");
        }
    }

    /// RFC 3261 19.1.6: what is said of a number goes with it, but for what takes the choice of the way from the trunk.
    #[test]
    fn parameters_of_a_number_are_kept() {
        let params = |text: &str| Number::of(&uri(text)).unwrap().params();
        assert_eq!(params("tel:030;phone-context=+49"), ";phone-context=+49");
        assert_eq!(params("tel:+4930;ext=5;postd=pp22;isub=1"), ";isub=1;postd=pp22;ext=5");
        assert_eq!(params("tel:+4930;rn=+4931;npdi;cic=+11234"), ";npdi;rn=+4931");
        assert_eq!(params("tel:+4930;X=a:b%40c"), ";x=a%3Ab%40c");
        assert_eq!(params("tel:+4930;phone-context=+33"), "", "a global number has no context");
    }
}
