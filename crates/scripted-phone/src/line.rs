//! The socket below a phone.

use std::future::Future;
use std::io;
use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use sip_message::{Frame, Framer, Limits};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UdpSocket;

/// Carries whole messages. Dropping a future of [`receive`](Self::receive) loses nothing.
pub trait Line: Send + 'static {
    /// Sends one message.
    fn send(&mut self, to: SocketAddr, bytes: Bytes) -> impl Future<Output = io::Result<()>> + Send;

    /// The next message and its sender.
    ///
    /// # Errors
    /// When there will be no more.
    fn receive(&mut self) -> impl Future<Output = io::Result<(Bytes, SocketAddr)>> + Send;
}

/// A socket for datagrams.
#[derive(Debug)]
pub struct Datagrams {
    socket: UdpSocket,
    buffer: Vec<u8>,
}

impl Datagrams {
    /// Over a bound socket.
    pub fn over(socket: UdpSocket) -> Self {
        Self { socket, buffer: vec![0; 65_536] }
    }
}

impl Line for Datagrams {
    async fn send(&mut self, to: SocketAddr, bytes: Bytes) -> io::Result<()> {
        // A refused datagram is a lost one: retransmission deals with it.
        let _ = self.socket.send_to(&bytes, to).await;
        Ok(())
    }

    async fn receive(&mut self) -> io::Result<(Bytes, SocketAddr)> {
        loop {
            // An ICMP error of an earlier datagram surfaces here; it is no reason to stop.
            if let Ok((length, from)) = self.socket.recv_from(&mut self.buffer).await {
                return Ok((Bytes::copy_from_slice(&self.buffer[..length]), from));
            }
        }
    }
}

/// A connection to the server, plain or inside TLS.
#[derive(Debug)]
pub struct Connection<S> {
    stream: S,
    server: SocketAddr,
    framer: Framer,
    buffer: BytesMut,
}

impl<S> Connection<S> {
    /// Over a stream to `server`.
    pub fn over(stream: S, server: SocketAddr) -> Self {
        Self { stream, server, framer: Framer::new(Limits::default()), buffer: BytesMut::new() }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Line for Connection<S> {
    async fn send(&mut self, _: SocketAddr, bytes: Bytes) -> io::Result<()> {
        self.stream.write_all(&bytes).await?;
        self.stream.flush().await
    }

    async fn receive(&mut self) -> io::Result<(Bytes, SocketAddr)> {
        loop {
            match self.framer.next() {
                Some(Frame::Message(bytes)) => return Ok((bytes, self.server)),
                Some(Frame::Ping) => {}
                Some(Frame::Broken { .. }) => return Err(io::ErrorKind::InvalidData.into()),
                None => {
                    if self.stream.read_buf(&mut self.buffer).await? == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    self.framer.push(&self.buffer);
                    self.buffer.clear();
                }
            }
        }
    }
}
