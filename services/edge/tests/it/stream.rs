//! A peer on a TCP connection.

use std::net::SocketAddr;
use std::time::Duration;

use sip_message::{Frame, Framer, Limits, Message};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::peer::{response_to, text};

/// One connection to an edge.
pub(crate) struct Connection {
    stream: TcpStream,
    framer: Framer,
}

impl Connection {
    pub(crate) async fn to(edge: SocketAddr) -> Self {
        let stream = TcpStream::connect(edge).await.expect("the edge listens");
        Self::of(stream)
    }

    /// A connection that the edge opened.
    pub(crate) fn of(stream: TcpStream) -> Self {
        Self { stream, framer: Framer::new(Limits::default()) }
    }

    /// Sends a request; its Via names a host that nobody resolves.
    pub(crate) async fn request(&mut self, start: &str, branch: &str, lines: &[&str]) {
        self.request_from("phone.invalid", start, branch, lines).await;
    }

    /// Sends a request from who listens there.
    pub(crate) async fn request_from(&mut self, sent_by: &str, start: &str, branch: &str, lines: &[&str]) {
        let method = start.split(' ').next().unwrap_or_default();
        let mut message = format!(
            "{start} SIP/2.0\r\nVia: SIP/2.0/TCP {sent_by};branch=z9hG4bK{branch}\r\nMax-Forwards: 70\r\n"
        );
        for line in lines {
            message.push_str(line);
            message.push_str("\r\n");
        }
        if !lines.iter().any(|line| line.starts_with("CSeq")) {
            message.push_str(&format!("CSeq: 1 {method}\r\n"));
        }
        self.raw(&format!("{message}Content-Length: 0\r\n\r\n")).await;
    }

    pub(crate) async fn respond(&mut self, request: &Message, status: &str, to_tag: &str, lines: &[&str]) {
        self.raw(&response_to(request, status, to_tag, lines)).await;
    }

    async fn raw(&mut self, message: &str) {
        self.stream.write_all(message.as_bytes()).await.expect("the connection is open");
    }

    /// Sends a keep-alive and takes its answer. RFC 5626 4.4.1
    pub(crate) async fn keep_alive(&mut self) {
        self.raw("\r\n\r\n").await;
        let mut pong = [0; 2];
        self.stream.read_exact(&mut pong).await.expect("the connection is open");
        assert_eq!(pong, *b"\r\n");
    }

    /// The edge closes it.
    pub(crate) async fn expect_end(&mut self) {
        let end =
            timeout(Duration::from_secs(5), self.stream.read(&mut [0; 9])).await.expect("it ends in time");
        assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    }

    pub(crate) async fn receive(&mut self) -> Message {
        let read = async {
            loop {
                if let Some(Frame::Message(bytes)) = self.framer.next() {
                    return Message::parse(bytes, &Limits::default()).expect("the edge sends messages");
                }
                let mut buffer = [0; 4096];
                let length = self.stream.read(&mut buffer).await.expect("the connection is open");
                assert_ne!(length, 0, "the edge closed the connection");
                self.framer.push(&buffer[..length]);
            }
        };
        timeout(Duration::from_secs(5), read).await.expect("a message comes")
    }

    pub(crate) async fn receive_request(&mut self, method: &str) -> Message {
        let message = self.receive().await;
        assert!(message.is_request() && message.method_str() == method, "{}", text(&message));
        message
    }

    pub(crate) async fn receive_status(&mut self, status: u16) -> Message {
        loop {
            let message = self.receive().await;
            if message.status() != Some(100) {
                assert_eq!(message.status(), Some(status), "{}", text(&message));
                return message;
            }
        }
    }
}
