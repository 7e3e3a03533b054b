//! What follows from an answer to our REGISTER (RFC 3261 10.2, 10.3), as a pure function.
//!
//! | answer | what follows |
//! |---|---|
//! | 2xx | refreshed after four fifths to nine tenths of what was granted, and no sooner than after 10 s |
//! | 2xx that grants no time to our contact | it is not registered: as anything else |
//! | 401, 407 | again with credentials, once more when the nonce was stale |
//! | 423 with Min-Expires | again with that time, once |
//! | anything else, 3xx too, or none | again after a pause that doubles (RFC 5626 4.5), and after Retry-After where it is longer |
//!
//! A 3xx is not followed: who answers for a trunk leads us nowhere at our expense.

use std::time::Duration;

use cluster_api::edge::v1::ExchangeResponse;
use sip_message::NameAddr;

/// The first pause at most, and the longest. RFC 5626 4.5 with no flow that works: 30 s and 1800 s.
const BASE: Duration = Duration::from_secs(30);
const LONGEST: Duration = Duration::from_secs(1_800);
/// Whatever is granted, no refresh comes sooner: who grants a second would have us send for ever.
const SHORTEST: Duration = Duration::from_secs(10);
/// A peer may ask for so long and not longer, by Retry-After and by Min-Expires.
pub(super) const MOST_ASKED: u32 = 86_400;

/// The contact as the registrar at the peer has it, and for how long, where it says so.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Granted {
    pub(super) contact: String,
    /// 0 when the contact is not registered (RFC 3261 10.2.2).
    pub(super) expires: u32,
}

/// What a 2xx grants to the contact of this user part. `before` is what was registered so far: where both are listed, the other one is
/// the new one.
pub(super) fn granted(response: &ExchangeResponse, user: &str, asked: u32, before: &str) -> Granted {
    let ours = format!(":{user}@");
    let mut of_us: Vec<&String> = response.contacts.iter().filter(|value| value.contains(&ours)).collect();
    if of_us.len() > 1 {
        of_us.retain(|value| uri_of(value) != uri_of(before));
    }
    let contact = of_us.first().map(|value| value.as_str()).unwrap_or_default();
    let parsed = NameAddr::parse(contact.as_bytes()).ok();
    let expires = parsed.and_then(|contact| contact.param("expires")?.trim().parse::<u32>().ok());
    let expires = expires.or_else(|| number(response, "Expires")).unwrap_or(asked);
    Granted { contact: bracketed(uri_of(contact)), expires: expires.min(MOST_ASKED) }
}

/// Time from the grant to the refresh; `draw` is below 1000.
pub(super) fn refresh_after(expires: u32, draw: u64) -> Duration {
    Duration::from_millis(u64::from(expires) * (800 + draw.min(1_000) / 10)).max(SHORTEST)
}

/// The time that a 423 asks for, if it asks for more than was asked for.
pub(super) fn longer(response: &ExchangeResponse, asked: u32) -> Option<u32> {
    let least = number(response, "Min-Expires").filter(|least| *least > asked && *least <= MOST_ASKED);
    least.filter(|_| response.status == 423)
}

/// Time to the next attempt after so many failures in a row; `draw` is below 1000. Half of the pause is random.
pub(super) fn pause(response: &ExchangeResponse, failures: u32, draw: u64) -> Duration {
    let upper = BASE.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(LONGEST);
    let pause = upper / 2 + upper / 2_000 * u32::try_from(draw.min(1_000)).unwrap_or(0);
    let asked = number(response, "Retry-After").unwrap_or(0).min(MOST_ASKED);
    pause.max(Duration::from_secs(asked.into()))
}

/// The number that a header begins with.
fn number(response: &ExchangeResponse, name: &str) -> Option<u32> {
    let header = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
    let digits = header.value.trim_start();
    let end = digits.find(|octet: char| !octet.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().ok()
}

fn uri_of(contact: &str) -> &str {
    NameAddr::parse(contact.as_bytes())
        .ok()
        .and_then(|contact| std::str::from_utf8(contact.uri).ok())
        .unwrap_or("")
}

fn bracketed(uri: &str) -> String {
    if uri.is_empty() { String::new() } else { format!("<{uri}>") }
}

#[cfg(test)]
mod tests {
    use cluster_api::sip::v1::Header;

    use super::*;

    fn answer(status: u32, headers: &[(&str, &str)], contacts: &[&str]) -> ExchangeResponse {
        let header = |(name, value): &(&str, &str)| Header { name: (*name).into(), value: (*value).into() };
        ExchangeResponse {
            status,
            headers: headers.iter().map(header).collect(),
            contacts: contacts.iter().map(|&value| value.into()).collect(),
            ..ExchangeResponse::default()
        }
    }

    /// RFC 3261 10.2.4, 10.3 step 8: our own contact among others, and the time that it has.
    #[test]
    fn what_is_granted_is_read_from_our_own_contact() {
        let contacts = ["<sip:desk@h>;expires=9", "\"x\" <sip:trunk-1@a:5060;ob>;q=0.5;expires=120"];
        let found = granted(&answer(200, &[("Expires", "7")], &contacts), "trunk-1", 3600, "");
        assert_eq!(found, Granted { contact: "<sip:trunk-1@a:5060;ob>".into(), expires: 120 });
        let two = ["<sip:trunk-1@old>;expires=5", "<sip:trunk-1@new>;expires=60"];
        let found = granted(&answer(200, &[], &two), "trunk-1", 3600, "<sip:trunk-1@old>");
        assert_eq!(found, Granted { contact: "<sip:trunk-1@new>".into(), expires: 60 });
        let silent = granted(&answer(200, &[("Expires", "60")], &[]), "trunk-1", 3600, "");
        assert_eq!(silent, Granted { contact: String::new(), expires: 60 });
        let garbage = granted(&answer(200, &[], &["<sip:trunk-1@a>;expires=x", "<<<"]), "trunk-1", 3600, "");
        assert_eq!(garbage.expires, 3600);
        let nothing = granted(&answer(200, &[], &["<sip:trunk-1@a>;expires=0"]), "trunk-1", 3600, "");
        assert_eq!(nothing.expires, 0, "no time is no registration");
    }

    /// RFC 5626 4.5: between half and the whole of a time that doubles up to half an hour; Retry-After is obeyed, within a day.
    #[test]
    fn pauses_double_and_are_never_shorter_than_asked() {
        let plain = answer(500, &[], &[]);
        let seconds = |failures, draw| pause(&plain, failures, draw).as_secs();
        assert_eq!((seconds(1, 0), seconds(1, 1_000)), (15, 30));
        assert_eq!((seconds(2, 0), seconds(2, 1_000)), (30, 60));
        assert_eq!((seconds(99, 0), seconds(99, 1_000)), (900, 1_800));
        let busy = answer(503, &[("Retry-After", "600 (later);duration=9")], &[]);
        assert_eq!(pause(&busy, 1, 0).as_secs(), 600);
        let absurd = answer(503, &[("Retry-After", "4000000000")], &[]);
        assert_eq!(pause(&absurd, 1, 0).as_secs(), 86_400);
    }

    #[test]
    fn a_refresh_comes_before_the_end_and_a_423_is_obeyed_within_reason() {
        assert_eq!(
            (refresh_after(3_600, 0).as_secs(), refresh_after(3_600, 1_000).as_secs()),
            (2_880, 3_240)
        );
        for brief in [0, 1, 9] {
            assert_eq!(refresh_after(brief, 0).as_secs(), 10, "{brief}");
        }
        let brief = |value: &str| answer(423, &[("Min-Expires", value)], &[]);
        assert_eq!(longer(&brief("7200"), 3_600), Some(7_200));
        for useless in ["3600", "x", "-1", "999999999"] {
            assert_eq!(longer(&brief(useless), 3_600), None, "{useless}");
        }
        assert_eq!(longer(&answer(500, &[("Min-Expires", "7200")], &[]), 3_600), None);
    }
}
