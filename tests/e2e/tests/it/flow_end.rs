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

/// OBD-05, F1: Bob may have one contact, and his edge ends. It has told that his connection is gone before it leaves, so that he registers at
/// the other one at once. When that one is killed, he does as soon as its lease has run out.
#[test]
fn a_phone_with_one_contact_comes_back_by_another_edge() {
    let redis = Redis::start();
    let serve = |id: &str| Carillon::serve(&["--id", id, "--redis", &redis.url(), "--auth", "none"]);
    let (first, mut second, third) = (serve("one"), serve("two"), serve("three"));
    third.account("sip:bob@localhost", "secret");
    let limit = third.command(&["account", "set", "sip:bob@localhost", "--max-bindings", "1"]);
    assert!(limit.status.success(), "{limit:?}");
    let contacts = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").expect("loopback has free ports"));
    let at_first = registered(&first, &contacts[0]);
    assert_eq!(status(&asked_to_register(&second, &contacts[1]).1), 403, "there is no room for two");
    first.terminate();
    let (ended, log) = first.ended();
    assert!(ended.success(), "{log}");
    drop(at_first);
    let at_second = registered(&second, &contacts[1]);
    assert!(lists(&third, "two"));
    second.kill();
    drop(at_second);
    let since = Instant::now();
    while lists(&third, "two") {
        assert!(since.elapsed() < PATIENCE, "the dead edge is still listed");
    }
    let _at_third = registered(&third, &contacts[2]);
    assert_eq!(bindings(&third), 1);
}

/// A connection over which Bob has registered this Contact.
fn registered(edge: &Carillon, contact: &TcpListener) -> TcpStream {
    let (connection, answer) = asked_to_register(edge, contact);
    assert_eq!(status(&answer), 200, "{answer}");
    connection
}

/// Bob asks to register this Contact: his connection, and the answer.
fn asked_to_register(edge: &Carillon, contact: &TcpListener) -> (TcpStream, String) {
    let mut connection = TcpStream::connect(&edge.sip).expect("the edge listens");
    connection.set_read_timeout(Some(PATIENCE)).expect("a limit that is not zero");
    let at = contact.local_addr().expect("a listener has an address");
    let register = format!(
        "REGISTER sip:localhost SIP/2.0\r\nVia: SIP/2.0/TCP {at};branch=z9hG4bKr1\r\nMax-Forwards: 70\r\n\
         From: <sip:bob@localhost>;tag=b\r\nTo: <sip:bob@localhost>\r\nCall-ID: {at}\r\nCSeq: 1 REGISTER\r\n\
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
    (connection, String::from_utf8_lossy(&answer).into_owned())
}

/// Whether a process lists the edge of this name.
fn lists(carillon: &Carillon, edge: &str) -> bool {
    let listed = carillon.command(&["edges"]);
    assert!(listed.status.success(), "{listed:?}");
    String::from_utf8_lossy(&listed.stdout).lines().any(|line| line.split_whitespace().next() == Some(edge))
}

/// How many bindings of Bob a process lists.
fn bindings(carillon: &Carillon) -> usize {
    let listed = carillon.command(&["bindings", "sip:bob@localhost", "--json"]);
    assert!(listed.status.success(), "{listed:?}");
    String::from_utf8_lossy(&listed.stdout).lines().count()
}
