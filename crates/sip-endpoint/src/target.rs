//! What a URI, Route or Via says about the next hop, and what can be read off without a question to DNS.

use std::net::{IpAddr, SocketAddr};

use sip_message::{Scheme, Uri, host_ip};

use crate::hop::Transport;

/// What a URI, Route or Via says about the next hop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Name or number; IPv6 with or without brackets.
    pub host: String,
    /// The port, if it is said.
    pub port: Option<u16>,
    /// The transport, if it is said.
    pub transport: Option<Transport>,
    /// A `sips` URI: TLS on every hop.
    pub secure: bool,
}

/// One place to send to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Destination {
    /// How.
    pub transport: Transport,
    /// Where.
    pub address: SocketAddr,
}

impl Target {
    /// What a SIP URI says. RFC 3263 4: `maddr` stands for the host. `None` for other schemes and transports.
    pub fn of_uri(uri: &Uri<'_>) -> Option<Self> {
        let secure = match uri.scheme {
            Scheme::Sip => false,
            Scheme::Sips => true,
            _ => return None,
        };
        let transport = match uri.param("transport") {
            None => None,
            // RFC 3261 26.2.2: there is no TLS over datagrams.
            Some(name) if name.eq_ignore_ascii_case("udp") && secure => return None,
            Some(name) if name.eq_ignore_ascii_case("udp") => Some(Transport::Udp),
            Some(name) if name.eq_ignore_ascii_case("tcp") && secure => Some(Transport::Tls),
            Some(name) if name.eq_ignore_ascii_case("tcp") => Some(Transport::Tcp),
            Some(name) if name.eq_ignore_ascii_case("tls") => Some(Transport::Tls),
            Some(name) if name.eq_ignore_ascii_case("ws") && secure => Some(Transport::Wss),
            Some(name) if name.eq_ignore_ascii_case("ws") => Some(Transport::Ws),
            Some(name) if name.eq_ignore_ascii_case("wss") => Some(Transport::Wss),
            Some(_) => return None,
        };
        let host = uri.param("maddr").filter(|maddr| !maddr.is_empty()).unwrap_or(uri.host);
        Some(Self { host: host.to_owned(), port: uri.port, transport, secure })
    }

    /// The transport to take when nothing else decides. RFC 3263 4.1
    pub fn transport_or_default(&self) -> Transport {
        self.transport.unwrap_or(if self.secure { Transport::Tls } else { Transport::Udp })
    }

    /// The destination of a numeric host, which no question to DNS is needed for. DNS-01
    pub fn numeric(&self) -> Option<Destination> {
        Some(self.at(host_ip(&self.host)?))
    }

    fn at(&self, ip: IpAddr) -> Destination {
        let transport = self.transport_or_default();
        let port = self.port.unwrap_or(transport.default_port());
        Destination { transport, address: SocketAddr::new(ip, port) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// DNS-01
    #[test]
    fn of_a_numeric_host_the_scheme_decides_the_transport() {
        for (uri, transport, address) in [
            ("sip:a@192.0.2.7", Transport::Udp, "192.0.2.7:5060"),
            ("sip:a@192.0.2.7:5070", Transport::Udp, "192.0.2.7:5070"),
            ("sip:a@192.0.2.7;transport=TCP", Transport::Tcp, "192.0.2.7:5060"),
            ("sips:a@[2001:db8::1]", Transport::Tls, "[2001:db8::1]:5061"),
            ("sips:a@192.0.2.7;transport=tcp", Transport::Tls, "192.0.2.7:5061"),
            ("sip:a@name.example;maddr=192.0.2.9", Transport::Udp, "192.0.2.9:5060"),
        ] {
            let target = Target::of_uri(&Uri::parse(uri.as_bytes()).unwrap()).unwrap();
            let expected = Destination { transport, address: address.parse().unwrap() };
            assert_eq!(target.numeric(), Some(expected), "{uri}");
        }
    }
}
