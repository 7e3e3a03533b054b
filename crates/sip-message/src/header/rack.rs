//! `RAck` and `RSeq`: acknowledging reliable provisional responses. RFC 3262 7

use std::fmt;

use crate::Method;
use crate::error::SyntaxError;
use crate::grammar::Scanner;

/// A RAck value: which response a PRACK acknowledges.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RAck {
    /// The RSeq of the response.
    pub rseq: u32,
    /// The CSeq number of the request that it answers.
    pub cseq: u32,
    /// The method of that request.
    pub method: Method,
}

impl RAck {
    /// Reads a value.
    ///
    /// # Errors
    /// When it is not two 32-bit numbers and a method.
    pub fn parse(value: &[u8]) -> Result<RAck, SyntaxError> {
        let mut scanner = Scanner::new(value);
        let rseq = scan_number(&mut scanner, "an RSeq number")?;
        let cseq = scan_number(&mut scanner, "a CSeq number")?;
        scanner.skip_lws();
        let method = Method::from(scanner.token("a method")?);
        scanner.finish("nothing after the method")?;
        Ok(RAck { rseq, cseq, method })
    }
}

impl fmt::Display for RAck {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {} {}", self.rseq, self.cseq, self.method)
    }
}

fn scan_number(scanner: &mut Scanner<'_>, expected: &'static str) -> Result<u32, SyntaxError> {
    scanner.skip_lws();
    let start = scanner.position();
    let number = scanner.number(expected)?;
    u32::try_from(number).map_err(|_| SyntaxError { expected, offset: start })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_survives_its_own_text() {
        let rack = RAck { rseq: 776_656, cseq: 1, method: Method::Invite };
        assert_eq!(RAck::parse(rack.to_string().as_bytes()), Ok(rack.clone()));
        assert_eq!(RAck::parse(b" 776656\t1\r\n INVITE "), Ok(rack));
    }

    /// MSG-14
    #[test]
    fn numbers_beyond_32_bits_and_missing_parts_are_refused() {
        for bad in ["4294967296 1 INVITE", "1 4294967296 INVITE", "1 INVITE", "1 1", "", "1 1 INVITE x"] {
            assert!(RAck::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
