//! Collects everything that is wrong with a request, so that its author is told once.

use std::ops::RangeInclusive;
use std::time::Duration;

use cluster_api::convert::{
    Fault, FaultKind, check_display_name, check_headers, is_one_line, optional_duration, page_limit,
};
use cluster_api::sip::v1::Header;
use cluster_rpc::{Reason, Refusal};
use sip_message::{NameAddr, Scheme, Uri};
use tonic::Status;

/// Longest URI; a phone's address needs a tenth of it.
const MAX_URI: usize = 1024;

/// What is wrong with a request, field by field.
#[derive(Debug, Default)]
pub struct Violations {
    refusal: Option<Refusal>,
}

impl Violations {
    /// Notes one; the reason of the first is the reason of the whole refusal.
    pub fn add(&mut self, reason: Reason, field: impl Into<String>, expected: impl Into<String>) {
        self.refusal = Some(match self.refusal.take() {
            None => Refusal::field(reason, field, expected),
            Some(refusal) => refusal.violation(field, expected),
        });
    }

    fn fault(&mut self, fault: Fault) {
        self.refusal = Some(match self.refusal.take() {
            None => Refusal::from(fault),
            Some(refusal) => refusal.violation(fault.field, fault.expected),
        });
    }

    /// `INVALID_ARGUMENT` with all of them, when there is one.
    ///
    /// # Errors
    /// The status to answer.
    pub fn check(self) -> Result<(), Status> {
        self.refusal.map_or(Ok(()), |refusal| Err(refusal.into()))
    }

    /// One line of text of bounded length.
    pub fn line(&mut self, field: &str, text: &str, longest: usize) {
        if text.chars().count() > longest {
            self.add(Reason::BadField, field, format!("at most {longest} characters"));
        } else if !is_one_line(text) {
            self.add(Reason::BadField, field, "one line without control characters");
        }
    }

    /// Whose call it is about.
    pub fn call_id(&mut self, call_id: &str) {
        if call_id.is_empty() {
            self.add(Reason::BadField, "call_id", "the id of a call");
        } else {
            self.line("call_id", call_id, 64);
        }
    }

    /// A sip, sips or tel URI that can be dialled.
    pub fn uri(&mut self, field: &str, uri: &str) {
        if let Err(expected) = check_uri(uri) {
            self.fault(Fault::new(FaultKind::Uri, field, expected));
        }
    }

    /// A sip or sips URI of a media server that can be called.
    pub fn media_uri(&mut self, field: &str, uri: &str) {
        self.uri(field, uri);
        let is_sip =
            Uri::parse(uri.as_bytes()).is_ok_and(|uri| matches!(uri.scheme, Scheme::Sip | Scheme::Sips));
        if check_uri(uri).is_ok() && !is_sip {
            self.add(Reason::BadUri, field, "a sip or sips URI, as sip:music@media.example.com");
        }
    }

    /// A URI, or a name and a URI in angle brackets; gives name and URI.
    pub fn caller_id(&mut self, field: &str, value: &str) -> (String, String) {
        if value.is_empty() {
            return Default::default();
        }
        if !is_one_line(value) {
            self.add(Reason::BadUri, field, "one line without control characters");
            return Default::default();
        }
        let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
        let (name, uri) = match NameAddr::parse(value.as_bytes()) {
            // What follows the bracket would be parameters of the header, which are not the application's.
            Ok(address) if address.bracketed && value.ends_with('>') => {
                (text(&address.display_name()), text(address.uri))
            }
            _ => (String::new(), value.to_owned()),
        };
        self.uri(field, &uri);
        self.display_name(field, &name);
        (name, uri)
    }

    /// A name to show.
    pub fn display_name(&mut self, field: &str, name: &str) {
        if let Err(fault) = check_display_name(field, name) {
            self.fault(fault);
        }
    }

    /// Headers that an application may add; `outer` is the message that has them, empty for the request itself.
    pub fn headers(&mut self, outer: &str, headers: &[Header]) {
        if let Err(fault) = check_headers(headers) {
            self.fault(if outer.is_empty() { fault } else { fault.within(outer) });
        }
    }

    /// A duration within bounds.
    pub fn duration(
        &mut self,
        field: &str,
        value: Option<prost_types::Duration>,
        limits: RangeInclusive<Duration>,
    ) -> Option<Duration> {
        optional_duration(field, value, limits).unwrap_or_else(|fault| {
            self.fault(fault);
            None
        })
    }

    /// How many entries a page has.
    pub fn page(&mut self, page_size: i32) -> usize {
        let limit = page_limit(page_size).unwrap_or_else(|fault| {
            self.fault(fault);
            1
        });
        limit as usize
    }
}

/// Whether it is a sip, sips or tel URI that can be dialled.
pub fn can_be_dialled(uri: &str) -> bool {
    check_uri(uri).is_ok()
}

/// What was expected instead.
fn check_uri(uri: &str) -> Result<(), String> {
    const EXPECTED: &str = "a sip, sips or tel URI, for example sip:alice@example.com";
    if uri.is_empty() {
        return Err(format!("{EXPECTED}; it is empty"));
    }
    if uri.len() > MAX_URI {
        return Err(format!("at most {MAX_URI} characters"));
    }
    if let Some(at) = uri.bytes().position(|octet| octet <= b' ' || octet >= 0x7f) {
        return Err(format!("{EXPECTED}; no URI has the character at offset {at}"));
    }
    let parsed = Uri::parse(uri.as_bytes()).map_err(|error| format!("{EXPECTED}; {error}"))?;
    if !matches!(parsed.scheme, Scheme::Sip | Scheme::Sips | Scheme::Tel) {
        return Err(EXPECTED.to_owned());
    }
    if parsed.port == Some(0) {
        return Err("a URI with a port from 1 to 65535, or without one".to_owned());
    }
    if parsed.scheme == Scheme::Tel && !is_number(uri) {
        return Err("a tel URI with a number, for example tel:+15551234".to_owned());
    }
    // RFC 3261 19.1.5: headers in a URI would become headers of the request.
    if parsed.headers.is_some() || parsed.has_param("method") {
        return Err("a URI without headers and without a method parameter".to_owned());
    }
    Ok(())
}

/// RFC 3966 3: a global number, or a local one; letters (they are digits there) only where phone-context says whose.
fn is_number(uri: &str) -> bool {
    let number = uri.split_once(':').map_or("", |(_, rest)| rest);
    let (number, params) = number.split_once(';').unwrap_or((number, ""));
    let has_context = params.to_ascii_lowercase().split(';').any(|param| param.starts_with("phone-context="));
    let (number, is_global) = match number.strip_prefix('+') {
        Some(number) => (number, true),
        None => (number, false),
    };
    let is_digit = |c: char| {
        c.is_ascii_digit()
            || (!is_global && (matches!(c, '*' | '#') || (has_context && c.is_ascii_hexdigit())))
    };
    let is_separator = |c: char| matches!(c, '-' | '.' | '(' | ')');
    number.chars().all(|c| is_digit(c) || is_separator(c)) && number.chars().any(is_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_that_can_be_dialled_pass() {
        for uri in [
            "sip:alice@example.com",
            "sips:alice@example.com:5061;transport=tls",
            "tel:+1-555-1234",
            "sip:[::1]",
            "tel:911",
            "tel:abc;phone-context=+1-555",
        ] {
            assert_eq!(check_uri(uri), Ok(()), "{uri}");
        }
    }

    /// T19
    #[test]
    fn nothing_else_passes_for_a_uri() {
        for uri in [
            "",
            "alice",
            "http://example.com",
            "mailto:a@b",
            "sip:",
            "sip:a b@c",
            "sip:a@b\r\nRoute: <sip:evil>",
            "sip:a@b\0",
            "sip:a@b?Replaces=x",
            "sip:a@b;method=BYE",
            "sip:ä@b",
            "sip:bob@localhost:0",
            "tel:abc",
            "tel:+",
            "tel:+1555x",
            "tel:-;phone-context=example.com",
            "<sip:a@b>",
        ] {
            assert!(check_uri(uri).is_err(), "{uri:?}");
        }
        assert!(check_uri(&format!("sip:{}@b", "a".repeat(2000))).is_err());
    }

    #[test]
    fn a_caller_id_is_a_uri_with_or_without_a_name() {
        let mut violations = Violations::default();
        let mut read = |value: &str| violations.caller_id("caller_id", value);
        let pair = |name: &str, uri: &str| (name.to_owned(), uri.to_owned());
        assert_eq!(read("\"Sales\" <sip:sales@example.com>"), pair("Sales", "sip:sales@example.com"));
        assert_eq!(read("tel:+15551234"), pair("", "tel:+15551234"));
        assert_eq!(read(""), pair("", ""));
        assert!(violations.check().is_ok());
        for bad in ["Sales", "\"a\r\n\" <sip:a@b>", "<http://x>"] {
            let mut violations = Violations::default();
            violations.caller_id("caller_id", bad);
            assert!(violations.check().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_refusal_names_every_field() {
        let mut violations = Violations::default();
        violations.uri("from.uri", "x");
        violations.uri("to.uri", "y");
        violations.headers("to", &[Header::new("Via", "z")]);
        let status = violations.check().expect_err("three faults");
        let details = tonic_types::StatusExt::get_error_details(&status);
        let bad = details.bad_request().expect("field violations");
        let fields: Vec<_> = bad.field_violations.iter().map(|violation| violation.field.as_str()).collect();
        assert_eq!(fields, ["from.uri", "to.uri", "to.headers[0].name"]);
        assert_eq!(details.error_info().expect("reason").reason, "BAD_URI");
    }
}
