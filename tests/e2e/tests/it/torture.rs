//! The torture messages of RFC 4475 and RFC 5118, replayed against a running process by datagrams and by connections.
//!
//! The domains of the messages are served and nobody is registered, so a request that passes every check of the edge ends at
//! the registrar: 200 for a REGISTER, 404 for what asks for a user.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream, UdpSocket};
use std::path::PathBuf;

use test_support::{Carillon, PATIENCE};

use crate::wire::{header, status};

/// What comes back.
#[derive(Clone, Copy)]
enum Outcome {
    /// These final responses.
    Answers(&'static [u16]),
    /// These final responses, and the end of the connection: nobody can tell where the next message begins, or a stranger sent what
    /// nobody can be answered for.
    Closes(&'static [u16]),
    /// Nothing, and what follows is served.
    Silence,
    /// Nothing: the rest of the message is waited for.
    Waits,
}

use Outcome::{Answers, Closes, Silence, Waits};

const OK: Outcome = Answers(&[200]);
const BAD: Outcome = Answers(&[400]);
const DENIED: Outcome = Answers(&[403]);
const NOBODY: Outcome = Answers(&[404]);
const SCHEME: Outcome = Answers(&[416]);

/// File, outcome of a datagram, outcome on a connection. REGISTERs stand last: after them users of the messages are registered.
const MESSAGES: [(&str, Outcome, Outcome); 61] = [
    ("rfc4475/badaspec", BAD, BAD),
    ("rfc4475/badbranch", NOBODY, NOBODY),
    ("rfc4475/baddate", NOBODY, NOBODY),
    ("rfc4475/baddn", BAD, BAD),
    ("rfc4475/badinv01", NOBODY, BAD),
    ("rfc4475/badvers", Answers(&[505]), Answers(&[505])),
    ("rfc4475/bcast", Silence, Silence),
    ("rfc4475/bext01", Answers(&[420]), Answers(&[420])),
    ("rfc4475/bigcode", Silence, Closes(&[])),
    ("rfc4475/clerr", BAD, Waits),
    ("rfc4475/esc01", NOBODY, NOBODY),
    ("rfc4475/esc02", Answers(&[501]), Answers(&[501])),
    ("rfc4475/escruri", NOBODY, NOBODY),
    ("rfc4475/insuf", Silence, Silence),
    ("rfc4475/intmeth", NOBODY, NOBODY),
    ("rfc4475/inv2543", NOBODY, Closes(&[400])),
    ("rfc4475/invut", NOBODY, NOBODY),
    ("rfc4475/longreq", NOBODY, NOBODY),
    ("rfc4475/ltgtruri", BAD, BAD),
    ("rfc4475/lwsdisp", NOBODY, NOBODY),
    ("rfc4475/lwsruri", BAD, BAD),
    ("rfc4475/lwsstart", BAD, BAD),
    ("rfc4475/mcl01", BAD, Closes(&[400])),
    ("rfc4475/mismatch01", BAD, BAD),
    ("rfc4475/mismatch02", BAD, BAD),
    ("rfc4475/mpart01", NOBODY, NOBODY),
    ("rfc4475/multi01", BAD, BAD),
    ("rfc4475/ncl", BAD, Closes(&[400])),
    ("rfc4475/noreason", Silence, Silence),
    ("rfc4475/novelsc", SCHEME, SCHEME),
    ("rfc4475/quotbal", BAD, BAD),
    ("rfc4475/scalarlg", Silence, Silence),
    ("rfc4475/sdp01", NOBODY, NOBODY),
    ("rfc4475/semiuri", NOBODY, NOBODY),
    ("rfc4475/transports", NOBODY, NOBODY),
    ("rfc4475/trws", BAD, BAD),
    ("rfc4475/unkscm", SCHEME, SCHEME),
    ("rfc4475/unreason", Silence, Silence),
    ("rfc4475/wsinv", NOBODY, NOBODY),
    ("rfc4475/zeromf", Answers(&[483]), Answers(&[483])),
    ("rfc5118/ipv4-mapped-ipv6", NOBODY, NOBODY),
    ("rfc5118/ipv6-bug-abnf-3-colons", DENIED, DENIED),
    ("rfc5118/ipv6-correct-abnf-2-colons", DENIED, DENIED),
    ("rfc5118/ipv6-in-sdp", NOBODY, NOBODY),
    ("rfc5118/mult-ip-in-header", DENIED, DENIED),
    ("rfc5118/mult-ip-in-sdp", NOBODY, NOBODY),
    ("rfc5118/via-received-param-no-delim", OK, OK),
    ("rfc5118/via-received-param-with-delim", NOBODY, NOBODY),
    ("rfc4475/cparam01", OK, OK),
    ("rfc4475/cparam02", OK, OK),
    ("rfc4475/dblreq", OK, Closes(&[200, 404])),
    ("rfc4475/escnull", OK, OK),
    ("rfc4475/regaut01", OK, OK),
    ("rfc4475/regbadct", BAD, BAD),
    ("rfc4475/regescrt", OK, OK),
    ("rfc4475/scalar02", BAD, BAD),
    ("rfc4475/unksm2", BAD, BAD),
    ("rfc5118/ipv6-bad", BAD, BAD),
    ("rfc5118/ipv6-good", NOBODY, NOBODY),
    ("rfc5118/port-ambiguous", DENIED, DENIED),
    ("rfc5118/port-unambiguous", NOBODY, NOBODY),
];

/// A request of ours that tells when everything before it was seen.
const PROBE: &str = "OPTIONS sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP probe.invalid;branch=z9hG4bKprobe;rport\r\n\
    Max-Forwards: 70\r\nFrom: <sip:x@example.com>;tag=1\r\nTo: <sip:example.com>\r\nCall-ID: probe\r\nCSeq: 1 OPTIONS\r\n\
    Content-Length: 0\r\n\r\n";

fn serving_their_domains(auth: &str) -> Carillon {
    let domains = ["example.com", "example.net", "example.org", "company.com", "chair-dnrc.example.com"];
    let mut arguments =
        vec!["--auth", auth, "--domain", "registrar.example.com", "--domain", "[2001:db8::10]"];
    arguments.extend(domains.iter().flat_map(|domain| ["--domain", *domain]));
    Carillon::serve(&arguments)
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../crates/sip-message/tests/data")
}

fn load(name: &str) -> Vec<u8> {
    std::fs::read(folder().join(format!("{name}.dat"))).expect(name)
}

fn unharmed(mut carillon: Carillon) {
    for panics in ["internal_panics", "user_panics", "work_panics"] {
        assert_eq!(
            carillon.metric(&format!("carillon_edge_sip_total{{event=\"{panics}\"}}")),
            0.0,
            "{panics}"
        );
    }
    assert!(carillon.is_alive());
}

/// MSG-18: as datagrams. A Via of ours on top brings the answers here; the rest of the message is as it stands.
#[test]
fn every_torture_message_has_its_outcome_as_a_datagram() {
    let carillon = serving_their_domains("none");
    for (name, outcome, _) in MESSAGES {
        let seen = by_udp(&carillon, name, outcome);
        match outcome {
            Answers(expected) | Closes(expected) => assert_eq!(seen, expected, "{name}"),
            Silence | Waits => assert!(seen.is_empty(), "{name} is answered {seen:?}"),
        }
    }
    unharmed(carillon);
}

/// MSG-18: on a connection, octet for octet.
#[test]
fn every_torture_message_has_its_outcome_on_a_connection() {
    let carillon = serving_their_domains("none");
    for (name, _, outcome) in MESSAGES {
        let (seen, is_probe_answered) = by_tcp(&carillon, name, outcome);
        match outcome {
            Answers(expected) => assert_eq!((&seen[..], is_probe_answered), (expected, true), "{name}"),
            Closes(expected) => assert_eq!(seen, expected, "{name}"),
            Silence => assert!(seen.is_empty() && is_probe_answered, "{name} is answered {seen:?}"),
            Waits => assert!(seen.is_empty(), "{name} is answered {seen:?}"),
        }
    }
    unharmed(carillon);
}

/// MSG-18, AUT-04: a scheme that is not known is challenged where phones must prove who they are.
#[test]
fn an_unknown_scheme_is_challenged() {
    let carillon = serving_their_domains("digest");
    assert_eq!(by_udp(&carillon, "rfc4475/regaut01", Answers(&[401])), [401]);
    assert_eq!(by_tcp(&carillon, "rfc4475/regaut01", Answers(&[401])), (vec![401], true));
    unharmed(carillon);
}

/// MSG-18: no message is left out.
#[test]
fn the_table_has_all_messages() {
    let mut files = BTreeSet::new();
    for corpus in ["rfc4475", "rfc5118"] {
        for entry in std::fs::read_dir(folder().join(corpus)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            files.extend(name.strip_suffix(".dat").map(|name| format!("{corpus}/{name}")));
        }
    }
    let listed: BTreeSet<String> = MESSAGES.iter().map(|(name, ..)| (*name).to_owned()).collect();
    assert_eq!(listed, files);
}

/// Final responses to the message.
fn by_udp(carillon: &Carillon, name: &str, outcome: Outcome) -> Vec<u16> {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut message = load(name);
    let line = 2 + message.windows(2).position(|pair| pair == b"\r\n").expect("a start line");
    let (own, local) = (name.replace('/', "-"), socket.local_addr().unwrap());
    let via = format!("Via: SIP/2.0/UDP {local};branch=z9hG4bK{own};rport\r\n");
    message.splice(line..line, via.into_bytes());
    socket.send_to(&message, &carillon.sip).unwrap();
    socket.send_to(PROBE.as_bytes(), &carillon.sip).unwrap();
    let (mut seen, mut is_probe_answered) = (Vec::new(), false);
    let mut buffer = [0; 65_535];
    while !is_probe_answered || seen.len() < count(outcome) {
        let length =
            socket.recv(&mut buffer).unwrap_or_else(|error| panic!("{name}: {error} after {seen:?}"));
        let answer = String::from_utf8_lossy(&buffer[..length]);
        note(&answer, &mut seen, &mut is_probe_answered);
        // An INVITE that nobody acknowledges is answered again and again.
        seen.dedup();
    }
    seen
}

/// Final responses to the message until the edge closes the connection, or until they are all there and what came after the
/// message is answered; and whether that was answered.
fn by_tcp(carillon: &Carillon, name: &str, outcome: Outcome) -> (Vec<u16>, bool) {
    let mut stream = TcpStream::connect(&carillon.sip).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let is_ended_by_us = matches!(outcome, Answers(_) | Silence);
    let mut bytes = load(name);
    if is_ended_by_us {
        bytes.extend_from_slice(PROBE.as_bytes());
    }
    stream.write_all(&bytes).unwrap();
    if matches!(outcome, Waits) {
        stream.shutdown(Shutdown::Write).unwrap();
    }
    let (mut seen, mut is_probe_answered, mut text) = (Vec::new(), false, String::new());
    let mut buffer = [0; 65_535];
    while !(is_ended_by_us && is_probe_answered && seen.len() >= count(outcome)) {
        let length =
            stream.read(&mut buffer).unwrap_or_else(|error| panic!("{name}: {error} after {seen:?}"));
        if length == 0 {
            break;
        }
        text.push_str(&String::from_utf8_lossy(&buffer[..length]));
        // None of the answers has a body.
        while let Some(end) = text.find("\r\n\r\n") {
            let rest = text.split_off(end + 4);
            note(&text, &mut seen, &mut is_probe_answered);
            text = rest;
        }
    }
    (seen, is_probe_answered)
}

fn count(outcome: Outcome) -> usize {
    match outcome {
        Answers(expected) | Closes(expected) => expected.len(),
        Silence | Waits => 0,
    }
}

fn note(answer: &str, seen: &mut Vec<u16>, is_probe_answered: &mut bool) {
    if header(answer, "Call-ID") == Some("probe") {
        *is_probe_answered = true;
    } else if status(answer) >= 200 {
        seen.push(status(answer));
    }
}
