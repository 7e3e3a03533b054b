//! `Via`: the path that responses take back. RFC 3261 20.42, RFC 3581

use std::net::IpAddr;

use super::Params;
use super::params::RawParam;
use crate::error::SyntaxError;
use crate::grammar::{Scanner, TOKEN, saturating_number, trim};
use crate::uri::{host_ip, scan_host_port};

/// The magic cookie of branches made by RFC 3261 elements. RFC 3261 8.1.1.7
pub const BRANCH_COOKIE: &str = "z9hG4bK";

/// One Via value, read in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Via<'a> {
    /// The transport token as received: `UDP`, `TCP`, `TLS`, `WS`, `WSS` or anything else.
    pub transport: &'a str,
    /// The sent-by host as received; IPv6 addresses keep their brackets.
    pub host: &'a str,
    /// The sent-by port, if given.
    pub port: Option<u16>,
    /// The branch.
    pub branch: Option<&'a str>,
    /// The `rport` parameter. RFC 3581
    pub rport: Rport,
    /// The `received` parameter as received, with or without brackets. RFC 5118 4.5
    pub received: Option<&'a str>,
    /// The `maddr` parameter.
    pub maddr: Option<&'a str>,
    /// All parameters, unknown ones included.
    pub params: Params<'a>,
}

/// The `rport` parameter of a Via.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rport {
    /// Not there: the sender expects answers at its sent-by port.
    #[default]
    Absent,
    /// There without a value: the sender asks for its source port.
    Requested,
    /// Filled in by the element that received the request.
    Port(u16),
}

impl<'a> Via<'a> {
    /// Reads one value.
    ///
    /// # Errors
    /// When the value does not follow the grammar, the version is not 2.0, or a port is no port.
    pub fn parse(value: &'a [u8]) -> Result<Via<'a>, SyntaxError> {
        let mut scanner = Scanner::new(value);
        let (version, mut via) = Self::scan_sent(&mut scanner)?;
        if version != b"2.0" {
            return Err(SyntaxError { expected: "SIP/2.0", offset: 0 });
        }
        let offset = scanner.position();
        via.params = Params::scan_with(&mut scanner, |param| via.note(param, offset))?;
        scanner.finish("\";\" or the end")?;
        Ok(via)
    }

    /// Reads of a value that [`Via::parse`] may refuse what an error response needs to find its way: transport, sent-by and
    /// whether `rport` is asked for. The version is not looked at, and parameters that follow no grammar are passed over.
    ///
    /// The result is for answering only, and only to the address that the request came from: `maddr` is left out.
    ///
    /// # Errors
    /// When it does not even begin with a protocol and a host.
    pub fn salvage(value: &'a [u8]) -> Result<Via<'a>, SyntaxError> {
        let mut scanner = Scanner::new(value);
        let (_, mut via) = Self::scan_sent(&mut scanner)?;
        let mut names = scanner.rest().split(|byte| *byte == b';').map(trim);
        if names.any(|name| name.eq_ignore_ascii_case(b"rport")) {
            via.rport = Rport::Requested;
        }
        Ok(via)
    }

    /// Version, transport, host and port: all that stands before the parameters.
    fn scan_sent(scanner: &mut Scanner<'a>) -> Result<(&'a [u8], Via<'a>), SyntaxError> {
        // How nearly all begin.
        const USUAL: &[u8] = b"SIP/2.0/";
        let version = if scanner.rest().starts_with(USUAL) {
            scanner.seek(scanner.position() + USUAL.len());
            scanner.skip_lws();
            &b"2.0"[..]
        } else {
            Self::scan_version(scanner)?
        };
        let transport = scanner.token("a transport")?;
        let gap = scanner.position();
        scanner.skip_lws();
        if scanner.position() == gap {
            return Err(scanner.error("white space before the host"));
        }
        let (host, port) = scan_host_port(scanner, true)?;
        let via = Via {
            transport,
            host,
            port,
            branch: None,
            rport: Rport::Absent,
            received: None,
            maddr: None,
            params: Params::default(),
        };
        Ok((version, via))
    }

    /// The version of the protocol, which must be SIP, and the slash before the transport.
    fn scan_version(scanner: &mut Scanner<'a>) -> Result<&'a [u8], SyntaxError> {
        scanner.skip_lws();
        let protocol = scanner.take_class(&TOKEN);
        expect(scanner, b'/', "\"/\" after the protocol name")?;
        let version = scanner.take_class(&TOKEN);
        if !protocol.eq_ignore_ascii_case(b"SIP") {
            return Err(SyntaxError { expected: "SIP/2.0", offset: 0 });
        }
        expect(scanner, b'/', "\"/\" after the protocol version")?;
        Ok(version)
    }

    /// Writes the value in its usual form, on one line.
    pub fn print(&self, out: &mut Vec<u8>) {
        for part in ["SIP/2.0/", self.transport, " ", self.host] {
            out.extend_from_slice(part.as_bytes());
        }
        if let Some(port) = self.port {
            out.extend_from_slice(format!(":{port}").as_bytes());
        }
        self.params.print(out);
    }

    /// Does the branch carry the cookie, so that it identifies a transaction?
    pub fn has_cookie(&self) -> bool {
        self.branch.is_some_and(has_cookie)
    }

    /// The address in `received`, brackets or not.
    pub fn received_ip(&self) -> Option<IpAddr> {
        self.received.and_then(host_ip)
    }

    /// The sent-by host, if it is an address.
    pub fn host_ip(&self) -> Option<IpAddr> {
        host_ip(self.host)
    }

    /// Is the message on a stream or WebSocket transport?
    pub fn is_reliable(&self) -> bool {
        !self.transport.eq_ignore_ascii_case("UDP") && !self.transport.eq_ignore_ascii_case("DTLS-UDP")
    }

    /// The sent-by port, or the default of the transport. RFC 3261 18.2.2, RFC 7118
    pub fn port_or_default(&self) -> u16 {
        let is = |name: &str| self.transport.eq_ignore_ascii_case(name);
        self.port.unwrap_or(match () {
            () if is("TLS") || is("TLS-SCTP") => 5061,
            () if is("WS") => 80,
            () if is("WSS") => 443,
            () => 5060,
        })
    }

    /// Takes in a parameter that this crate knows; of a repeated one the first counts.
    fn note(&mut self, param: RawParam<'a>, offset: usize) -> Result<(), SyntaxError> {
        let text = |expected| {
            let value = param.value.filter(|value| !value.is_empty());
            let text = value.and_then(|value| std::str::from_utf8(value).ok());
            text.ok_or(SyntaxError { expected, offset })
        };
        match param.name.len() {
            6 if self.branch.is_none() && param.is("branch") => self.branch = Some(text("a branch")?),
            5 if self.rport == Rport::Absent && param.is("rport") => {
                self.rport = match param.value {
                    None | Some([]) => Rport::Requested,
                    Some(port) => saturating_number(port)
                        .and_then(|port| u16::try_from(port).ok())
                        .map(Rport::Port)
                        .ok_or(SyntaxError { expected: "a port in rport", offset })?,
                };
            }
            8 if self.received.is_none() && param.is("received") => {
                self.received = Some(text("an address in received")?);
            }
            5 if self.maddr.is_none() && param.is("maddr") => self.maddr = Some(text("a host in maddr")?),
            _ => {}
        }
        Ok(())
    }
}

/// Does a branch carry the cookie, and something behind it?
pub fn has_cookie(branch: &str) -> bool {
    let cookie = BRANCH_COOKIE.as_bytes();
    branch.len() > cookie.len() && branch.as_bytes()[..cookie.len()].eq_ignore_ascii_case(cookie)
}

fn expect(scanner: &mut Scanner<'_>, byte: u8, expected: &'static str) -> Result<(), SyntaxError> {
    if scanner.eat_separator(byte) { Ok(()) } else { Err(scanner.error(expected)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// MSG-02, MSG-04
    #[test]
    fn white_space_and_folds_are_allowed_around_separators() {
        let via = Via::parse(
            b"sip  / 2.0\r\n /UDP\r\n    192.0.2.2 : 5061 ; Branch=z9hG4bK390skdjuw ; RPORT ; ttl=1",
        )
        .unwrap();
        assert_eq!((via.transport, via.host, via.port), ("UDP", "192.0.2.2", Some(5061)));
        assert_eq!(via.branch, Some("z9hG4bK390skdjuw"));
        assert_eq!(via.rport, Rport::Requested);
        assert!(via.has_cookie());
    }

    /// MSG-07
    #[test]
    fn ipv6_keeps_its_brackets_and_received_may_lack_them() {
        let via =
            Via::parse(b"SIP/2.0/TLS [2001:db8::9:1]:5061;received=[2001:db8::9:255];branch=z9hG4bKas3")
                .unwrap();
        assert_eq!((via.host, via.port), ("[2001:db8::9:1]", Some(5061)));
        assert_eq!(via.received_ip(), Some("2001:db8::9:255".parse().unwrap()));
        let bare = Via::parse(b"SIP/2.0/UDP [2001:db8::9:1];received=2001:db8::9:255").unwrap();
        assert_eq!(bare.received_ip(), Some("2001:db8::9:255".parse().unwrap()));
    }

    /// MSG-04
    #[test]
    fn a_printed_value_is_one_line_and_means_the_same() {
        let folded =
            Via::parse(b"SIP / 2.0 /\r\n TCP h : 5080 ; branch = z9hG4bK1 ;\r\n x = \"a\r\n b\"").unwrap();
        let mut out = Vec::new();
        folded.print(&mut out);
        assert_eq!(out, b"SIP/2.0/TCP h:5080;branch=z9hG4bK1;x=\"a   b\"");
        assert_eq!(Via::parse(&out).unwrap().branch, folded.branch);
    }

    #[test]
    fn the_default_port_follows_the_transport() {
        let port = |transport: &str| {
            Via::parse(format!("SIP/2.0/{transport} h;branch=z9hG4bK1").as_bytes()).unwrap().port_or_default()
        };
        assert_eq!(
            [port("UDP"), port("tcp"), port("TLS"), port("WS"), port("WSS")],
            [5060, 5060, 5061, 80, 443]
        );
    }

    /// MSG-10
    #[test]
    fn of_a_broken_value_the_way_back_is_read_if_it_is_there() {
        let sent = |value: &'static [u8]| Via::salvage(value).ok().map(|via| (via.host, via.port, via.rport));
        let absent = Rport::Absent;
        assert_eq!(sent(b"SIP/2.0/UDP 192.0.2.15;;,;,,"), Some(("192.0.2.15", None, absent)));
        assert_eq!(sent(b"SIP/7.0/UDP h:5080;branch=z9hG4bK1"), Some(("h", Some(5080), absent)));
        assert_eq!(sent(b"SIP/2.0/UDP h;; RPORT ;x="), Some(("h", None, Rport::Requested)));
        assert_eq!(Via::salvage(b"SIP/2.0/UDP h;maddr=192.0.2.1;;").unwrap().maddr, None);
        for hopeless in [&b"HTTP/2.0/UDP h"[..], b"SIP/2.0/UDP", b"SIP/2.0/UDP h:70000", b""] {
            assert!(Via::salvage(hopeless).is_err());
        }
    }

    #[test]
    fn broken_values_are_refused() {
        for bad in [
            &b"SIP/2.0/UDP 192.0.2.15;;,;,,"[..],
            b"SIP/3.0/UDP h",
            b"HTTP/2.0/UDP h",
            b"SIP/2.0/UDP",
            b"SIP/2.0/UDPh",
            b"SIP/2.0/UDP h:",
            b"SIP/2.0/UDP h:70000",
            b"SIP/2.0/UDP h;rport=x",
            b"SIP/2.0/UDP h;branch=",
            b"SIP/2.0/UDP [::1;branch=z9hG4bK1",
            b"",
        ] {
            assert!(Via::parse(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
    }
}
