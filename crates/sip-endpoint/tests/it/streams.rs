//! TCP.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use sip_endpoint::{Answer, Dns, DnsError, Failure, FlowEnd, ServerKey, Srv, Transport};
use sip_message::Message;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpSocket;

use crate::support::*;

fn options(branch: &str) -> String {
    request_of_peer("OPTIONS", &format!("SIP/2.0/TCP 127.0.0.1:9;branch={branch}"))
}

/// TRN-01, TRN-07
#[tokio::test]
async fn two_requests_in_one_segment_are_both_answered() {
    let us = Running::new().await;
    let mut peer = TcpPeer::connect(us.address).await;
    peer.send_text(&format!("{}{}", options("z9hG4bK1"), options("z9hG4bK2"))).await;
    for branch in ["z9hG4bK1", "z9hG4bK2"] {
        let response = peer.receive().await;
        assert_eq!(response.status(), Some(200));
        assert_eq!(response.top_via().unwrap().branch, Some(branch));
    }
}

/// TRN-07
#[tokio::test]
async fn one_request_in_many_segments_is_answered_once() {
    let us = Running::new().await;
    let mut peer = TcpPeer::connect(us.address).await;
    for part in options("z9hG4bK1").as_bytes().chunks(5) {
        peer.stream.write_all(part).await.unwrap();
        peer.stream.flush().await.unwrap();
    }
    assert_eq!(peer.receive().await.status(), Some(200));
    assert_eq!(us.counters.stream_messages_received.count(), 1);
}

/// T14, TRN-09: it never comes to the end of a line, and both sides would wait; also behind keep-alives and whole messages.
#[tokio::test]
async fn who_begins_tls_where_none_is_spoken_is_sent_away_at_once() {
    for (said, at, is_answered) in [("", 0, false), ("\r\n\r\n", 2, false), (&*options("z9hG4bK1"), 0, true)]
    {
        let mut us = Running::new().await;
        let mut peer = TcpPeer::connect(us.address).await;
        peer.send_text(said).await;
        peer.read_exactly(at).await;
        if is_answered {
            assert_eq!(peer.receive().await.status(), Some(200));
        }
        peer.stream.write_all(&[0x16]).await.unwrap();
        assert!(peer.is_closed().await);
        assert_eq!(us.counters.tls_at_plain_ports.count(), 1);
        assert_eq!(us.counters.connections_garbled.count(), 1);
        loop {
            if let Told::Closed(_, end) = us.told().await {
                break assert_eq!(end, FlowEnd::Ours, "not the time of a message");
            }
        }
    }
}

/// TRN-13
#[tokio::test]
async fn each_double_line_end_is_answered_with_one_line_end() {
    let us = Running::new().await;
    let mut peer = TcpPeer::connect(us.address).await;
    for _ in 0..10 {
        peer.send_text("\r\n\r\n").await;
        assert_eq!(peer.read_exactly(2).await, b"\r\n");
    }
    peer.send_text(&format!("\r\n{}", options("z9hG4bK1"))).await;
    assert_eq!(peer.receive().await.status(), Some(200));
    assert_eq!(us.counters.keep_alives.count(), 10);
}

/// TRN-06
#[tokio::test]
async fn a_response_whose_connection_is_gone_takes_a_new_one_to_the_port_of_the_via() {
    let mut us = Running::new().await;
    let listening = TcpListening::new().await;
    let via = format!("SIP/2.0/TCP client.example:{};branch=z9hG4bK1", listening.address.port());
    let (key, request) = invite_of_one_who_leaves(&mut us, &via).await;
    us.respond(key, request, 200);
    let mut again = listening.accept().await;
    assert_eq!(again.receive().await.status(), Some(200));
    assert_eq!(us.counters.responses_rerouted.count(), 1);
}

/// Answers for one name alone.
struct OneName(Vec<IpAddr>);

impl Dns for OneName {
    fn addresses<'a>(&'a self, host: &'a str) -> Answer<'a, Vec<IpAddr>> {
        let found = if host == "client.example" { Ok(self.0.clone()) } else { Err(DnsError::NoSuchHost) };
        Box::pin(async move {
            // as a name server takes its time
            tokio::task::yield_now().await;
            found
        })
    }
}

/// A port that is refused at 127.0.0.1, and a listener with the same port at 127.0.0.2.
async fn refused_here_and_taken_there() -> (TcpSocket, TcpListening) {
    refused_here_and_taken_at("127.0.0.2").await
}

/// The same with a listener elsewhere.
async fn refused_here_and_taken_at(there: &str) -> (TcpSocket, TcpListening) {
    loop {
        let refused = TcpSocket::new_v4().unwrap();
        refused.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let port = refused.local_addr().unwrap().port();
        if let Ok(listening) = TcpListening::at((there, port)).await {
            return (refused, listening);
        }
    }
}

/// TRN-06: nobody listens at the source, so the name or number of sent-by is asked for, and each of its addresses is tried.
#[tokio::test]
async fn a_response_that_its_source_does_not_take_goes_where_sent_by_leads() {
    for sent_by in ["client.example", "127.0.0.2"] {
        let (refused, listening) = refused_here_and_taken_there().await;
        let addresses = ["127.0.0.1", "127.0.0.3", "127.0.0.2"].map(|ip| ip.parse().unwrap());
        let mut us = Running::resolving(Arc::new(OneName(addresses.to_vec())), |_| {}).await;
        let via = format!("SIP/2.0/TCP {sent_by}:{};branch=z9hG4bK1", listening.address.port());
        let (key, request) = invite_of_one_who_leaves(&mut us, &via).await;
        assert_eq!(request.top_via().unwrap().received, Some("127.0.0.1"));
        us.respond(key, request, 200);
        let mut again = listening.accept().await;
        assert_eq!(again.receive().await.status(), Some(200), "{sent_by}");
        let tries = if sent_by == "client.example" { 2 } else { 1 };
        assert_eq!(us.counters.connections_failed.count(), tries, "the source is tried once, and first");
        drop(refused);
    }
}

/// TRN-06, PXY-27: a Via leads nobody to where the user lets nobody go, by
/// number or by name.
#[tokio::test]
async fn a_response_goes_nowhere_off_limits() {
    let closed = OFF_LIMITS.to_string();
    let (_refused, listening) = refused_here_and_taken_at(&closed).await;
    for (addresses, sent_by) in [(vec![OFF_LIMITS], "client.example"), (vec![], &closed)] {
        let mut us = Running::resolving(Arc::new(OneName(addresses)), |_| {}).await;
        let via = format!("SIP/2.0/TCP {sent_by}:{};branch=z9hG4bK1", listening.address.port());
        let (key, request) = invite_of_one_who_leaves(&mut us, &via).await;
        us.respond(key, request, 486);
        assert_eq!(us.failure().await, Failure::NotAnswered(key), "{sent_by}");
        assert_eq!(us.counters.connections_opened.count(), 0, "{sent_by}");
        assert_eq!(us.counters.connections_failed.count(), 1, "the source alone was tried: {sent_by}");
    }
}

/// TRN-06: a sent-by that leads nowhere ends the search, and the user hears of it.
#[tokio::test]
async fn a_response_whose_sent_by_nobody_knows_is_reported() {
    let (_refused, listening) = refused_here_and_taken_there().await;
    for (addresses, sent_by) in
        [(vec![], "client.example"), (vec![], "unknown.example"), (vec!["127.0.0.3"], "client.example")]
    {
        let addresses = addresses.into_iter().map(|ip| ip.parse().unwrap()).collect();
        let mut us = Running::resolving(Arc::new(OneName(addresses)), |_| {}).await;
        let via = format!("SIP/2.0/TCP {sent_by}:{};branch=z9hG4bK1", listening.address.port());
        let (key, request) = invite_of_one_who_leaves(&mut us, &via).await;
        us.respond(key, request, 486);
        assert_eq!(us.failure().await, Failure::NotAnswered(key), "{sent_by}");
    }
}

/// TRN-06, TXN-15
#[tokio::test]
async fn a_response_that_nobody_takes_is_reported_and_the_transaction_lives() {
    let mut us = Running::new().await;
    let nobody = TcpListening::new().await.address;
    let via = format!("SIP/2.0/TCP 127.0.0.1:{};branch=z9hG4bK1", nobody.port());
    let (key, request) = invite_of_one_who_leaves(&mut us, &via).await;
    us.respond(key, request, 486);
    assert_eq!(us.failure().await, Failure::NotAnswered(key));
    let mut peer = TcpPeer::connect(us.address).await;
    peer.send_text(&request_of_peer("INVITE", &via)).await;
    assert_eq!(peer.receive().await.status(), Some(486), "the same transaction, by its new connection");
}

/// TRN-08
#[tokio::test]
async fn a_refused_connection_fails_every_request_that_waited_for_it() {
    let mut us = Running::new().await;
    let nobody = TcpListening::new().await.address;
    us.order(move |cx| {
        let hop = cx.hop_to(Transport::Tcp, nobody).unwrap();
        let (one, two) = (request_of_ours(cx, "OPTIONS", 0, hop), request_of_ours(cx, "INVITE", 0, hop));
        cx.send_request(one, hop).unwrap();
        cx.send_request(two, hop).unwrap();
        None
    });
    assert!(matches!(us.failure().await, Failure::NotSent(_)));
    assert!(matches!(us.failure().await, Failure::NotSent(_)));
    assert_eq!(us.counters.connections_failed.count(), 1);
}

/// OBD-05: no timer runs after a provisional response, and no other way leads back.
#[tokio::test]
async fn requests_that_wait_for_their_response_end_with_the_connection() {
    let mut us = Running::new().await;
    let mut peer = TcpPeer::connect(us.address).await;
    peer.send_text(&options("z9hG4bK1")).await;
    peer.receive().await;
    let (_, _, arrival) = us.request().await;
    for (method, status) in
        [("INVITE", 180), ("OPTIONS", 100), ("INVITE", 486), ("INVITE", 200), ("OPTIONS", 200)]
    {
        us.send(method, 0, Transport::Tcp, arrival.source);
        let request = peer.receive().await;
        peer.send(response(&request, status)).await;
        assert_eq!(us.response().await.status(), Some(status));
        if status == 486 {
            assert_eq!(peer.receive().await.method_str(), "ACK");
        }
    }
    drop(peer);
    assert!(matches!(us.failure().await, Failure::NotSent(_)));
    assert!(matches!(us.failure().await, Failure::NotSent(_)));
    loop {
        match us.told().await {
            Told::Failure(failure) => panic!("{failure:?} of one that was answered"),
            Told::Closed(..) => break,
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_connection_that_is_there_is_used_again_in_both_directions() {
    let mut us = Running::new().await;
    let mut peer = TcpPeer::connect(us.address).await;
    peer.send_text(&options("z9hG4bK1")).await;
    peer.receive().await;
    let (_, _, arrival) = us.request().await;
    us.send("OPTIONS", 0, Transport::Tcp, arrival.source);
    let request = peer.receive().await;
    peer.send(response(&request, 200)).await;
    assert_eq!(us.response().await.status(), Some(200));
    assert_eq!(us.counters.connections_opened.count(), 0);
}

#[tokio::test]
async fn a_peer_that_does_not_finish_its_message_is_disconnected() {
    let mut us = Running::with(|config| config.message_timeout = Duration::from_millis(50)).await;
    let mut peer = TcpPeer::connect(us.address).await;
    peer.send_text("OPTIONS sip:us").await;
    assert!(peer.is_closed().await);
    let end = loop {
        if let Told::Closed(_, end) = us.told().await {
            break end;
        }
    };
    assert_eq!(end, FlowEnd::Unfinished);
}

#[tokio::test]
async fn a_silent_connection_is_closed_after_its_time() {
    let mut us = Running::with(|config| config.idle_timeout = Duration::from_millis(50)).await;
    let mut peer = TcpPeer::connect(us.address).await;
    peer.send_text(&options("z9hG4bK1")).await;
    peer.receive().await;
    assert!(peer.is_closed().await);
    let end = loop {
        if let Told::Closed(_, end) = us.told().await {
            break end;
        }
    };
    assert_eq!(end, FlowEnd::Idle);
}

#[tokio::test]
async fn connections_beyond_the_bound_are_turned_away_and_room_is_found_again() {
    let mut us = Running::with(|config| config.max_connections_per_address = 1).await;
    let first = TcpPeer::connect(us.address).await;
    let first_flow = loop {
        if let Told::Opened(flow) = us.told().await {
            break flow;
        }
    };
    let mut second = TcpPeer::connect(us.address).await;
    assert!(second.is_closed().await);
    assert_eq!(us.counters.connections_refused.count(), 1);
    drop(first);
    while !matches!(us.told().await, Told::Closed(flow, _) if flow == first_flow) {}
    let mut third = TcpPeer::connect(us.address).await;
    third.send_text(&options("z9hG4bK1")).await;
    assert_eq!(third.receive().await.status(), Some(200));
}

#[tokio::test]
async fn a_peer_that_does_not_read_loses_its_connection_and_holds_up_nobody() {
    let mut us = Running::with(|config| config.max_queued_per_connection = 4).await;
    let mut slow = TcpPeer::connect(us.address).await;
    slow.send_text(&options("z9hG4bK1")).await;
    let (_, _, arrival) = us.request().await;
    us.order(move |cx| {
        // More than any pair of socket buffers holds.
        let request = request_of_ours(cx, "MESSAGE", 15_000, arrival.hop);
        for _ in 0..100_000 {
            cx.send_statelessly(&request, arrival.hop);
            if !cx.is_alive(arrival.hop) {
                break;
            }
        }
        None
    });
    let mut other = TcpPeer::connect(us.address).await;
    other.send_text(&options("z9hG4bK2")).await;
    assert_eq!(other.receive().await.status(), Some(200));
    let end = loop {
        if let Told::Closed(_, end) = us.told().await {
            break end;
        }
    };
    assert_eq!(end, FlowEnd::TooSlow);
}

/// Answers for one SRV name and one host.
struct OneService(&'static str, u16);

impl Dns for OneService {
    fn addresses<'a>(&'a self, host: &'a str) -> Answer<'a, Vec<IpAddr>> {
        let found = match host {
            "machine.example" => Ok(vec![IpAddr::from([127, 0, 0, 2])]),
            _ => Err(DnsError::NoSuchHost),
        };
        Box::pin(async move { found })
    }

    fn services<'a>(&'a self, name: &'a str) -> Answer<'a, Vec<Srv>> {
        let record = Srv { priority: 1, weight: 1, port: self.1, host: "machine.example".into() };
        let found = if name == self.0 { Ok(vec![record]) } else { Err(DnsError::NoSuchHost) };
        Box::pin(async move { found })
    }
}

/// TRN-06: RFC 3263 5: a sent-by without a port is looked up by the SRV records of the transport of its Via.
#[tokio::test]
async fn a_sent_by_without_a_port_leads_where_its_srv_records_say() {
    let listening = TcpListening::at(("127.0.0.2", 0)).await.unwrap();
    let dns = OneService("_sip._tcp.client.example", listening.address.port());
    let mut us = Running::resolving(Arc::new(dns), |_| {}).await;
    // Its own address takes no connection at the port that a Via without one means.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.77:0".parse().unwrap()).unwrap();
    let mut peer = TcpPeer::over(socket.connect(us.address).await.unwrap());
    peer.send_text(&request_of_peer("INVITE", "SIP/2.0/TCP client.example;branch=z9hG4bK1")).await;
    let (key, request, arrival) = us.request().await;
    assert_eq!(request.top_via().unwrap().received, Some("127.0.0.77"));
    drop(peer);
    while !matches!(us.told().await, Told::Closed(flow, FlowEnd::Peer) if Some(flow) == arrival.hop.flow()) {}
    us.respond(key, request, 200);
    let mut again = listening.accept().await;
    assert_eq!(again.receive().await.status(), Some(200));
}

/// An INVITE of a peer whose connection has ended before it is answered.
async fn invite_of_one_who_leaves(us: &mut Running, via: &str) -> (ServerKey, Message) {
    let mut peer = TcpPeer::connect(us.address).await;
    peer.send_text(&request_of_peer("INVITE", via)).await;
    let (key, request, arrival) = us.request().await;
    drop(peer);
    while !matches!(us.told().await, Told::Closed(flow, FlowEnd::Peer) if Some(flow) == arrival.hop.flow()) {}
    (key, request)
}
