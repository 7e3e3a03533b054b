//! What a proxy does with every request: parse, read the routing keys, forward.

use bytes::Bytes;
use sip_message::{HeaderId, Limits, Message, Uri};

/// An INVITE of 560 bytes, body included.
pub const INVITE: &str = "INVITE sip:bob@biloxi.example.com SIP/2.0\r\n\
Via: SIP/2.0/UDP client.atlanta.example.com:5060;branch=z9hG4bK74bf9;rport\r\n\
Max-Forwards: 70\r\n\
From: Alice <sip:alice@atlanta.example.com>;tag=9fxced76sl\r\n\
To: Bob <sip:bob@biloxi.example.com>\r\n\
Call-ID: 3848276298220188511@atlanta.example.com\r\n\
CSeq: 1 INVITE\r\n\
Contact: <sip:alice@client.atlanta.example.com>\r\n\
User-Agent: phone2\r\n\
Content-Type: application/sdp\r\n\
Content-Length: 136\r\n\
\r\n\
v=0\r\n\
o=alice 2890844526 2890844526 IN IP4 192.0.2.101\r\n\
s=-\r\n\
c=IN IP4 192.0.2.101\r\n\
t=0 0\r\n\
m=audio 49172 RTP/AVP 0\r\n\
a=rtpmap:0 PCMU/8000\r\n";

/// Parses `datagram`, reads what transactions and routing need, and writes the forwarded request
/// into `out`. The result depends on every field that was read.
pub fn forward(datagram: Bytes, limits: &Limits, out: &mut Vec<u8>) -> usize {
    let message = Message::parse(datagram, limits).expect("the datagram is a message");
    let fields = message.essentials().expect("its mandatory fields are in order");
    let target = message.request_uri().map(Uri::parse).expect("it is a request").expect("its URI is good");
    let routed = message.routes().next().is_some();
    let hops = fields.max_forwards.unwrap_or(70).saturating_sub(1);
    let keys = fields.via.branch.map_or(0, str::len)
        + fields.from.tag().map_or(0, str::len)
        + fields.to.tag().map_or(0, str::len)
        + fields.call_id.len()
        + fields.cseq.number as usize
        + target.host.len()
        + usize::from(routed);

    let mut edit = message.edit();
    edit.push_front_parts(
        HeaderId::Via,
        &[b"SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK", &hex(keys), b";rport"],
    )
    .push_front(HeaderId::RecordRoute, "<sip:192.0.2.1:5060;lr;ftag=9fxced76sl>")
    .replace_first_number(HeaderId::MaxForwards, hops);
    out.clear();
    edit.write_to(out).expect("nothing in it may not go out");
    out.len()
}

fn hex(number: usize) -> [u8; 16] {
    std::array::from_fn(|digit| b"0123456789abcdef"[number >> (60 - 4 * digit) & 15])
}
