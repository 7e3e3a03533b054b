//! TLS between the hosts of one tier: both ends prove to be of it.

use std::net::SocketAddr;
use std::sync::Arc;

use sip_endpoint::{Failure, Hop, Siblings, Tls, Transport};

use crate::certificates::Authority;
use crate::support::*;

const TIER: &str = "edges.carillon.example";

/// An endpoint with a listener for siblings, and where that is.
async fn host(tls: Arc<Tls>) -> Running {
    let address = "127.0.0.1:0".parse().unwrap();
    Running::with(|config| config.siblings = Some(Siblings { address, tls })).await
}

fn of_tier(authority: &Authority, file: &str, names: &[&str]) -> Arc<Tls> {
    authority.tls(vec![authority.issue(file, names)])
}

fn ask(us: &Running, to: SocketAddr) {
    us.order(move |cx| {
        let hop = cx.hop_to_sibling(to).expect("a hop");
        let request = request_of_ours(cx, "OPTIONS", 0, hop);
        cx.send_request(request, hop).expect("a request that can be sent");
        None
    });
}

/// TRN-09: certificates of their own, the same first name: that is enough, and one connection serves one request after the other.
#[tokio::test]
async fn hosts_of_one_tier_ask_each_other_by_tls() {
    let authority = Authority::new();
    let mut us = host(of_tier(&authority, "us", &[TIER])).await;
    let mut them = host(of_tier(&authority, "them", &[TIER, "host2.carillon.example"])).await;
    let to = them.siblings.unwrap();
    for _ in 0..2 {
        ask(&us, to);
        assert_eq!(us.response().await.status(), Some(200));
        let (_, request, arrival) = them.request().await;
        assert_eq!(request.top_via().unwrap().transport, "TLS");
        assert_eq!((arrival.transport, arrival.local), (Transport::Tls, to));
    }
    assert_eq!(us.counters.connections_opened.count(), 1);
    assert!(them.streams.is_empty(), "it is none of the listeners for peers");
}

/// TRN-09: another name of the same authority, or the same name of another one, is no host of the tier, at whichever end it is.
#[tokio::test]
async fn who_proves_another_name_is_not_of_the_tier() {
    let (authority, other) = (Authority::new(), Authority::new());
    let mut us = host(of_tier(&authority, "us", &[TIER])).await;
    let strangers =
        [of_tier(&authority, "stranger", &["phones.example", TIER]), of_tier(&other, "foreign", &[TIER])];
    for stranger in strangers {
        let mut them = host(stranger).await;
        ask(&us, them.siblings.unwrap());
        assert!(matches!(us.failure().await, Failure::NotSent(_)));
        ask(&them, us.siblings.unwrap());
        assert!(matches!(them.failure().await, Failure::NotSent(_)));
    }
}

/// TRN-09: a peer without a certificate, or with one of the same authority for somebody else, is closed out before it is heard.
#[tokio::test]
async fn a_client_that_is_no_sibling_is_not_heard() {
    let authority = Authority::new();
    let us = host(of_tier(&authority, "us", &[TIER])).await;
    let shown = authority.issue("client", &["peer.example"]);
    for (at, shown) in [None, Some(&shown)].into_iter().enumerate() {
        let mut peer = TcpPeer::over(authority.connect(us.siblings.unwrap(), TIER, shown).await);
        peer.send_text(&request_of_peer("OPTIONS", "SIP/2.0/TLS x.invalid;branch=z9hG4bK1")).await;
        assert!(peer.is_closed().await);
        assert_eq!(us.counters.tls_foreign_siblings.count(), at as u64 + 1);
    }
    assert_eq!(us.counters.stream_messages_received.count(), 0);
}

/// Without certificates there is no way, and a sibling's connection is not taken for that to a peer of the same domain.
#[tokio::test]
async fn siblings_and_peers_have_connections_of_their_own() {
    let authority = Authority::new();
    let tls = of_tier(&authority, "us", &[TIER]);
    let address = "127.0.0.1:0".parse().unwrap();
    let mut us = Running::with(|config| {
        config.tls = Some(tls.clone());
        config.siblings = Some(Siblings { address, tls: tls.clone() });
    })
    .await;
    let them = host(of_tier(&authority, "them", &[TIER])).await;
    let to = them.siblings.unwrap();
    us.order(move |cx| {
        let as_sibling = cx.hop_to_sibling(to);
        let as_peer = cx.hop_to_domain(Transport::Tls, to, TIER, "");
        assert!(
            matches!((as_sibling, as_peer), (Some(Hop::Flow(one)), Some(Hop::Flow(other))) if one != other)
        );
        assert_eq!(cx.hop_to_sibling(to), as_sibling);
        Some(Told::Completion("looked"))
    });
    while !matches!(us.told().await, Told::Completion(_)) {}
    let mut bare = Running::new().await;
    bare.order(move |cx| {
        assert_eq!(cx.hop_to_sibling(to), None);
        Some(Told::Completion("looked"))
    });
    while !matches!(bare.told().await, Told::Completion(_)) {}
}
