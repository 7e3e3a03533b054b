//! The first line: request line or status line. RFC 3261 7.1, 7.2

use crate::Method;
use crate::error::{ParseError, ParseErrorKind};
use crate::grammar::{self, Scanner, is_token};
use crate::limits::Limits;
use crate::swar;

/// What the first line says, with offsets from the start of the message.
#[derive(Clone, Debug)]
pub(crate) enum StartLine {
    Request { method: Method, method_end: u16, uri: (u16, u16) },
    Response { status: u16, reason: (u16, u16) },
}

impl StartLine {
    /// Reads a line without its line end.
    pub(crate) fn parse(line: &[u8], limits: &Limits) -> Result<StartLine, ParseError> {
        if line.len() >= 4 && line[..4].eq_ignore_ascii_case(b"SIP/") {
            parse_status_line(line)
        } else {
            parse_request_line(line, limits)
        }
    }
}

/// Elements are separated by exactly one space; a line with more is refused, because a lenient
/// reader could see another Request-URI than the next hop does.
fn parse_request_line(line: &[u8], limits: &Limits) -> Result<StartLine, ParseError> {
    let fail = |kind, expected, offset| Err(ParseError { kind, expected, offset });
    let Some(method_end) = memchr::memchr(b' ', line) else {
        return fail(ParseErrorKind::StartLine, "a method and a space", line.len());
    };
    if !is_token(&line[..method_end]) {
        return fail(ParseErrorKind::StartLine, "a method", 0);
    }
    let uri_start = method_end + 1;
    let Some(version_gap) = memchr::memrchr(b' ', &line[uri_start..]).map(|at| at + uri_start) else {
        return fail(ParseErrorKind::StartLine, "a Request-URI and a version", uri_start);
    };
    let version = &line[version_gap + 1..];
    let current = version == b"SIP/2.0";
    if !current && !looks_like_version(version) {
        return fail(ParseErrorKind::StartLine, "SIP/2.0 at the end of the request line", version_gap + 1);
    }
    if version_gap - uri_start > limits.uri_bytes {
        return fail(
            ParseErrorKind::RequestUriTooLong,
            "a shorter Request-URI",
            uri_start + limits.uri_bytes,
        );
    }
    if !is_request_uri(&line[uri_start..version_gap]) {
        return fail(ParseErrorKind::RequestUri, "a URI", uri_start);
    }
    if !current && !version.eq_ignore_ascii_case(b"SIP/2.0") {
        return fail(ParseErrorKind::Version, "SIP/2.0", version_gap + 1);
    }
    Ok(StartLine::Request {
        method: Method::from_token(&line[..method_end]),
        method_end: method_end as u16,
        uri: (uri_start as u16, version_gap as u16),
    })
}

fn parse_status_line(line: &[u8]) -> Result<StartLine, ParseError> {
    let fail = |kind, expected, offset| Err(ParseError { kind, expected, offset });
    let Some(gap) = memchr::memchr(b' ', line) else {
        return fail(ParseErrorKind::StartLine, "a space after the version", line.len());
    };
    if !looks_like_version(&line[..gap]) {
        return fail(ParseErrorKind::StartLine, "SIP/2.0", 0);
    }
    if !line[..gap].eq_ignore_ascii_case(b"SIP/2.0") {
        return fail(ParseErrorKind::Version, "SIP/2.0", 0);
    }
    let rest = &line[gap + 1..];
    let status = match rest {
        [a @ b'1'..=b'6', b @ b'0'..=b'9', c @ b'0'..=b'9']
        | [a @ b'1'..=b'6', b @ b'0'..=b'9', c @ b'0'..=b'9', b' ', ..] => {
            [a, b, c].into_iter().fold(0, |status, digit| status * 10 + u16::from(digit - b'0'))
        }
        _ => return fail(ParseErrorKind::StartLine, "a status from 100 to 699", gap + 1),
    };
    let reason = (gap + 5).min(line.len());
    Ok(StartLine::Response { status, reason: (reason as u16, line.len() as u16) })
}

/// `SIP/digits.digits`, in any case. RFC 3261 7.1
fn looks_like_version(version: &[u8]) -> bool {
    let Some((name, numbers)) = version.split_at_checked(4) else {
        return false;
    };
    let mut halves = numbers.split(|byte| *byte == b'.');
    let mut digits =
        || halves.next().is_some_and(|half| !half.is_empty() && half.iter().all(u8::is_ascii_digit));
    name.eq_ignore_ascii_case(b"SIP/") && digits() && digits() && halves.next().is_none()
}

/// A scheme, a colon, and no white space, brackets, quotes or control octets. Whether the rest
/// suits the scheme is for the element that has to understand it. RFC 3261 16.3 step 2
pub(crate) fn is_request_uri(uri: &[u8]) -> bool {
    let mut scanner = Scanner::new(uri);
    let scheme = scanner.take_class(&SCHEME);
    if !scheme.first().is_some_and(u8::is_ascii_alphabetic) || !scanner.eat(b':') || scanner.at_end() {
        return false;
    }
    if swar::plain_run(scanner.rest()) == scanner.rest().len() {
        return true;
    }
    scanner.take_class(&URI);
    scanner.at_end()
}

const SCHEME: [bool; 256] = grammar::class(b"+-.", false);
const URI: [bool; 256] = grammar::all_but(b"<>\"");

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &[u8]) -> Result<StartLine, ParseErrorKind> {
        StartLine::parse(line, &Limits::default()).map_err(|error| error.kind)
    }

    /// MSG-01
    #[test]
    fn the_version_is_read_in_any_case_and_others_are_told_apart() {
        assert!(parse(b"OPTIONS sip:h sip/2.0").is_ok());
        assert!(parse(b"sip/2.0 200 OK").is_ok());
        assert_eq!(parse(b"OPTIONS sip:h SIP/7.0").unwrap_err(), ParseErrorKind::Version);
        assert_eq!(parse(b"OPTIONS sip:h SIP/2.00").unwrap_err(), ParseErrorKind::Version);
        assert_eq!(parse(b"SIP/3.0 200 OK").unwrap_err(), ParseErrorKind::Version);
        assert_eq!(parse(b"GET / HTTP/1.1").unwrap_err(), ParseErrorKind::StartLine);
    }

    #[test]
    fn extra_spaces_in_a_request_line_are_refused() {
        for bad in [
            &b"INVITE  sip:h SIP/2.0"[..],
            b"INVITE sip:h  SIP/2.0",
            b"INVITE sip:h SIP/2.0 ",
            b" INVITE sip:h SIP/2.0",
            b"INVITE sip:a b@h SIP/2.0",
            b"INVITE <sip:h> SIP/2.0",
            b"INVITE SIP/2.0",
            b"INVITE sip: SIP/2.0",
            b"INVITE",
            b"",
        ] {
            assert!(parse(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
    }

    #[test]
    fn reason_phrases_may_be_empty_or_absent_but_the_status_has_three_digits() {
        for good in [&b"SIP/2.0 100 "[..], b"SIP/2.0 100", b"SIP/2.0 200 = 2**3 * 5**2 \xd0\xbd"] {
            assert!(parse(good).is_ok());
        }
        for bad in [
            &b"SIP/2.0 4294967301 x"[..],
            b"SIP/2.0 20 OK",
            b"SIP/2.0 099 x",
            b"SIP/2.0 700 x",
            b"SIP/2.0  200 x",
        ] {
            assert!(parse(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
    }
}
