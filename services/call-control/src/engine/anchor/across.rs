//! What of a message goes across to the other leg: what is said to a person or about the call, never what is said to the next
//! hop, about the dialog, or as proof of who one is; and never a value that an edge would not put into a message.

use sip_message::HeaderId;

use crate::engine::effect::Header;
use crate::engine::event::ResponseReceived;

/// Of the caller's INVITE. History-Info and Diversion also count how often the call was forwarded (FWD-08).
const OF_INVITE: [&str; 26] = [
    "Accept-Contact",
    "Accept-Language",
    "Alert-Info",
    "Answer-Mode",
    "Call-Info",
    "Date",
    "Diversion",
    "Expires",
    "Geolocation",
    "Geolocation-Routing",
    "History-Info",
    "In-Reply-To",
    "Organization",
    "P-Early-Media",
    "Priority",
    "Priv-Answer-Mode",
    "Privacy",
    "Reason",
    "Referred-By",
    "Reject-Contact",
    "Reply-To",
    "Request-Disposition",
    "Resource-Priority",
    "Subject",
    "User-to-User",
    "Warning",
];

/// Of the callee's responses.
const OF_RESPONSE: [&str; 13] = [
    "Alert-Info",
    "Answer-Mode",
    "Call-Info",
    "Date",
    "Diversion",
    "Error-Info",
    "History-Info",
    "Organization",
    "P-Early-Media",
    "Reason",
    "Reply-To",
    "User-to-User",
    "Warning",
];

/// Who a trusted neighbour says that the caller is (RFC 3325 5); a phone says what it likes.
const OF_TRUSTED: [&str; 1] = ["P-Asserted-Identity"];

/// The headers of the caller's INVITE that go on.
pub fn of_invite(headers: &[Header], is_trusted: bool) -> Vec<Header> {
    let trusted: &[&str] = if is_trusted { &OF_TRUSTED } else { &[] };
    headers.iter().filter_map(|header| across(header, &[&OF_INVITE, trusted])).collect()
}

/// The headers of a response of the callee that go back. What only its sender could use (how to ask again) is left out of all
/// but refusals.
pub fn of_response(response: &ResponseReceived) -> Vec<Header> {
    let mut kept: Vec<Header> =
        response.headers.iter().filter_map(|header| across(header, &[&OF_RESPONSE])).collect();
    match response.status {
        0..300 => return kept,
        // RFC 3261 21.3, 21.4.23: where else the callee may be
        300..=399 | 485 => {
            let contacts = response.contacts.iter().filter(|contact| is_sayable(contact));
            kept.extend(contacts.map(|contact| Header::new("Contact", contact)));
        }
        415 => {
            let accept: Vec<&str> =
                response.accept.iter().map(String::as_str).filter(|range| is_sayable(range)).collect();
            if !accept.is_empty() {
                kept.push(Header::new("Accept", accept.join(", ")));
            }
            let more = ["Accept-Encoding", "Accept-Language"];
            kept.extend(response.headers.iter().filter_map(|header| across(header, &[&more])));
        }
        _ => {}
    }
    if let Some(seconds) = response.retry_after {
        kept.push(Header::new("Retry-After", seconds.to_string()));
    }
    kept
}

/// The header under its long name, when it is one of these or a private one.
fn across(header: &Header, kept: &[&[&str]]) -> Option<Header> {
    let name = match HeaderId::from_name(header.name.as_bytes()) {
        HeaderId::Other => header.name.as_str(),
        known => known.as_str(),
    };
    let is_private = name.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("X-"));
    let is_kept =
        is_private || kept.iter().any(|names| names.iter().any(|one| one.eq_ignore_ascii_case(name)));
    (is_kept && is_sayable(&header.value)).then(|| Header::new(name, &header.value))
}

/// Whether a value may stand in a message as it is. A quoted string may come with NUL in it, behind a backslash (RFC 3261 25.1):
/// without the NUL, the backslash would be about what comes next.
pub fn is_sayable(value: &str) -> bool {
    !value.contains(['\r', '\n', '\0'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(name: &str) -> Header {
        Header::new(name, "x")
    }

    fn names(headers: &[Header]) -> Vec<&str> {
        headers.iter().map(|header| header.name.as_str()).collect()
    }

    /// SCN-10: what is meant for the callee passes, what is meant for a hop or about the dialog does not.
    #[test]
    fn hop_headers_and_credentials_stay_where_they_are() {
        let came = [
            "s",
            "Alert-Info",
            "X-Tenant",
            "Proxy-Authorization",
            "Authorization",
            "Via",
            "Route",
            "Record-Route",
            "Replaces",
            "Session-Expires",
            "Supported",
            "Require",
            "Identity",
            "P-Asserted-Identity",
        ]
        .map(header);
        assert_eq!(names(&of_invite(&came, false)), ["Subject", "Alert-Info", "X-Tenant"]);
        assert_eq!(
            names(&of_invite(&came, true)),
            ["Subject", "Alert-Info", "X-Tenant", "P-Asserted-Identity"]
        );
    }

    /// One value that an edge refuses would keep the whole response from the caller; and half of one is another value.
    #[test]
    fn what_no_message_may_hold_does_not_go_across() {
        let bad = |name: &str| Header { name: name.into(), value: "399 h \"a\\\0\"".into() };
        let response = |status| ResponseReceived {
            status,
            contacts: vec!["\"\\\0\" <sip:c@h>".into(), "<sip:d@h>".into()],
            accept: vec!["a/b;c=\"\\\0\"".into()],
            headers: vec![bad("Warning"), bad("X-Note"), bad("Accept-Language"), header("Subject")],
            ..ResponseReceived::default()
        };
        assert_eq!(names(&of_response(&response(302))), ["Contact"]);
        assert_eq!(names(&of_response(&response(415))), [""; 0]);
        assert_eq!(names(&of_invite(&[bad("Subject"), header("Priority")], true)), ["Priority"]);
    }

    #[test]
    fn a_refusal_says_where_else_and_when() {
        let response = |status| ResponseReceived {
            status,
            contacts: vec!["<sip:c@h>".into()],
            retry_after: Some(30),
            headers: vec![header("Warning"), header("Unsupported"), header("WWW-Authenticate")],
            ..ResponseReceived::default()
        };
        assert_eq!(names(&of_response(&response(180))), ["Warning"]);
        assert_eq!(names(&of_response(&response(302))), ["Warning", "Contact", "Retry-After"]);
        assert_eq!(names(&of_response(&response(486))), ["Warning", "Retry-After"]);
    }
}
