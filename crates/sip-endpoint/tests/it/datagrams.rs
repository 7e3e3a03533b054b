//! UDP.

use sip_endpoint::{Failure, Transport};
use sip_message::{HeaderId, Message, ResponseBuilder, Rport};

use crate::support::*;

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

/// TRN-08
#[tokio::test]
async fn a_closed_port_fails_the_request_at_once() {
    let mut us = Running::new().await;
    let closed = UdpPeer::new().await.address;
    us.send("OPTIONS", 0, Transport::Udp, closed);
    assert!(matches!(us.failure().await, Failure::NotSent(_)));
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
    peer.send(answer(&request, 200), from).await;
    assert_eq!(us.response().await.status(), Some(200));
}

fn answer(request: &Message, status: u16) -> Vec<u8> {
    assert!(request.has(HeaderId::Via));
    ResponseBuilder::to(request, status).to_tag("peer").unwrap().build().bytes().to_vec()
}
