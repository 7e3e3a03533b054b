//! Connections that cost something and carry nothing.

use std::time::Duration;

use sip_endpoint::FlowEnd;

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
            if tokio::io::AsyncWriteExt::write_all(&mut peer.stream, &[byte]).await.is_err() {
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

/// T14: asking for OPTIONS makes nobody less of a stranger; what is let in does.
#[tokio::test]
async fn a_connection_that_carries_nothing_ends_before_one_that_does() {
    const HOUR: Duration = Duration::from_secs(3600);
    const SOON: Duration = Duration::from_millis(300);
    for (method, is_kept) in [("OPTIONS", false), ("REGISTER", true)] {
        let mut us = Running::with(|config| {
            config.stranger_timeout = Duration::from_millis(50);
            // Who is taken for what it is not stays for an hour, or goes too early.
            config.idle_timeout = if is_kept { SOON } else { HOUR };
        })
        .await;
        let mut peer = TcpPeer::connect(us.address).await;
        peer.send_text(&request(method)).await;
        let (key, message, _) = us.request().await;
        if is_kept {
            us.respond(key, message, 200);
        }
        assert_eq!(peer.receive().await.status(), Some(200));
        let since = tokio::time::Instant::now();
        assert_eq!(ended(&mut us).await, FlowEnd::Idle);
        assert!(!is_kept || since.elapsed() >= SOON - Duration::from_millis(50), "{method}");
        assert_eq!(us.counters.connections_idle.count(), 1);
    }
}
