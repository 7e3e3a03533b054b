use sip_endpoint::{Hop, SocketId};
use sip_message::Limits;

use super::*;

/// Transport, source, the Via behind the transport, Contact, and how it is reached.
type Row = (Transport, &'static str, &'static str, &'static str, Reach);

fn reach(transport: Transport, source: &str, via: &str, contact: &str, headers: &str) -> Reach {
    let text = format!(
        "REGISTER sip:h SIP/2.0\r\nVia: SIP/2.0/{} {via};branch=z9hG4bK1\r\nTo: <sip:a@h>\r\nCSeq: 1 REGISTER\r\n\
         Call-ID: c\r\n{headers}Content-Length: 0\r\n\r\n",
        transport.as_str()
    );
    let request = Message::parse(text.into_bytes().into(), &Limits::default()).unwrap();
    let source: SocketAddr = source.parse().unwrap();
    let hop = Hop::Udp { socket: SocketId(0), peer: source };
    let request = request.edit().mark_received(source.ip(), source.port()).finish().unwrap();
    let arrival = Arrival { hop, flow: hop, source, local: source, transport };
    let sender = Sender::of(&request, &arrival)
        .registering(Some(request.from().unwrap().uri), Some(request.to().unwrap().uri));
    sender.reach(&Uri::parse(contact.as_bytes()).unwrap(), false)
}

const OWN: &str = "From: <sip:a@h>;tag=f\r\n";

/// OBD-05, TRN-09, TRN-12
#[test]
fn the_uri_counts_unless_there_is_evidence_against_it() {
    use Reach::{Flow, Uri};
    use Transport::{Tcp, Tls, Udp, Ws};
    let rows: [Row; 44] = [
        // One socket for everything: both ways are the same.
        (Udp, "192.0.2.7:5060", "192.0.2.7", "sip:a@192.0.2.7", Flow),
        (Udp, "192.0.2.7:5070", "192.0.2.7:5070;rport", "sip:a@192.0.2.7:5070", Flow),
        (Udp, "[2001:db8::7]:5060", "[2001:db8::7]", "sip:a@[2001:DB8:0::7]", Flow),
        // One socket sends, another one listens.
        (Udp, "192.0.2.7:40000", "192.0.2.7:5060", "sip:a@192.0.2.7", Uri),
        (Udp, "192.0.2.7:40000", "192.0.2.7:40000;rport", "sip:a@192.0.2.7:5060", Uri),
        (Udp, "192.0.2.7:5060", "192.0.2.7:5060;rport", "sip:a@192.0.2.7:5062", Uri),
        (Udp, "192.0.2.7:5060", "192.0.2.7:5060", "sip:a@192.0.2.7;transport=tcp", Uri),
        // The phone listens at another address.
        (Udp, "192.0.2.7:5060", "192.0.2.7", "sip:a@192.0.2.8", Uri),
        (Udp, "192.0.2.7:5060", "192.0.2.7;rport", "sip:a@192.0.2.8:5070", Uri),
        (Udp, "10.0.0.7:5060", "10.0.0.7", "sip:a@10.0.0.8", Uri),
        (Udp, "10.0.0.7:5060", "10.0.0.7", "sip:a@192.0.2.8", Uri),
        (Udp, "127.0.0.1:5060", "127.0.0.1", "sip:a@127.0.0.2:5060", Uri),
        // A NAT changed the address.
        (Udp, "192.0.2.7:40000", "10.0.0.5:5060;rport", "sip:a@10.0.0.5:5060", Flow),
        (Udp, "192.0.2.7:40000", "10.0.0.5:5060", "sip:a@10.0.0.5:5060", Flow),
        (Udp, "192.0.2.7:40000", "10.0.0.5;rport", "sip:a@10.0.0.9", Flow),
        (Udp, "10.9.0.1:40000", "10.0.0.5;rport", "sip:a@10.0.0.5", Flow),
        (Udp, "192.0.2.7:40000", "10.0.0.5;rport", "sip:a@phone.local", Flow),
        (Udp, "192.0.2.7:40000", "10.0.0.5;rport", "sip:a@10.0.0.5;transport=tcp", Flow),
        // A NAT hides the address, though Via was made to look well.
        (Udp, "192.0.2.7:5060", "192.0.2.7", "sip:a@10.0.0.5", Flow),
        (Udp, "192.0.2.7:5060", "phone.example", "sip:a@100.64.0.5", Flow),
        (Udp, "10.0.0.7:5060", "10.0.0.7", "sip:a@127.0.0.1", Flow),
        (Udp, "[2001:db8::7]:5060", "[2001:db8::7]", "sip:a@[fd00::1]", Flow),
        // A NAT changed the port only.
        (Udp, "192.0.2.7:40000", "192.0.2.7:5060;rport", "sip:a@192.0.2.7:5060", Flow),
        // Behind a NAT, and the Contact is where it can be reached all the same.
        (Udp, "192.0.2.7:40000", "10.0.0.5;rport", "sip:a@192.0.2.7:40000", Flow),
        (Udp, "192.0.2.7:40000", "10.0.0.5;rport", "sip:a@192.0.2.7:5070", Uri),
        (Udp, "192.0.2.7:40000", "10.0.0.5;rport", "sip:a@198.51.100.1", Uri),
        // Names.
        (Udp, "192.0.2.7:5060", "phone.example", "sip:a@Phone.example", Flow),
        (Udp, "192.0.2.7:5060", "phone.example", "sip:a@phone.example:5070", Uri),
        (Udp, "192.0.2.7:5060", "192.0.2.7", "sip:a@phone.example", Uri),
        (Udp, "192.0.2.7:5060", "192.0.2.7", "sip:a@x.invalid", Flow),
        // maddr stands for the host.
        (Udp, "192.0.2.7:5060", "192.0.2.7", "sip:a@phone.example;maddr=192.0.2.7", Flow),
        (Udp, "192.0.2.7:5060", "192.0.2.7", "sip:a@192.0.2.7;maddr=192.0.2.9", Uri),
        // What the sender asks for.
        (Udp, "192.0.2.7:40000", "192.0.2.7:40000", "sip:a@192.0.2.8;ob", Flow),
        // A clear datagram is no way to a sips URI, and nothing is one to a transport that nobody knows.
        (Udp, "192.0.2.7:5060", "192.0.2.7", "sips:a@192.0.2.7", Uri),
        (Udp, "192.0.2.7:5060", "192.0.2.7", "sip:a@192.0.2.7;transport=sctp", Uri),
        (Udp, "192.0.2.7:5060", "192.0.2.7", "mailto:a@h", Uri),
        // Connections.
        (Tcp, "192.0.2.7:40000", "192.0.2.7:5060", "sip:a@192.0.2.7;transport=tcp", Flow),
        (Tcp, "192.0.2.7:40000", "192.0.2.7:5060", "sip:a@192.0.2.7:5070", Flow),
        (Tcp, "192.0.2.7:40000", "192.0.2.7:5060", "sip:a@phone.example", Flow),
        (Tcp, "192.0.2.7:40000", "192.0.2.7:5060", "sip:a@192.0.2.7:5070;transport=udp", Uri),
        (Tcp, "192.0.2.7:40000", "192.0.2.7:5060", "sip:a@192.0.2.8;transport=tcp", Uri),
        (Tcp, "192.0.2.7:40000", "10.0.0.5:5060", "sip:a@10.0.0.5;transport=tcp", Flow),
        (Tls, "192.0.2.7:40000", "192.0.2.7", "sips:a@192.0.2.8", Flow),
        (Ws, "192.0.2.7:40000", "x.invalid", "sip:a@192.0.2.8;transport=ws", Flow),
    ];
    for (transport, source, via, contact, expected) in rows {
        assert_eq!(
            reach(transport, source, via, contact, OWN),
            expected,
            "{transport:?} {source} {via} {contact}"
        );
    }
}

/// RFC 3261 10.2, RFC 3327: the source of the request is not the phone.
#[test]
fn what_somebody_else_sends_says_nothing_about_the_phone() {
    let behind_nat = |headers| {
        reach(Transport::Udp, "192.0.2.7:40000", "10.0.0.5:5060;rport", "sip:a@10.0.0.5:5060;ob", headers)
    };
    assert_eq!(behind_nat(OWN), Reach::Flow);
    for headers in [
        "From: <sip:assistant@h>;tag=f\r\n",
        "From: <sip:a@h>;tag=f\r\nPath: <sip:p.example;lr>\r\n",
        "From: <sip:a@h>;tag=f\r\nVia: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bK0\r\n",
    ] {
        assert_eq!(behind_nat(headers), Reach::Uri, "{headers}");
    }
}
