//! `Content-Type` and the media ranges of `Accept`. RFC 3261 20.1, 20.15

use super::{Params, contact::parse_q};
use crate::error::SyntaxError;
use crate::grammar::Scanner;

/// A media type, or a media range when a part is `*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentType<'a> {
    /// Such as `application`; compare without case.
    pub kind: &'a str,
    /// Such as `sdp`; compare without case.
    pub subtype: &'a str,
    /// All parameters, `q` included in an Accept value.
    pub params: Params<'a>,
}

impl<'a> ContentType<'a> {
    /// Reads a value.
    ///
    /// # Errors
    /// When it is not `type/subtype` with parameters.
    pub fn parse(value: &'a [u8]) -> Result<ContentType<'a>, SyntaxError> {
        let mut scanner = Scanner::new(value);
        scanner.skip_lws();
        let kind = scanner.token("a media type")?;
        if !scanner.eat_separator(b'/') {
            return Err(scanner.error("\"/\" after the media type"));
        }
        let subtype = scanner.token("a media subtype")?;
        let params = Params::scan(&mut scanner)?;
        scanner.finish("\";\" or the end")?;
        Ok(ContentType { kind, subtype, params })
    }

    /// Is it `kind/subtype`, in any case and with any parameters?
    pub fn is(&self, media_type: &str) -> bool {
        media_type.split_once('/').is_some_and(|(kind, subtype)| {
            self.kind.eq_ignore_ascii_case(kind) && self.subtype.eq_ignore_ascii_case(subtype)
        })
    }

    /// As a media range: does it take in `kind/subtype`? A `q` of zero takes nothing in.
    pub fn accepts(&self, media_type: &str) -> bool {
        media_type.split_once('/').is_some_and(|(kind, subtype)| {
            let kind_fits = self.kind == "*" || self.kind.eq_ignore_ascii_case(kind);
            let subtype_fits = self.subtype == "*" || self.subtype.eq_ignore_ascii_case(subtype);
            kind_fits && subtype_fits && self.params.bytes("q").and_then(parse_q) != Some(0)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// MSG-02
    #[test]
    fn media_types_are_compared_without_case() {
        let media = ContentType::parse(b"Multipart / Mixed ; boundary=\"a;b\"").unwrap();
        assert!(media.is("multipart/mixed"));
        assert!(!media.is("multipart/alternative"));
        assert_eq!(media.params.unquoted("boundary").unwrap().as_ref(), b"a;b");
        for bad in [&b"text"[..], b"text/", b"/plain", b"text/plain x", b""] {
            assert!(ContentType::parse(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
    }

    #[test]
    fn ranges_take_in_what_they_name() {
        let accepts =
            |range: &'static str| ContentType::parse(range.as_bytes()).unwrap().accepts("application/sdp");
        assert!(accepts("application/sdp"));
        assert!(accepts("application/*;q=0.2"));
        assert!(accepts("*/*"));
        assert!(!accepts("text/*"));
        assert!(!accepts("application/sdp;q=0.0"));
    }
}
