//! Flow tokens: which connection or UDP association of which life of which edge, in a form that nobody can forge.
//!
//! A token stands in the user part of our Record-Route and Path URIs, with every binding, and in leg events. RFC 5626 5.2

use std::net::{IpAddr, SocketAddr};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use sip_endpoint::{FlowId, Hop, SocketId, Transport};
use sip_message::Uri;

/// Key of the cluster that tokens are sealed with.
#[derive(Clone)]
pub(crate) struct FlowKey {
    key: [u8; 32],
    /// With the key in it already: every REGISTER is given a token.
    mac: Hmac<Sha256>,
}

/// One flow of one life of one edge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FlowToken {
    /// The edge that has it.
    pub(crate) edge_id: String,
    /// Its boot epoch.
    pub(crate) epoch: u64,
    /// The flow within that edge.
    pub(crate) hop: Hop,
    /// Who is at the far end of a connection, and by what: so other edges know what to show them of this tier.
    pub(crate) phone: Option<(Transport, SocketAddr)>,
    /// The phone named this very address: a URI of its that leads elsewhere since is where it has moved to. RFC 3261 12.2.1.2
    pub(crate) is_named: bool,
}

/// A text that this cluster never sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a flow token of this cluster")]
pub(crate) struct BadToken;

const VERSION: u8 = 1;
/// Stands beside the family of the address of datagrams.
const NAMED: u8 = 8;
/// Octets of the seal: 80 bits, as in the example of RFC 5626 5.2.
pub(crate) const SEAL: usize = 10;

impl FlowKey {
    /// Wraps a key.
    pub(crate) fn new(key: [u8; 32]) -> Self {
        Self { key, mac: Hmac::new_from_slice(&key).expect("HMAC takes keys of any length") }
    }

    /// Writes a token.
    pub(crate) fn seal(&self, token: &FlowToken) -> String {
        let mut octets = Vec::with_capacity(64);
        octets.push(VERSION);
        octets.extend_from_slice(&token.epoch.to_be_bytes()[2..]);
        match token.hop {
            Hop::Flow(FlowId(flow)) => {
                octets.push(self::phone(token.phone));
                octets.extend_from_slice(&flow.to_be_bytes());
                if let Some((_, peer)) = token.phone {
                    write_address(&mut octets, peer);
                }
            }
            Hop::Udp { socket: SocketId(socket), peer } => {
                octets.push(family(peer) | if token.is_named { NAMED } else { 0 });
                octets.extend_from_slice(&socket.to_be_bytes());
                write_address(&mut octets, peer);
            }
        }
        octets.extend_from_slice(token.edge_id.as_bytes());
        let seal = self.mac(&octets).finalize().into_bytes();
        octets.extend_from_slice(&seal[..SEAL]);
        URL_SAFE_NO_PAD.encode(octets)
    }

    /// Reads a token back.
    ///
    /// # Errors
    /// When it was not sealed with this key.
    pub(crate) fn open(&self, text: &str) -> Result<FlowToken, BadToken> {
        let octets = URL_SAFE_NO_PAD.decode(text).map_err(|_| BadToken)?;
        let split = octets.len().checked_sub(SEAL).ok_or(BadToken)?;
        let (body, seal) = octets.split_at(split);
        self.mac(body).verify_truncated_left(seal).map_err(|_| BadToken)?;
        read(body).ok_or(BadToken)
    }

    /// The text under a seal begins with these octets.
    pub(crate) fn mac(&self, octets: &[u8]) -> Hmac<Sha256> {
        self.mac.clone().chain_update(octets)
    }
}

impl PartialEq for FlowKey {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for FlowKey {}

/// A key never shows itself.
impl std::fmt::Debug for FlowKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("FlowKey(..)")
    }
}

/// The flow token in a Route of ours.
pub(crate) fn flow_of(route: &[u8]) -> Option<String> {
    let user = Uri::parse(route).ok()?.user?;
    std::str::from_utf8(user).ok().map(str::to_owned)
}

/// What a token of a connection begins with: the transport in the upper half of the octet, what follows in the lower one; 0 when it does
/// not say who is at the far end.
fn phone(phone: Option<(Transport, SocketAddr)>) -> u8 {
    phone.map_or(0, |(transport, peer)| number(transport) << 4 | family(peer))
}

fn number(transport: Transport) -> u8 {
    match transport {
        Transport::Udp => 0,
        Transport::Tcp => 1,
        Transport::Tls => 2,
        Transport::Ws => 3,
        Transport::Wss => 4,
    }
}

fn family(address: SocketAddr) -> u8 {
    if address.is_ipv4() { 4 } else { 6 }
}

fn write_address(octets: &mut Vec<u8>, address: SocketAddr) {
    octets.extend_from_slice(&address.port().to_be_bytes());
    match address.ip() {
        IpAddr::V4(ip) => octets.extend_from_slice(&ip.octets()),
        IpAddr::V6(ip) => octets.extend_from_slice(&ip.octets()),
    }
}

fn read_address(family: u8, body: &[u8]) -> Option<(SocketAddr, &[u8])> {
    let (port, body) = body.split_first_chunk::<2>()?;
    let (ip, rest) = match family {
        4 => body.split_first_chunk::<4>().map(|(ip, rest)| (IpAddr::from(*ip), rest))?,
        6 => body.split_first_chunk::<16>().map(|(ip, rest)| (IpAddr::from(*ip), rest))?,
        _ => return None,
    };
    Some((SocketAddr::new(ip, u16::from_be_bytes(*port)), rest))
}

fn read(body: &[u8]) -> Option<FlowToken> {
    let (version, body) = body.split_first()?;
    if *version != VERSION {
        return None;
    }
    let (epoch, body) = body.split_first_chunk::<6>()?;
    let (kind, body) = body.split_first()?;
    let flow_id = |flow: &[u8; 8]| Hop::Flow(FlowId(u64::from_be_bytes(*flow)));
    let is_named = *kind < 16 && kind & NAMED != 0;
    let (hop, phone, rest) = match kind {
        0 => {
            let (flow, rest) = body.split_first_chunk::<8>()?;
            (flow_id(flow), None, rest)
        }
        4 | 6 | 12 | 14 => {
            let (socket, body) = body.split_first_chunk::<2>()?;
            let (peer, rest) = read_address(kind & !NAMED, body)?;
            (Hop::Udp { socket: SocketId(u16::from_be_bytes(*socket)), peer }, None, rest)
        }
        connection => {
            let carried = [Transport::Tcp, Transport::Tls, Transport::Ws, Transport::Wss];
            let transport = carried.into_iter().find(|transport| number(*transport) == connection >> 4)?;
            let (flow, body) = body.split_first_chunk::<8>()?;
            let (peer, rest) = read_address(connection & 0xf, body)?;
            (flow_id(flow), Some((transport, peer)), rest)
        }
    };
    let mut wide = [0; 8];
    wide[2..].copy_from_slice(epoch);
    let edge_id = std::str::from_utf8(rest).ok()?.to_owned();
    Some(FlowToken { edge_id, epoch: u64::from_be_bytes(wide), hop, phone, is_named })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens() -> Vec<FlowToken> {
        let of = |hop| FlowToken {
            edge_id: "carillon-edge-0".into(),
            epoch: 1_763_700_000_123,
            hop,
            phone: None,
            is_named: false,
        };
        let named = |peer: &str| FlowToken {
            is_named: true,
            ..of(Hop::Udp { socket: SocketId(3), peer: peer.parse().unwrap() })
        };
        let connected = |transport, peer: &str| FlowToken {
            phone: Some((transport, peer.parse().unwrap())),
            ..of(Hop::Flow(FlowId(8)))
        };
        vec![
            of(Hop::Flow(FlowId(7))),
            connected(Transport::Tcp, "192.0.2.1:40000"),
            connected(Transport::Tls, "[2001:db8::1]:40000"),
            connected(Transport::Ws, "192.0.2.1:1"),
            connected(Transport::Wss, "[2001:db8::1]:65535"),
            of(Hop::Udp { socket: SocketId(3), peer: "192.0.2.1:5070".parse().unwrap() }),
            named("192.0.2.1:5070"),
            named("[2001:db8::1]:5060"),
            of(Hop::Udp { socket: SocketId(0), peer: "[2001:db8::1]:5060".parse().unwrap() }),
        ]
    }

    /// OBD-01
    #[test]
    fn a_token_survives_its_written_form_and_fits_a_user_part() {
        let key = FlowKey::new([7; 32]);
        for token in tokens() {
            let text = key.seal(&token);
            assert_eq!(key.open(&text), Ok(token));
            assert!(text.len() < 90, "{}", text.len());
            assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
        }
    }

    /// OBD-01
    #[test]
    fn an_altered_or_foreign_token_is_refused() {
        let key = FlowKey::new([7; 32]);
        for token in tokens() {
            let text = key.seal(&token);
            assert_eq!(FlowKey::new([8; 32]).open(&text), Err(BadToken));
            for at in 0..text.len() {
                let mut altered = text.clone().into_bytes();
                altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
                let altered = String::from_utf8(altered).unwrap();
                assert_eq!(key.open(&altered), Err(BadToken), "{at}");
            }
        }
        for bad in ["", "x", "AAAA", "not base64!"] {
            assert_eq!(key.open(bad), Err(BadToken));
        }
    }

    /// OBD-01
    #[test]
    fn a_token_that_was_cut_or_lengthened_is_refused() {
        let key = FlowKey::new([7; 32]);
        for token in tokens() {
            let text = key.seal(&token);
            for length in 0..text.len() {
                assert_eq!(key.open(&text[..length]), Err(BadToken), "the first {length}");
                assert_eq!(key.open(&text[text.len() - length..]), Err(BadToken), "the last {length}");
            }
            for more in ["A", "AA", "AAAA"] {
                assert_eq!(key.open(&format!("{text}{more}")), Err(BadToken));
                assert_eq!(key.open(&format!("{more}{text}")), Err(BadToken));
            }
        }
    }

    #[test]
    fn the_key_does_not_show_itself() {
        assert_eq!(format!("{:?}", FlowKey::new([7; 32])), "FlowKey(..)");
    }
}
