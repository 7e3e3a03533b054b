//! `Content-Disposition`: what a body is for. RFC 3261 20.11, RFC 5621 8

use super::Params;
use crate::error::SyntaxError;
use crate::grammar::Scanner;

/// A Content-Disposition value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentDisposition<'a> {
    /// `session`, `render`, `early-session` or anything else; compare without case.
    pub kind: &'a str,
    /// May the body be ignored by who does not understand it? Absent or unknown means no.
    pub optional: bool,
    /// All parameters.
    pub params: Params<'a>,
}

impl<'a> ContentDisposition<'a> {
    /// Reads a value.
    ///
    /// # Errors
    /// When it is not a token with parameters.
    pub fn parse(value: &'a [u8]) -> Result<ContentDisposition<'a>, SyntaxError> {
        let mut scanner = Scanner::new(value);
        scanner.skip_lws();
        let kind = scanner.token("a disposition")?;
        let params = Params::scan(&mut scanner)?;
        scanner.finish("\";\" or the end")?;
        let optional =
            params.text("handling").is_some_and(|handling| handling.eq_ignore_ascii_case("optional"));
        Ok(ContentDisposition { kind, optional, params })
    }

    /// The disposition of a body that has none: a session description is for the session, anything
    /// else is to be rendered, and both are required. RFC 3261 20.11, RFC 5621 8.2
    pub fn of_media_type(media_type: &str) -> ContentDisposition<'static> {
        let essence = media_type.split(';').next().unwrap_or_default().trim();
        let session = essence.eq_ignore_ascii_case("application/sdp");
        let kind = if session { "session" } else { "render" };
        ContentDisposition { kind, optional: false, params: Params::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// MSG-16
    #[test]
    fn handling_is_required_unless_it_says_optional() {
        let optional = |text: &'static str| ContentDisposition::parse(text.as_bytes()).unwrap().optional;
        assert!(!optional("session"));
        assert!(!optional("render;handling=required"));
        assert!(!optional("render;handling=whatever"));
        assert!(optional("render ; Handling = Optional"));
        assert!(ContentDisposition::parse(b"").is_err());
    }

    /// MSG-16
    #[test]
    fn the_default_follows_the_media_type() {
        assert_eq!(ContentDisposition::of_media_type("Application/SDP; x=y").kind, "session");
        assert_eq!(ContentDisposition::of_media_type("text/plain").kind, "render");
    }
}
