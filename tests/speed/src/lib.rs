//! The work that a proxy does on every INVITE, by itself: parse, read what routing needs, and write it on with our Via
//! and Record-Route in and Max-Forwards down.
//!
//! `tests/it` counts its allocations (none), `scripts/speed-gate` its instructions, and the executable its time. [`call`] has what is
//! done to the text of a whole call and of a REGISTER.

#![forbid(unsafe_code)]

pub mod call;
pub mod shapes;

use bytes::Bytes;
use sip_message::{HeaderId, Limits, Message};

/// An INVITE of ordinary size with an unusual header, as a phone sends it: 560 octets.
pub const INVITE: &[u8] = b"INVITE sip:bob@biloxi.example.com SIP/2.0\r\n\
Via: SIP/2.0/UDP 192.0.2.101:5060;branch=z9hG4bK74bf9abcdef;rport\r\n\
Max-Forwards: 70\r\n\
From: \"Alice\" <sip:alice@atlanta.example.com>;tag=9fxced76sl\r\n\
To: Bob <sip:bob@biloxi.example.com>\r\n\
Call-ID: 3848276298220188511@atlanta.example.com\r\n\
CSeq: 314159 INVITE\r\n\
Contact: <sip:alice@192.0.2.101:5060>\r\n\
User-Agent: Phone/1.0\r\n\
X-Order: 17;weird=yes\r\n\
Content-Type: application/sdp\r\n\
Content-Length: 125\r\n\r\n\
v=0\r\no=- 1 1 IN IP4 192.0.2.101\r\ns=-\r\nc=IN IP4 192.0.2.101\r\nt=0 0\r\nm=audio 49172 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=sendrecv\r\n";

/// Forwards one request into `out`, which keeps its room, and returns a sum over what routing has read.
///
/// # Panics
/// When [`INVITE`] is no well-formed request: the tests of this crate forward it.
pub fn forward(datagram: &Bytes, limits: &Limits, out: &mut Vec<u8>) -> usize {
    let request = Message::parse(datagram.clone(), limits).expect("the request is well formed");
    let keys = request.essentials().expect("the request has what routing needs");
    let read = keys.call_id.len() + keys.via.branch.map_or(0, str::len) + keys.cseq.number as usize;
    let hops = keys.max_forwards.unwrap_or(70).saturating_sub(1);

    let mut edit = request.edit();
    edit.replace_first_number(HeaderId::MaxForwards, hops)
        .push_front(HeaderId::RecordRoute, "<sip:edge.example.com:5060;lr>")
        .push_front_parts(
            HeaderId::Via,
            &[b"SIP/2.0/UDP edge.example.com:5060;branch=z9hG4bK", &hex(read), b";rport"],
        );
    out.clear();
    edit.write_to(out).expect("nothing that goes in can break a line");
    read
}

fn hex(number: usize) -> [u8; 16] {
    std::array::from_fn(|digit| b"0123456789abcdef"[number >> (60 - 4 * digit) & 15])
}
