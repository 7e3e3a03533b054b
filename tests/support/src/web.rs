//! A WebSocket as a page in a browser has it. RFC 7118

use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use scripted_phone::Line;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, client_async};

/// The line of a phone that is a page.
pub struct WebSocket<S> {
    socket: WebSocketStream<S>,
    server: SocketAddr,
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// Shakes hands for the subprotocol `sip`.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn open(stream: S, server: SocketAddr, origin: &str) -> Result<Self, Box<Error>> {
        let mut request = format!("ws://{server}/").into_client_request()?;
        for (name, value) in [("Sec-WebSocket-Protocol", "sip"), ("Origin", origin)] {
            let value = value.parse().map_err(|_| Error::AlreadyClosed)?;
            request.headers_mut().insert(name, value);
        }
        let (socket, _) = client_async(request, stream).await?;
        Ok(Self { socket, server })
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Line for WebSocket<S> {
    async fn send(&mut self, _: SocketAddr, bytes: Bytes) -> io::Result<()> {
        let frame = match Utf8Bytes::try_from(bytes.clone()) {
            Ok(text) => Message::Text(text),
            Err(_) => Message::Binary(bytes),
        };
        self.socket.send(frame).await.map_err(io::Error::other)
    }

    async fn receive(&mut self) -> io::Result<(Bytes, SocketAddr)> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => return Ok((text.into(), self.server)),
                Some(Ok(Message::Binary(bytes))) => return Ok((bytes, self.server)),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(_) | Message::Frame(_))) | None => {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                Some(Err(error)) => return Err(io::Error::other(error)),
            }
        }
    }
}
