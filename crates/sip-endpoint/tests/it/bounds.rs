//! Connections that cost something and carry nothing.

use std::time::Duration;

use sip_endpoint::FlowEnd;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::*;

fn request(method: &str) -> String {
    request_of_peer(method, "SIP/2.0/TCP 127.0.0.1:9;branch=z9hG4bK1")
}

async fn ended(us: &mut Running) -> FlowEnd {
    loop {
        if let Told::Closed(_, end) = us.told().await {
            return end;
        }
    }
}

/// T14: a message in drops is as slow as its first one.
#[tokio::test]
async fn a_message_that_drips_is_not_waited_for() {
    let mut us = Running::with(|config| config.message_timeout = Duration::from_millis(200)).await;
    let mut peer = TcpPeer::connect(us.address).await;
    let dripping = async {
        for byte in request("OPTIONS").bytes() {
            if peer.stream.write_all(&[byte]).await.is_err() {
                break;
            }
            // The pace of the peer itself, far below that of a socket: a whole message takes longer than is waited for one.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        end = ended(&mut us) => assert_eq!(end, FlowEnd::Unfinished),
        () = dripping => {}
    }
    assert_eq!(us.counters.connections_unfinished.count(), 1);
    assert_eq!(us.counters.stream_messages_received.count(), 0);
}

/// How somebody becomes known.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// By a response with success.
    Whole,
    /// The same that was only written, as the edge answers REGISTER.
    Written,
    /// Its user says so.
    Known,
}

/// T14: asking for OPTIONS makes nobody less of a stranger; what is let in does.
#[tokio::test]
async fn a_connection_that_carries_nothing_ends_before_one_that_does() {
    const HOUR: Duration = Duration::from_secs(3600);
    const SOON: Duration = Duration::from_millis(300);
    for (method, way, is_kept) in [
        ("OPTIONS", Way::Whole, false),
        ("REGISTER", Way::Whole, true),
        ("REGISTER", Way::Written, true),
        ("INVITE", Way::Known, true),
    ] {
        let mut us = Running::with(|config| {
            config.stranger_timeout = Duration::from_millis(50);
            // Who is taken for what it is not stays for an hour, or goes too early.
            config.idle_timeout = if is_kept { SOON } else { HOUR };
        })
        .await;
        let mut peer = TcpPeer::connect(us.address).await;
        peer.send_text(&request(method)).await;
        let (key, message, arrival) = us.request().await;
        match way {
            Way::Whole if is_kept => us.respond(key, message, 200),
            Way::Whole => {}
            Way::Written => us.respond_written(key, message, 200),
            Way::Known => us.order(move |cx| {
                cx.keep(arrival.flow);
                cx.respond(key, response(&message, 486)).unwrap();
                None
            }),
        }
        let status = if matches!(way, Way::Known) { 486 } else { 200 };
        assert_eq!(peer.receive().await.status(), Some(status));
        let since = tokio::time::Instant::now();
        assert_eq!(ended(&mut us).await, FlowEnd::Idle);
        assert!(!is_kept || since.elapsed() >= SOON - Duration::from_millis(50), "{method} {way:?}");
        assert_eq!(us.counters.connections_idle.count(), 1);
    }
}

/// T14: who sends line ends and nothing else says nothing; who was let in lives by them.
#[tokio::test]
async fn keep_alives_keep_only_a_connection_that_carries_something() {
    for is_kept in [false, true] {
        let mut us = Running::with(|config| {
            config.stranger_timeout = Duration::from_millis(400);
            config.idle_timeout = Duration::from_millis(400);
        })
        .await;
        let mut peer = TcpPeer::connect(us.address).await;
        peer.send_text(&request(if is_kept { "REGISTER" } else { "OPTIONS" })).await;
        let (key, message, _) = us.request().await;
        if is_kept {
            us.respond_written(key, message, 200);
        }
        assert_eq!(peer.receive().await.status(), Some(200));
        // Four times as many as fit into the time that it may be silent, at the pace of the peer itself.
        let pinging = async {
            for _ in 0..64 {
                peer.send_text("\r\n\r\n").await;
                tokio::time::sleep(Duration::from_millis(25)).await;
            }
        };
        let has_ended = tokio::select! {
            end = ended(&mut us) => {
                assert_eq!(end, FlowEnd::Idle);
                true
            }
            () = pinging => false,
        };
        assert_eq!(has_ended, !is_kept);
    }
}

/// T14: at the bound the oldest stranger makes room, and nobody else does.
#[tokio::test]
async fn the_oldest_stranger_goes_when_there_is_no_room() {
    let mut us = Running::with(|config| config.max_connections = 3).await;
    let mut phone = TcpPeer::connect(us.address).await;
    phone.send_text(&request("REGISTER")).await;
    let (key, message, _) = us.request().await;
    us.respond_written(key, message, 200);
    assert_eq!(phone.receive().await.status(), Some(200));
    let mut strangers = Vec::new();
    for _ in 0..2 {
        let mut stranger = TcpPeer::connect(us.address).await;
        stranger.send_text(&request("OPTIONS")).await;
        stranger.receive().await;
        us.request().await;
        strangers.push(stranger);
    }
    let mut next = TcpPeer::connect(us.address).await;
    next.send_text(&request("REGISTER")).await;
    assert!(strangers[0].is_closed().await);
    let (key, message, _) = us.request().await;
    us.respond_written(key, message, 200);
    assert_eq!(next.receive().await.status(), Some(200));
    // A way out needs a place as well.
    let listening = TcpListening::new().await;
    us.send("OPTIONS", 0, sip_endpoint::Transport::Tcp, listening.address);
    assert!(strangers[1].is_closed().await);
    let mut server = listening.accept().await;
    assert_eq!(server.receive().await.method_str(), "OPTIONS");
    assert_eq!(us.counters.strangers_displaced.count(), 2);
    // Who is known stays, and then there is no room.
    let mut refused = TcpPeer::connect(us.address).await;
    assert!(refused.is_closed().await);
    assert_eq!((us.counters.connections_refused.count(), us.counters.strangers_displaced.count()), (1, 2));
    phone.send_text(&request("OPTIONS")).await;
    assert_eq!(phone.receive().await.status(), Some(200));
}

/// T14: a source has so many strangers; who registers makes room, and who was there for long enough to have said something gives way.
#[tokio::test]
async fn a_source_has_so_many_strangers_and_any_number_of_phones() {
    let mut us = Running::with(|config| config.max_strangers_per_source = 2).await;
    let mut phones = Vec::new();
    for _ in 0..4 {
        let mut phone = TcpPeer::connect(us.address).await;
        phone.send_text(&request("REGISTER")).await;
        let (key, message, _) = us.request().await;
        us.respond_written(key, message, 200);
        assert_eq!(phone.receive().await.status(), Some(200));
        phones.push(phone);
    }
    let mut strangers = Vec::new();
    for _ in 0..2 {
        let mut stranger = TcpPeer::connect(us.address).await;
        stranger.send_text(&request("OPTIONS")).await;
        assert_eq!(stranger.receive().await.status(), Some(200));
        us.request().await;
        strangers.push(stranger);
    }
    let mut third = TcpPeer::connect(us.address).await;
    assert!(third.is_closed().await);
    assert_eq!((us.counters.strangers_refused.count(), us.counters.strangers_displaced.count()), (1, 0));
    // Another source is not concerned.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.78:0".parse().unwrap()).unwrap();
    let mut other = TcpPeer::over(socket.connect(us.address).await.unwrap());
    other.send_text(&request("OPTIONS")).await;
    assert_eq!(other.receive().await.status(), Some(200));
    us.request().await;
    // Who registers by one of them leaves room.
    strangers[0].send_text(&request("REGISTER")).await;
    let (key, message, _) = us.request().await;
    us.respond_written(key, message, 200);
    assert_eq!(strangers[0].receive().await.status(), Some(200));
    let mut third = TcpPeer::connect(us.address).await;
    third.send_text(&request("OPTIONS")).await;
    assert_eq!(third.receive().await.status(), Some(200));
    for phone in &mut phones {
        phone.send_text(&request("OPTIONS")).await;
        assert_eq!(phone.receive().await.status(), Some(200), "phones stay");
    }
}

/// T14: nobody locks the others of a source out by connections that say nothing worth anything.
#[tokio::test]
async fn the_oldest_stranger_of_a_source_gives_way_when_it_has_had_its_time() {
    let us = Running::with(|config| {
        config.max_strangers_per_source = 1;
        config.message_timeout = Duration::from_millis(1);
    })
    .await;
    let mut first = TcpPeer::connect(us.address).await;
    first.send_text(&request("OPTIONS")).await;
    assert_eq!(first.receive().await.status(), Some(200));
    // As a phone does, whoever is turned away tries again.
    while us.counters.strangers_displaced.count() == 0 {
        let mut second = TcpPeer::connect(us.address).await;
        let _ = second.stream.write_all(request("OPTIONS").as_bytes()).await;
        let mut beginning = [0; 11];
        match second.stream.read_exact(&mut beginning).await {
            Ok(_) => assert_eq!(&beginning, b"SIP/2.0 200"),
            Err(_) => assert!(us.counters.strangers_refused.count() > 0, "told to go without a reason"),
        }
    }
    assert!(first.is_closed().await);
}
