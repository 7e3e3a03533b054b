//! A phone whose connection ends, as the rest of the cluster sees it.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Instant;

use test_support::{Carillon, PATIENCE, Redis};

use crate::wire::{Wire, status};

/// OBD-05: Bob registers by TCP at one edge and his connection ends. His binding is gone from the list of the other one, whose callers
/// are told so at once, and nobody connects to what his Contact names.
#[test]
fn the_binding_of_a_closed_connection_is_gone_everywhere() {
    let redis = Redis::start();
    let serve = |id: &str| Carillon::serve(&["--id", id, "--redis", &redis.url(), "--auth", "none"]);
    let (own, other) = (serve("one"), serve("two"));
    let contact = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
    let bob = registered(&own, &contact);
    assert_eq!(bindings(&other), 1);
    drop(bob);
    let since = Instant::now();
    while bindings(&other) > 0 {
        assert!(since.elapsed() < PATIENCE, "the binding is still listed");
    }
    let alice = Wire::of(&other);
    let invite = alice.request("INVITE sip:bob@localhost", &["Contact: <sip:alice@127.0.0.1>"]);
    let answer = alice.answer_to(&invite);
    assert_eq!(status(&answer), 480, "{answer}");
    contact.set_nonblocking(true).expect("a listener may be asked");
    assert_eq!(contact.accept().expect_err("nobody connects").kind(), ErrorKind::WouldBlock);
}

/// A connection over which Bob has registered this Contact.
fn registered(edge: &Carillon, contact: &TcpListener) -> TcpStream {
    let mut connection = TcpStream::connect(&edge.sip).expect("the edge listens");
    connection.set_read_timeout(Some(PATIENCE)).expect("a limit that is not zero");
    let at = contact.local_addr().expect("a listener has an address");
    let register = format!(
        "REGISTER sip:localhost SIP/2.0\r\nVia: SIP/2.0/TCP {at};branch=z9hG4bKr1\r\nMax-Forwards: 70\r\n\
         From: <sip:bob@localhost>;tag=b\r\nTo: <sip:bob@localhost>\r\nCall-ID: r1\r\nCSeq: 1 REGISTER\r\n\
         Contact: <sip:bob@{at};transport=tcp>\r\nContent-Length: 0\r\n\r\n"
    );
    connection.write_all(register.as_bytes()).expect("the connection is open");
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut buffer = [0; 2048];
        let length = connection.read(&mut buffer).expect("an answer comes");
        assert_ne!(length, 0, "the edge closed the connection");
        answer.extend_from_slice(&buffer[..length]);
    }
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert_eq!(status(&answer), 200, "{answer}");
    connection
}

/// How many bindings of Bob a process lists.
fn bindings(carillon: &Carillon) -> usize {
    let listed = carillon.command(&["bindings", "sip:bob@localhost", "--json"]);
    assert!(listed.status.success(), "{listed:?}");
    String::from_utf8_lossy(&listed.stdout).lines().count()
}
