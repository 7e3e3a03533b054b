//! Ports for foreign programs that cannot be told to let the system choose.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};

/// A port that was free for UDP and TCP on 127.0.0.1 a moment ago.
///
/// Only for programs that take a number and nothing else; ours bind port 0 and say what they got.
pub fn free_port() -> u16 {
    loop {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has ports");
        let port = udp.local_addr().expect("a bound socket has an address").port();
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}
