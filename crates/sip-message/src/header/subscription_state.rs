//! `Subscription-State`: how a NOTIFY leaves the subscription. RFC 6665 4.1.3, 8.2.3

use super::Params;
use crate::error::SyntaxError;
use crate::grammar::{Scanner, saturating_number};

/// A Subscription-State value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscriptionState<'a> {
    /// `active`, `pending`, `terminated` or an extension.
    pub state: &'a str,
    /// All parameters.
    pub params: Params<'a>,
}

impl<'a> SubscriptionState<'a> {
    /// Reads a value.
    ///
    /// # Errors
    /// When it is not a state with parameters.
    pub fn parse(value: &'a [u8]) -> Result<SubscriptionState<'a>, SyntaxError> {
        let mut scanner = Scanner::new(value);
        scanner.skip_lws();
        let state = scanner.token("a subscription state")?;
        let params = Params::scan(&mut scanner)?;
        scanner.finish("\";\" or the end")?;
        Ok(SubscriptionState { state, params })
    }

    /// Is the subscription over?
    pub fn is_terminated(&self) -> bool {
        self.state.eq_ignore_ascii_case("terminated")
    }

    /// Why it ended.
    pub fn reason(&self) -> Option<&'a str> {
        self.params.text("reason")
    }

    /// Seconds left, saturating.
    pub fn expires(&self) -> Option<u32> {
        self.seconds("expires")
    }

    /// Seconds to wait before subscribing again, saturating.
    pub fn retry_after(&self) -> Option<u32> {
        self.seconds("retry-after")
    }

    fn seconds(&self, name: &str) -> Option<u32> {
        let number = saturating_number(self.params.bytes(name)?)?;
        Some(u32::try_from(number).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// MSG-14
    #[test]
    fn state_and_parameters_are_read() {
        let active = SubscriptionState::parse(b"active ; expires=99999999999").unwrap();
        assert_eq!((active.is_terminated(), active.expires()), (false, Some(u32::MAX)));
        let ended = SubscriptionState::parse(b"Terminated;reason=timeout;retry-after=5").unwrap();
        assert!(ended.is_terminated());
        assert_eq!((ended.reason(), ended.retry_after(), ended.expires()), (Some("timeout"), Some(5), None));
        assert!(SubscriptionState::parse(b"").is_err());
        assert!(SubscriptionState::parse(b"a b").is_err());
    }
}
