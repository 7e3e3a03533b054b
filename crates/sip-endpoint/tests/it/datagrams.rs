//! UDP.

use std::net::SocketAddr;

use sip_endpoint::{Failure, Listen, Transport};
use sip_message::{HeaderId, Rport};

use crate::support::*;

/// TRN-01
#[tokio::test]
async fn a_request_of_60_kilobytes_is_taken() {
    let mut us = Running::new().await;
    let peer = UdpPeer::new().await;
    let body = "v".repeat(60_000);
    let request = request_of_peer("MESSAGE", "SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bK1;rport")
        .replace("Content-Length: 0\r\n\r\n", &format!("Content-Length: 60000\r\n\r\n{body}"));
    peer.send(request, us.address).await;
    let (_, message, _) = us.request().await;
    assert_eq!(message.body(), body.as_bytes());
}

/// TRN-02
#[tokio::test]
async fn a_large_request_goes_by_tcp_and_its_via_says_so() {
    let mut us = Running::new().await;
    let peer = TcpListening::new().await;
    us.send("MESSAGE", 1400, Transport::Udp, peer.address);
    let mut connection = peer.accept().await;
    let request = connection.receive().await;
    let via = request.top_via().unwrap();
    assert_eq!(via.transport, "TCP");
    assert_eq!(via.port, Some(us.address.port()), "the port that listens, not the one it left by");
    connection.send(response(&request, 200)).await;
    assert_eq!(us.response().await.status(), Some(200));
    assert_eq!(us.counters.large_requests_by_tcp.count(), 1);
}

/// TRN-02
#[tokio::test]
async fn a_large_request_comes_back_to_udp_when_tcp_is_refused() {
    let mut us = Running::new().await;
    let peer = UdpPeer::new().await;
    us.send("MESSAGE", 1400, Transport::Udp, peer.address);
    let (request, from) = peer.receive().await;
    assert_eq!(request.top_via().unwrap().transport, "UDP");
    assert!(request.bytes().len() > 1400);
    peer.send(response(&request, 200).bytes(), from).await;
    assert_eq!(us.response().await.status(), Some(200));
    assert_eq!(us.counters.large_requests_back_to_udp.count(), 1);
    us.send("MESSAGE", 1400, Transport::Udp, peer.address);
    peer.receive().await;
    assert_eq!(us.counters.large_requests_by_tcp.count(), 1, "the refusal is remembered");
}

/// TRN-02
///
/// The refusal comes from another thread, here while the driver is still busy with the round in which the request began.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_request_comes_back_to_udp_however_fast_tcp_is_refused() {
    let mut us = Running::new().await;
    let peer = UdpPeer::new().await;
    let address = peer.address;
    us.order(move |cx| {
        let hop = cx.hop_to(Transport::Udp, address).unwrap();
        let request = request_of_ours(cx, "MESSAGE", 1400, hop);
        cx.send_request(request, hop).unwrap();
        // The runtime keeps the newest task for its own thread: now another one may take the connection's.
        drop(tokio::spawn(async {}));
        for _ in 0..200 {
            std::net::TcpStream::connect(address).unwrap_err();
        }
        None
    });
    let (request, from) = peer.receive().await;
    peer.send(response(&request, 200).bytes(), from).await;
    assert_eq!(us.response().await.status(), Some(200));
    assert_eq!(us.counters.large_requests_back_to_udp.count(), 1);
}

/// TRN-02
#[tokio::test]
async fn a_large_request_on_a_flow_stays_on_it() {
    let us = Running::new().await;
    let peer = UdpPeer::new().await;
    let address = peer.address;
    us.order(move |cx| {
        let hop = cx.hop_to(Transport::Udp, address).unwrap();
        let request = request_of_ours(cx, "MESSAGE", 2000, hop);
        cx.send_request_on_flow(request, hop).unwrap();
        None
    });
    let (request, _) = peer.receive().await;
    assert!(request.bytes().len() > 2000);
    assert_eq!(us.counters.large_requests_by_tcp.count(), 0);
}

/// TRN-03
#[tokio::test]
async fn a_response_with_a_via_that_is_not_ours_reaches_no_transaction() {
    let mut us = Running::new().await;
    let peer = UdpPeer::new().await;
    us.send("OPTIONS", 0, Transport::Udp, peer.address);
    let (request, from) = peer.receive().await;
    let real = response(&request, 200);
    let own = format!("127.0.0.1:{}", us.address.port());
    let forged = String::from_utf8(real.bytes().to_vec()).unwrap().replacen(&own, "198.51.100.1:5060", 1);
    peer.send(forged.replacen("200 OK", "603 Decline", 1), from).await;
    peer.send(real.bytes(), from).await;
    assert_eq!(us.response().await.status(), Some(200));
    assert_eq!(us.counters.foreign_responses.count(), 1);
}

/// TRN-03, TXN-14
#[tokio::test]
async fn a_response_to_nothing_is_counted_and_goes_nowhere() {
    let mut us = Running::new().await;
    let peer = UdpPeer::new().await;
    let via = format!("SIP/2.0/UDP 127.0.0.1:{};branch=z9hG4bKnever", us.address.port());
    let never_sent = message(request_of_peer("OPTIONS", &via));
    peer.send(response(&never_sent, 200).bytes(), us.address).await;
    assert!(matches!(us.told().await, Told::Stray));
    assert_eq!(us.counters.stray_responses.count(), 1);
}

/// TRN-04
#[tokio::test]
async fn received_is_added_when_sent_by_is_a_name_or_another_address() {
    let mut us = Running::new().await;
    let peer = UdpPeer::new().await;
    for (sent_by, received) in
        [("client.example", Some("127.0.0.1")), ("192.0.2.77", Some("127.0.0.1")), ("127.0.0.1", None)]
    {
        let via = format!("SIP/2.0/UDP {sent_by}:{};branch=z9hG4bK-{sent_by}", peer.address.port());
        peer.send(request_of_peer("OPTIONS", &via), us.address).await;
        let (response, _) = peer.receive().await;
        assert_eq!(response.top_via().unwrap().received, received, "{sent_by}");
        us.request().await;
    }
}

/// TRN-05
#[tokio::test]
async fn a_response_returns_to_the_source_port_when_rport_asks_for_it() {
    let us = Running::new().await;
    let peer = UdpPeer::new().await;
    peer.send(request_of_peer("OPTIONS", "SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bK1;rport"), us.address).await;
    let (response, from) = peer.receive().await;
    assert_eq!(response.status(), Some(200));
    assert_eq!(from, us.address, "the answer leaves from the socket that the request came to");
    let via = response.top_via().unwrap();
    assert_eq!(via.rport, Rport::Port(peer.address.port()));
    assert_eq!(via.received, Some("127.0.0.1"));
}

/// TRN-05
#[tokio::test]
async fn without_rport_a_response_goes_to_the_port_of_the_via() {
    let mut us = Running::new().await;
    let (peer, elsewhere) = (UdpPeer::new().await, UdpPeer::new().await);
    let via = format!("SIP/2.0/UDP 127.0.0.1:{};branch=z9hG4bK1", elsewhere.address.port());
    peer.send(request_of_peer("OPTIONS", &via), us.address).await;
    let (response, _) = elsewhere.receive().await;
    assert_eq!(response.status(), Some(200));
    let (_, _, arrival) = us.request().await;
    assert_eq!(arrival.source, peer.address);
    assert_ne!(arrival.flow, arrival.hop, "the flow is where it came from, not where the answer went");
}

/// TRN-05
#[tokio::test]
async fn a_request_of_ours_asks_for_rport_and_gets_its_response() {
    let mut us = Running::new().await;
    let peer = UdpPeer::new().await;
    us.send("OPTIONS", 0, Transport::Udp, peer.address);
    let (request, from) = peer.receive().await;
    assert_eq!(from, us.address);
    let via = request.top_via().unwrap();
    assert_eq!(via.rport, Rport::Requested);
    assert_eq!((via.host, via.port), ("127.0.0.1", Some(us.address.port())));
    peer.send(response(&request, 200).bytes(), from).await;
    assert_eq!(us.response().await.status(), Some(200));
}

/// TRN-06
#[tokio::test]
async fn maddr_steers_the_response() {
    let us = Running::new().await;
    let (peer, there) = (UdpPeer::new().await, UdpPeer::at("127.0.0.2:0").await);
    let via = format!("SIP/2.0/UDP 127.0.0.1:{};maddr=127.0.0.2;branch=z9hG4bK1;rport", there.address.port());
    peer.send(request_of_peer("OPTIONS", &via), us.address).await;
    assert_eq!(there.receive().await.0.status(), Some(200));
}

/// TRN-08
#[tokio::test]
async fn a_closed_port_fails_the_request_at_once() {
    for method in ["INVITE", "OPTIONS"] {
        let mut us = Running::new().await;
        let closed = UdpPeer::new().await.address;
        us.send(method, 0, Transport::Udp, closed);
        assert!(matches!(us.failure().await, Failure::NotSent(_)), "{method}");
        assert_eq!(us.counters.datagrams_unreachable.count(), 1);
    }
}

/// TRN-08
#[tokio::test]
async fn a_closed_port_does_not_disturb_what_goes_elsewhere() {
    let mut us = Running::new().await;
    let closed = UdpPeer::new().await.address;
    let peer = UdpPeer::new().await;
    us.send("INVITE", 0, Transport::Udp, closed);
    us.send("OPTIONS", 0, Transport::Udp, peer.address);
    let (request, from) = peer.receive().await;
    peer.send(response(&request, 200).bytes(), from).await;
    assert!(matches!(us.failure().await, Failure::NotSent(_)));
    assert_eq!(us.response().await.status(), Some(200));
}

/// TRN-13
#[tokio::test]
async fn line_ends_before_a_start_line_are_ignored_and_alone_are_a_keep_alive() {
    let us = Running::new().await;
    let peer = UdpPeer::new().await;
    peer.send("\r\n\r\n", us.address).await;
    let options = request_of_peer("OPTIONS", "SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bK1;rport");
    peer.send(format!("\r\n\r\n{options}"), us.address).await;
    assert_eq!(peer.receive().await.0.status(), Some(200));
    assert_eq!(us.counters.keep_alives.count(), 1);
}

/// TRN-14
#[tokio::test]
async fn stun_and_sip_share_the_port() {
    let us = Running::new().await;
    let peer = UdpPeer::new().await;
    let binding = b"\x00\x01\x00\x00\x21\x12\xa4\x42abcdefghijkl";
    peer.send(binding, us.address).await;
    let (answer, _) = peer.receive_bytes().await;
    assert_eq!(answer[..2], [0x01, 0x01]);
    let masked_port = u16::from_be_bytes([answer[26], answer[27]]);
    assert_eq!(masked_port ^ 0x2112, peer.address.port());
    peer.send(request_of_peer("OPTIONS", "SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bK1;rport"), us.address).await;
    assert_eq!(peer.receive().await.0.status(), Some(200));
}

/// TXN-09
#[tokio::test]
async fn a_repeated_request_is_answered_without_the_user() {
    let mut us = Running::new().await;
    let peer = UdpPeer::new().await;
    let options = request_of_peer("OPTIONS", "SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bK1;rport");
    peer.send(&options, us.address).await;
    let (first, _) = peer.receive().await;
    peer.send(&options, us.address).await;
    let (second, _) = peer.receive().await;
    assert_eq!(first, second);
    peer.send(request_of_peer("INFO", "SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bK2;rport"), us.address).await;
    assert_eq!(us.request().await.1.method().as_str(), "OPTIONS");
    assert_eq!(us.request().await.1.method().as_str(), "INFO", "the second OPTIONS was not shown");
}

/// MSG-06
#[tokio::test]
async fn what_is_not_understood_reaches_the_user_unchanged() {
    let mut us = Running::new().await;
    let peer = UdpPeer::new().await;
    let request = request_of_peer("FOO", "SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bK1;rport;weird=1")
        .replace("Max-Forwards: 70", "x-FOO:bar\r\nMax-Forwards: 70");
    peer.send(request, us.address).await;
    let (_, message, _) = us.request().await;
    let via = message.first(HeaderId::Via).unwrap();
    assert!(via.ends_with(b";weird=1") || via.windows(8).any(|part| part == b";weird=1"));
    assert_eq!(message.named("X-Foo").next(), Some(&b"bar"[..]));
}

/// TRN-01: every address of both families, on one port, for UDP and TCP.
#[tokio::test]
async fn every_address_of_both_families_is_served_on_one_port() {
    let old = Running::with(|config| config.listen[0].address = "0.0.0.0:0".parse().unwrap()).await;
    let port = old.address.port();
    let new = Running::with(|config| {
        config.listen[0].address = SocketAddr::new("::".parse().unwrap(), port);
    })
    .await;
    for (us, address) in [(&old, "127.0.0.1"), (&new, "::1")] {
        let at = SocketAddr::new(address.parse().unwrap(), port);
        let mut stream = TcpPeer::connect(at).await;
        stream.send_text(&request_of_peer("OPTIONS", "SIP/2.0/TCP h:9;branch=z9hG4bK1")).await;
        let answer = stream.receive().await;
        assert_eq!(answer.status(), Some(200));
        // As it came: an IPv4 peer by a mapped address would be shown another one.
        assert_eq!(answer.top_via().unwrap().received, Some(address));
        let peer = UdpPeer::at(&SocketAddr::new(at.ip(), 0).to_string()).await;
        peer.send(request_of_peer("OPTIONS", "SIP/2.0/UDP h:9;branch=z9hG4bK2;rport"), at).await;
        assert_eq!(peer.receive().await.0.status(), Some(200));
        assert_eq!(us.counters.stream_messages_received.count(), 1, "by the listener of its own family");
    }
}

/// TRN-01
#[tokio::test]
async fn ipv6_is_served_beside_ipv4() {
    let us = Running::with(|config| {
        let address = "[::1]:0".parse().unwrap();
        config.listen.insert(0, Listen { address, advertise: None });
    })
    .await;
    assert!(us.address.is_ipv6());
    let peer = UdpPeer::at("[::1]:0").await;
    let via = format!("SIP/2.0/UDP [::1]:{};branch=z9hG4bK1", peer.address.port());
    peer.send(request_of_peer("OPTIONS", &via), us.address).await;
    let (response, _) = peer.receive().await;
    assert_eq!(response.top_via().unwrap().received, None, "the address is the one written");
    us.send("INFO", 0, Transport::Udp, peer.address);
    let (request, from) = peer.receive().await;
    assert_eq!(from, us.address);
    assert_eq!(request.top_via().unwrap().host, "[::1]");
    let old_family = UdpPeer::new().await;
    us.send("INFO", 0, Transport::Udp, old_family.address);
    assert_eq!(old_family.receive().await.0.top_via().unwrap().host, "127.0.0.1");
}

/// TRN-03
#[tokio::test]
async fn the_advertised_name_stands_in_the_via_and_is_recognised() {
    let mut us = Running::with(|config| config.listen[0].advertise = Some("edge.example".to_owned())).await;
    let peer = UdpPeer::new().await;
    us.send("OPTIONS", 0, Transport::Udp, peer.address);
    let (request, from) = peer.receive().await;
    let via = request.top_via().unwrap();
    assert_eq!((via.host, via.port), ("edge.example", Some(us.address.port())));
    peer.send(response(&request, 200).bytes(), from).await;
    assert_eq!(us.response().await.status(), Some(200));
}

/// What the kernel drops because nobody took it in time is counted.
#[tokio::test]
async fn datagrams_that_came_too_fast_are_counted() {
    let us = Running::with(|config| config.socket_buffer = 4096).await;
    let peer = UdpPeer::new().await;
    // The loop shares this thread: it takes nothing until we wait for something.
    let flood = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let sent = 2000;
    for _ in 0..sent {
        flood.send_to(&[b'x'; 1000], us.address).unwrap();
    }
    while us.counters.datagrams_received.count() == 0 {
        tokio::task::yield_now().await;
    }
    let via = "SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bK1;rport";
    peer.send(request_of_peer("OPTIONS", via), us.address).await;
    assert_eq!(peer.receive().await.0.status(), Some(200));
    assert_eq!(us.counters.datagrams_received.count() + us.counters.datagrams_overrun.count(), sent + 1);
    assert_eq!(us.counters.datagrams_sent.count(), 1);
}
