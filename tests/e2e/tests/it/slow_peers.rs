//! Peers that connect and then keep us waiting: each kind has its time, and one source has no more than its number of connections.

use std::io::{Read, Write};
use std::net::TcpStream;

use test_support::{Authority, Carillon, PATIENCE, Starting};

const OPTIONS: &str = "OPTIONS sip:localhost SIP/2.0\r\nVia: SIP/2.0/TCP x.invalid;branch=z9hG4bK1\r\nMax-Forwards: 70\r\n\
                       From: <sip:x@localhost>;tag=1\r\nTo: <sip:localhost>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n";

/// An edge with TLS and WebSocket and these settings, all others as they are.
fn serving(variables: &[(&str, &str)]) -> Carillon {
    let authority = Authority::new();
    let own = authority.issue("localhost", &["localhost"]);
    let text = |path: &std::path::Path| path.to_str().expect("an UTF-8 path").to_owned();
    let (cert, key) = (text(&own.certificate), text(&own.key));
    let listeners = ["--sip", "tls://127.0.0.1:0", "--sip", "ws://127.0.0.1:0", "--sip", "wss://127.0.0.1:0"];
    let arguments = [&listeners[..], &["--tls-cert", &cert, "--tls-key", &key]].concat();
    Starting::with(&arguments, variables).ready()
}

fn connect(carillon: &Carillon, scheme: &str) -> TcpStream {
    let stream = TcpStream::connect(carillon.listener(scheme)).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a limit that is not zero");
    stream
}

/// Says this and nothing more; everything that comes until the other side ends the connection.
fn until_closed(mut stream: TcpStream, said: &str) -> String {
    stream.write_all(said.as_bytes()).expect("it has just been opened");
    let mut heard = Vec::new();
    let end = stream.read_to_end(&mut heard);
    let is_reset = |error: &std::io::Error| error.kind() == std::io::ErrorKind::ConnectionReset;
    assert!(end.as_ref().is_ok_and(|_| true) || end.as_ref().is_err_and(is_reset), "still open: {end:?}");
    String::from_utf8_lossy(&heard).into_owned()
}

fn counted(carillon: &Carillon, event: &str) -> f64 {
    carillon.metric(&format!("carillon_edge_sip_total{{event=\"{event}\"}}"))
}

/// T14: who connects and says nothing, or begins a message and leaves it there, is given `sip.message_timeout`.
#[test]
fn a_first_message_that_does_not_come_whole_ends_the_connection() {
    let carillon = serving(&[("CARILLON_SIP_MESSAGE_TIMEOUT", "300ms")]);
    for said in ["", "OPTIONS sip:loc", &OPTIONS[..OPTIONS.len() - 2]] {
        assert_eq!(until_closed(connect(&carillon, "tcp"), said), "", "{said:?}");
    }
    assert_eq!(counted(&carillon, "connections_unfinished"), 3.0);
}

/// T14: the handshakes of TLS, of WebSocket and of one within the other are given `sip.handshake_timeout`, begun or not.
#[test]
fn a_handshake_that_does_not_end_ends_the_connection() {
    let carillon = serving(&[("CARILLON_SIP_HANDSHAKE_TIMEOUT", "300ms")]);
    let half = "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n";
    // The beginning of a record that is never finished.
    let record = "\u{16}\u{3}\u{1}";
    for (scheme, said) in [("tls", ""), ("tls", record), ("ws", ""), ("ws", half), ("wss", "")] {
        assert_eq!(until_closed(connect(&carillon, scheme), said), "", "{scheme} {said:?}");
    }
    assert_eq!(counted(&carillon, "handshakes_timed_out"), 5.0);
}

/// T14: a connection by which nothing was let in may be silent for `sip.stranger_timeout`.
#[test]
fn a_connection_that_carries_nothing_ends_when_it_is_silent() {
    let carillon = serving(&[("CARILLON_SIP_STRANGER_TIMEOUT", "300ms")]);
    let heard = until_closed(connect(&carillon, "tcp"), OPTIONS);
    assert!(heard.starts_with("SIP/2.0 200"), "{heard}");
    assert_eq!(counted(&carillon, "connections_idle"), 1.0);
}

/// T14: one source has `limits.tcp_connections_per_source` connections of all kinds, and gets room again when one ends.
#[test]
fn a_source_has_so_many_connections_and_no_more() {
    let carillon = serving(&[("CARILLON_LIMITS_TCP_CONNECTIONS_PER_SOURCE", "2")]);
    let mut held = [connect(&carillon, "tcp"), connect(&carillon, "tcp")];
    for stream in &mut held {
        stream.write_all(OPTIONS.as_bytes()).expect("it is open");
        let mut first = [0; 11];
        stream.read_exact(&mut first).expect("an answer comes");
        assert_eq!(&first, b"SIP/2.0 200");
    }
    for scheme in ["tcp", "tls", "ws"] {
        // It is closed before anything is said.
        let mut turned_away = connect(&carillon, scheme);
        assert!(matches!(turned_away.read(&mut [0; 1]), Ok(0) | Err(_)), "{scheme}");
    }
    assert_eq!(counted(&carillon, "connections_refused"), 3.0);
    drop(held);
    let started = std::time::Instant::now();
    loop {
        let mut again = connect(&carillon, "tcp");
        let mut first = [0; 11];
        // The ends of the others are noticed in their own time.
        if again.write_all(OPTIONS.as_bytes()).and_then(|()| again.read_exact(&mut first)).is_ok() {
            return assert_eq!(&first, b"SIP/2.0 200");
        }
        assert!(started.elapsed() < PATIENCE, "never let in again");
    }
}

/// T14: of one source so many connections may carry nothing; one by which a phone registered is not counted any more.
#[test]
fn who_registers_is_no_stranger_of_its_source() {
    let arguments = ["--auth", "none"];
    let carillon = Starting::with(&arguments, &[("CARILLON_LIMITS_STRANGERS_PER_SOURCE", "2")]).ready();
    let says = |stream: &mut TcpStream, text: &str| {
        let mut answer = Vec::new();
        stream.write_all(text.as_bytes())?;
        while !answer.ends_with(b"\r\n\r\n") {
            let mut next = [0; 1];
            stream.read_exact(&mut next)?;
            answer.push(next[0]);
        }
        std::io::Result::Ok(answer[..11].to_vec())
    };
    let registers = |number: usize| {
        let own = format!("sip:phone{number}@localhost");
        OPTIONS
            .replace("OPTIONS", "REGISTER")
            .replace("z9hG4bK1", &format!("z9hG4bKr{number}"))
            .replace("From: <sip:x@localhost>", &format!("From: <{own}>"))
            .replace("To: <sip:localhost>", &format!("To: <{own}>\r\nContact: <sip:p@x.invalid>"))
    };
    let mut phones = Vec::new();
    for number in 0..5 {
        let mut phone = connect(&carillon, "tcp");
        assert_eq!(&says(&mut phone, &registers(number)).expect("phones are let in"), b"SIP/2.0 200");
        phones.push(phone);
    }
    let mut strangers = [connect(&carillon, "tcp"), connect(&carillon, "tcp")];
    for stranger in &mut strangers {
        assert_eq!(&says(stranger, OPTIONS).expect("there is room for it"), b"SIP/2.0 200");
    }
    let mut turned_away = connect(&carillon, "tcp");
    assert!(says(&mut turned_away, OPTIONS).is_err(), "a third stranger");
    assert_eq!(counted(&carillon, "strangers_refused"), 1.0);
    // One of them registers: there is room again, and nobody else was harmed.
    assert_eq!(&says(&mut strangers[0], &registers(9)[..]).expect("it is open"), b"SIP/2.0 200");
    assert_eq!(&says(&mut connect(&carillon, "tcp"), OPTIONS).expect("there is room"), b"SIP/2.0 200");
}
