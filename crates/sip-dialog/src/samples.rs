//! Messages for the tests of this crate.

use sip_message::{Limits, Message};

/// Alice's INVITE, number 7, tag `at`.
pub(crate) fn invite(more: &str) -> Message {
    request("INVITE", "<sip:bob@example.com>", 7, more)
}

/// A request of Alice.
pub(crate) fn request(method: &str, to: &str, number: u32, more: &str) -> Message {
    parse(format!(
        "{method} sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\n\
         From: <sip:alice@example.com>;tag=at\r\nTo: {to}\r\nCall-ID: c1\r\nCSeq: {number} {method}\r\n{more}\
         Content-Length: 0\r\n\r\n"
    ))
}

/// A response to Alice's INVITE.
pub(crate) fn response(status: u16, to_tag: &str, more: &str) -> Message {
    let tag = if to_tag.is_empty() { String::new() } else { format!(";tag={to_tag}") };
    parse(format!(
        "SIP/2.0 {status} X\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:alice@example.com>;tag=at\r\n\
         To: <sip:bob@example.com>{tag}\r\nCall-ID: c1\r\nCSeq: 7 INVITE\r\n{more}Content-Length: 0\r\n\r\n"
    ))
}

fn parse(text: String) -> Message {
    Message::parse(text.into_bytes().into(), &Limits::default()).expect("the sample is well-formed")
}
