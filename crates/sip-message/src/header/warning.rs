//! `Warning`: a remark for people. RFC 3261 20.43

use std::borrow::Cow;

use super::{quote, unquote};
use crate::error::SyntaxError;
use crate::grammar::{Scanner, is_lws};

/// One Warning value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Warning<'a> {
    /// Three digits; 300 to 399 in SIP.
    pub code: u16,
    /// Who warns.
    pub agent: &'a [u8],
    /// The text with its quotes.
    pub quoted: &'a [u8],
}

impl<'a> Warning<'a> {
    /// Reads one value.
    ///
    /// # Errors
    /// When it is not a code of three digits, an agent and a quoted string.
    pub fn parse(value: &'a [u8]) -> Result<Warning<'a>, SyntaxError> {
        let mut scanner = Scanner::new(value);
        scanner.skip_lws();
        let start = scanner.position();
        let number = scanner.number("a warning code")?;
        let code = u16::try_from(number)
            .ok()
            .filter(|_| scanner.position() - start == 3)
            .ok_or(SyntaxError { expected: "a warning code of three digits", offset: start })?;
        scanner.skip_lws();
        let agent = scanner.take_while(|byte| !is_lws(byte) && !matches!(byte, b'"' | b','));
        if agent.is_empty() {
            return Err(scanner.error("a warning agent"));
        }
        scanner.skip_lws();
        let quoted = scanner.quoted()?;
        scanner.finish("nothing after the text")?;
        Ok(Warning { code, agent, quoted })
    }

    /// The text without quotes.
    pub fn text(&self) -> Cow<'a, [u8]> {
        unquote(self.quoted)
    }

    /// Writes a value.
    pub fn print(code: u16, agent: &str, text: &str) -> String {
        format!("{code:03} {agent} {}", String::from_utf8_lossy(&quote(text.as_bytes())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_survives_its_own_text() {
        let text = Warning::print(307, "isi.edu", "Session parameter \"foo\" not understood");
        let warning = Warning::parse(text.as_bytes()).unwrap();
        assert_eq!((warning.code, warning.agent), (307, &b"isi.edu"[..]));
        assert_eq!(warning.text().as_ref(), b"Session parameter \"foo\" not understood");
    }

    #[test]
    fn garbage_is_refused() {
        for bad in [&b"1812 overture \"x\""[..], b"30 h \"x\"", b"300 h x", b"300 \"x\"", b"300 h \"x", b""] {
            assert!(Warning::parse(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
    }
}
