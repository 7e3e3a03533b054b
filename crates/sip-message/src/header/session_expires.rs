//! `Session-Expires` and `Min-SE`. RFC 4028 4, 5

use std::fmt;

use super::Params;
use crate::error::SyntaxError;
use crate::grammar::Scanner;

/// Who refreshes the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refresher {
    /// The side that sent the request.
    Uac,
    /// The side that answered it.
    Uas,
}

/// A Session-Expires value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionExpires {
    /// The interval, saturating at 2^32-1.
    pub seconds: u32,
    /// The refresher, if agreed.
    pub refresher: Option<Refresher>,
}

impl SessionExpires {
    /// Reads a value; unknown parameters are ignored.
    ///
    /// # Errors
    /// When it does not begin with a number, or the refresher is neither `uac` nor `uas`.
    pub fn parse(value: &[u8]) -> Result<SessionExpires, SyntaxError> {
        let (seconds, params) = seconds_and_params(value)?;
        let refresher = match params.text("refresher") {
            None => None,
            Some(side) if side.eq_ignore_ascii_case("uac") => Some(Refresher::Uac),
            Some(side) if side.eq_ignore_ascii_case("uas") => Some(Refresher::Uas),
            Some(_) => {
                let offset = value.len() - params.raw().len();
                return Err(SyntaxError { expected: "uac or uas as refresher", offset });
            }
        };
        Ok(SessionExpires { seconds, refresher })
    }
}

impl fmt::Display for SessionExpires {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.seconds)?;
        match self.refresher {
            None => Ok(()),
            Some(Refresher::Uac) => formatter.write_str(";refresher=uac"),
            Some(Refresher::Uas) => formatter.write_str(";refresher=uas"),
        }
    }
}

/// A number of seconds, saturating, with parameters behind it: the form of Min-SE too.
pub(crate) fn seconds_and_params(value: &[u8]) -> Result<(u32, Params<'_>), SyntaxError> {
    let mut scanner = Scanner::new(value);
    scanner.skip_lws();
    let seconds = u32::try_from(scanner.number("seconds")?).unwrap_or(u32::MAX);
    let params = Params::scan(&mut scanner)?;
    scanner.finish("\";\" or the end")?;
    Ok((seconds, params))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_survive_their_own_text() {
        for refresher in [None, Some(Refresher::Uac), Some(Refresher::Uas)] {
            let value = SessionExpires { seconds: 1800, refresher };
            assert_eq!(SessionExpires::parse(value.to_string().as_bytes()), Ok(value));
        }
        let spaced = SessionExpires::parse(b" 90 ; x=y ;\r\n Refresher = UAC ").unwrap();
        assert_eq!(spaced, SessionExpires { seconds: 90, refresher: Some(Refresher::Uac) });
    }

    /// MSG-14
    #[test]
    fn numbers_saturate_and_garbage_is_refused() {
        assert_eq!(SessionExpires::parse(b"99999999999").unwrap().seconds, u32::MAX);
        for bad in [&b""[..], b"x", b"-1", b"90;refresher=me", b"90 91"] {
            assert!(SessionExpires::parse(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
    }
}
