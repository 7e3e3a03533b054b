//! Network addresses as one string: `udp:192.0.2.7:5060`.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use super::fault::{Fault, FaultKind};
use crate::sip::v1::Source;

/// A transport and a network address: where a request came from, and where UDP reaches its sender.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Received {
    /// "udp", "tcp", "tls", "ws" or "wss".
    pub transport: String,
    /// Address and port.
    pub address: SocketAddr,
}

impl fmt::Display for Received {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.transport, self.address)
    }
}

impl FromStr for Received {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        let fault =
            || Fault::new(FaultKind::Field, "received", "transport:address:port, as in udp:192.0.2.7:5060");
        let (transport, address) = text.split_once(':').ok_or_else(fault)?;
        let transport = transport.to_ascii_lowercase();
        if !["udp", "tcp", "tls", "ws", "wss"].contains(&&*transport) {
            return Err(fault());
        }
        let address = address.parse().ok().or_else(|| without_brackets(address)).ok_or_else(fault)?;
        Ok(Self { transport, address })
    }
}

/// An IPv6 address and port as records of earlier versions have them.
fn without_brackets(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.rsplit_once(':')?;
    Some(SocketAddr::new(IpAddr::V6(address.parse().ok()?), port.parse().ok()?))
}

impl TryFrom<&Source> for Received {
    type Error = Fault;

    fn try_from(source: &Source) -> Result<Self, Fault> {
        let fault = || Fault::new(FaultKind::Field, "source", "a transport, an address and a port");
        let address: IpAddr = source.address.parse().map_err(|_| fault())?;
        let port = u16::try_from(source.port).map_err(|_| fault())?;
        Ok(Self { transport: source.transport.clone(), address: SocketAddr::new(address, port) })
    }
}

impl Source {
    /// The source of a request that came from `address`.
    pub fn new(transport: &str, address: SocketAddr, trusted: bool) -> Self {
        Self {
            transport: transport.to_owned(),
            address: written(address.ip()),
            port: address.port().into(),
            trusted,
        }
    }

    /// The same as [`Received`] writes it; `None` when it is no address.
    pub fn received(&self) -> Option<String> {
        let received = Received::try_from(self).ok()?;
        let Received { transport, address: SocketAddr::V4(address) } = &received else {
            return Some(received.to_string());
        };
        // Asked for with every REGISTER: formatting machinery costs more than all the rest. An IPv4 address that could be read
        // is written in the one way there is.
        let mut text = String::with_capacity(transport.len() + self.address.len() + "::65535".len());
        text.extend([transport, ":", &self.address, ":"]);
        push_number(&mut text, address.port());
        Some(text)
    }
}

/// An address as text, without the formatting machinery where it is asked for most.
fn written(address: IpAddr) -> String {
    let IpAddr::V4(address) = address else { return address.to_string() };
    let mut text = String::with_capacity("255.255.255.255".len());
    for (index, octet) in address.octets().into_iter().enumerate() {
        if index > 0 {
            text.push('.');
        }
        push_number(&mut text, octet.into());
    }
    text
}

fn push_number(text: &mut String, number: u16) {
    let first = [10_000, 1000, 100, 10].into_iter().filter(|place| number >= *place);
    text.extend(first.chain([1]).map(|place| char::from(b'0' + (number / place % 10) as u8)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_both_families_come_back_as_they_went() {
        for text in ["udp:192.0.2.7:5060", "tcp:10.100.255.1:65535", "tls:0.0.0.0:0", "wss:[2001:db8::1]:443"]
        {
            let received: Received = text.parse().expect("an address");
            assert_eq!(received.to_string(), text);
            let source = Source::new(&received.transport, received.address, false);
            assert_eq!(source.received().as_deref(), Some(text));
            assert_eq!(Received::try_from(&source), Ok(received));
        }
    }

    #[test]
    fn an_address_is_read_in_capitals_and_without_brackets() {
        let v6 = Ok(Received {
            transport: "tcp".into(),
            address: "[2001:db8::1]:5060".parse().expect("an address"),
        });
        assert_eq!("TCP:[2001:db8::1]:5060".parse::<Received>(), v6);
        assert_eq!("tcp:2001:db8::1:5060".parse::<Received>(), v6);
    }

    #[test]
    fn what_is_none_is_refused() {
        for bad in ["", "udp", "udp:", "udp:192.0.2.7", "sctp:192.0.2.7:5060", "udp:example.com:5060"] {
            assert!(bad.parse::<Received>().is_err(), "{bad}");
        }
        let source = Source { port: 70_000, address: "192.0.2.7".into(), ..Source::default() };
        assert!(Received::try_from(&source).is_err());
    }
}
