//! The gRPC server that every process runs, with its bounds.

use std::{sync::Arc, time::Duration};

use ambient::Entropy;
use tokio::net::TcpListener;
use tonic::transport::{Server, server::TcpIncoming};
use tower::layer::util::{Identity, Stack};

use crate::{auth::Guard, trace::TraceLayer};

/// A server with a guard in front and trace context around each request. Services are added to it.
pub type GuardedServer = Server<Stack<Guard, Stack<TraceLayer, Identity>>>;

/// Bounds of the server.
#[derive(Clone, Debug)]
pub struct Config {
    /// A connection is asked to end after this time, so that clients find replicas that came up since.
    pub connection_age: Duration,
    /// How long requests may still run on it then; an hour, because watches are long.
    pub connection_grace: Duration,
    /// Most requests at a time on one connection; another service puts all of its calls on one.
    pub streams: u32,
    /// Streams that a client may reset before the server has looked at them: a flood ends the connection.
    pub pending_resets: usize,
    /// Time between two pings on an idle connection.
    pub ping_interval: Duration,
    /// Longest time for the answer to a ping.
    pub ping_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            connection_age: Duration::from_secs(300),
            connection_grace: Duration::from_secs(3600),
            streams: 4096,
            pending_resets: 64,
            ping_interval: Duration::from_secs(10),
            ping_timeout: Duration::from_secs(5),
        }
    }
}

/// A server with these bounds. Add services, then `serve_with_incoming_shutdown` with [`incoming`].
pub fn server(config: &Config, guard: Guard, entropy: Arc<dyn Entropy>) -> GuardedServer {
    Server::builder()
        .max_connection_age(config.connection_age)
        .max_connection_age_grace(config.connection_grace)
        .max_concurrent_streams(config.streams)
        .http2_max_pending_accept_reset_streams(Some(config.pending_resets))
        .http2_keepalive_interval(Some(config.ping_interval))
        .http2_keepalive_timeout(Some(config.ping_timeout))
        .layer(TraceLayer::new(entropy))
        .layer(guard)
}

/// The connections of a bound socket, without Nagle's delay.
pub fn incoming(listener: TcpListener) -> TcpIncoming {
    TcpIncoming::from(listener).with_nodelay(Some(true))
}
