//! Hosts and ports. RFC 3261 25.1, RFC 5954

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::error::SyntaxError;
use crate::grammar::{self, Scanner};

/// The address in a host as written: IPv4, or IPv6 with or without brackets.
pub fn host_ip(host: &str) -> Option<IpAddr> {
    if let Some(inner) = host.strip_prefix('[') {
        return ipv6(inner.strip_suffix(']')?).map(IpAddr::V6);
    }
    // Nearly all names begin or go on like no address: the parsers are not asked then.
    if host.as_bytes().first().is_some_and(u8::is_ascii_digit)
        && let Some(address) = ipv4(host.as_bytes())
    {
        return Some(IpAddr::V4(address));
    }
    memchr::memchr(b':', host.as_bytes())?;
    ipv6(host).map(IpAddr::V6)
}

/// Four octets in decimal digits, without zeros in front: what the standard library reads, in a fifth of its steps.
fn ipv4(text: &[u8]) -> Option<Ipv4Addr> {
    let (mut octets, mut rest) = ([0; 4], text);
    for (place, octet) in octets.iter_mut().enumerate() {
        if place > 0 {
            rest = rest.strip_prefix(b".")?;
        }
        let digit =
            |at: usize| rest.get(at).filter(|byte| byte.is_ascii_digit()).map(|byte| u16::from(byte - b'0'));
        let first = digit(0)?;
        let (number, length) = match (digit(1), digit(2)) {
            (Some(second), Some(third)) => (100 * first + 10 * second + third, 3),
            (Some(second), None) => (10 * first + second, 2),
            (None, _) => (first, 1),
        };
        if first == 0 && length > 1 {
            return None;
        }
        *octet = u8::try_from(number).ok()?;
        rest = &rest[length..];
    }
    rest.is_empty().then(|| octets.into())
}

/// An IPv6 address, also in the form with three colons before an embedded IPv4 address that the
/// grammar of RFC 3261 produced by mistake. RFC 5118 4.10, RFC 5954 3.2
fn ipv6(text: &str) -> Option<Ipv6Addr> {
    text.parse().ok().or_else(|| {
        let (prefix, embedded) = text.split_once(":::")?;
        embedded.parse::<Ipv4Addr>().ok()?;
        format!("{prefix}::{embedded}").parse().ok()
    })
}

/// Reads `host[:port]`; header values allow white space around the colon, URIs do not.
pub(crate) fn scan_host_port<'a>(
    scanner: &mut Scanner<'a>,
    spaced: bool,
) -> Result<(&'a str, Option<u16>), SyntaxError> {
    let host = scan_host(scanner)?;
    let colon = if spaced { scanner.eat_separator(b':') } else { scanner.eat(b':') };
    if !colon {
        return Ok((host, None));
    }
    let start = scanner.position();
    let port = port(scanner).ok_or(SyntaxError { expected: "a port", offset: start })?;
    Ok((host, Some(port)))
}

/// The digits that come next, zeros in front included; `None` when there are none, or they are too many.
fn port(scanner: &mut Scanner<'_>) -> Option<u16> {
    let (mut port, mut length) = (0_u32, 0);
    for digit in scanner.rest().iter().take_while(|byte| byte.is_ascii_digit()) {
        port = port.saturating_mul(10).saturating_add(u32::from(digit - b'0'));
        length += 1;
    }
    scanner.seek(scanner.position() + length);
    u16::try_from(port).ok().filter(|_| length > 0)
}

/// Letters of a host name and the dots between its labels. An underscore is none, but stands in names all the same.
const HOST: [bool; 256] = grammar::class(b"-_.", false);

fn scan_host<'a>(scanner: &mut Scanner<'a>) -> Result<&'a str, SyntaxError> {
    let start = scanner.position();
    if scanner.eat(b'[') {
        scanner.take_while(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.'));
        let closed = scanner.eat(b']');
        return std::str::from_utf8(scanner.since(start))
            .ok()
            .filter(|host| closed && host_ip(host).is_some())
            .ok_or(SyntaxError { expected: "an IPv6 address in brackets", offset: start });
    }
    let host = scanner.take_class(&HOST);
    // One look at each pair, without a branch: hosts are short.
    let is_double = host
        .iter()
        .zip(host.iter().skip(1))
        .fold(false, |found, (one, next)| found | (*one == b'.' && *next == b'.'));
    if is_double || host.first() == Some(&b'.') {
        return Err(SyntaxError { expected: "a host without empty labels", offset: start });
    }
    match std::str::from_utf8(host) {
        Ok(host) if !host.is_empty() => Ok(host),
        _ => Err(SyntaxError { expected: "a host", offset: start }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(&str, Option<u16>), SyntaxError> {
        let mut scanner = Scanner::new(text.as_bytes());
        let pair = scan_host_port(&mut scanner, false)?;
        scanner.finish("the end")?;
        Ok(pair)
    }

    /// MSG-07
    #[test]
    fn an_ipv4_address_is_what_the_standard_library_takes_for_one() {
        let parts =
            ["", "0", "00", "01", "7", "42", "099", "100", "249", "255", "256", "999", "1000", "a", "-1"];
        for first in parts {
            for second in parts {
                for tail in ["", ".", ".1.2", ".1.2.", ".1.255", ".1.2.3", ".1", ".01.2", ".1.256"] {
                    let text = format!("{first}.{second}{tail}");
                    assert_eq!(ipv4(text.as_bytes()), text.parse().ok(), "{text}");
                }
            }
        }
    }

    /// MSG-07
    #[test]
    fn names_and_both_address_families_are_read() {
        assert_eq!(read("example.com"), Ok(("example.com", None)));
        assert_eq!(read("192.0.2.1:5060"), Ok(("192.0.2.1", Some(5060))));
        assert_eq!(read("a_b.example.:0065535"), Ok(("a_b.example.", Some(65535))));
        assert_eq!(read("[2001:db8::10]:5070"), Ok(("[2001:db8::10]", Some(5070))));
        assert_eq!(read("[2001:db8::10:5070]"), Ok(("[2001:db8::10:5070]", None)));
        assert_eq!(read("[::ffff:192.0.2.10]"), Ok(("[::ffff:192.0.2.10]", None)));
    }

    /// MSG-18
    #[test]
    fn three_colons_are_read_as_two_only_before_an_embedded_address() {
        assert_eq!(host_ip("[2001:db8:::192.0.2.1]"), host_ip("[2001:db8::192.0.2.1]"));
        assert!(host_ip("[2001:db8:::192.0.2.1]").is_some());
        for bad in ["[2001:db8:::1]", "[1::2:::192.0.2.1]", "[1::::192.0.2.1]"] {
            assert_eq!(host_ip(bad), None, "{bad}");
        }
    }

    /// MSG-07
    #[test]
    fn trailing_colons_bare_ipv6_and_bad_ports_are_refused() {
        for bad in [
            "h:",
            "[::1]:",
            "2001:db8::10",
            "[::1",
            "[zz]",
            "[2001:db8:::1]",
            "h:65536",
            "h:4294967301",
            "h:18446744073709551621",
            "h:-1",
            "",
            ".",
            ".h",
            "a..b",
            "a..",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
