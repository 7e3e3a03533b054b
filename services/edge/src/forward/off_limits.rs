//! Where nobody is led by what a peer wrote into Request-URI, Route, Contact, Path or Via, however well it knows the marks of its call.
//!
//! Every party of a call may name the next hop of a request (RFC 3261 12.2.1.1, 16.6 step 7); a phone names an address of its LAN as
//! rightly as one of the Internet. So all is open but what is certainly no phone, and the first line that fits decides:
//!
//! | address | refused |
//! |---|---|
//! | where this process serves gRPC or admin HTTP or keeps its store; where members of the cluster serve gRPC or each other's SIP | always: who asks from here is trusted there |
//! | a SIP listener of this process, under a name that is not one of ours | always: the request would only come back |
//! | unspecified, "this network", multicast, broadcast | always: no element is called so |
//! | loopback, link-local (the cloud's metadata is there) | unless we listen on such an address ourselves, or the operator named it |
//!
//! The source of a packet is no choice of its sender, so flows and received addresses are not looked at here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use sip_endpoint::{Destination, Hop, Network};

use super::secure::Toward;
use crate::edge::{Cx, Edge};

/// Why an address is off limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    Inside,
    Ourselves,
    NoElement,
    Loopback,
    LinkLocal,
}

impl Limit {
    /// The name under which it is counted.
    fn label(self) -> &'static str {
        match self {
            Self::Inside => "inside",
            Self::Ourselves => "ourselves",
            Self::NoElement => "no_element",
            Self::Loopback => "loopback",
            Self::LinkLocal => "link_local",
        }
    }
}

/// What this process has that nobody may be led to, and what the operator opened.
#[derive(Debug, Clone, Default)]
pub(crate) struct OffLimits {
    /// Listeners beside SIP, and the store. The unspecified address stands for each one of this host.
    pub(crate) inside: Vec<SocketAddr>,
    /// SIP listeners, and under which addresses they are known.
    pub(crate) listening: Vec<SocketAddr>,
    /// Networks that are reached although they are loopback or link-local.
    pub(crate) reach: Vec<Network>,
}

impl OffLimits {
    /// Why a request does not go there. `in_cluster`: do members of the cluster serve each other there?
    pub(crate) fn refuses(&self, to: SocketAddr, in_cluster: impl Fn(&SocketAddr) -> bool) -> Option<Limit> {
        let ip = plain(to.ip());
        let to = SocketAddr::new(ip, to.port());
        let is_at = |listener: &SocketAddr| {
            listener.port() == to.port()
                && (plain(listener.ip()) == ip || (listener.ip().is_unspecified() && self.is_here(ip)))
        };
        let open = |kind: fn(IpAddr) -> bool| {
            self.listening.iter().any(|listener| kind(plain(listener.ip())))
                || self.reach.iter().any(|network| network.contains(ip))
        };
        if is_no_element(ip) {
            Some(Limit::NoElement)
        } else if self.listening.iter().any(is_at) {
            Some(Limit::Ourselves)
        } else if self.inside.iter().any(is_at) || in_cluster(&to) {
            Some(Limit::Inside)
        } else if is_loopback(ip) && !open(is_loopback) {
            Some(Limit::Loopback)
        } else if is_link_local(ip) && !open(is_link_local) {
            Some(Limit::LinkLocal)
        } else {
            None
        }
    }

    /// Is this an address of this host, as far as it knows?
    fn is_here(&self, ip: IpAddr) -> bool {
        is_loopback(ip) || self.listening.iter().any(|listener| plain(listener.ip()) == ip)
    }
}

impl Edge {
    /// The hop to where a URI leads; `None` when there is none, or nobody is led there.
    pub(crate) fn hop_by_uri(
        &self,
        cx: &mut Cx<'_>,
        to: Destination,
        toward: Option<Toward<'_>>,
    ) -> Option<Hop> {
        if !self.may_lead(to.address) {
            return None;
        }
        match toward {
            Some(toward) => toward.hop(cx, to),
            None => cx.hop_to(to.transport, to.address),
        }
    }

    /// Whether what a peer wrote may lead a message there.
    pub(crate) fn may_lead(&self, to: SocketAddr) -> bool {
        let limit = self.off_limits.refuses(to, |address| self.cluster.serves_at(address));
        if let Some(limit) = limit {
            self.meters.off_limits.with_label_values(&[limit.label()]).inc();
        }
        limit.is_none()
    }
}

/// The address that packets go to in the end: IPv4 within IPv6, mapped or behind NAT64 (RFC 4291 2.5.5.2, RFC 6052 2.1), is IPv4.
fn plain(ip: IpAddr) -> IpAddr {
    const NAT64: [u16; 6] = [0x64, 0xff9b, 0, 0, 0, 0];
    match ip.to_canonical() {
        IpAddr::V6(v6) if v6.segments()[..6] == NAT64 => {
            let [.., a, b, c, d] = v6.octets();
            Ipv4Addr::new(a, b, c, d).into()
        }
        other => other,
    }
}

/// RFC 6890: 0.0.0.0/8, ::, 255.255.255.255, and multicast.
fn is_no_element(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.octets()[0] == 0 || ip.is_multicast() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip == Ipv6Addr::UNSPECIFIED || ip.is_multicast(),
    }
}

fn is_loopback(ip: IpAddr) -> bool {
    ip.is_loopback()
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn edge(listening: &[&str], inside: &[&str], reach: &[&str]) -> OffLimits {
        OffLimits {
            inside: inside.iter().map(|text| at(text)).collect(),
            listening: listening.iter().map(|text| at(text)).collect(),
            reach: reach.iter().map(|text| text.parse().unwrap()).collect(),
        }
    }

    /// PXY-27
    #[test]
    fn phones_are_led_to_phones_and_not_to_what_is_inside() {
        let server = edge(&["10.0.0.7:5060", "[fd00::7]:5060"], &["0.0.0.0:9090", "10.0.0.9:6379"], &[]);
        let workstation = edge(&["127.0.0.1:5060"], &["127.0.0.1:50051", "127.0.0.1:9090"], &[]);
        let opened =
            edge(&["10.0.0.7:5060"], &["127.0.0.1:9090"], &["127.0.0.0/8", "169.254.1.0/24", "0.0.0.0/0"]);
        let zero_conf = edge(&["169.254.3.4:5060"], &[], &[]);
        let (refused, free) = (|limit| Some(limit), None);
        for (edge, to, expected) in [
            // Phones of the Internet, of a LAN, of this host under its own address.
            (&server, "203.0.113.5:5060", free),
            (&server, "10.0.0.99:5060", free),
            (&server, "10.0.0.7:5062", free),
            (&server, "192.168.1.20:40000", free),
            (&server, "[2001:db8::5]:5060", free),
            (&server, "[fd00::5]:5060", free),
            // What is inside: by exact address, and by port at each address of this host.
            (&server, "10.0.0.9:6379", refused(Limit::Inside)),
            (&server, "10.0.0.9:5060", free),
            (&server, "10.0.0.7:9090", refused(Limit::Inside)),
            (&server, "[fd00::7]:9090", refused(Limit::Inside)),
            (&server, "127.0.0.1:9090", refused(Limit::Inside)),
            (&server, "10.0.0.99:9090", free),
            (&server, "10.0.0.8:50051", refused(Limit::Inside)),
            (&server, "[::ffff:10.0.0.8]:50051", refused(Limit::Inside)),
            // Itself.
            (&server, "10.0.0.7:5060", refused(Limit::Ourselves)),
            (&server, "[::ffff:10.0.0.7]:5060", refused(Limit::Ourselves)),
            (&workstation, "127.0.0.1:5060", refused(Limit::Ourselves)),
            // What is no element.
            (&server, "0.0.0.0:5060", refused(Limit::NoElement)),
            (&server, "0.1.2.3:5060", refused(Limit::NoElement)),
            (&server, "[::]:5060", refused(Limit::NoElement)),
            (&server, "224.0.1.75:5060", refused(Limit::NoElement)),
            (&server, "[ff02::1]:5060", refused(Limit::NoElement)),
            (&server, "255.255.255.255:5060", refused(Limit::NoElement)),
            (&opened, "224.0.1.75:5060", refused(Limit::NoElement)),
            // This host and this link.
            (&server, "127.0.0.1:5062", refused(Limit::Loopback)),
            (&server, "127.9.9.9:5062", refused(Limit::Loopback)),
            (&server, "[::1]:5062", refused(Limit::Loopback)),
            (&server, "[64:ff9b::7f00:1]:5062", refused(Limit::Loopback)),
            (&server, "169.254.169.254:80", refused(Limit::LinkLocal)),
            (&server, "[::ffff:169.254.169.254]:80", refused(Limit::LinkLocal)),
            (&server, "[64:ff9b::a9fe:a9fe]:80", refused(Limit::LinkLocal)),
            (&server, "[fe80::1]:5060", refused(Limit::LinkLocal)),
            // A demo on one host, with everything on loopback.
            (&workstation, "127.0.0.1:5070", free),
            (&workstation, "127.0.0.2:5060", free),
            (&workstation, "127.0.0.1:50051", refused(Limit::Inside)),
            (&workstation, "127.0.0.1:9090", refused(Limit::Inside)),
            (&workstation, "169.254.169.254:80", refused(Limit::LinkLocal)),
            (&zero_conf, "169.254.9.9:5060", free),
            (&zero_conf, "127.0.0.1:5070", refused(Limit::Loopback)),
            // What the operator opened, which opens nothing inside.
            (&opened, "127.0.0.1:5070", free),
            (&opened, "169.254.1.5:5060", free),
            (&opened, "127.0.0.1:9090", refused(Limit::Inside)),
            (&opened, "10.0.0.7:5060", refused(Limit::Ourselves)),
        ] {
            let found = edge.refuses(at(to), |address| *address == at("10.0.0.8:50051"));
            assert_eq!(found, expected, "{to} from {:?}", edge.listening);
        }
    }
}
