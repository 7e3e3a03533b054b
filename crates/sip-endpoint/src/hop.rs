//! Where a message came from and where one goes: the address type that the transaction machines carry around.

use std::fmt;
use std::net::SocketAddr;

/// One of the sockets of the endpoint that take datagrams, by its place in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SocketId(pub u16);

/// One connection of this endpoint. Never reused while the process lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlowId(pub u64);

impl fmt::Display for FlowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "f{:x}", self.0)
    }
}

/// The way to one neighbour.
///
/// A hop is also what RFC 5626 calls a flow: for datagrams it is the pair of our socket and the far address, for
/// streams it is one connection. An edge that wants to reach a phone again keeps the hop its request came by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Hop {
    /// Datagrams between one of our sockets and a far address.
    Udp {
        /// Our socket.
        socket: SocketId,
        /// The far address.
        peer: SocketAddr,
    },
    /// A connection: TCP, TLS or WebSocket.
    Flow(FlowId),
}

impl Hop {
    /// The connection, if this hop is one.
    pub fn flow(&self) -> Option<FlowId> {
        match self {
            Self::Flow(flow) => Some(*flow),
            Self::Udp { .. } => None,
        }
    }
}

/// What carries the messages of a hop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// Plain stream.
    Tcp,
    /// Stream inside TLS.
    Tls,
    /// WebSocket, RFC 7118.
    Ws,
    /// WebSocket inside TLS.
    Wss,
}

impl Transport {
    /// The name as it stands in a Via.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Ws => "WS",
            Self::Wss => "WSS",
        }
    }

    /// Whether the transport repeats lost data itself, so that the transaction machines need not.
    pub fn is_reliable(self) -> bool {
        match self {
            Self::Udp => false,
            Self::Tcp | Self::Tls | Self::Ws | Self::Wss => true,
        }
    }

    /// Whether nobody on the way can read along: what `sips` asks for. RFC 3261 26.2.2
    pub fn is_secure(self) -> bool {
        match self {
            Self::Tls | Self::Wss => true,
            Self::Udp | Self::Tcp | Self::Ws => false,
        }
    }

    /// The port a URI or Via without one means.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Udp | Self::Tcp => 5060,
            Self::Tls => 5061,
            Self::Ws => 80,
            Self::Wss => 443,
        }
    }
}

/// How one message reached us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// The way back: for a request the hop its responses take (RFC 3261 18.2.2, RFC 3581 4), which for a datagram
    /// without `rport` is the port written in the Via and not the one it came from.
    pub hop: Hop,
    /// The hop that reaches exactly the socket the message came from: what an Outbound flow token stands for.
    pub flow: Hop,
    /// The address it came from.
    pub source: SocketAddr,
    /// Our address that took it.
    pub local: SocketAddr,
    /// What carried it.
    pub transport: Transport,
}
