//! `CSeq`: sequence number and method. RFC 3261 20.16

use std::fmt;

use crate::Method;
use crate::error::SyntaxError;
use crate::grammar::{Scanner, TOKEN};

/// A CSeq value; the number is below 2^31. RFC 3261 8.1.1.5
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CSeq {
    /// The sequence number.
    pub number: u32,
    /// The method, which equals the method of the request.
    pub method: Method,
}

impl CSeq {
    /// The first number that is too large.
    pub const LIMIT: u64 = 1 << 31;

    /// Reads a value.
    ///
    /// # Errors
    /// When it is not a number below 2^31, white space and a method.
    pub fn parse(value: &[u8]) -> Result<CSeq, SyntaxError> {
        let (number, method) = CSeq::split(value)?;
        Ok(CSeq { number, method: Method::from_token(method) })
    }

    /// Number and method name, which is a token, without an allocation for unknown methods.
    pub(crate) fn split(value: &[u8]) -> Result<(u32, &[u8]), SyntaxError> {
        let mut scanner = Scanner::new(value);
        scanner.skip_lws();
        let start = scanner.position();
        let number = scanner.number("a sequence number")?;
        let number = u32::try_from(number)
            .ok()
            .filter(|number| u64::from(*number) < CSeq::LIMIT)
            .ok_or(SyntaxError { expected: "a sequence number below 2^31", offset: start })?;
        let gap = scanner.position();
        scanner.skip_lws();
        if scanner.position() == gap {
            return Err(scanner.error("white space after the sequence number"));
        }
        let method = scanner.take_class(&TOKEN);
        if method.is_empty() {
            return Err(scanner.error("a method"));
        }
        scanner.finish("nothing after the method")?;
        Ok((number, method))
    }
}

impl fmt::Display for CSeq {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.number, self.method)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// MSG-04, MSG-11
    #[test]
    fn number_and_method_are_read_across_white_space() {
        let cseq = CSeq::parse(b" 0009\r\n  INVITE ").unwrap();
        assert_eq!(cseq, CSeq { number: 9, method: Method::Invite });
        assert_eq!(cseq.to_string(), "9 INVITE");
    }

    /// MSG-11, MSG-14
    #[test]
    fn numbers_from_two_to_the_31_are_refused() {
        assert_eq!(CSeq::parse(b"2147483647 ACK").unwrap().number, 2_147_483_647);
        for bad in
            [&b"2147483648 ACK"[..], b"36893488147419103232 ACK", b"-1 ACK", b"1ACK", b"1", b"1 A B", b""]
        {
            assert!(CSeq::parse(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
    }
}
