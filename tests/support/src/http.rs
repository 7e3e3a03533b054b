//! GET, for the admin pages: just enough HTTP for a server of ours.

use std::io::{Read, Write};
use std::net::TcpStream;

/// Status and text of `path` at `address`.
///
/// # Panics
/// When nobody answers there.
pub fn http_get(address: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).expect("the admin server listens");
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("the admin server reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the admin server answers in UTF-8");
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status line");
    (status, body.to_string())
}
