//! Messages for the tests of this crate.

use sip_message::{Limits, Message};

/// An INVITE with one Via and the given further header lines.
pub(crate) fn invite(uri: &str, more: &str) -> Message {
    request("INVITE", uri, more)
}

/// A request with one Via and the given further header lines.
pub(crate) fn request(method: &str, uri: &str, more: &str) -> Message {
    let text = format!(
        "{method} {uri} SIP/2.0\r\n\
         Via: SIP/2.0/UDP client.example;branch=z9hG4bK1\r\n\
         {more}\
         From: <sip:alice@example.com>;tag=a\r\n\
         To: <sip:bob@example.com>\r\n\
         Call-ID: c1\r\n\
         CSeq: 7 {method}\r\n\
         X-Foo:  kept ;weird=1\r\n\
         Content-Length: 4\r\n\r\nbody"
    );
    Message::parse(text.into_bytes().into(), &Limits::default()).expect("the sample is well-formed")
}
