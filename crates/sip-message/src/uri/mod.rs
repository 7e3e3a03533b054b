//! URIs: `sip`, `sips`, `tel`, and any other scheme as an opaque string. RFC 3261 19.1, RFC 3966

mod compare;
mod host;

use std::fmt;
use std::net::IpAddr;

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

/// User and password; a raw `#`, and bytes above 127, come from real phones and are let through.
const USER: [bool; 256] = grammar::class(b"-_.!~*'()&=+$,;?/#%[]{}|^`", true);
const PARAM: [bool; 256] = grammar::class(b"-_.!~*'()[]/:&+$%`|{}^@\"", true);
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

    /// The URI headers: names and values as received, escapes included.
    pub fn header_pairs(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        self.headers.unwrap_or_default().split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()).map(
            |pair| match memchr::memchr(b'=', pair) {
                Some(at) => (&pair[..at], &pair[at + 1..]),
                None => (pair, &pair[..0]),
            },
        )
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
            let headers = scanner.take_while(|byte| HEADER[byte as usize]);
            check_escapes(headers, &HEADER, start, "URI headers")?;
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
    let scheme =
        scanner.take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
    let named = scheme.first().is_some_and(u8::is_ascii_alphabetic);
    let name = std::str::from_utf8(scheme).unwrap_or_default();
    if !named || !scanner.eat(b':') {
        return Err(SyntaxError { expected: "a URI scheme", offset: 0 });
    }
    Ok(match () {
        () if name.eq_ignore_ascii_case("sip") => Scheme::Sip,
        () if name.eq_ignore_ascii_case("sips") => Scheme::Sips,
        () if name.eq_ignore_ascii_case("tel") => Scheme::Tel,
        () => Scheme::Other(name),
    })
}

/// `;name=value` without white space; names and values may hold escapes.
fn scan_params<'a>(scanner: &mut Scanner<'a>) -> Result<Params<'a>, SyntaxError> {
    let start = scanner.position();
    while scanner.eat(b';') {
        let name_at = scanner.position();
        let name = scanner.take_while(|byte| PARAM[byte as usize] && byte.is_ascii() && byte != b'"');
        if name.is_empty() {
            return Err(scanner.error("a URI parameter name"));
        }
        check_escapes(name, &PARAM, name_at, "a URI parameter name")?;
        if scanner.eat(b'=') {
            let value_at = scanner.position();
            let value = scanner.take_while(|byte| PARAM[byte as usize] || byte == b'=');
            check_escapes(value, &PARAM, value_at, "a URI parameter value").or_else(|error| {
                // An `=` inside a value comes from base64 tokens; escapes are still checked.
                if value.contains(&b'=') { Ok(()) } else { Err(error) }
            })?;
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
    for (index, byte) in bytes.iter().enumerate() {
        if !class[*byte as usize] {
            return Err(SyntaxError { expected, offset: offset + index });
        }
        if *byte == b'%'
            && !bytes[index + 1..].iter().take(2).filter(|hex| hex.is_ascii_hexdigit()).count().eq(&2)
        {
            return Err(SyntaxError { expected: "two hexadecimal digits after %", offset: offset + index });
        }
    }
    Ok(())
}
