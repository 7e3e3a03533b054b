//! Whole messages in, whole messages out.

mod allocation;
mod build;
mod corpus;
mod edit;
mod frame;
mod parse;
mod properties;
mod torture;

use bytes::Bytes;
use sip_message::{Limits, Message, ParseError};

/// An INVITE with everything that forwarding must leave alone.
pub const INVITE: &str = "INVITE sip:bob@biloxi.example.com SIP/2.0\r\n\
Via: SIP/2.0/UDP client.atlanta.example.com:5060;branch=z9hG4bK74bf9;rport\r\n\
Max-Forwards: 70\r\n\
f: Alice  <sip:alice@atlanta.example.com>;tag=9fxced76sl\r\n\
To : Bob <sip:bob@biloxi.example.com>\r\n\
cALL-iD:3848276298220188511@atlanta.example.com\r\n\
CSeq: 1 INVITE\r\n\
Contact: <sip:alice@client.atlanta.example.com>;weird=1\r\n\
X-Foo:  bar\t, baz \r\n\
Subject: first\r\n\
\tsecond\r\n\
Record-Route: <sip:p2.example.com;lr>,\r\n \
<sip:p1.example.com;lr>\r\n\
Content-Type: application/sdp\r\n\
Content-Length: 5\r\n\
\r\n\
v=0\r\n";

/// Parses text with the default limits.
pub fn parse(text: impl AsRef<[u8]>) -> Result<Message, ParseError> {
    Message::parse(Bytes::copy_from_slice(text.as_ref()), &Limits::default())
}

/// Parses text that must be a message.
pub fn message(text: impl AsRef<[u8]>) -> Message {
    parse(text).expect("the text is a message")
}

/// A minimal request with `lines` among its headers; each must end with CR LF.
pub fn options_with(lines: &str) -> String {
    format!(
        "OPTIONS sip:h SIP/2.0\r\nVia: SIP/2.0/UDP c;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:h>\r\n\
         Call-ID: i\r\nCSeq: 1 OPTIONS\r\n{lines}\r\n"
    )
}
