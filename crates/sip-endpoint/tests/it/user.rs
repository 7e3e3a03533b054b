//! What the loop does for its user: timers, asynchronous work, panics, bounds.

use std::sync::atomic::Ordering;
use std::time::Duration;

use sip_endpoint::{Failure, Transport};
use tokio::sync::oneshot;

use crate::support::*;

#[tokio::test]
async fn a_timer_fires_unless_it_is_cancelled() {
    let mut us = Running::new().await;
    us.order(|cx| {
        cx.set_timer(Duration::from_millis(40), "second");
        let cancelled = cx.set_timer(Duration::from_millis(20), "cancelled");
        cx.set_timer(Duration::from_millis(1), "first");
        assert_eq!(cx.cancel_timer(cancelled), Some("cancelled"));
        None
    });
    assert!(matches!(us.told().await, Told::Timer("first")));
    assert!(matches!(us.told().await, Told::Timer("second")));
}

#[tokio::test]
async fn work_that_is_done_at_once_is_reported_before_the_next_thing_happens() {
    let mut us = Running::new().await;
    us.order(|cx| {
        cx.spawn(async { "done" }).unwrap();
        None
    });
    us.order(|_| Some(Told::Timer("next command")));
    assert!(matches!(us.told().await, Told::Completion("done")));
    assert!(matches!(us.told().await, Told::Timer("next command")));
}

#[tokio::test]
async fn work_that_waits_holds_nobody_up() {
    let mut us = Running::new().await;
    let (release, released) = oneshot::channel();
    us.order(|cx| {
        cx.spawn(async move { released.await.unwrap() }).unwrap();
        Some(Told::Timer("started"))
    });
    assert!(matches!(us.told().await, Told::Timer("started")));
    us.order(|_| Some(Told::Timer("meanwhile")));
    assert!(matches!(us.told().await, Told::Timer("meanwhile")));
    release.send("released").unwrap();
    assert!(matches!(us.told().await, Told::Completion("released")));
}

#[tokio::test]
async fn an_endpoint_with_nothing_to_do_rests() {
    let mut us = Running::new().await;
    let closed = UdpPeer::new().await.address;
    us.send("INVITE", 0, Transport::Udp, closed);
    assert!(matches!(us.failure().await, Failure::NotSent(_)));
    let peer = TcpPeer::connect(us.address).await;
    while !matches!(us.told().await, Told::Opened(_)) {}
    drop(peer);
    while !matches!(us.told().await, Told::Closed(..)) {}
    let before = us.rounds.load(Ordering::Relaxed);
    us.order(|cx| {
        cx.set_timer(Duration::from_millis(200), "later");
        None
    });
    assert!(matches!(us.told().await, Told::Timer("later")));
    let rounds = us.rounds.load(Ordering::Relaxed) - before;
    assert!(rounds < 20, "went round {rounds} times while it had a command and a timer to see to");
}

#[tokio::test]
async fn a_panic_costs_the_message_at_hand_and_nothing_else() {
    let us = Running::new().await;
    let peer = UdpPeer::new().await;
    peer.send(request_of_peer("BOOM", "SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bK1;rport"), us.address).await;
    assert_eq!(peer.receive().await.0.status(), Some(500));
    peer.send(request_of_peer("OPTIONS", "SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bK2;rport"), us.address).await;
    assert_eq!(peer.receive().await.0.status(), Some(200));
    assert_eq!(us.counters.user_panics.count(), 1);
}

#[tokio::test]
async fn a_panic_in_asynchronous_work_is_counted_and_nothing_else() {
    let mut us = Running::new().await;
    let (release, released) = oneshot::channel::<()>();
    us.order(|cx| {
        cx.spawn(async move {
            released.await.unwrap();
            panic!("told to panic")
        })
        .unwrap();
        cx.spawn(async { "other" }).unwrap();
        None
    });
    assert!(matches!(us.told().await, Told::Completion("other")));
    release.send(()).unwrap();
    us.order(|cx| {
        cx.set_timer(Duration::from_millis(1), "alive");
        None
    });
    assert!(matches!(us.told().await, Told::Timer("alive")));
    assert_eq!(us.counters.work_panics.count(), 1);
}

#[tokio::test]
async fn work_beyond_the_bound_is_refused() {
    let mut us = Running::with(|config| config.max_work = 1).await;
    us.order(|cx| {
        cx.spawn(std::future::pending()).unwrap();
        assert!(cx.spawn(async { "refused" }).is_err());
        assert_eq!(cx.load().work, 1);
        Some(Told::Timer("checked"))
    });
    assert!(matches!(us.told().await, Told::Timer("checked")));
    assert_eq!(us.counters.work_refused.count(), 1);
}

#[tokio::test]
async fn a_request_for_which_there_is_no_room_is_shown_as_such() {
    let mut us = Running::with(|config| config.transactions.max_server = 1).await;
    let peer = UdpPeer::new().await;
    peer.send(request_of_peer("INFO", "SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bK1;rport"), us.address).await;
    us.request().await;
    peer.send(request_of_peer("INFO", "SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bK2;rport"), us.address).await;
    assert_eq!(peer.receive().await.0.status(), Some(503));
    assert_eq!(us.counters.overflow_requests.count(), 1);
}

/// TXN-04
#[tokio::test]
async fn an_invite_that_the_user_thinks_about_gets_100() {
    let us = Running::new().await;
    let peer = UdpPeer::new().await;
    peer.send(request_of_peer("INVITE", "SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bK1;rport"), us.address).await;
    assert_eq!(peer.receive().await.0.status(), Some(100));
}
