//! A connection that writes once for what several tasks have to say.
//!
//! An HTTP/2 client flushes the headers of a request before its message is there, and each of several requests by itself. Every
//! flush is a system call here and a segment that wakes the other side. This one lets whoever else is ready add to it first.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// Octets gathered at most; more are written first.
const MOST: usize = 64 * 1024;

/// A stream whose flush waits until the other tasks that are ready have run once.
#[derive(Debug)]
pub(super) struct Gathered<S> {
    stream: S,
    gathered: BytesMut,
    has_waited: bool,
}

impl Gathered<TcpStream> {
    /// Connects without Nagle's delay.
    ///
    /// # Errors
    /// The socket's.
    pub(super) async fn connect(host: &str, port: u16) -> io::Result<Self> {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let stream = TcpStream::connect((host, port)).await?;
        stream.set_nodelay(true)?;
        Ok(Self::new(stream))
    }
}

impl<S: AsyncWrite + Unpin> Gathered<S> {
    fn new(stream: S) -> Self {
        Self { stream, gathered: BytesMut::new(), has_waited: false }
    }

    fn poll_write_gathered(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.gathered.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.gathered))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.gathered.advance(written);
        }
        self.has_waited = false;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gathered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, room)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gathered<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        if self.gathered.len() >= MOST {
            ready!(self.poll_write_gathered(cx))?;
        }
        self.gathered.extend_from_slice(octets);
        Poll::Ready(Ok(octets.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.gathered.is_empty() && !self.has_waited {
            self.has_waited = true;
            // Back into the queue, behind the others.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        ready!(self.poll_write_gathered(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_write_gathered(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    #[tokio::test]
    async fn what_is_written_while_a_flush_waits_leaves_with_it() {
        let mut stream = Gathered::new(Writes::default());
        let mut cx = Context::from_waker(std::task::Waker::noop());
        stream.write_all(b"headers").await.unwrap();
        assert!(Pin::new(&mut stream).poll_flush(&mut cx).is_pending(), "the others first");
        assert!(Pin::new(&mut stream).poll_write(&mut cx, b"+message").is_ready());
        assert!(Pin::new(&mut stream).poll_flush(&mut cx).is_ready());
        stream.write_all(b"next").await.unwrap();
        stream.flush().await.unwrap();
        assert_eq!(stream.stream.0, [b"headers+message".to_vec(), b"next".to_vec()]);
    }

    #[tokio::test]
    async fn a_peer_that_does_not_read_holds_the_writer_up() {
        let (near, mut far) = duplex(1024);
        let mut stream = Gathered::new(near);
        let writer = tokio::spawn(async move {
            for _ in 0..10 {
                stream.write_all(&[7; MOST]).await.unwrap();
            }
            stream.shutdown().await.unwrap();
        });
        tokio::task::yield_now().await;
        assert!(!writer.is_finished());
        let mut read = Vec::new();
        far.read_to_end(&mut read).await.unwrap();
        assert_eq!(read, vec![7; 10 * MOST]);
        writer.await.unwrap();
    }

    /// Keeps each write apart.
    #[derive(Default)]
    struct Writes(Vec<Vec<u8>>);

    impl AsyncWrite for Writes {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            octets: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.0.push(octets.to_vec());
            Poll::Ready(Ok(octets.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }
}
