//! By what names peers know us: what we write into a Via, and what we accept in the Via of a response.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use sip_message::{Via, host_ip};

use crate::config::Listen;
use crate::hop::Transport;
use crate::network::Network;

/// One address that is listened on, and what stands for it in a Via.
#[derive(Debug, Clone)]
struct Name {
    address: SocketAddr,
    /// UDP stands for TCP too.
    transport: Transport,
    sent_by: String,
    /// What local networks are shown instead.
    inside: Option<String>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Names {
    listening: Vec<Name>,
    own: Vec<(String, Option<u16>)>,
    local_nets: Vec<Network>,
}

/// A Via value for a request that leaves by a certain hop.
#[derive(Debug, Clone, Copy)]
pub struct OwnVia<'a> {
    pub(crate) transport: Transport,
    pub(crate) sent_by: &'a str,
    pub(crate) branch: &'a str,
    /// Asks the far end to use the connection for its own requests. RFC 5923 8.1
    pub(crate) alias: bool,
}

impl OwnVia<'_> {
    /// The value, for the message.
    pub fn text(&self) -> String {
        let alias = if self.alias { ";alias" } else { "" };
        // RFC 3581 3: asks a server behind an address translator for symmetric answers.
        let rport = if self.transport == Transport::Udp { ";rport" } else { "" };
        let (transport, sent_by, branch) = (self.transport.as_str(), self.sent_by, self.branch);
        ["SIP/2.0/", transport, " ", sent_by, ";branch=", branch, alias, rport].concat()
    }
}

impl Names {
    pub(crate) fn new(own_names: &[String], local_nets: &[Network]) -> Self {
        let own = own_names.iter().map(|name| split_port(name)).collect();
        Self { listening: Vec::new(), own, local_nets: local_nets.to_vec() }
    }

    pub(crate) fn add(&mut self, address: SocketAddr, listen: &Listen) -> io::Result<()> {
        self.add_of(Transport::Udp, address, listen.advertise.as_ref())
    }

    pub(crate) fn add_of(
        &mut self,
        transport: Transport,
        address: SocketAddr,
        advertise: Option<&String>,
    ) -> io::Result<()> {
        let itself =
            || Ok::<_, io::Error>(SocketAddr::new(reachable(address.ip())?, address.port()).to_string());
        let sent_by = match advertise {
            Some(name) if split_port(name).1.is_some() => name.clone(),
            Some(name) => format!("{name}:{}", address.port()),
            None => itself()?,
        };
        let inside = if self.local_nets.is_empty() { None } else { Some(itself()?) };
        self.own.extend([Some(&sent_by), inside.as_ref()].into_iter().flatten().map(|name| split_port(name)));
        self.listening.push(Name { address, transport, sent_by, inside });
        Ok(())
    }

    /// What stands for the listener of this kind with this address, as `peer` is to see it.
    pub(crate) fn sent_by(&self, transport: Transport, local: SocketAddr, peer: SocketAddr) -> Option<&str> {
        let exact = self.listening.iter().find(|name| name.address == local);
        let family = |name: &&Name| name.address.is_ipv4() == local.is_ipv4();
        // An unspecified address is bound, and a connection knows the one that the peer has called.
        let port = |name: &&Name| family(name) && name.address.port() == local.port();
        let name = exact
            .or_else(|| self.of(transport).find(port))
            .or_else(|| self.of(transport).find(family))
            .or_else(|| self.of(transport).next())
            .or_else(|| self.listening.iter().find(family))
            .or(self.listening.first())?;
        let inside = || self.local_nets.iter().any(|net| net.contains(peer.ip()));
        Some(name.inside.as_ref().filter(|_| inside()).unwrap_or(&name.sent_by))
    }

    /// Everything that stands for a listener, `host:port`.
    pub(crate) fn shown(&self) -> impl Iterator<Item = &str> {
        self.listening
            .iter()
            .flat_map(|name| [Some(&name.sent_by), name.inside.as_ref()])
            .flatten()
            .map(String::as_str)
    }

    /// The address we listen on for peers of this kind.
    pub(crate) fn toward(&self, transport: Transport, peer: SocketAddr) -> Option<SocketAddr> {
        let family = |name: &&Name| name.address.is_ipv4() == peer.is_ipv4();
        // Where there is no listener of the kind, answers come back by the connection all the same.
        let name = self.of(transport).find(family).or_else(|| self.listening.iter().find(family));
        name.map(|name| name.address)
    }

    fn of(&self, transport: Transport) -> impl Iterator<Item = &Name> {
        let is_open = |transport| matches!(transport, Transport::Udp | Transport::Tcp);
        self.listening
            .iter()
            .filter(move |name| name.transport == transport || is_open(name.transport) && is_open(transport))
    }

    /// RFC 3261 18.1.2: whether this Via is one that we wrote.
    pub(crate) fn wrote(&self, via: &Via<'_>) -> bool {
        let ip = via.host_ip();
        self.own.iter().any(|(host, port)| {
            port.is_none_or(|port| port == via.port_or_default())
                && (host.eq_ignore_ascii_case(via.host) || ip.is_some() && host_ip(host) == ip)
        })
    }
}

/// An address by which a host on the default route can reach us.
fn reachable(ip: IpAddr) -> io::Result<IpAddr> {
    if !ip.is_unspecified() {
        return Ok(ip);
    }
    // Connecting a datagram socket sends nothing; it only looks up the route. The addresses are for documentation.
    let (any, far): (SocketAddr, SocketAddr) = match ip {
        IpAddr::V4(_) => ((Ipv4Addr::UNSPECIFIED, 0).into(), (Ipv4Addr::new(192, 0, 2, 1), 9).into()),
        IpAddr::V6(_) => {
            ((Ipv6Addr::UNSPECIFIED, 0).into(), (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), 9).into())
        }
    };
    let route = UdpSocket::bind(any).and_then(|socket| {
        socket.connect(far)?;
        socket.local_addr()
    });
    match (route, ip) {
        (Ok(local), _) if !local.ip().is_unspecified() => Ok(local.ip()),
        // A machine without a route is a laptop on its own.
        (Ok(_) | Err(_), IpAddr::V4(_)) => Ok(Ipv4Addr::LOCALHOST.into()),
        (Ok(_) | Err(_), IpAddr::V6(_)) => Ok(Ipv6Addr::LOCALHOST.into()),
    }
}

fn split_port(name: &str) -> (String, Option<u16>) {
    match name.rsplit_once(':') {
        // The last colon of an IPv6 address without brackets starts no port.
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => match port.parse() {
            Ok(port) => (host.to_owned(), Some(port)),
            Err(_) => (name.to_owned(), None),
        },
        Some(_) | None => (name.to_owned(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// TRN-03
    #[test]
    fn only_what_we_write_is_recognised_as_ours() {
        let mut names = Names::new(&["sip.example.com".to_owned()], &[]);
        let address = "192.0.2.1:5070".parse().unwrap();
        names.add(address, &Listen { address, advertise: None }).unwrap();
        let address = "[2001:db8::1]:5060".parse().unwrap();
        names.add(address, &Listen { address, advertise: None }).unwrap();
        let address = "10.0.0.1:5061".parse().unwrap();
        names.add(address, &Listen { address, advertise: Some("Edge.example.com".to_owned()) }).unwrap();
        for (via, ours) in [
            ("192.0.2.1:5070", true),
            ("192.0.2.1", false),
            ("192.0.2.2:5070", false),
            ("[2001:db8:0::1]", true),
            ("edge.example.com:5061", true),
            ("edge.example.com", false),
            ("SIP.example.com:9", true),
            ("10.0.0.1:5061", false),
        ] {
            let via = format!("SIP/2.0/UDP {via};branch=z9hG4bK1");
            assert_eq!(names.wrote(&Via::parse(via.as_bytes()).unwrap()), ours, "{via}");
        }
    }

    #[test]
    fn local_networks_are_shown_the_inside_address() {
        let mut names = Names::new(&[], &["10.0.0.0/8".parse().unwrap()]);
        let address: SocketAddr = "10.0.0.1:5070".parse().unwrap();
        names.add(address, &Listen { address, advertise: Some("edge.example.com".to_owned()) }).unwrap();
        assert_eq!(
            names.sent_by(Transport::Tcp, address, "10.9.9.9:1".parse().unwrap()),
            Some("10.0.0.1:5070")
        );
        assert_eq!(
            names.sent_by(Transport::Udp, address, "192.0.2.9:1".parse().unwrap()),
            Some("edge.example.com:5070")
        );
        assert_eq!(names.shown().collect::<Vec<_>>(), ["edge.example.com:5070", "10.0.0.1:5070"]);
        let via = Via::parse(b"SIP/2.0/UDP 10.0.0.1:5070;branch=z9hG4bK1").unwrap();
        assert!(names.wrote(&via));
    }

    /// TRN-05
    #[test]
    fn only_datagrams_ask_for_rport() {
        let via = |transport| {
            OwnVia { transport, sent_by: "h:5060", branch: "z9hG4bK1", alias: transport == Transport::Tls }
                .text()
        };
        assert_eq!(via(Transport::Udp), "SIP/2.0/UDP h:5060;branch=z9hG4bK1;rport");
        assert_eq!(via(Transport::Tcp), "SIP/2.0/TCP h:5060;branch=z9hG4bK1");
        assert_eq!(via(Transport::Tls), "SIP/2.0/TLS h:5060;branch=z9hG4bK1;alias");
    }

    /// TRN-09, TRN-12
    #[test]
    fn each_kind_of_connection_has_the_name_of_its_own_listener() {
        let mut names = Names::new(&[], &[]);
        let any = |port| SocketAddr::from(([0, 0, 0, 0], port));
        let advertise = |name: &str| Some(name.to_owned());
        names
            .add(any(5060), &Listen { address: any(5060), advertise: advertise("sip.example.com") })
            .unwrap();
        names.add_of(Transport::Tls, any(5061), advertise("sip.example.com").as_ref()).unwrap();
        names.add_of(Transport::Wss, any(8443), advertise("ws.example.com:443").as_ref()).unwrap();
        let peer = "192.0.2.9:1".parse().unwrap();
        let shown = |transport, port| {
            names.sent_by(transport, SocketAddr::from(([10, 0, 0, 1], port)), peer).unwrap().to_owned()
        };
        assert_eq!(shown(Transport::Udp, 5060), "sip.example.com:5060");
        assert_eq!(shown(Transport::Tcp, 5060), "sip.example.com:5060");
        assert_eq!(shown(Transport::Tls, 5061), "sip.example.com:5061");
        assert_eq!(shown(Transport::Wss, 8443), "ws.example.com:443");
        assert_eq!(names.toward(Transport::Tls, peer), Some(any(5061)));
        assert_eq!(names.toward(Transport::Tcp, peer), Some(any(5060)));
        for (via, ours) in [
            ("SIP/2.0/TLS sip.example.com:5061", true),
            ("SIP/2.0/TLS sip.example.com", true),
            ("SIP/2.0/WSS ws.example.com", true),
            ("SIP/2.0/WSS sip.example.com", false),
            ("SIP/2.0/WSS df7jal23ls0d.invalid", false),
        ] {
            let via = format!("{via};branch=z9hG4bK1");
            assert_eq!(names.wrote(&Via::parse(via.as_bytes()).unwrap()), ours, "{via}");
        }
    }
}
