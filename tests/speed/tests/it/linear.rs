//! Reading takes time in proportion to length, whatever is written.

use std::time::{Duration, Instant};

use bytes::Bytes;
use sip_message::{HeaderId, Limits, Message};

/// How many times longer an octet of a long message may take than one of a short one. What is quadratic takes 20 times longer at 20 times
/// the length; the rest is for a machine that does something else meanwhile.
const MOST: f64 = 8.0;
const TRIES: usize = 100;
const SHORT: usize = 1_000;
/// Short enough that most tries are over before another process has its turn.
const LONG: usize = 20_000;

/// So many octets of one kind.
type Shape = fn(usize) -> String;

/// T28: of the shapes that parsers stumble over.
#[test]
fn reading_takes_no_longer_for_each_octet_of_a_long_message() {
    let shapes: [(&str, Shape); 8] = [
        ("many headers", |size| "X-A: b\r\n".repeat(size / 8)),
        ("one header", |size| format!("Subject: {}\r\n", "x".repeat(size))),
        ("one folded header", |size| format!("Subject: x{}\r\n", "\r\n x".repeat(size / 4))),
        ("many values", |size| format!("Supported: a{}\r\n", ", a".repeat(size / 3))),
        ("many parameters", |size| format!("Contact: <sip:a@h>{}\r\n", ";a=b".repeat(size / 4))),
        ("a quoted string", |size| format!("Contact: \"{}\" <sip:a@h>\r\n", "\\\"".repeat(size / 2))),
        ("open brackets", |size| format!("Contact: {}\r\n", "<".repeat(size))),
        ("a URI", |size| format!("Contact: <sip:{}@h>\r\n", "%41".repeat(size / 3))),
    ];
    for (name, shape) in shapes {
        let [short, long] = [SHORT, LONG].map(|size| message(&shape(size)));
        let ratio = per_octet(&long) / per_octet(&short);
        println!("{name}: {ratio:.2}");
        assert!(ratio < MOST, "{name}: {ratio:.1} times longer for each octet");
    }
}

fn message(headers: &str) -> Bytes {
    let start = "OPTIONS sip:a@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:a@h>\r\n\
        Call-ID: 1\r\nCSeq: 1 OPTIONS\r\n";
    Bytes::from(format!("{start}{headers}Content-Length: 0\r\n\r\n"))
}

/// The least time of many tries: what only this work takes.
fn per_octet(message: &Bytes) -> f64 {
    let limits = Limits::OWN;
    let least = (0..TRIES).map(|_| time(message, &limits)).min().unwrap_or_default();
    least.as_secs_f64() / message.len() as f64
}

fn time(message: &Bytes, limits: &Limits) -> Duration {
    let started = Instant::now();
    if let Ok(message) = Message::parse(message.clone(), limits) {
        let read = message.contacts().filter(Result::is_ok).count()
            + message.values(HeaderId::Supported).count()
            + message.option_tags(HeaderId::Supported).count()
            + message.fields().count();
        std::hint::black_box(read);
    }
    started.elapsed()
}
