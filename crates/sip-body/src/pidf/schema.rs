//! What the schema of presence documents allows (RFC 3863 4.4), as far as it is asked of those that others send.
//!
//! Two things that it does not allow are mended and not refused, because phones in use send them: the order of what a tuple holds,
//! and a basic status that nobody knows ([`super::Pidf::normalized`]).

use crate::xml::{Step, Walk, XmlError, attribute};

use super::NAMESPACE;

/// Where the walk is.
#[derive(Debug)]
enum Place {
    Presence,
    /// How many it holds of status, contact and timestamp.
    Tuple([u8; 3]),
    /// Whether it has a basic status.
    Status(bool),
    /// An element that holds text alone.
    Text,
    /// The text so far.
    Timestamp(String),
    /// An extension, whose schema is not ours.
    Other,
}

/// Holds a document against the schema.
///
/// # Errors
/// When it breaks a rule, with the rule.
pub(super) fn check(document: &[u8]) -> Result<(), XmlError> {
    let (_, mut walk) = Walk::begin(document, NAMESPACE)?;
    let mut path: Vec<Place> = Vec::new();
    while let Some(step) = walk.step()? {
        match step {
            Step::Start { tag, is_known, is_bare, .. } => {
                let name: String = tag.local_name().as_ref().to_owned();
                let kind = if is_known { name.as_str() } else { "" };
                let place = match path.last_mut() {
                    None => Place::Presence,
                    Some(Place::Text | Place::Timestamp(_)) => {
                        return broken("basic, contact, note and timestamp hold text alone");
                    }
                    Some(Place::Other) => Place::Other,
                    Some(_) if is_bare => return broken("an element of no namespace"),
                    Some(_) if !is_known => Place::Other,
                    Some(within) => begun(within, kind)?,
                };
                if matches!(path.last(), Some(Place::Tuple(_))) && kind == "contact" {
                    check_priority(attribute(&tag, "priority")?.as_deref())?;
                }
                path.push(place);
            }
            Step::Text(text) => match path.last_mut() {
                Some(Place::Timestamp(so_far)) => so_far.push_str(&text),
                Some(Place::Presence | Place::Tuple(_) | Place::Status(_)) if !text.trim().is_empty() => {
                    return broken("presence, tuple and status hold elements alone");
                }
                Some(_) | None => {}
            },
            Step::End(_) => match path.pop() {
                Some(Place::Tuple([1, ..])) => {}
                Some(Place::Tuple(_)) => return broken("a tuple has one status"),
                Some(Place::Timestamp(text)) if !is_date_time(text.trim()) => {
                    return broken("a timestamp is a date and time such as 2026-11-21T08:00:00Z");
                }
                Some(_) | None => {}
            },
        }
    }
    Ok(())
}

/// What an element of the namespace is within another one.
fn begun(within: &mut Place, kind: &str) -> Result<Place, XmlError> {
    match (within, kind) {
        (Place::Presence, "tuple") => Ok(Place::Tuple([0; 3])),
        (Place::Presence | Place::Tuple(_), "note") => Ok(Place::Text),
        (Place::Presence, _) => broken("presence holds tuple and note of its namespace alone"),
        (Place::Tuple(count), "status" | "contact" | "timestamp") => {
            let (at, place) = match kind {
                "status" => (0, Place::Status(false)),
                "contact" => (1, Place::Text),
                _ => (2, Place::Timestamp(String::new())),
            };
            count[at] += 1;
            let one =
                if at == 0 { "a tuple has one status" } else { "a tuple has one contact and one timestamp" };
            if count[at] > 1 { broken(one) } else { Ok(place) }
        }
        (Place::Tuple(_), _) => {
            broken("a tuple holds status, contact, note and timestamp of its namespace alone")
        }
        (Place::Status(has_basic @ false), "basic") => {
            *has_basic = true;
            Ok(Place::Text)
        }
        (Place::Status(_), _) => broken("a status holds one basic of its namespace alone"),
        (Place::Text | Place::Timestamp(_) | Place::Other, _) => Ok(Place::Other),
    }
}

fn broken<T>(rule: &'static str) -> Result<T, XmlError> {
    Err(XmlError::Unexpected(rule))
}

/// `qvalue` of the schema: as q of SIP.
fn check_priority(value: Option<&str>) -> Result<(), XmlError> {
    let is_q = |value: &str| {
        let (whole, rest) = value.split_once('.').unwrap_or((value, ""));
        let is_below = match whole {
            "0" => rest.bytes().all(|octet| octet.is_ascii_digit()),
            "1" => rest.bytes().all(|octet| octet == b'0'),
            _ => false,
        };
        is_below && rest.len() <= 3
    };
    match value {
        Some(value) if !is_q(value.trim()) => broken("a priority is 0 to 1 with three decimals at most"),
        Some(_) | None => Ok(()),
    }
}

/// `xs:dateTime`, which need not name a zone; a leap second of RFC 3339 is none of XML's, and no reason to refuse.
fn is_date_time(text: &str) -> bool {
    let Some((date, time)) = text.split_once('T') else { return false };
    is_date(date) && is_time(time)
}

fn is_date(date: &str) -> bool {
    let mut parts = date.splitn(3, '-');
    let (Some(year), Some(month), Some(day)) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    let is_year = (4..=9).contains(&year.len()) && year.bytes().all(|octet| octet.is_ascii_digit());
    let (Some(month), Some(day)) = (two(month), two(day)) else { return false };
    let Some(year) = year.parse::<u32>().ok().filter(|year| is_year && *year > 0) else { return false };
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap => 29,
        2 => 28,
        _ => 31,
    };
    (1..=12).contains(&month) && (1..=last).contains(&day)
}

fn is_time(time: &str) -> bool {
    let at = time.find(['Z', '+', '-']).unwrap_or(time.len());
    let (clock, zone) = time.split_at(at);
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let parts: Option<Vec<u32>> = clock.split(':').map(two).collect();
    let is_clock = matches!(parts.as_deref(), Some([hour, minute, second]) if *hour <= 23 && *minute <= 59 && *second <= 60);
    let is_zone = match zone.strip_prefix(['+', '-']) {
        Some(offset) => {
            let parts: Option<Vec<u32>> = offset.split(':').map(two).collect();
            matches!(parts.as_deref(), Some([hour, minute]) if *hour <= 14 && *minute <= 59)
        }
        None => matches!(zone, "" | "Z"),
    };
    is_clock && is_zone && !fraction.is_empty() && fraction.bytes().all(|octet| octet.is_ascii_digit())
}

/// Two digits.
fn two(text: &str) -> Option<u32> {
    let is_two = text.len() == 2 && text.bytes().all(|octet| octet.is_ascii_digit());
    text.parse().ok().filter(|_| is_two)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn presence(inner: &str) -> String {
        format!("<presence xmlns=\"{NAMESPACE}\" xmlns:x=\"urn:x\" entity=\"pres:a@d\">{inner}</presence>")
    }

    fn tuple(inner: &str) -> String {
        presence(&format!("<tuple id=\"t\">{inner}</tuple>"))
    }

    /// PRS-05: each rule of the schema, broken.
    #[test]
    fn a_document_that_breaks_the_schema_is_told_the_rule() {
        let status = "<status><basic>open</basic></status>";
        let with = |more: &str| tuple(&format!("{status}{more}"));
        for (document, rule) in [
            (tuple(""), "one status"),
            (tuple("<contact>sip:a@d</contact>"), "one status"),
            (with("<status/>"), "one status"),
            (tuple("<status xmlns=\"urn:y\"/>"), "one status"),
            (tuple("<status xmlns=\"\"/>"), "no namespace"),
            (with("<contact>a:b</contact><contact>a:c</contact>"), "one contact"),
            (with("<timestamp>2026-01-01T00:00:00Z</timestamp><timestamp/>"), "one timestamp"),
            (tuple("<status><basic>open</basic><basic>closed</basic></status>"), "one basic"),
            (tuple("<status><state/></status>"), "one basic"),
            (tuple("<status>open</status>"), "elements alone"),
            (with("words"), "elements alone"),
            (with("<basic>open</basic>"), "of its namespace alone"),
            (with("<tuple id=\"u\"/>"), "of its namespace alone"),
            (presence("<status/>"), "of its namespace alone"),
            (presence("<x xmlns=\"\"/>"), "no namespace"),
            (tuple("<status><basic><b/></basic></status>"), "text alone"),
            (with("<note><x:b/></note>"), "text alone"),
            (with("<contact priority=\"2\">a:b</contact>"), "priority"),
            (with("<contact priority=\"0.1234\">a:b</contact>"), "priority"),
            (with("<contact priority=\"1.1\">a:b</contact>"), "priority"),
            (with("<contact priority=\"high\">a:b</contact>"), "priority"),
            (with("<timestamp>yesterday</timestamp>"), "timestamp"),
        ] {
            match check(document.as_bytes()) {
                Err(XmlError::Unexpected(told)) => assert!(told.contains(rule), "{document}: {told}"),
                other => panic!("{document}: {other:?}"),
            }
        }
        for document in [
            presence(""),
            presence("<note/><x:anything><x:deep/>at all<y xmlns=\"\"/></x:anything>"),
            with(
                "<x:e>1<status/></x:e><contact priority=\"0.\">a:b</contact><note xml:lang=\"de\">n</note><note/>",
            ),
            tuple("<status/>"),
            tuple("<note>first</note><status><x:mood/></status>"),
        ] {
            assert_eq!(check(document.as_bytes()), Ok(()), "{document}");
        }
    }

    #[test]
    fn a_time_is_one_that_there_is() {
        for good in [
            "2026-11-21T08:00:00Z",
            "2024-02-29T23:59:60.123456+14:00",
            "2026-11-21T08:00:00-05:30",
            "2026-11-21T08:00:00",
        ] {
            assert!(is_date_time(good), "{good}");
        }
        for bad in [
            "",
            "now",
            "2026-11-21",
            "2026-11-21 08:00:00Z",
            "2026-11-21T08:00Z",
            "2026-11-21T24:00:01Z",
            "2026-11-21T08:60:00Z",
            "2026-11-21T08:00:00.Z",
            "2026-11-21T08:00:00z",
            "2026-11-21T08:00:00+25:00",
            "2026-11-21T08:00:00Z+",
            "2026-13-01T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-1-1T00:00:00Z",
            "26-11-21T00:00:00Z",
            "2026-11-+1T00:00:00Z",
            "1700000000",
        ] {
            assert!(!is_date_time(bad), "{bad}");
        }
    }
}
