//! A phone that sleeps until it is pushed (RFC 8599), over two edges and two registrars that share a store.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use test_support::{Carillon, PATIENCE, Redis};

use crate::wire::{Wire, header, status};

/// PSH-01, PSH-02: Bob's phone registers by TCP and goes to sleep. Alice calls at the other process: the push service is asked, the call is
/// held until Bob has registered over a new connection where he was before, and rings there. Nobody but the registrar and the push
/// service has seen what his phone is pushed by.
#[test]
fn a_call_wakes_a_phone_and_reaches_it_where_it_registers() {
    let redis = Redis::start();
    let (url, pushes) = push_service("204 No Content");
    let config = config(&url);
    let serve = |id: &str| {
        let config = config.path().to_str().expect("a path of the test");
        Carillon::serve(&["--id", id, "--redis", &redis.url(), "--auth", "none", "--config", config])
    };
    let (own, other) = (serve("one"), serve("two"));
    let (bob, answer) = register(&own, "sip:bob@192.0.2.9;pn-provider=acme;pn-prid=t0ken;transport=tcp", 1);
    assert_eq!(header(&answer, "Feature-Caps"), Some("*;+sip.pns=\"acme\""), "{answer}");
    drop(bob);
    wait_until("the phone sleeps", || own.metric("carillon_edge_ended_flows_total{outcome=\"told\"}") >= 1.0);
    let alice = Wire::of(&other);
    let invite = alice.request("INVITE sip:bob@localhost", &["Contact: <sip:alice@127.0.0.1>"]);
    let push = pushes.recv_timeout(PATIENCE).expect("a push is asked for");
    assert_eq!(push, r#"{"pn_provider":"acme","pn_prid":"t0ken","pn_param":"","aor":"sip:bob@localhost"}"#);
    let (mut bob, _) =
        register(&own, "sip:bob@192.0.2.9:7000;pn-provider=acme;pn-prid=t0ken;transport=tcp", 2);
    let rung = read_message(&mut bob);
    assert!(rung.starts_with("INVITE sip:bob@192.0.2.9:7000;transport=tcp SIP/2.0\r\n"), "{rung}");
    assert!(!rung.contains("pn-") && !rung.contains("t0ken"), "{rung}");
    let copied = rung.lines().filter(|line| {
        ["Via:", "From:", "Call-ID:", "CSeq:", "Record-Route:"].iter().any(|name| line.starts_with(name))
    });
    let copied: String = copied.flat_map(|line| [line, "\r\n"]).collect();
    let to = header(&rung, "To").expect("an INVITE has one");
    let busy = format!("SIP/2.0 486 Busy Here\r\n{copied}To: {to};tag=b\r\nContent-Length: 0\r\n\r\n");
    bob.write_all(busy.as_bytes()).expect("the connection is open");
    assert_eq!(status(&alice.answer_to(&invite)), 486);
    let listed = own.command(&["bindings", "sip:bob@localhost", "--json"]);
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(listed.contains("sip:bob@192.0.2.9:7000") && !listed.contains("t0ken"), "{listed}");
    assert_eq!(listed.lines().count(), 1, "one phone has one binding: {listed}");
}

/// PSH-01, PSH-02, IMI-02: a message is kept at once when the push service refuses; 555 to a phone whose service nobody here reaches.
#[test]
fn a_phone_that_cannot_be_pushed_is_unreachable() {
    let (url, pushes) = push_service("410 Gone");
    let config = config(&url);
    let carillon =
        Carillon::serve(&["--auth", "none", "--config", config.path().to_str().expect("a path of the test")]);
    let unknown = Wire::of(&carillon);
    let contact = "Contact: <sip:bob@192.0.2.9;pn-provider=other;pn-prid=1>";
    let refused = unknown.request("REGISTER sip:localhost", &["From: <sip:bob@localhost>;tag=b", contact]);
    assert_eq!(status(&unknown.answer_to(&refused)), 555);
    let (bob, _) = register(&carillon, "sip:bob@192.0.2.9;pn-provider=acme;pn-prid=t0ken;transport=tcp", 1);
    drop(bob);
    wait_until("the phone sleeps", || {
        carillon.metric("carillon_edge_ended_flows_total{outcome=\"told\"}") >= 1.0
    });
    let alice = Wire::of(&carillon);
    let message = alice.request("MESSAGE sip:bob@localhost", &[]);
    assert_eq!(status(&alice.answer_to(&message)), 202);
    assert!(pushes.recv_timeout(PATIENCE).is_ok());
    assert!(carillon.metric("carillon_edge_woken_total{outcome=\"lost\"}") >= 1.0);
}

pub fn config(url: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("a file for the settings");
    write!(file, "[push]\nproviders = [\"acme\"]\nurl = \"{url}\"\n").expect("it can be written");
    file
}

/// A push service that answers everything so; the bodies that it gets come by the channel.
pub fn push_service(answer: &'static str) -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
    let url = format!("http://{}/wake", listener.local_addr().expect("it is bound"));
    let (sent, seen) = mpsc::channel();
    // It ends with the process of the tests.
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = BufReader::new(stream);
            let mut length = 0;
            let mut line = String::new();
            while stream.read_line(&mut line).is_ok_and(|read| read > 2) {
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap_or(0);
                }
                line.clear();
            }
            let mut body = vec![0; length];
            if stream.read_exact(&mut body).is_ok() {
                let _ = sent.send(String::from_utf8_lossy(&body).into_owned());
                let head = format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                let _ = stream.get_mut().write_all(head.as_bytes());
            }
        }
    });
    (url, seen)
}

/// A connection over which Bob has registered this contact, and the answer.
fn register(edge: &Carillon, contact: &str, cseq: u32) -> (TcpStream, String) {
    let mut connection = TcpStream::connect(&edge.sip).expect("the edge listens");
    connection.set_read_timeout(Some(PATIENCE)).expect("a limit that is not zero");
    let register = format!(
        "REGISTER sip:localhost SIP/2.0\r\nVia: SIP/2.0/TCP 192.0.2.9;branch=z9hG4bKp{cseq}\r\nMax-Forwards: 70\r\n\
         From: <sip:bob@localhost>;tag=b\r\nTo: <sip:bob@localhost>\r\nCall-ID: p\r\nCSeq: {cseq} REGISTER\r\n\
         Contact: <{contact}>\r\nContent-Length: 0\r\n\r\n"
    );
    connection.write_all(register.as_bytes()).expect("the connection is open");
    let answer = read_message(&mut connection);
    assert_eq!(status(&answer), 200, "{answer}");
    assert!(answer.contains(contact), "{answer}");
    (connection, answer)
}

/// The next message without a body.
fn read_message(connection: &mut TcpStream) -> String {
    let mut message = Vec::new();
    while !message.ends_with(b"\r\n\r\n") {
        let mut octet = [0];
        connection.read_exact(&mut octet).expect("a message comes");
        message.extend(octet);
    }
    String::from_utf8_lossy(&message).into_owned()
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let since = Instant::now();
    while !is_so() {
        assert!(since.elapsed() < PATIENCE, "{what}");
    }
}
