//! Where a URI leads: RFC 3263 as far as numeric hosts, explicit ports and address records, with DNS behind a trait.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;

use sip_message::{Scheme, Uri, host_ip};

use crate::hop::Transport;

/// The questions we ask of DNS.
pub trait Dns: Send + Sync + 'static {
    /// The addresses of a host (A and AAAA), in the order in which to try them.
    fn addresses<'a>(&'a self, host: &'a str) -> Answer<'a, Vec<IpAddr>>;
}

/// An answer to come.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, DnsError>> + Send + 'a>>;

/// Why a host has no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DnsError {
    /// There is no such name, or it has no address.
    #[error("no such host")]
    NoSuchHost,
    /// The name servers gave no usable answer in time.
    #[error("name servers failed")]
    Unavailable,
}

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

/// All destinations of a target, best first.
///
/// # Errors
/// When the host is a name without an address, or DNS is out of order.
pub async fn locate(target: &Target, dns: &dyn Dns) -> Result<Vec<Destination>, DnsError> {
    if let Some(destination) = target.numeric() {
        return Ok(vec![destination]);
    }
    let addresses = dns.addresses(&target.host).await?;
    if addresses.is_empty() {
        return Err(DnsError::NoSuchHost);
    }
    Ok(addresses.into_iter().map(|ip| target.at(ip)).collect())
}

/// The resolver of the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemDns;

impl Dns for SystemDns {
    fn addresses<'a>(&'a self, host: &'a str) -> Answer<'a, Vec<IpAddr>> {
        Box::pin(async move {
            match tokio::net::lookup_host((host, 0)).await {
                Ok(found) => Ok(found.map(|address| address.ip()).collect()),
                // getaddrinfo does not tell a missing name from a failing server in a portable way.
                Err(_) => Err(DnsError::NoSuchHost),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Stub;

    impl Dns for Stub {
        fn addresses<'a>(&'a self, host: &'a str) -> Answer<'a, Vec<IpAddr>> {
            let found = match host {
                "two.example" => Ok(vec![IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2])]),
                "none.example" => Ok(Vec::new()),
                _ => panic!("asked for {host}"),
            };
            Box::pin(async move { found })
        }
    }

    /// DNS-01
    #[tokio::test]
    async fn a_numeric_host_asks_nothing_and_the_scheme_decides_the_transport() {
        for (uri, transport, address) in [
            ("sip:a@192.0.2.7", Transport::Udp, "192.0.2.7:5060"),
            ("sip:a@192.0.2.7:5070", Transport::Udp, "192.0.2.7:5070"),
            ("sip:a@192.0.2.7;transport=TCP", Transport::Tcp, "192.0.2.7:5060"),
            ("sips:a@[2001:db8::1]", Transport::Tls, "[2001:db8::1]:5061"),
            ("sips:a@192.0.2.7;transport=tcp", Transport::Tls, "192.0.2.7:5061"),
            ("sip:a@name.example;maddr=192.0.2.9", Transport::Udp, "192.0.2.9:5060"),
        ] {
            let target = Target::of_uri(&Uri::parse(uri.as_bytes()).unwrap()).unwrap();
            let expected = vec![Destination { transport, address: address.parse().unwrap() }];
            assert_eq!(locate(&target, &Stub).await, Ok(expected), "{uri}");
        }
    }

    #[tokio::test]
    async fn a_name_leads_to_its_addresses_in_order() {
        let target = |host: &str| Target { host: host.into(), port: Some(7), transport: None, secure: false };
        let found = locate(&target("two.example"), &Stub).await.unwrap();
        assert_eq!(
            found.iter().map(|d| d.address.to_string()).collect::<Vec<_>>(),
            ["192.0.2.1:7", "192.0.2.2:7"]
        );
        assert_eq!(locate(&target("none.example"), &Stub).await, Err(DnsError::NoSuchHost));
    }
}
