//! When two URIs are the same. RFC 3261 19.1.4, RFC 3966 4

use super::escape::unescape;
use super::{Scheme, Uri};
use crate::grammar::{class, run};
use crate::header::Params;

/// Parameters that count even when only one of the two URIs has them. RFC 3261 19.1.4
const ALWAYS_COMPARED: [&str; 5] = ["user", "ttl", "method", "maddr", "transport"];

impl Uri<'_> {
    /// Are the two URIs equal by the rules of their scheme?
    pub fn equivalent(&self, other: &Uri<'_>) -> bool {
        // A URI that breaks the rules, say by a parameter given twice, is still equal to itself.
        if self.raw == other.raw {
            return true;
        }
        match (self.scheme, other.scheme) {
            (Scheme::Sip, Scheme::Sip) | (Scheme::Sips, Scheme::Sips) => self.equal_sip(other),
            (Scheme::Tel, Scheme::Tel) => self.equal_tel(other),
            (Scheme::Other(one), Scheme::Other(two)) => {
                one.eq_ignore_ascii_case(two) && self.raw[one.len()..] == other.raw[two.len()..]
            }
            _ => false,
        }
    }

    /// The normal form of an address of record, equal for URIs that name the same user.
    ///
    /// `sip:user@host` with needless escapes undone and the host in small letters; port, password,
    /// parameters and headers do not count, and a `sips` address names the same user as its `sip`
    /// twin. A `tel` URI becomes its number without visual separators, plus its context.
    /// `None` for other schemes. RFC 3261 10.3 step 5, RFC 5630 5.3
    pub fn aor(&self) -> Option<String> {
        let mut aor = String::with_capacity(self.raw.len());
        match self.scheme {
            Scheme::Sip | Scheme::Sips => {
                aor.push_str("sip:");
                if let Some(user) = self.user {
                    normal_escapes(user, &mut aor);
                    aor.push('@');
                }
                let host = self.host.strip_suffix('.').unwrap_or(self.host);
                match self.host_ip() {
                    Some(std::net::IpAddr::V6(address)) => aor.push_str(&format!("[{address}]")),
                    _ => {
                        let start = aor.len();
                        aor.push_str(host);
                        aor[start..].make_ascii_lowercase();
                    }
                }
            }
            Scheme::Tel => {
                aor.push_str("tel:");
                aor.extend(digits(self.user?).map(char::from));
                for name in ["ext", "phone-context"] {
                    if let Some(value) = self.param(name) {
                        aor.push_str(&format!(";{name}={}", value.to_ascii_lowercase()));
                    }
                }
            }
            Scheme::Other(_) => return None,
        }
        Some(aor)
    }

    fn equal_sip(&self, other: &Uri<'_>) -> bool {
        equal_option(self.user, other.user, unescaped_eq)
            && equal_option(self.password, other.password, unescaped_eq)
            && self.equal_host(other)
            && self.port == other.port
            && equal_params(self.params, other.params)
            && equal_headers(self, other)
    }

    fn equal_host(&self, other: &Uri<'_>) -> bool {
        match (self.host_ip(), other.host_ip()) {
            (Some(one), Some(two)) => one == two,
            _ => self.host.eq_ignore_ascii_case(other.host),
        }
    }

    fn equal_tel(&self, other: &Uri<'_>) -> bool {
        let number = |uri: &Uri<'_>| uri.user.unwrap_or_default().first() == Some(&b'+');
        number(self) == number(other)
            && digits(self.user.unwrap_or_default()).eq(digits(other.user.unwrap_or_default()))
            && tel_params_within(self.params, other.params)
            && tel_params_within(other.params, self.params)
    }
}

/// The number without visual separators, letters small. RFC 3966 4
fn digits(number: &[u8]) -> impl Iterator<Item = u8> + '_ {
    number.iter().filter(|byte| !b"-.()".contains(byte)).map(u8::to_ascii_lowercase)
}

/// Every parameter of `one` is in `two` with an equal value; a tel URI has no optional ones.
fn tel_params_within(one: Params<'_>, two: Params<'_>) -> bool {
    one.iter().all(|param| {
        two.find(param.name).is_some_and(|twin| {
            let (left, right) = (param.value.unwrap_or_default(), twin.value.unwrap_or_default());
            let number = ["ext", "isub"].iter().any(|name| param.name.eq_ignore_ascii_case(name))
                || left.first() == Some(&b'+');
            if number { digits(left).eq(digits(right)) } else { unescaped_eq_ignore_case(left, right) }
        })
    })
}

fn equal_params(one: Params<'_>, two: Params<'_>) -> bool {
    let agrees = |from: Params<'_>, against: Params<'_>| {
        from.iter().all(|param| {
            let twin = against
                .iter()
                .find(|twin| unescaped_eq_ignore_case(twin.name.as_bytes(), param.name.as_bytes()));
            match twin {
                Some(twin) => {
                    unescaped_eq_ignore_case(param.value.unwrap_or_default(), twin.value.unwrap_or_default())
                }
                None => !ALWAYS_COMPARED
                    .iter()
                    .any(|name| unescaped_eq_ignore_case(param.name.as_bytes(), name.as_bytes())),
            }
        })
    };
    agrees(one, two) && agrees(two, one)
}

/// The same headers with the same values, in any order.
fn equal_headers(one: &Uri<'_>, two: &Uri<'_>) -> bool {
    let within = |from: &Uri<'_>, against: &Uri<'_>| {
        from.header_pairs().all(|(name, value)| {
            let same = |(twin, other): &(&[u8], &[u8])| {
                unescaped_eq_ignore_case(twin, name) && unescaped_eq(other, value)
            };
            let copies = from.header_pairs().filter(|pair| same(pair)).count();
            copies == against.header_pairs().filter(|pair| same(pair)).count()
        })
    };
    within(one, two) && within(two, one)
}

fn equal_option<T: Copy>(one: Option<T>, two: Option<T>, equal: impl Fn(T, T) -> bool) -> bool {
    match (one, two) {
        (None, None) => true,
        (Some(one), Some(two)) => equal(one, two),
        _ => false,
    }
}

/// A reserved character and its escape are different. RFC 3261 19.1.4
fn unescaped_eq(one: &[u8], two: &[u8]) -> bool {
    one == two || unescape(one).eq(unescape(two))
}

fn unescaped_eq_ignore_case(one: &[u8], two: &[u8]) -> bool {
    let small = |byte: (u8, bool)| (byte.0.to_ascii_lowercase(), byte.1);
    one.eq_ignore_ascii_case(two) || unescape(one).map(small).eq(unescape(two).map(small))
}

/// What needs no escape in a user part.
const PLAIN: [bool; 256] = class(b"-_.!~*'()&=+$,;?/", false);

/// Undoes the escapes of bytes that need none and writes the others in one spelling.
fn normal_escapes(bytes: &[u8], into: &mut String) {
    if run(bytes, &PLAIN) == bytes.len()
        && let Ok(plain) = std::str::from_utf8(bytes)
    {
        return into.push_str(plain);
    }
    for (byte, _) in unescape(bytes) {
        if PLAIN[usize::from(byte)] {
            into.push(char::from(byte));
        } else {
            into.push_str(&format!("%{byte:02X}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(one: &str, two: &str) -> bool {
        let one = Uri::parse(one.as_bytes()).unwrap();
        let two = Uri::parse(two.as_bytes()).unwrap();
        let answer = one.equivalent(&two);
        assert_eq!(answer, two.equivalent(&one), "equality must be symmetric");
        answer
    }

    /// MSG-07, MSG-08: the examples of RFC 3261 19.1.4
    #[test]
    fn the_equal_pairs_of_the_rfc_are_equal() {
        assert!(same("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"));
        assert!(same("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"));
        assert!(same("sip:carol@chicago.com", "sip:carol@chicago.com;security=on"));
        assert!(same(
            "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
            "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com"
        ));
        assert!(same(
            "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
            "sip:alice@atlanta.com?priority=urgent&subject=project%20x"
        ));
    }

    /// MSG-08: the examples of RFC 3261 19.1.4
    #[test]
    fn the_different_pairs_of_the_rfc_differ() {
        assert!(!same("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"));
        assert!(!same("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"));
        assert!(!same("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"));
        assert!(!same("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"));
        assert!(!same("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"));
        assert!(!same("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"));
        assert!(!same("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"));
        assert!(!same("sip:a@h", "sips:a@h"));
        assert!(!same("sip:h", "sip:a@h"));
    }

    /// MSG-07
    #[test]
    fn addresses_are_compared_as_addresses() {
        assert!(same("sip:a@[2001:db8::1]", "sip:a@[2001:DB8:0:0::1]"));
        assert!(!same("sip:a@[2001:db8::1]", "sip:a@[2001:db8::2]"));
    }

    #[test]
    fn telephone_numbers_ignore_visual_separators() {
        assert!(same("tel:+1-201-555-0123", "TEL:+1(201)5550123"));
        assert!(same("tel:7042;phone-context=Example.com", "tel:70-42;phone-context=example.com"));
        assert!(!same("tel:7042;phone-context=example.com", "tel:7042;phone-context=other.com"));
        assert!(!same("tel:+12015550123", "tel:12015550123"));
        assert!(!same("tel:+12015550123", "tel:+12015550123;ext=1"));
        assert!(!same("tel:+12015550123", "sip:+12015550123@h"));
    }

    /// MSG-07
    #[test]
    fn the_normal_form_undoes_needless_escapes_only() {
        let aor = |text: &str| Uri::parse(text.as_bytes()).unwrap().aor();
        assert_eq!(aor("sip:%61lice@X.example"), Some("sip:alice@x.example".into()));
        assert_eq!(aor("sips:alice:pw@x.example:5061;transport=tcp?a=b"), Some("sip:alice@x.example".into()));
        assert_eq!(aor("sip:null-%00%2f@x"), Some("sip:null-%00/@x".into()));
        assert_eq!(aor("sip:a@[2001:DB8:0::1]"), Some("sip:a@[2001:db8::1]".into()));
        assert_eq!(aor("tel:+1-201-555-0123"), Some("tel:+12015550123".into()));
        assert_eq!(aor("mailto:a@b"), None);
    }
}
