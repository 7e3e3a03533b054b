//! Where the peers of trunks are, as the registrars say with every lease, and what a gateway would dial. T6

use std::net::IpAddr;

use hashbrown::{HashMap, HashSet};
use sip_message::{Scheme, Uri, host_ip, percent_decode};

/// The ports of a peer that names none. RFC 3261 19.1.2
const DEFAULT_PORTS: [u16; 2] = [5060, 5061];

/// The peers of all trunks in use.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Gateways {
    /// The ports of each address.
    addresses: HashMap<IpAddr, Vec<u16>>,
    /// Hosts, in small letters.
    names: HashSet<Box<str>>,
}

/// What there is at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// No peer of a trunk.
    Free,
    /// The host of one, at another port: whether the gateway listens there too is not known.
    Beside,
    /// One.
    Gateway,
}

impl Gateways {
    /// Of places as `host` or `host:port`.
    pub(crate) fn of<'p>(places: impl Iterator<Item = &'p str>) -> Self {
        let mut gateways = Self::default();
        for place in places {
            let (host, port) = match place.rsplit_once(':') {
                // the colons of a bare IPv6 address are within brackets
                Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()),
                Some(_) | None => (place, None),
            };
            match host_ip(host) {
                Some(ip) => {
                    let ports = gateways.addresses.entry(ip.to_canonical()).or_default();
                    match port {
                        Some(port) => ports.push(port),
                        None => ports.extend(DEFAULT_PORTS),
                    }
                }
                None => {
                    gateways.names.insert(host.to_ascii_lowercase().into());
                }
            }
        }
        gateways
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.addresses.is_empty() && self.names.is_empty()
    }

    /// Does a peer have this address?
    pub(crate) fn has(&self, ip: IpAddr) -> bool {
        !self.addresses.is_empty() && self.addresses.contains_key(&ip.to_canonical())
    }

    /// What there is at an address.
    pub(crate) fn at(&self, ip: IpAddr, port: u16) -> Place {
        match self.addresses.get(&ip.to_canonical()) {
            Some(ports) if ports.contains(&port) => Place::Gateway,
            Some(_) => Place::Beside,
            None => Place::Free,
        }
    }

    /// What there is where a URI leads. Of names no more is known than that they are those of peers.
    pub(crate) fn of_uri(&self, uri: &Uri<'_>) -> Place {
        let host = uri.param("maddr").filter(|maddr| !maddr.is_empty()).unwrap_or(uri.host);
        match host_ip(host) {
            Some(ip) => self.at(ip, uri.port.unwrap_or(if uri.is_secure() { 5061 } else { 5060 })),
            None => {
                let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
                if self.names.contains(&*name) { Place::Gateway } else { Place::Free }
            }
        }
    }
}

/// What a gateway would dial for a URI, with `+` in front where it is dialled as a number of the world; `None` for a name.
pub(crate) fn dialled(uri: &Uri<'_>) -> Option<String> {
    let user = match uri.scheme {
        Scheme::Tel => uri.raw().splitn(2, |octet| *octet == b':').nth(1)?,
        Scheme::Sip | Scheme::Sips => uri.user?,
        Scheme::Other(_) => return None,
    };
    let number = user.split(|octet| *octet == b';').next().unwrap_or_default();
    let number = percent_decode(number).into_owned();
    let first = number.iter().find(|octet| octet.is_ascii_alphanumeric())?;
    if !first.is_ascii_digit() {
        return None;
    }
    let number: String =
        number.into_iter().filter(|octet| !b"-.() /".contains(octet)).map(char::from).collect();
    Some(match number.strip_prefix("00") {
        Some(rest) => format!("+{rest}"),
        None => number,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Uri<'_> {
        Uri::parse(text.as_bytes()).unwrap()
    }

    /// T6: a peer is known by its address and port or by its name, and its host at another port is told apart.
    #[test]
    fn peers_are_known_by_where_they_are() {
        let places = ["192.0.2.1", "192.0.2.2:5080", "[2001:db8::1]", "[2001:db8::2]:5070", "gw.test:5090"];
        let gateways = Gateways::of(places.into_iter());
        assert!(!gateways.is_empty() && Gateways::default().is_empty());
        for (text, place) in [
            ("sip:+33@192.0.2.1", Place::Gateway),
            ("sips:+33@192.0.2.1", Place::Gateway),
            ("sip:+33@192.0.2.1:5080", Place::Beside),
            ("sip:+33@192.0.2.2:5080", Place::Gateway),
            ("sip:+33@192.0.2.2", Place::Beside),
            ("sip:+33@[::ffff:192.0.2.1]", Place::Gateway),
            ("sip:+33@[2001:db8::1]", Place::Gateway),
            ("sip:+33@[2001:db8::2]:5070", Place::Gateway),
            ("sip:+33@x.test;maddr=192.0.2.1", Place::Gateway),
            ("sip:+33@GW.test.", Place::Gateway),
            ("sip:+33@gw.test:5070", Place::Gateway),
            ("sip:+33@192.0.2.3", Place::Free),
            ("sip:+33@x.test", Place::Free),
        ] {
            assert_eq!(gateways.of_uri(&uri(text)), place, "{text}");
        }
        assert!(gateways.has("::ffff:192.0.2.2".parse().unwrap()));
        assert!(!gateways.has("192.0.2.3".parse().unwrap()));
    }

    /// T6, RFC 3261 19.1.4: one number in the spellings that say the same, and names that are none.
    #[test]
    fn what_would_be_dialled_is_read_as_a_gateway_would() {
        for same in
            ["sip:+33-123@h", "sip:%2b33(1)23@h", "sip:0033123@h", "tel:+33.123;ext=1", "sip:+33123;x=y@h"]
        {
            assert_eq!(dialled(&uri(same)).as_deref(), Some("+33123"), "{same}");
        }
        assert_eq!(dialled(&uri("sip:33123@h")).as_deref(), Some("33123"));
        assert_eq!(dialled(&uri("sip:*31*33123@h")).as_deref(), Some("*31*33123"));
        for name in ["sip:sbc-7@h", "sip:alice2@h", "sip:h", "sip:+@h"] {
            assert_eq!(dialled(&uri(name)), None, "{name}");
        }
    }
}
