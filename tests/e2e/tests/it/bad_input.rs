//! What is no SIP, at a running edge.

use std::net::UdpSocket;

use test_support::{Carillon, PATIENCE};

/// Broken in a way of its own each: no SIP, no headers, an unreadable CSeq, a short body, a response to nobody, octets that no header
/// holds.
const BROKEN: [&[u8]; 6] = [
    b"\x16\x03\x01 this is no SIP",
    b"INVITE sip:alice@localhost SIP/2.0\r\n\r\n",
    b"INVITE sip:alice@localhost SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:1;branch=z9hG4bKa;rport\r\n\
      From: <sip:x@localhost>;tag=1\r\nTo: <sip:alice@localhost>\r\nCall-ID: broken\r\nCSeq: many INVITE\r\n\r\n",
    b"MESSAGE sip:alice@localhost SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:1;branch=z9hG4bKb;rport\r\n\
      From: <sip:x@localhost>;tag=1\r\nTo: <sip:alice@localhost>\r\nCall-ID: short\r\nCSeq: 1 MESSAGE\r\n\
      Content-Length: 500\r\n\r\nshort",
    b"SIP/2.0 200 OK\r\n\r\n",
    b"OPTIONS sip:localhost SIP/2.0\r\nVia: \0\xff\r\nFrom\r\n\r\n",
];

/// MSG-10, MSG-18: malformed datagrams are counted by reason and cost nothing else.
#[test]
fn malformed_datagrams_are_counted_and_the_edge_lives() {
    let mut carillon = Carillon::all_in_one();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    for datagram in BROKEN {
        socket.send_to(datagram, &carillon.sip).unwrap();
    }
    let local = socket.local_addr().unwrap();
    let good = format!(
        "OPTIONS sip:localhost SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bKgood;rport\r\nMax-Forwards: 70\r\n\
         From: <sip:x@localhost>;tag=1\r\nTo: <sip:localhost>\r\nCall-ID: good\r\nCSeq: 1 OPTIONS\r\n\
         Content-Length: 0\r\n\r\n"
    );
    socket.send_to(good.as_bytes(), &carillon.sip).unwrap();
    // Datagrams of one socket stay in order on loopback: when the last is answered, all have been seen.
    let mut buffer = [0; 4096];
    loop {
        let length = socket.recv(&mut buffer).unwrap();
        let answer = String::from_utf8_lossy(&buffer[..length]).into_owned();
        if answer.contains("Call-ID: good") {
            assert!(answer.starts_with("SIP/2.0 200"), "{answer}");
            break;
        }
        assert!(answer.starts_with("SIP/2.0 4"), "{answer}");
    }
    let counted = carillon.metric("carillon_edge_sip_total{event=\"malformed_");
    let answered = carillon.metric("carillon_edge_sip_total{event=\"malformed_answered\"}");
    let unanswered = carillon.metric("carillon_edge_sip_total{event=\"malformed_unanswered\"}");
    assert_eq!(
        answered + unanswered,
        BROKEN.len() as f64,
        "each is answered, or counted as left without an answer"
    );
    assert_eq!(counted, 2.0 * BROKEN.len() as f64, "and has a reason");
    assert!(carillon.is_alive());
}
