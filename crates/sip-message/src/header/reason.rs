//! `Reason`: why a request was sent or a response given. RFC 3326

use std::borrow::Cow;

use super::{Params, quote};
use crate::error::SyntaxError;
use crate::grammar::Scanner;

/// One Reason value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason<'a> {
    /// The protocol: `SIP`, `Q.850` or anything else.
    pub protocol: &'a str,
    /// All parameters.
    pub params: Params<'a>,
}

impl<'a> Reason<'a> {
    /// Reads one value.
    ///
    /// # Errors
    /// When it is not a protocol with parameters.
    pub fn parse(value: &'a [u8]) -> Result<Reason<'a>, SyntaxError> {
        let mut scanner = Scanner::new(value);
        scanner.skip_lws();
        let protocol = scanner.token("a protocol")?;
        let params = Params::scan(&mut scanner)?;
        scanner.finish("\";\" or the end")?;
        Ok(Reason { protocol, params })
    }

    /// The cause code.
    pub fn cause(&self) -> Option<u16> {
        self.params.text("cause")?.parse().ok()
    }

    /// The text without quotes.
    pub fn text(&self) -> Option<Cow<'a, [u8]>> {
        self.params.unquoted("text")
    }

    /// Is it about SIP, so that the cause is a status?
    pub fn is_sip(&self) -> bool {
        self.protocol.eq_ignore_ascii_case("SIP")
    }

    /// Writes `SIP;cause=status;text="…"`.
    pub fn print_sip(status: u16, text: &str) -> String {
        Self::print("SIP", status, text)
    }

    /// Writes `Q.850;cause=cause;text="…"`.
    pub fn print_q850(cause: u16, text: &str) -> String {
        Self::print("Q.850", cause, text)
    }

    fn print(protocol: &str, cause: u16, text: &str) -> String {
        // Those beyond ASCII too: the text is made to be shown
        let plain: String = text.chars().filter(|c| !c.is_control()).collect();
        let quoted = quote(plain.as_bytes());
        format!("{protocol};cause={cause};text={}", String::from_utf8_lossy(&quoted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cause_and_text_are_read() {
        let reason = Reason::parse(b"Q.850 ; cause = 16 ; text=\"Terminated; ok\"").unwrap();
        assert_eq!((reason.protocol, reason.cause(), reason.is_sip()), ("Q.850", Some(16), false));
        assert_eq!(reason.text().unwrap().as_ref(), b"Terminated; ok");
    }

    /// T19
    #[test]
    fn printed_text_cannot_leave_its_quotes() {
        let text = Reason::print_sip(200, "done\" \r\nEvil: 1");
        assert_eq!(text, "SIP;cause=200;text=\"done\\\" Evil: 1\"");
        let back = Reason::parse(text.as_bytes()).unwrap();
        assert!(back.is_sip());
        assert_eq!(back.cause(), Some(200));
        assert_eq!(back.text().unwrap().as_ref(), b"done\" Evil: 1");
    }

    /// TPC-05: what one phone says cannot command the display of the other.
    #[test]
    fn printed_text_has_no_control_characters() {
        let text = Reason::print_sip(486, "x\u{1b}[31mRED\u{7}\u{9b}2J");
        assert_eq!(text, "SIP;cause=486;text=\"x[31mRED2J\"");
    }

    #[test]
    fn garbage_is_refused() {
        for bad in [&b""[..], b";cause=1", b"SIP cause=1", b"SIP;text=\"x"] {
            assert!(Reason::parse(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
    }
}
