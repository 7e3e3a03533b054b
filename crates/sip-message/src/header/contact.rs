//! What a `Contact` address says beyond its URI. RFC 3261 10.2.1, 20.10; RFC 5626

use std::borrow::Cow;

use super::NameAddr;
use crate::grammar::saturating_number;

impl<'a> NameAddr<'a> {
    /// The `expires` parameter in seconds: above 2^32-1 it is 2^32-1, and garbage is 3600. `None`
    /// without the parameter. RFC 3261 10.2.1.1, 20.10
    pub fn expires(&self) -> Option<u32> {
        let value = self.params.bytes("expires")?;
        Some(saturating_number(value).map_or(3600, |seconds| u32::try_from(seconds).unwrap_or(u32::MAX)))
    }

    /// The `q` parameter in thousandths, at most 1000; `None` when absent or garbage.
    pub fn q(&self) -> Option<u16> {
        parse_q(self.params.bytes("q")?)
    }

    /// The `+sip.instance` parameter without its quotes, angle brackets included. RFC 5626 4.1
    pub fn instance(&self) -> Option<Cow<'a, [u8]>> {
        self.params.unquoted("+sip.instance").filter(|instance| !instance.is_empty())
    }

    /// The `reg-id` parameter; `None` when absent, garbage, or not between 1 and 2^31-1. RFC 5626 4.2
    pub fn reg_id(&self) -> Option<u32> {
        let number = saturating_number(self.params.bytes("reg-id")?)?;
        u32::try_from(number).ok().filter(|id| (1..1 << 31).contains(id))
    }

    /// Is it a URI with the `lr` parameter, so that the next hop routes loosely? RFC 3261 16.12
    pub fn is_loose_route(&self) -> bool {
        self.uri().is_ok_and(|uri| uri.has_param("lr"))
    }
}

/// A `qvalue` in thousandths. RFC 3261 25.1
pub(crate) fn parse_q(value: &[u8]) -> Option<u16> {
    let (whole, fraction) = match memchr::memchr(b'.', value) {
        Some(dot) => (&value[..dot], &value[dot + 1..]),
        None => (value, &[][..]),
    };
    let whole = if whole.is_empty() && !fraction.is_empty() { 0 } else { saturating_number(whole)? };
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let mut digits = fraction.iter().chain([&b'0'; 3]).map(|digit| u16::from(digit - b'0'));
    let thousandths = digits.by_ref().take(3).fold(0, |sum, digit| sum * 10 + digit);
    Some(if whole >= 1 { 1000 } else { thousandths })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contact(params: &str) -> String {
        format!("<sip:a@h>;{params}")
    }

    /// MSG-14
    #[test]
    fn expires_saturates_and_garbage_is_an_hour() {
        let expires =
            |value: &str| NameAddr::parse(contact(&format!("expires={value}")).as_bytes()).unwrap().expires();
        assert_eq!(expires("99999999999"), Some(u32::MAX));
        assert_eq!(expires("abc"), Some(3600));
        assert_eq!(expires("-1"), Some(3600));
        assert_eq!(expires(""), Some(3600));
        assert_eq!(expires("0"), Some(0));
        assert_eq!(NameAddr::parse(b"<sip:a@h>").unwrap().expires(), None);
    }

    #[test]
    fn q_is_read_in_thousandths() {
        let q = |value: &str| parse_q(value.as_bytes());
        assert_eq!(
            [q("0.7"), q("1"), q("1.000"), q("0"), q("0.1234"), q(".5"), q("1."), q("7")],
            [Some(700), Some(1000), Some(1000), Some(0), Some(123), Some(500), Some(1000), Some(1000)]
        );
        assert_eq!([q("x"), q(""), q("."), q("0.x"), q("-0.5")], [None; 5]);
    }

    #[test]
    fn outbound_parameters_are_read() {
        let text = contact("+sip.instance=\"<urn:uuid:0>\";reg-id=1");
        let address = NameAddr::parse(text.as_bytes()).unwrap();
        assert_eq!(address.instance().as_deref(), Some(&b"<urn:uuid:0>"[..]));
        assert_eq!(address.reg_id(), Some(1));
        for bad in ["reg-id=0", "reg-id=2147483648", "reg-id=x", "reg-id"] {
            assert_eq!(NameAddr::parse(contact(bad).as_bytes()).unwrap().reg_id(), None, "{bad}");
        }
    }

    #[test]
    fn a_loose_route_has_lr_inside_the_brackets() {
        assert!(NameAddr::parse(b"<sip:p;lr>").unwrap().is_loose_route());
        assert!(NameAddr::parse(b"<sip:p;LR=on>").unwrap().is_loose_route());
        assert!(!NameAddr::parse(b"<sip:p>;lr").unwrap().is_loose_route());
    }
}
