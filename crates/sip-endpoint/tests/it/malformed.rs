//! What is no proper SIP: answered where the standard gives an answer, dropped otherwise, counted by reason.

use crate::support::*;

const VIA: &str = "SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bK1;rport";

/// TRN-07, MSG-01, MSG-10, MSG-11
#[tokio::test]
async fn a_malformed_request_gets_the_answer_that_the_standard_gives() {
    let us = Running::new().await;
    let peer = UdpPeer::new().await;
    let good = request_of_peer("OPTIONS", VIA);
    for (fault, text, status) in [
        ("short body", good.replace("Content-Length: 0", "Content-Length: 10"), 400),
        ("negative length", good.replace("Content-Length: 0", "Content-Length: -1"), 400),
        ("two CSeq methods", good.replace("1 OPTIONS", "1 INFO"), 400),
        ("another version", good.replacen("sip:us@127.0.0.1 SIP/2.0", "sip:us@127.0.0.1 SIP/7.0", 1), 505),
        ("bad Max-Forwards", good.replace("Max-Forwards: 70", "Max-Forwards: many"), 400),
    ] {
        peer.send(&text, us.address).await;
        let (response, _) = peer.receive().await;
        assert_eq!(response.status(), Some(status), "{fault}");
        assert!(response.to().unwrap().tag().is_some(), "{fault}");
        assert_eq!(response.top_via().unwrap().received, Some("127.0.0.1"), "{fault}");
    }
    let count = |name: &str| us.counters.snapshot().into_iter().find(|(n, _)| *n == name).unwrap().1;
    assert_eq!(count("malformed_length"), 2);
    assert_eq!(count("malformed_mandatory"), 2);
    assert_eq!(count("malformed_version"), 1);
    assert_eq!(count("malformed_answered"), 5);
}

/// TRN-07, MSG-10
#[tokio::test]
async fn what_cannot_be_answered_meets_silence_and_harms_nobody() {
    let us = Running::new().await;
    let peer = UdpPeer::new().await;
    let good = request_of_peer("OPTIONS", VIA);
    let header = |name: &str| {
        let start = good.find(&format!("\r\n{name}:")).unwrap() + 2;
        let end = start + good[start..].find("\r\n").unwrap() + 2;
        format!("{}{}", &good[..start], &good[end..])
    };
    let short_response = String::from_utf8(response(&message(good.clone()), 200).bytes().to_vec()).unwrap();
    for text in [
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
        "\0\u{1}\u{2}junk".to_owned(),
        "OPTIONS".to_owned(),
        header("Via"),
        header("From"),
        header("To"),
        header("Call-ID"),
        header("CSeq"),
        good.replace("OPTIONS", "ACK").replace("Content-Length: 0", "Content-Length: 10"),
        short_response.replace("Content-Length: 0", "Content-Length: 10"),
    ] {
        peer.send(&text, us.address).await;
    }
    peer.send(good.replace("z9hG4bK1", "z9hG4bKgood"), us.address).await;
    let (response, _) = peer.receive().await;
    assert_eq!(response.status(), Some(200), "the first and only answer is that to the good request");
    assert_eq!(response.top_via().unwrap().branch, Some("z9hG4bKgood"));
    assert_eq!(us.counters.malformed_answered.count(), 0);
}

/// TRN-07
#[tokio::test]
async fn surplus_bytes_of_a_datagram_are_ignored() {
    let us = Running::new().await;
    let peer = UdpPeer::new().await;
    peer.send(format!("{}INVITE and so on", request_of_peer("OPTIONS", VIA)), us.address).await;
    assert_eq!(peer.receive().await.0.status(), Some(200));
}

/// TRN-07
#[tokio::test]
async fn a_stream_whose_messages_cannot_be_told_apart_gets_400_and_is_closed() {
    for (fault, replacement) in [("none", ""), ("garbage", "Content-Length: many\r\n")] {
        let us = Running::new().await;
        let mut peer = TcpPeer::connect(us.address).await;
        let text = request_of_peer("OPTIONS", "SIP/2.0/TCP 127.0.0.1:9;branch=z9hG4bK1");
        peer.send_text(&text.replace("Content-Length: 0\r\n", replacement)).await;
        assert_eq!(peer.receive().await.status(), Some(400), "{fault}");
        assert!(peer.is_closed().await, "{fault}");
    }
}

/// MSG-10
#[tokio::test]
async fn a_malformed_request_on_a_stream_leaves_the_stream_open() {
    let us = Running::new().await;
    let mut peer = TcpPeer::connect(us.address).await;
    let good = request_of_peer("OPTIONS", "SIP/2.0/TCP 127.0.0.1:9;branch=z9hG4bK1");
    peer.send_text(&good.replace("1 OPTIONS", "4294967296 OPTIONS")).await;
    peer.send_text(&good.replace("Max-Forwards: 70", "Max-Forwards: many")).await;
    assert_eq!(peer.receive().await.status(), Some(400), "a number that does not fit leaves no CSeq to copy");
    peer.send_text(&good).await;
    assert_eq!(peer.receive().await.status(), Some(200));
}
