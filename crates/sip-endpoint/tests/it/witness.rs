//! What a witness is shown.

use sip_endpoint::{Direction, Transport};

use crate::support::*;

const VIA: &str = "SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bK1;rport";

#[tokio::test]
async fn each_message_is_shown_once_per_passing_and_repetitions_again() {
    let us = Running::new().await;
    let peer = UdpPeer::new().await;
    let request = request_of_peer("OPTIONS", VIA);
    let mut expected = Vec::new();
    for _ in 0..2 {
        peer.send(&request, us.address).await;
        let (response, _) = peer.receive_bytes().await;
        expected.push((Direction::Received, Transport::Udp, request.clone().into()));
        expected.push((Direction::Sent, Transport::Udp, response.into()));
    }
    assert_eq!(us.watcher.with(peer.address), expected);
}

#[tokio::test]
async fn what_is_malformed_is_shown_with_its_answer_and_keep_alives_are_not() {
    let us = Running::new().await;
    let peer = UdpPeer::new().await;
    let short = request_of_peer("OPTIONS", VIA).replace("Content-Length: 0", "Content-Length: 10");
    peer.send("\r\n\r\n", us.address).await;
    peer.send(b"\0\x01\0\0\x21\x12\xa4\x42abcdefghijkl", us.address).await;
    peer.receive_bytes().await;
    peer.send(&short, us.address).await;
    let (answer, _) = peer.receive_bytes().await;
    let expected = [
        (Direction::Received, Transport::Udp, short.into()),
        (Direction::Sent, Transport::Udp, answer.into()),
    ];
    assert_eq!(us.watcher.with(peer.address), expected);
}

#[tokio::test]
async fn messages_of_connections_are_shown_too() {
    let mut us = Running::new().await;
    let listening = TcpListening::new().await;
    us.send("OPTIONS", 0, Transport::Tcp, listening.address);
    let mut peer = listening.accept().await;
    let request = peer.receive().await;
    peer.send(response(&request, 200)).await;
    assert_eq!(us.response().await.status(), Some(200));
    let directions: Vec<_> = us
        .watcher
        .with(listening.address)
        .into_iter()
        .map(|(direction, transport, _)| (direction, transport))
        .collect();
    assert_eq!(directions, [(Direction::Sent, Transport::Tcp), (Direction::Received, Transport::Tcp)]);
}

#[tokio::test]
async fn what_never_left_for_want_of_a_connection_is_not_shown() {
    let mut us = Running::new().await;
    let peer = UdpPeer::new().await;
    us.send("MESSAGE", 1400, Transport::Udp, peer.address);
    let (request, from) = peer.receive().await;
    peer.send(response(&request, 200).bytes(), from).await;
    assert_eq!(us.response().await.status(), Some(200));
    assert_eq!(us.counters.large_requests_back_to_udp.count(), 1, "TCP was tried first");
    let sent: Vec<_> = us
        .watcher
        .with(peer.address)
        .into_iter()
        .filter(|(direction, ..)| *direction == Direction::Sent)
        .collect();
    assert_eq!(sent, [(Direction::Sent, Transport::Udp, request.bytes().clone())]);
}
