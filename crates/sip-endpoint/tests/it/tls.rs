//! TLS: whom we are to whom, and which connection a request takes.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sip_endpoint::{Config, Distrust, Failure, FlowEnd, Hop, ListenStream, Tls, TlsFiles, Transport};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::certificates::Authority;
use crate::support::*;

const DOMAIN: &str = "carillon.example";

fn serve(config: &mut Config, transport: Transport, tls: Arc<Tls>) {
    config.tls = Some(tls);
    let address = "127.0.0.1:0".parse().unwrap();
    config.streams.push(ListenStream { transport, address, advertise: None });
}

/// An endpoint that is these domains, each with a certificate of its own.
async fn serving(authority: &Authority, domains: &[&str]) -> Running {
    let tls = authority.tls(domains.iter().map(|domain| authority.issue(domain, &[domain])).collect());
    Running::with(|config| serve(config, Transport::Tls, tls)).await
}

fn options(via: &str) -> String {
    request_of_peer("OPTIONS", &format!("SIP/2.0/TLS {via};branch=z9hG4bK1"))
}

/// Sends OPTIONS to a server of `domain`, as `ours`.
fn ask(us: &Running, to: SocketAddr, domain: &'static str, ours: &'static str) {
    us.order(move |cx| {
        let hop = cx.hop_to_domain(Transport::Tls, to, domain, ours).expect("a hop");
        let request = request_of_ours(cx, "OPTIONS", 0, hop);
        cx.send_request(request, hop).expect("a request that can be sent");
        None
    });
}

async fn ended(us: &mut Running) -> FlowEnd {
    loop {
        if let Told::Closed(_, end) = us.told().await {
            return end;
        }
    }
}

/// TRN-09
#[tokio::test]
async fn a_request_by_tls_is_answered_by_its_connection_and_keeps_the_name_of_its_transport() {
    let authority = Authority::new();
    let mut us = serving(&authority, &[DOMAIN]).await;
    let mut peer = TcpPeer::over(authority.connect(us.streams[0].1, DOMAIN, None).await);
    peer.send_text(&options("client.invalid")).await;
    let response = peer.receive().await;
    assert_eq!(response.status(), Some(200));
    assert_eq!(response.top_via().unwrap().transport, "TLS");
    let (_, _, arrival) = us.request().await;
    assert_eq!((arrival.transport, arrival.hop), (Transport::Tls, arrival.flow));
    us.order(move |cx| {
        assert!(cx.proved_domains(arrival.flow).is_empty());
        let request = request_of_ours(cx, "OPTIONS", 0, arrival.flow);
        cx.send_request(request, arrival.flow).unwrap();
        None
    });
    let request = peer.receive().await;
    let via = request.top_via().unwrap();
    assert_eq!((via.transport, via.port), ("TLS", Some(us.streams[0].1.port())));
    peer.send(response_to(&request)).await;
    assert_eq!(us.response().await.status(), Some(200));
}

fn response_to(request: &sip_message::Message) -> sip_message::Message {
    response(request, 200)
}

/// SEC-04: each domain has its certificate, and who asks for none gets the first one's.
#[tokio::test]
async fn a_peer_sees_the_certificate_of_the_domain_that_it_asks_for() {
    let authority = Authority::new();
    let us = serving(&authority, &[DOMAIN, "other.example"]).await;
    for domain in [DOMAIN, "other.example"] {
        // The client checks that the certificate has the name that it sent.
        let mut peer = TcpPeer::over(authority.connect(us.streams[0].1, domain, None).await);
        peer.send_text(&options("client.invalid")).await;
        assert_eq!(peer.receive().await.status(), Some(200), "{domain}");
    }
}

/// SEC-02, SEC-04: the server is asked for the domain that resolution began with, and has to prove it, wherever its host is.
#[tokio::test]
async fn a_server_has_to_prove_the_domain_that_is_looked_for() {
    let authority = Authority::new();
    let mut us = serving(&authority, &[DOMAIN]).await;
    let theirs = authority.issue("theirs", &["sip:peer.example", "host7.provider.example"]);
    let second = authority.issue("second", &["second.example"]);
    let tls = authority.tls(vec![theirs, second]);
    let mut them = Running::with(|config| serve(config, Transport::Tls, tls)).await;
    let to = them.streams[0].1;
    ask(&us, to, "peer.example", "");
    assert_eq!(us.response().await.status(), Some(200));
    ask(&us, to, "second.example", "");
    assert_eq!(us.response().await.status(), Some(200));
    assert_eq!(us.counters.connections_opened.count(), 2, "one for each domain");
    // The name of the host is not the domain, although the certificate has it.
    for domain in ["host7.provider.example", "sip.peer.example", "nobody.example"] {
        ask(&us, to, domain, "");
        assert!(matches!(us.failure().await, Failure::NotSent(_)), "{domain}");
    }
    assert_eq!(us.counters.tls_foreign_servers.count(), 3);
    let (_, request, _) = them.request().await;
    let via = request.top_via().unwrap();
    assert!(via.params.has("alias"), "{via:?}");
}

/// SEC-02: an authority that nobody named proves nothing, and a number is no domain.
#[tokio::test]
async fn a_server_of_an_unknown_authority_is_left_and_a_number_is_never_called() {
    let (authority, other) = (Authority::new(), Authority::new());
    let mut us = serving(&authority, &[DOMAIN]).await;
    let them = serving(&other, &["peer.example"]).await;
    let to = them.streams[0].1;
    ask(&us, to, "peer.example", "");
    assert!(matches!(us.failure().await, Failure::NotSent(_)));
    assert_eq!(us.counters.tls_unknown_authorities.count(), 1);
    assert_eq!(us.counters.tls_foreign_servers.count(), 0);
    us.order(move |cx| {
        assert_eq!(cx.hop_to_domain(Transport::Tls, to, "127.0.0.1", ""), None);
        assert_eq!(cx.hop_to(Transport::Tls, to), None);
        Some(Told::Completion("looked"))
    });
    while !matches!(us.told().await, Told::Completion(_)) {}
}

/// SEC-03
#[tokio::test]
async fn a_client_is_the_domains_that_its_certificate_proves_and_nobody_without_one() {
    let authority = Authority::new();
    let mut us = serving(&authority, &[DOMAIN]).await;
    let shown = authority.issue("client", &["sip:peer.example", "sip:peer.example.org"]);
    for (shown, expected) in [(Some(&shown), vec!["peer.example", "peer.example.org"]), (None, vec![])] {
        let mut peer = TcpPeer::over(authority.connect(us.streams[0].1, DOMAIN, shown).await);
        peer.send_text(&options("client.invalid")).await;
        let (_, _, arrival) = us.request().await;
        us.order(move |cx| {
            assert_eq!(
                cx.proved_domains(arrival.flow).iter().map(|name| &**name).collect::<Vec<_>>(),
                expected
            );
            Some(Told::Completion("looked"))
        });
        while !matches!(us.told().await, Told::Completion(_)) {}
    }
    let of_nobody = Authority::new();
    let foreign = of_nobody.issue("foreign", &["sip:peer.example"]);
    let stream = TcpStream::connect(us.streams[0].1).await.unwrap();
    let name = DOMAIN.try_into().unwrap();
    // By TLS 1.3 the client has finished before the server looks at its certificate.
    let mut peer = TcpPeer::over(authority.client(Some(&foreign)).connect(name, stream).await.unwrap());
    assert!(peer.is_closed().await);
    assert_eq!(us.counters.tls_handshakes_failed.count(), 1);
}

/// SEC-05: requests go back by the connection of a neighbour that proved its domain and asked for it.
#[tokio::test]
async fn a_request_goes_back_by_the_connection_of_a_neighbour_that_asks_for_it() {
    let authority = Authority::new();
    let mut us = serving(&authority, &[DOMAIN, "other.example"]).await;
    let shown = authority.issue("client", &["peer.example"]);
    let mut peer = TcpPeer::over(authority.connect(us.streams[0].1, DOMAIN, Some(&shown)).await);
    // Nobody listens at the port that the Via names: only the connection leads back.
    peer.send_text(&options("peer.example:9;alias")).await;
    assert_eq!(peer.receive().await.status(), Some(200));
    us.request().await;
    let back: SocketAddr = "127.0.0.1:9".parse().unwrap();
    ask(&us, back, "peer.example", "");
    let request = peer.receive().await;
    assert!(!request.top_via().unwrap().params.has("alias"), "the connection is theirs");
    peer.send(response(&request, 200)).await;
    assert_eq!(us.response().await.status(), Some(200));
    assert_eq!(us.counters.connections_aliased.count(), 1);
    // Not for another domain of theirs that was not proved, nor from another domain of ours that they have not seen.
    for (domain, ours) in [("elsewhere.example", ""), ("peer.example", "other.example")] {
        ask(&us, back, domain, ours);
        assert!(matches!(us.failure().await, Failure::NotSent(_)), "{domain} from {ours}");
    }
    assert_eq!(us.counters.connections_aliased.count(), 1);
}

/// SEC-05: without a certificate, or without asking for it, a neighbour gets a new connection.
#[tokio::test]
async fn a_neighbour_that_proves_nothing_or_asks_for_nothing_gets_a_new_connection() {
    let authority = Authority::new();
    let mut us = serving(&authority, &[DOMAIN]).await;
    let shown = authority.issue("client", &["peer.example"]);
    for (shown, parameter) in [(None, ";alias"), (Some(&shown), "")] {
        let mut peer = TcpPeer::over(authority.connect(us.streams[0].1, DOMAIN, shown).await);
        peer.send_text(&options(&format!("peer.example:9{parameter}"))).await;
        assert_eq!(peer.receive().await.status(), Some(200));
        us.request().await;
        ask(&us, "127.0.0.1:9".parse().unwrap(), "peer.example", "");
        assert!(matches!(us.failure().await, Failure::NotSent(_)), "{parameter}");
    }
    assert_eq!(us.counters.connections_aliased.count(), 0);
}

/// SEC-05: the same connection serves one request after the other, and the way back.
#[tokio::test]
async fn two_endpoints_share_one_connection_in_both_directions() {
    let authority = Authority::new();
    let mut us = serving(&authority, &[DOMAIN]).await;
    let mut them = serving(&authority, &["peer.example"]).await;
    let to = them.streams[0].1;
    for _ in 0..3 {
        ask(&us, to, "peer.example", "");
        assert_eq!(us.response().await.status(), Some(200));
        them.request().await;
    }
    // Our Via named our listener's port, with `alias`.
    ask(&them, us.streams[0].1, DOMAIN, "");
    assert_eq!(them.response().await.status(), Some(200));
    assert_eq!(us.counters.connections_opened.count() + us.counters.connections_accepted.count(), 1);
    assert_eq!(them.counters.connections_aliased.count(), 1);
}

/// TRN-06: a response whose connection is gone goes to the port of sent-by, if who listens there proves to be sent-by.
#[tokio::test]
async fn a_response_whose_connection_is_gone_goes_only_to_who_proves_the_name_in_the_via() {
    let authority = Authority::new();
    for (name, delivered) in [("peer.example", true), ("somebody.example", false)] {
        let mut us = serving(&authority, &[DOMAIN]).await;
        let listening = serving(&authority, &["peer.example"]).await;
        let mut peer = TcpPeer::over(authority.connect(us.streams[0].1, DOMAIN, None).await);
        let via = format!("SIP/2.0/TLS {name}:{};branch=z9hG4bK1", listening.streams[0].1.port());
        peer.send_text(&request_of_peer("INVITE", &via)).await;
        let (key, request, _) = us.request().await;
        drop(peer);
        ended(&mut us).await;
        us.respond(key, request, 486);
        if delivered {
            // It is a response of nobody's request there.
            let counted = async {
                while listening.counters.foreign_responses.count() == 0 {
                    tokio::task::yield_now().await
                }
            };
            tokio::time::timeout(PATIENCE, counted).await.expect("the response comes");
        } else {
            assert_eq!(us.failure().await, Failure::NotAnswered(key));
            assert_eq!(us.counters.tls_foreign_servers.count(), 1);
        }
    }
}

#[tokio::test]
async fn new_certificates_are_shown_without_a_restart_and_broken_ones_never() {
    let authority = Authority::new();
    let files = authority.issue("ours", &["old.example"]);
    let certificates = vec![files.clone()];
    let tls = Tls::load(TlsFiles { certificates, authorities: None, client: None }).unwrap();
    let (shared, us) = (tls.clone(), Running::with(|config| serve(config, Transport::Tls, tls)).await);
    let to = us.streams[0].1;
    authority.connect(to, "old.example", None).await;
    assert!(!shared.reload().unwrap(), "nothing has changed");
    let before = shared.shown();
    fs::write(&files.certificate, "no certificate").unwrap();
    let told = shared.reload().unwrap_err().to_string();
    assert!(told.contains("ours.crt"), "{told}");
    assert_eq!(shared.shown(), before);
    authority.connect(to, "old.example", None).await;
    let of_other_key = authority.issue("other", &["old.example"]);
    fs::copy(&of_other_key.certificate, &files.certificate).unwrap();
    assert!(shared.reload().unwrap_err().to_string().contains("ours.key"));
    authority.connect(to, "old.example", None).await;
    authority.issue("ours", &["new.example"]);
    assert!(shared.reload().unwrap());
    authority.connect(to, "new.example", None).await;
    assert_eq!(shared.shown()[0].domains, ["new.example"]);
}

/// T14: who connects and says nothing is sent away, and holds up nobody.
#[tokio::test]
async fn a_handshake_that_is_not_done_in_time_ends() {
    let authority = Authority::new();
    let tls = authority.tls(vec![authority.issue("ours", &[DOMAIN])]);
    let mut us = Running::with(|config| {
        serve(config, Transport::Tls, tls);
        config.max_handshakes = 1;
        config.handshake_timeout = Duration::from_millis(200);
    })
    .await;
    let mut silent = TcpPeer::connect(us.streams[0].1).await;
    let mut beyond = TcpPeer::connect(us.streams[0].1).await;
    assert!(beyond.is_closed().await, "only one handshake at a time");
    assert_eq!(us.counters.handshakes_refused.count(), 1);
    assert!(silent.is_closed().await);
    assert_eq!(ended(&mut us).await, FlowEnd::Handshake);
    assert_eq!(us.counters.handshakes_timed_out.count(), 1);
    // There is room again.
    let mut peer = TcpPeer::over(authority.connect(us.streams[0].1, DOMAIN, None).await);
    peer.send_text(&options("client.invalid")).await;
    assert_eq!(peer.receive().await.status(), Some(200));
    let (.., arrival) = us.request().await;
    assert!(matches!(arrival.flow, Hop::Flow(_)));
}

/// SEC-02, F16: a server that speaks none, one that ends it, and one that says nothing to the end.
#[tokio::test]
async fn a_server_without_tls_of_ours_is_told_from_one_that_nobody_reaches() {
    let garbage = b"\0\x01garbage of some other protocol\r\n".to_vec();
    // what a server of TLS 1.1 answers, and one that wants none of what is offered. RFC 8446 6
    let (version, unfit) = (vec![0x15, 3, 2, 0, 2, 2, 70], vec![0x15, 3, 3, 0, 2, 2, 40]);
    for (said, expected) in [
        (garbage, Distrust::NoTls),
        (version, Distrust::NoTls),
        (unfit, Distrust::Alert),
        (Vec::new(), Distrust::Unfinished),
    ] {
        let authority = Authority::new();
        let mut us = serving(&authority, &[DOMAIN]).await;
        let listening = TcpListening::new().await;
        ask(&us, listening.address, "peer.example", "");
        let mut them = listening.accept().await;
        them.stream.write_all(&said).await.unwrap();
        // the end of its half, behind what it said
        them.stream.shutdown().await.unwrap();
        assert_eq!(ended(&mut us).await, FlowEnd::Distrusted(expected));
        assert_eq!(us.counters.tls_unspoken_servers.count(), 1);
    }
}

#[tokio::test]
async fn clear_text_on_the_port_of_tls_is_no_sip() {
    let authority = Authority::new();
    let mut us = serving(&authority, &[DOMAIN]).await;
    let mut peer = TcpPeer::connect(us.streams[0].1).await;
    peer.send_text(&options("client.invalid")).await;
    assert_eq!(ended(&mut us).await, FlowEnd::Handshake);
    assert_eq!(us.counters.stream_messages_received.count(), 0);
    assert_eq!(us.counters.tls_handshakes_failed.count(), 1);
}
