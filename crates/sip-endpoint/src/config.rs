//! What an endpoint listens on and how much it takes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sip_message::Limits;

use crate::hop::Transport;
use crate::network::Network;
use crate::tls::Tls;

/// Configuration of an [`Endpoint`](crate::Endpoint).
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen. UDP and TCP share the port of each (RFC 3261 18).
    pub listen: Vec<Listen>,
    /// Where to listen for TLS and WebSocket, each on a port of its own. Default nowhere.
    pub streams: Vec<ListenStream>,
    /// How the hosts of one tier pass each other what may not travel in clear. Default not at all.
    pub siblings: Option<Siblings>,
    /// Certificates, for TLS and WSS; without them neither is served nor used.
    pub tls: Option<Arc<Tls>>,
    /// Pages that browsers may connect from, as `https://host`; empty means all of them, which is no danger as long as phones
    /// have to authenticate: a page has no password of its own to misuse.
    pub origins: Vec<String>,
    /// Further hosts, with or without port, that stand for us in the Via of a response, such as the name of the tier.
    pub own_names: Vec<String>,
    /// Networks whose peers are shown the listener's own address instead of the advertised one, which may lead through an
    /// address translator that does not lead back. Default none.
    pub local_nets: Vec<Network>,
    /// The transaction layer.
    pub transactions: sip_transaction::Config,
    /// Bounds of one message.
    pub limits: Limits,
    /// Largest request sent as a datagram; a larger one goes by TCP. Default 1300 bytes, RFC 3261 18.1.1.
    pub max_datagram_request: usize,
    /// Receive and send buffer asked of the kernel for each UDP socket. Default 8 MiB: half a second of 25,000 messages
    /// of 600 bytes a second. The kernel may give less (`net.core.rmem_max`).
    pub socket_buffer: usize,
    /// Datagrams that wait for the kernel to take them. Default 4096 for each socket.
    pub max_datagrams_queued: usize,
    /// Connections, accepted and opened. Default 20,000.
    pub max_connections: usize,
    /// Accepted connections from one address. Default 1,000, which leaves room for an office behind one address.
    pub max_connections_per_address: usize,
    /// Of those, connections of one source by which nothing was let in yet: no registration, no call, nobody who proved to be somebody, no
    /// trusted neighbour. A source is an IPv4 address or the /64 of an IPv6 one. Default 50: phones that connect are known after two round
    /// trips, so that those of an office find room one after the other; an address translator or balancer before all phones wants more.
    pub max_strangers_per_source: usize,
    /// Handshakes of TLS and WebSocket that peers have begun and not finished. Default 1,000: each costs a signature, and some
    /// ten kilobytes as long as it lasts.
    pub max_handshakes: usize,
    /// Flows that are watched for the silence of their far end. Default 200,000: one each for the phones of an edge, in 30 MB.
    pub max_watched_flows: usize,
    /// Messages that wait on one connection. A peer that reads more slowly than we write loses it. Default 256.
    pub max_queued_per_connection: usize,
    /// Messages of all connections that wait for the driver. Default 1024; then reading pauses.
    pub max_events_queued: usize,
    /// Commands that wait for the driver. Default 1024.
    pub max_commands_queued: usize,
    /// Asynchronous work in flight. Default 65,536.
    pub max_work: usize,
    /// How long opening a connection may take. Default 2 s, so that a dead next hop costs less than a caller's patience.
    pub connect_timeout: Duration,
    /// How long a handshake of TLS or WebSocket, or both together, may take. Default 5 s: two round trips of the slowest network,
    /// with one loss.
    pub handshake_timeout: Duration,
    /// How long a peer may take to send the whole of a message it began, or the first one. Default 10 s.
    pub message_timeout: Duration,
    /// How long a peer may leave our bytes unread. Default 10 s.
    pub write_timeout: Duration,
    /// How long a connection may be silent in both directions. Default 30 min: phones keep theirs alive every two
    /// minutes (RFC 5626 4.4.1), neighbours should find theirs open (RFC 5923 9).
    pub idle_timeout: Duration,
    /// The same for an accepted connection by which we have let nothing in yet: no registration, no call, no request of ours. There
    /// keep-alives do not count: who sends nothing else is silent. Default 2 min, the time in which a phone keeps its connection alive (RFC 5626 4.4.1).
    pub stranger_timeout: Duration,
    /// After what silence a WebSocket peer is asked whether it is there (RFC 6455 5.5.2): a page cannot ask by itself. Default
    /// 25 s, less than what proxies on the way keep a silent connection.
    pub websocket_ping: Duration,
    /// How long an address that refused TCP gets large requests by UDP at once. Default 10 min.
    pub remember_refused_tcp: Duration,
}

/// One address to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// Address and port; port 0 takes a free one. On a host with several addresses, name each one instead of the
    /// unspecified address: a datagram from the latter leaves by whichever address the route prefers, and a peer that
    /// checks where its answer comes from wants the one it asked (RFC 3581 4).
    pub address: SocketAddr,
    /// How peers reach this address: `host` or `host:port`, written into every Via. Defaults to the address itself, or
    /// for the unspecified address to the one the default route leaves by.
    pub advertise: Option<String>,
}

/// One address to listen on for connections of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenStream {
    /// TLS, WS or WSS.
    pub transport: Transport,
    /// Address and port; port 0 takes a free one.
    pub address: SocketAddr,
    /// How peers reach this address, see [`Listen::advertise`].
    pub advertise: Option<String>,
}

/// TLS between the hosts of one tier. Both ends prove the same domain, the first one of their own certificate, by an authority that
/// is believed: so no host has to know the names of the others, and nobody else gets in.
#[derive(Debug, Clone)]
pub struct Siblings {
    /// Address and port; port 0 takes a free one.
    pub address: SocketAddr,
    /// What is shown and believed; a set of its own, or that of the peers when it has authorities.
    pub tls: Arc<Tls>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            streams: Vec::new(),
            siblings: None,
            tls: None,
            origins: Vec::new(),
            own_names: Vec::new(),
            local_nets: Vec::new(),
            transactions: sip_transaction::Config::default(),
            limits: Limits::default(),
            max_datagram_request: 1300,
            socket_buffer: 8 << 20,
            max_datagrams_queued: 4096,
            max_connections: 20_000,
            max_connections_per_address: 1_000,
            max_strangers_per_source: 50,
            max_handshakes: 1_000,
            max_watched_flows: 200_000,
            max_queued_per_connection: 256,
            max_events_queued: 1024,
            max_commands_queued: 1024,
            max_work: 65_536,
            connect_timeout: Duration::from_secs(2),
            handshake_timeout: Duration::from_secs(5),
            message_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(30 * 60),
            stranger_timeout: Duration::from_secs(120),
            websocket_ping: Duration::from_secs(25),
            remember_refused_tcp: Duration::from_secs(600),
        }
    }
}

impl Config {
    /// Listens on these addresses, everything else by default.
    pub fn listening_on(addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        let listen = addresses.into_iter().map(|address| Listen { address, advertise: None }).collect();
        Self { listen, ..Self::default() }
    }
}
