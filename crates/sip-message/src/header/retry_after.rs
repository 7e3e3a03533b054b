//! `Retry-After`: when to come back. RFC 3261 20.33

use super::Params;
use crate::error::SyntaxError;
use crate::grammar::{Scanner, saturating_number};

/// A Retry-After value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryAfter<'a> {
    /// Seconds to wait, saturating at 2^32-1.
    pub seconds: u32,
    /// The text between the outer parentheses.
    pub comment: Option<&'a [u8]>,
    /// How long the callee will then be reachable.
    pub duration: Option<u32>,
}

impl<'a> RetryAfter<'a> {
    /// Reads a value.
    ///
    /// # Errors
    /// When it does not begin with a number, or a comment is not closed.
    pub fn parse(value: &'a [u8]) -> Result<RetryAfter<'a>, SyntaxError> {
        let mut scanner = Scanner::new(value);
        scanner.skip_lws();
        let seconds = saturate(scanner.number("seconds")?);
        scanner.skip_lws();
        let comment = if scanner.peek() == Some(b'(') { Some(scan_comment(&mut scanner)?) } else { None };
        let params = Params::scan(&mut scanner)?;
        scanner.finish("\";\" or the end")?;
        let duration = params.bytes("duration").and_then(saturating_number).map(saturate);
        Ok(RetryAfter { seconds, comment, duration })
    }
}

fn saturate(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Comments nest; a counter is enough. RFC 3261 25.1
fn scan_comment<'a>(scanner: &mut Scanner<'a>) -> Result<&'a [u8], SyntaxError> {
    let start = scanner.position();
    let mut depth = 0usize;
    while let Some(byte) = scanner.peek() {
        scanner.seek(scanner.position() + if byte == b'\\' { 2 } else { 1 });
        match byte {
            b'(' => depth += 1,
            b')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            let text = scanner.since(start);
            return Ok(&text[1..text.len() - 1]);
        }
    }
    Err(SyntaxError { expected: "a closing parenthesis", offset: start })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comment_and_duration_are_optional() {
        let full = RetryAfter::parse(b"120 (in a (long\\)) meeting) ;duration=3600;x=y").unwrap();
        assert_eq!(full.seconds, 120);
        assert_eq!(full.comment, Some(&b"in a (long\\)) meeting"[..]));
        assert_eq!(full.duration, Some(3600));
        assert_eq!(
            RetryAfter::parse(b"5").unwrap(),
            RetryAfter { seconds: 5, comment: None, duration: None }
        );
    }

    /// MSG-14
    #[test]
    fn numbers_saturate_and_garbage_is_refused() {
        assert_eq!(RetryAfter::parse(b"36893488147419103232").unwrap().seconds, u32::MAX);
        for bad in [&b"soon"[..], b"-5", b"", b"5 (open", b"5 x"] {
            assert!(RetryAfter::parse(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
    }
}
