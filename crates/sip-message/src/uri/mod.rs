//! URIs: `sip`, `sips`, `tel`, and any other scheme as an opaque string. RFC 3261 19.1, RFC 3966

mod compare;
mod escape;
mod headers;
mod host;

use std::fmt;
use std::net::IpAddr;

pub use escape::{percent_decode, percent_encode};
pub use headers::UriHeader;
pub use host::host_ip;
pub(crate) use host::scan_host_port;

use crate::error::SyntaxError;
use crate::grammar::{self, Scanner};
use crate::header::Params;

/// The scheme of a URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme<'a> {
    /// `sip`
    Sip,
    /// `sips`
    Sips,
    /// `tel`
    Tel,
    /// Anything else, as received.
    Other(&'a str),
}

/// A URI, read in place; `==` is byte equality of the parts, [`Uri::equivalent`] is RFC equality.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uri<'a> {
    /// The scheme.
    pub scheme: Scheme<'a>,
    /// The user part as received, escapes included; the number of a `tel` URI.
    pub user: Option<&'a [u8]>,
    /// The password as received.
    pub password: Option<&'a [u8]>,
    /// The host as received; IPv6 addresses keep their brackets. Empty unless `sip` or `sips`.
    pub host: &'a str,
    /// The port, if given.
    pub port: Option<u16>,
    /// The URI parameters.
    pub params: Params<'a>,
    /// What follows the `?`, if there is one.
    pub headers: Option<&'a [u8]>,
    raw: &'a [u8],
}

/// Longest URI that is taken apart.
pub const MAX_URI_BYTES: usize = 4096;

/// Most parameters, and most headers, of one URI. Comparing two URIs looks at every pair.
pub const MAX_URI_PARTS: usize = 64;

const SCHEME: [bool; 256] = grammar::class(b"+-.", false);
/// User and password; a raw `#`, and bytes above 127, come from real phones and are let through.
const USER: [bool; 256] = grammar::class(b"-_.!~*'()&=+$,;?/#%[]{}|^`", true);
const PARAM_NAME: [bool; 256] = grammar::class(b"-_.!~*'()[]/:&+$%`|{}^@", false);
/// An unescaped `=` inside a value comes from tokens in base64.
const PARAM_VALUE: [bool; 256] = grammar::class(b"-_.!~*'()[]/:&+$%`|{}^@=", true);
const HEADER: [bool; 256] = grammar::class(b"-_.!~*'()[]/?:+$%=&@;,", true);

impl<'a> Uri<'a> {
    /// Takes a URI apart.
    ///
    /// # Errors
    /// When it does not follow the grammar of its scheme, or is longer than [`MAX_URI_BYTES`].
    pub fn parse(raw: &'a [u8]) -> Result<Uri<'a>, SyntaxError> {
        if raw.len() > MAX_URI_BYTES {
            return Err(SyntaxError { expected: "a URI of at most 4096 bytes", offset: MAX_URI_BYTES });
        }
        let mut scanner = Scanner::new(raw);
        let scheme = scan_scheme(&mut scanner)?;
        let mut uri = Uri {
            scheme,
            user: None,
            password: None,
            host: "",
            port: None,
            params: Params::default(),
            headers: None,
            raw,
        };
        match scheme {
            Scheme::Sip | Scheme::Sips => uri.read_sip(&mut scanner)?,
            Scheme::Tel => uri.read_tel(&mut scanner)?,
            Scheme::Other(_) => check_opaque(&mut scanner)?,
        }
        Ok(uri)
    }

    /// The whole URI as received.
    pub fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// Is it `sips`?
    pub fn is_secure(&self) -> bool {
        self.scheme == Scheme::Sips
    }

    /// The host, if it is an address.
    pub fn host_ip(&self) -> Option<IpAddr> {
        host_ip(self.host)
    }

    /// A URI parameter as text, escapes as received: empty for a flag, `None` when absent.
    pub fn param(&self, name: &str) -> Option<&'a str> {
        self.params.text(name)
    }

    /// Is there a URI parameter of this name?
    pub fn has_param(&self, name: &str) -> bool {
        self.params.has(name)
    }

    fn read_sip(&mut self, scanner: &mut Scanner<'a>) -> Result<(), SyntaxError> {
        let start = scanner.position();
        if let Some(at) = memchr::memchr(b'@', scanner.rest()) {
            let end = start + at;
            let userinfo = &scanner.rest()[..at];
            let colon = memchr::memchr(b':', userinfo);
            let user = &userinfo[..colon.unwrap_or(at)];
            if user.is_empty() {
                return Err(scanner.error("a user part"));
            }
            check_escapes(user, &USER, start, "a user part")?;
            self.user = Some(user);
            if let Some(colon) = colon {
                let password = &userinfo[colon + 1..];
                check_escapes(password, &USER, start + colon + 1, "a password")?;
                self.password = Some(password);
            }
            scanner.seek(end + 1);
        }
        (self.host, self.port) = scan_host_port(scanner, false)?;
        self.params = scan_params(scanner)?;
        if scanner.eat(b'?') {
            let start = scanner.position();
            let headers = scanner.take_class(&HEADER);
            check_escapes(headers, &HEADER, start, "URI headers")?;
            if headers.iter().filter(|byte| **byte == b'&').count() >= MAX_URI_PARTS {
                return Err(SyntaxError { expected: "at most 64 URI headers", offset: start });
            }
            self.headers = Some(headers);
        }
        if scanner.at_end() { Ok(()) } else { Err(scanner.error("the end of the URI")) }
    }

    /// `tel:number;param…`. RFC 3966 3
    fn read_tel(&mut self, scanner: &mut Scanner<'a>) -> Result<(), SyntaxError> {
        let number = scanner.take_while(|byte| byte.is_ascii_hexdigit() || b"+-.()*#".contains(&byte));
        if !number.iter().any(|byte| byte.is_ascii_hexdigit() || matches!(byte, b'*' | b'#')) {
            return Err(scanner.error("a telephone number"));
        }
        self.user = Some(number);
        self.params = scan_params(scanner)?;
        if scanner.at_end() { Ok(()) } else { Err(scanner.error("the end of the URI")) }
    }
}

impl fmt::Display for Uri<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&String::from_utf8_lossy(self.raw))
    }
}

fn scan_scheme<'a>(scanner: &mut Scanner<'a>) -> Result<Scheme<'a>, SyntaxError> {
    let scheme = scanner.take_class(&SCHEME);
    if !scheme.first().is_some_and(u8::is_ascii_alphabetic) || !scanner.eat(b':') {
        return Err(SyntaxError { expected: "a URI scheme", offset: 0 });
    }
    Ok(match scheme {
        [b's' | b'S', b'i' | b'I', b'p' | b'P'] => Scheme::Sip,
        _ if scheme.eq_ignore_ascii_case(b"sips") => Scheme::Sips,
        _ if scheme.eq_ignore_ascii_case(b"tel") => Scheme::Tel,
        _ => Scheme::Other(std::str::from_utf8(scheme).expect("the letters of a scheme are ASCII")),
    })
}

/// `;name=value` without white space; names and values may hold escapes.
fn scan_params<'a>(scanner: &mut Scanner<'a>) -> Result<Params<'a>, SyntaxError> {
    let start = scanner.position();
    let mut count = 0;
    while scanner.eat(b';') {
        count += 1;
        if count > MAX_URI_PARTS {
            return Err(scanner.error("at most 64 URI parameters"));
        }
        let name_at = scanner.position();
        let name = scanner.take_class(&PARAM_NAME);
        if name.is_empty() {
            return Err(scanner.error("a URI parameter name"));
        }
        check_escapes(name, &PARAM_NAME, name_at, "a URI parameter name")?;
        if scanner.eat(b'=') {
            let value_at = scanner.position();
            let value = scanner.take_class(&PARAM_VALUE);
            check_escapes(value, &PARAM_VALUE, value_at, "a URI parameter value")?;
        }
    }
    Ok(Params::checked(scanner.since(start)))
}

fn check_opaque(scanner: &mut Scanner<'_>) -> Result<(), SyntaxError> {
    let start = scanner.position();
    scanner.take_while(|byte| byte > b' ' && byte != 0x7f && !matches!(byte, b'<' | b'>' | b'"'));
    if scanner.position() == start || !scanner.at_end() {
        return Err(scanner.error("a URI without white space or brackets"));
    }
    Ok(())
}

/// Every byte is of the class, and every `%` begins an escape.
fn check_escapes(
    bytes: &[u8],
    class: &[bool; 256],
    offset: usize,
    expected: &'static str,
) -> Result<(), SyntaxError> {
    // Most hold no escape, and nothing that does not belong there.
    if grammar::run(bytes, class) == bytes.len() && !bytes.contains(&b'%') {
        return Ok(());
    }
    for (index, byte) in bytes.iter().enumerate() {
        if !class[*byte as usize] {
            return Err(SyntaxError { expected, offset: offset + index });
        }
        if *byte == b'%' && !escape::is_escape(&bytes[index..]) {
            return Err(SyntaxError { expected: "two hexadecimal digits after %", offset: offset + index });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// MSG-07
    #[test]
    fn a_sip_uri_is_taken_apart_with_its_escapes() {
        let uri =
            Uri::parse(b"sips:al%69ce;x:pw@Host.example:5061;transport=tcp;LR?Subject=a%20b&x=").unwrap();
        assert!(uri.is_secure());
        assert_eq!(uri.user, Some(&b"al%69ce;x"[..]));
        assert_eq!(uri.password, Some(&b"pw"[..]));
        assert_eq!((uri.host, uri.port), ("Host.example", Some(5061)));
        assert_eq!((uri.param("Transport"), uri.param("lr"), uri.param("x")), (Some("tcp"), Some(""), None));
        let headers: Vec<_> = uri.header_pairs().collect();
        assert_eq!(headers, [(&b"Subject"[..], &b"a%20b"[..]), (b"x", b"")]);
    }

    /// MSG-07
    #[test]
    fn other_schemes_are_opaque_and_tel_has_a_number() {
        let tel = Uri::parse(b"TEL:+1-201-555-0123;phone-context=example.com").unwrap();
        assert_eq!((tel.scheme, tel.user), (Scheme::Tel, Some(&b"+1-201-555-0123"[..])));
        assert_eq!(tel.param("phone-context"), Some("example.com"));
        let other = Uri::parse(b"soap.beep://192.0.2.103:3002").unwrap();
        assert_eq!(other.scheme, Scheme::Other("soap.beep"));
        assert_eq!(other.raw(), b"soap.beep://192.0.2.103:3002");
    }

    /// MSG-07, MSG-18
    #[test]
    fn broken_uris_are_refused() {
        for bad in [
            "sip:",
            "sip:@h",
            "sip:a@",
            "sip:a@h:",
            "sip:a@h;",
            "sip:a@h;;x",
            "sip:a@h;x y",
            "sip:%zz@h",
            "sip:a@h?x=%4",
            "sip:2001:db8::10",
            "sip:[::1",
            "<sip:h>",
            "sip:h>",
            "sip:a b@h",
            "1sip:h",
            ":h",
            "tel:",
            "tel:abc-xyz",
            "tel:+",
            "tel:+1;",
            "http:",
            "http:a b",
        ] {
            assert!(Uri::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn length_and_number_of_parts_are_limited() {
        let long = format!("sip:{}@h", "a".repeat(MAX_URI_BYTES));
        assert!(Uri::parse(long.as_bytes()).is_err());
        let parts =
            |separator: &str, count: usize| format!("sip:h?a{}", format!("{separator}b").repeat(count));
        assert!(Uri::parse(parts("&", 63).as_bytes()).is_ok());
        assert!(Uri::parse(parts("&", 64).as_bytes()).is_err());
        let params = |count: usize| format!("sip:h{}", ";b".repeat(count));
        assert!(Uri::parse(params(64).as_bytes()).is_ok());
        assert!(Uri::parse(params(65).as_bytes()).is_err());
    }
}
