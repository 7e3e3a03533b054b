//! From a connection of the kernel to one that carries messages: the handshakes of TLS and of WebSocket, within their time.
//!
//! What only a handshake needs is in a box of its own, which goes when it is done: a connection is silent for most of its life, and
//! there are many.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use crate::config::Config;
use crate::counters::Counters;
use crate::flow::FlowEnd;
use crate::stream::{self, Line};
use crate::tls::{Distrust, Live, Secured, identities};
use crate::websocket;

/// What handshakes are made with.
#[derive(Clone)]
pub(crate) struct Opening {
    pub(crate) config: Arc<Config>,
    pub(crate) counters: Arc<Counters>,
}

/// The server of a domain, and who we are to it.
pub(crate) struct Toward {
    pub(crate) domain: Box<str>,
    pub(crate) ours: Box<str>,
    pub(crate) connector: Arc<ClientConfig>,
}

impl Opening {
    /// TLS that a peer began.
    pub(crate) async fn accept_tls(self, stream: TcpStream, live: Arc<Live>, line: Line) {
        let opened = self.in_time(Box::pin(self.server(stream, live))).await;
        run_secured(opened, line).await;
    }

    /// TLS that another host of the tier began.
    pub(crate) async fn accept_sibling(self, stream: TcpStream, live: Arc<Live>, line: Line) {
        let opened = self.in_time(Box::pin(self.sibling(stream, live))).await;
        run_secured(opened, line).await;
    }

    /// WebSocket that a peer began.
    pub(crate) async fn accept_websocket(self, stream: TcpStream, line: Line) {
        match self.in_time(Box::pin(self.upgrade(stream, &line))).await {
            Ok(socket) => {
                line.opened(None).await;
                websocket::run(socket, line).await;
            }
            Err(end) => line.end(end, Vec::new()).await,
        }
    }

    /// WebSocket inside TLS.
    pub(crate) async fn accept_secure_websocket(self, stream: TcpStream, live: Arc<Live>, line: Line) {
        let both = async {
            let (stream, secured) = self.server(stream, live).await?;
            Ok((self.upgrade(stream, &line).await?, secured))
        };
        match self.in_time(Box::pin(both)).await {
            Ok((socket, secured)) => {
                line.opened(Some(secured)).await;
                websocket::run(socket, line).await;
            }
            Err(end) => line.end(end, Vec::new()).await,
        }
    }

    /// A plain connection that we open.
    pub(crate) async fn connect(self, peer: SocketAddr, line: Line) {
        match dial(peer, &self.config).await {
            Ok(stream) => {
                line.opened(None).await;
                stream::run(stream, line).await;
            }
            Err(end) => line.end(end, Vec::new()).await,
        }
    }

    /// TLS that we begin, to a server that has to be this domain. RFC 5922 7.3
    pub(crate) async fn connect_tls(self, peer: SocketAddr, toward: Toward, line: Line) {
        let stream = match dial(peer, &self.config).await {
            Ok(stream) => stream,
            Err(end) => return line.end(end, Vec::new()).await,
        };
        let opened = self.in_time(Box::pin(self.client(stream, toward))).await;
        // RFC 5922 7.3: that the handshake came to nothing proves the domain no better than a wrong certificate does
        let opened = opened.map_err(|end| match end {
            FlowEnd::Handshake => FlowEnd::Distrusted(Distrust::Unfinished),
            end => end,
        });
        run_secured(opened, line).await;
    }

    async fn in_time<T>(&self, handshake: impl Future<Output = Result<T, FlowEnd>>) -> Result<T, FlowEnd> {
        timeout(self.config.handshake_timeout, handshake).await.unwrap_or_else(|_| {
            self.counters.handshakes_timed_out.one_more();
            Err(FlowEnd::Handshake)
        })
    }

    async fn accept(
        &self,
        stream: TcpStream,
        live: &Live,
    ) -> Result<Box<server::TlsStream<TcpStream>>, FlowEnd> {
        let stream = TlsAcceptor::from(live.acceptor()).accept(stream).await;
        stream.map(Box::new).map_err(|_| {
            self.counters.tls_handshakes_failed.one_more();
            FlowEnd::Handshake
        })
    }

    async fn server(
        &self,
        stream: TcpStream,
        live: Arc<Live>,
    ) -> Result<(Box<server::TlsStream<TcpStream>>, Secured), FlowEnd> {
        let stream = self.accept(stream, &live).await?;
        let session = stream.get_ref().1;
        let secured = live.client(session.server_name(), session.peer_certificates());
        Ok((stream, secured))
    }

    /// Who comes to the listener of the siblings has to be one: what is asked there is asked within the tier.
    async fn sibling(
        &self,
        stream: TcpStream,
        live: Arc<Live>,
    ) -> Result<(Box<server::TlsStream<TcpStream>>, Secured), FlowEnd> {
        let stream = self.accept(stream, &live).await?;
        let Some(secured) = live.as_sibling(stream.get_ref().1.peer_certificates()) else {
            self.counters.tls_foreign_siblings.one_more();
            return Err(FlowEnd::Handshake);
        };
        Ok((stream, secured))
    }

    async fn client(
        &self,
        stream: TcpStream,
        toward: Toward,
    ) -> Result<(Box<client::TlsStream<TcpStream>>, Secured), FlowEnd> {
        let Toward { domain, ours, connector } = toward;
        // RFC 5922 7.8: the name is sent, so that one server can be several domains.
        let name = ServerName::try_from(String::from(domain)).map_err(|_| FlowEnd::Handshake)?;
        let stream = TlsConnector::from(connector).connect(name, stream).await;
        let stream = stream.map_err(|error| self.not_proved(&error))?;
        let peer = identities(stream.get_ref().1.peer_certificates());
        Ok((Box::new(stream), Secured { peer, ours }))
    }

    fn not_proved(&self, error: &io::Error) -> FlowEnd {
        let error = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
        let why = error.map_or(Distrust::Unfinished, Distrust::from);
        let counter = match why {
            Distrust::Name => &self.counters.tls_foreign_servers,
            Distrust::Time => &self.counters.tls_expired_servers,
            Distrust::Authority => &self.counters.tls_unknown_authorities,
            Distrust::Other => &self.counters.tls_handshakes_failed,
            Distrust::NoTls | Distrust::Alert | Distrust::Unfinished => &self.counters.tls_unspoken_servers,
        };
        counter.one_more();
        FlowEnd::Distrusted(why)
    }

    async fn upgrade<S>(
        &self,
        stream: S,
        line: &Line,
    ) -> Result<Box<tokio_tungstenite::WebSocketStream<S>>, FlowEnd>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    {
        let socket = websocket::upgrade(stream, &self.config.origins, &line.patience).await;
        socket.map(Box::new).map_err(|_| {
            self.counters.websocket_handshakes_failed.one_more();
            FlowEnd::Handshake
        })
    }
}

/// Messages over what a handshake has made of a connection, if it has.
async fn run_secured<S>(opened: Result<(S, Secured), FlowEnd>, line: Line)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send,
{
    match opened {
        Ok((stream, secured)) => {
            line.opened(Some(secured)).await;
            stream::run(stream, line).await;
        }
        Err(end) => line.end(end, Vec::new()).await,
    }
}

async fn dial(peer: SocketAddr, config: &Config) -> Result<TcpStream, FlowEnd> {
    match timeout(config.connect_timeout, TcpStream::connect(peer)).await {
        Ok(Ok(stream)) => {
            stream::settle(&stream, config.write_timeout);
            Ok(stream)
        }
        Ok(Err(error)) => Err(FlowEnd::NotOpened(error.kind())),
        Err(_) => Err(FlowEnd::NotOpened(io::ErrorKind::TimedOut)),
    }
}
