//! Values that end up in SIP headers. Nothing from the API can add a header line, a second message or a log line.

use super::fault::{Fault, FaultKind};
use crate::sip::v1::{Body, Header};

/// Headers that the SIP stack writes itself, in long and compact form: no application may set them.
const RESERVED: &[&str] = &[
    "accept",
    "allow",
    "authentication-info",
    "authorization",
    "b",
    "c",
    "call-id",
    "contact",
    "content-disposition",
    "content-encoding",
    "content-length",
    "content-type",
    "cseq",
    "d",
    "e",
    "event",
    "expires",
    "f",
    "from",
    "history-info",
    "i",
    "identity",
    "info-package",
    "join",
    "k",
    "l",
    "m",
    "max-breadth",
    "max-forwards",
    "mime-version",
    "min-expires",
    "min-se",
    "o",
    "p-asserted-identity",
    "p-preferred-identity",
    "path",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-require",
    "r",
    "rack",
    "reason",
    "record-route",
    "recv-info",
    "refer-sub",
    "refer-to",
    "referred-by",
    "remote-party-id",
    "replaces",
    "request-disposition",
    "require",
    "route",
    "rseq",
    "service-route",
    "session-expires",
    "sip-etag",
    "sip-if-match",
    "subscription-state",
    "supported",
    "t",
    "target-dialog",
    "to",
    "v",
    "via",
    "www-authenticate",
    "x",
];

/// Longest header value.
const LONGEST_VALUE: usize = 2048;

/// Most headers that an application may add to a request.
const MOST_HEADERS: usize = 32;

impl Header {
    /// A header of this name and value.
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), value: value.into() }
    }

    /// Whether it has this name; names are compared without case (RFC 3261 7.3.1).
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

impl Body {
    /// A body of this type, with the disposition that belongs to it.
    pub fn new(content_type: impl Into<String>, content: impl Into<bytes::Bytes>) -> Self {
        Self {
            content_type: content_type.into(),
            content_disposition: String::new(),
            content: content.into(),
        }
    }

    /// Whether it has this type, parameters aside.
    pub fn is(&self, content_type: &str) -> bool {
        let bare = self.content_type.split(';').next().unwrap_or_default().trim();
        bare.eq_ignore_ascii_case(content_type)
    }
}

/// Whether an application may add this header.
///
/// # Errors
/// When the name is no token or belongs to the SIP stack, or the value is no single line.
pub fn check_header(header: &Header) -> Result<(), Fault> {
    let fault = |field: &str, expected: String| Err(Fault::new(FaultKind::Header, field, expected));
    let name = header.name.escape_debug();
    if !sip_message::is_token(header.name.as_bytes()) {
        return fault("name", format!("a header name, for example X-Account, not \"{name:.80}\""));
    }
    if RESERVED.contains(&&*header.name.to_ascii_lowercase()) {
        return fault("name", format!("a header other than {name}, which the SIP stack writes itself"));
    }
    if header.value.len() > LONGEST_VALUE {
        return fault("value", format!("at most 2,048 octets in {name:.80}"));
    }
    if !is_one_line(&header.value) {
        return fault("value", format!("one line without control characters in {name:.80}"));
    }
    Ok(())
}

/// Whether an application may add these headers; faults are those of `headers[0].name` and so on.
///
/// # Errors
/// When there are too many, or one may not be added.
pub fn check_headers(headers: &[Header]) -> Result<(), Fault> {
    if headers.len() > MOST_HEADERS {
        return Err(Fault::new(FaultKind::Header, "headers", "at most 32 headers"));
    }
    for (index, header) in headers.iter().enumerate() {
        check_header(header).map_err(|fault| fault.within(&format!("headers[{index}]")))?;
    }
    Ok(())
}

/// Whether a name can be shown in From and To.
///
/// # Errors
/// When it is longer than 128 characters or no single line.
pub fn check_display_name(field: &str, name: &str) -> Result<(), Fault> {
    // A TAB may stand in a header's text, but in a name that is shown it is a control character as others are.
    if name.chars().count() <= 128 && is_one_line(name) && !name.contains('\t') {
        return Ok(());
    }
    Err(Fault::new(FaultKind::Header, field, "at most 128 characters in one line without control characters"))
}

/// Whether a text stays in its line: C0 but TAB, DEL and C1 controls, and the separators that some readers take for line
/// ends, would break a line or a log.
pub fn is_one_line(text: &str) -> bool {
    !text.chars().any(|c| (c.is_control() && c != '\t') || matches!(c, '\u{2028}' | '\u{2029}'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ordinary_header_may_be_added() {
        for (name, value) in
            [("X-Account", "42"), ("Subject", "Grüße\tan alle"), ("Alert-Info", "<urn:alert:x>")]
        {
            assert_eq!(check_header(&Header::new(name, value)), Ok(()), "{name}");
        }
    }

    /// T19: no value can inject a line.
    #[test]
    fn a_value_that_would_break_out_of_its_line_is_refused() {
        for value in ["a\r\nVia: x", "a\nb", "a\rb", "a\0b", "a\u{85}b", "a\u{2028}b", "a\u{1b}[2J"] {
            let fault = check_header(&Header::new("X-Account", value)).expect_err(value);
            assert_eq!((&*fault.field, fault.kind), ("value", FaultKind::Header));
        }
    }

    /// T19: headers of the stack cannot be set, in whatever case or form.
    #[test]
    fn a_header_of_the_stack_is_refused_in_every_spelling() {
        for name in [
            "Via",
            "VIA",
            "v",
            "Route",
            "call-id",
            "i",
            "Content-Length",
            "l",
            "Authorization",
            "P-Asserted-Identity",
            "Max-Breadth",
            "Reason",
            "Referred-By",
            "b",
        ] {
            assert!(check_header(&Header::new(name, "x")).is_err(), "{name}");
        }
    }

    #[test]
    fn a_name_that_is_no_token_is_refused() {
        for name in ["", "X Account", "X:", "X\r\n", "Ä"] {
            assert!(check_header(&Header::new(name, "x")).is_err(), "{name:?}");
        }
    }

    #[test]
    fn a_fault_in_a_list_names_its_place() {
        let headers = [Header::new("X-A", "1"), Header::new("Via", "2")];
        let fault = check_headers(&headers).expect_err("Via").within("from");
        assert_eq!(fault.field, "from.headers[1].name");
        assert_eq!(fault.expected, "a header other than Via, which the SIP stack writes itself");
        assert!(check_headers(&vec![Header::new("X-A", "1"); 33]).is_err());
    }

    #[test]
    fn the_type_of_a_body_is_told_without_its_parameters() {
        assert!(Body::new("Application/SDP;x=1", "v=0").is("application/sdp"));
        assert!(!Body::new("application/sdpx", "v=0").is("application/sdp"));
    }

    #[test]
    fn a_display_name_is_one_short_line() {
        assert!(check_display_name("display_name", "Alice\tBob").is_err());
        assert_eq!(check_display_name("display_name", "Alice \"Ace\" Ångström"), Ok(()));
        assert!(check_display_name("display_name", "Alice\r\n").is_err());
        assert!(check_display_name("display_name", &"a".repeat(129)).is_err());
    }
}
