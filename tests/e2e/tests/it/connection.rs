//! A phone on a connection of its own, which may end and be followed by another one, that says exactly what a test wants.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use test_support::{Carillon, PATIENCE};

use crate::wire::{compose, header, response, status};

/// What a phone here takes for its own address: nobody but its edge reaches it.
pub const BEHIND_NAT: &str = "192.0.2.9";

/// A connection to an edge by TCP.
pub struct Connection {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Connection {
    /// Over a new connection.
    pub fn to(edge: &Carillon) -> Self {
        let stream = TcpStream::connect(edge.listener("tcp")).expect("the edge listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a limit that is not zero");
        Self { stream, read: Vec::new() }
    }

    /// Sends a request as [`Wire::request`](crate::wire::Wire::request) does. Says the Call-ID.
    pub fn request(&mut self, start: &str, lines: &[&str]) -> String {
        let (text, call_id) = compose("TCP", BEHIND_NAT, start, lines);
        self.stream.write_all(text.as_bytes()).expect("the connection is open");
        call_id
    }

    /// Registers this contact for a user; the 200.
    pub fn register(&mut self, user: &str, contact: &str) -> String {
        let lines = [
            format!("From: <sip:{user}@localhost>;tag=r"),
            format!("To: <sip:{user}@localhost>"),
            format!("Contact: {contact}"),
        ];
        let call_id = self.request("REGISTER sip:localhost", &lines.each_ref().map(String::as_str));
        let answer = self.answer_to(&call_id);
        assert_eq!(status(&answer), 200, "{answer}");
        answer
    }

    /// The next message.
    ///
    /// # Panics
    /// When none comes.
    pub fn receive(&mut self) -> String {
        loop {
            let head = self.read.windows(4).position(|octets| octets == b"\r\n\r\n").map(|at| at + 4);
            if let Some(head) = head {
                let text = String::from_utf8_lossy(&self.read[..head]).into_owned();
                let length =
                    header(&text, "Content-Length").map_or(0, |length| length.parse().expect("a number"));
                if self.read.len() >= head + length {
                    let message: Vec<u8> = self.read.drain(..head + length).collect();
                    return String::from_utf8_lossy(&message).into_owned();
                }
            }
            let mut buffer = [0; 4096];
            let length = self.stream.read(&mut buffer).expect("a message comes");
            assert_ne!(length, 0, "the edge closed the connection");
            self.read.extend_from_slice(&buffer[..length]);
        }
    }

    /// The next request of this method.
    pub fn receive_request(&mut self, method: &str) -> String {
        loop {
            let text = self.receive();
            if text.starts_with(&format!("{method} ")) {
                return text;
            }
        }
    }

    /// The next final response to this call; all else is skipped.
    pub fn answer_to(&mut self, call_id: &str) -> String {
        loop {
            let text = self.receive();
            if status(&text) >= 200 && header(&text, "Call-ID") == Some(call_id) {
                return text;
            }
        }
    }

    /// Answers a request.
    pub fn respond(&mut self, request: &str, status: &str, lines: &[&str], body: &str) {
        let text = response(request, status, lines, body);
        self.stream.write_all(text.as_bytes()).expect("the connection is open");
    }
}
