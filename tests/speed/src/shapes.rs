//! Messages of the shapes that parsers stumble over, and the reading of them, whose work is to grow as their length does.

use bytes::Bytes;
use sip_message::{HeaderId, Limits, Message};

/// The sizes that are compared, in octets of the shape.
pub const SIZES: [usize; 4] = [1_000, 4_000, 16_000, 64_000];

/// So many octets of one kind.
pub type Shape = fn(usize) -> String;

/// What there may be much of.
pub const SHAPES: [(&str, Shape); 10] = [
    ("many headers", |size| "X-A: b\r\n".repeat(size / 8)),
    ("one header", |size| format!("Subject: {}\r\n", "x".repeat(size))),
    ("one folded header", |size| format!("Subject: x{}\r\n", "\r\n x".repeat(size / 4))),
    ("many values", |size| format!("Supported: a{}\r\n", ", a".repeat(size / 3))),
    ("many headers of one value", |size| "Supported: a\r\n".repeat(size / 14)),
    ("many contacts", |size| format!("Contact: <sip:a@h>{}\r\n", ", <sip:a@h>".repeat(size / 11))),
    ("many parameters", |size| format!("Contact: <sip:a@h>{}\r\n", ";a=b".repeat(size / 4))),
    ("a quoted string", |size| format!("Contact: \"{}\" <sip:a@h>\r\n", "\\\"".repeat(size / 2))),
    ("open brackets", |size| format!("Contact: {}\r\n", "<".repeat(size))),
    ("a URI", |size| format!("Contact: <sip:{}@h>\r\n", "%41".repeat(size / 3))),
];

/// A message of this shape and size.
pub fn message(shape: Shape, size: usize) -> Bytes {
    let start = "OPTIONS sip:a@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:a@h>\r\n\
        Call-ID: 1\r\nCSeq: 1 OPTIONS\r\n";
    Bytes::from(format!("{start}{}Content-Length: 0\r\n\r\n", shape(size)))
}

/// Reads a message and what routing asks of it; how many things there were. A function of its own, by whose name its work is counted.
///
/// # Panics
/// When it is refused unread, which would be no work at all.
#[inline(never)]
pub fn read_message(message: Bytes) -> usize {
    let message = Message::parse(message, &Limits::OWN)
        .expect("no shape is beyond the bounds, or malformed as a whole");
    message.contacts().filter(Result::is_ok).count()
        + message.values(HeaderId::Supported).count()
        + message.option_tags(HeaderId::Supported).count()
        + message.fields().count()
}
