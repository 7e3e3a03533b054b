//! What is no proper SIP: answered where the standard gives an answer, dropped otherwise, counted by reason.

use sip_endpoint::FlowEnd;
use sip_message::{HeaderId, Warning};

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
        ("CSeq of 2^31", good.replace("1 OPTIONS", "2147483648 OPTIONS"), 400),
        ("CSeq beyond all numbers", good.replace("1 OPTIONS", "36893488147419103232 OPTIONS"), 400),
        ("CSeq without a number", good.replace("1 OPTIONS", "one OPTIONS"), 400),
        ("quote that is not closed", good.replace("From: ", "From: \"A "), 400),
        ("two From", good.replace("From: ", "From: <sip:x@y>;tag=x\r\nFrom: "), 400),
        ("Call-ID with white space", good.replace("Call-ID: ", "Call-ID: a b"), 400),
        ("another version, also in Via", good.replace("SIP/2.0", "SIP/7.0"), 505),
        ("Request-URI of 20 kB", good.replacen("sip:us", &"sip:us".repeat(3_400), 1), 414),
    ] {
        peer.send(&text, us.address).await;
        let (response, _) = peer.receive().await;
        assert_eq!(response.status(), Some(status), "{fault}");
        assert!(response.to().unwrap().tag().is_some(), "{fault}");
        let via = response.values(HeaderId::Via).next().unwrap();
        assert!(String::from_utf8_lossy(via).contains(";received=127.0.0.1;rport="), "{fault}");
        for name in ["From", "Call-ID", "CSeq"] {
            let line = text.lines().find(|line| line.starts_with(name)).unwrap();
            let copied = String::from_utf8_lossy(response.bytes()).into_owned();
            assert!(copied.contains(&format!("\r\n{line}\r\n")), "{fault}: {copied}");
        }
    }
    let count = |name: &str| us.counters.snapshot().into_iter().find(|(n, _)| *n == name).unwrap().1;
    assert_eq!(count("malformed_length"), 2);
    assert_eq!(count("malformed_mandatory"), 8);
    assert_eq!(count("malformed_version"), 2);
    assert_eq!(count("malformed_answered"), 13);
    assert_eq!(count("malformed_unanswered"), 0);
}

/// MSG-11, TRN-07: the reason says what is wrong, and a warning says it more exactly (RFC 3261 20.43, 21.4.1).
#[tokio::test]
async fn an_answer_to_what_cannot_be_read_says_what_is_wrong_with_it() {
    let us = Running::with(|config| config.limits.contact_values = 3).await;
    let peer = UdpPeer::new().await;
    let good = request_of_peer("OPTIONS", VIA);
    let contacts =
        |count: usize| good.replace("From: ", &format!("{}From: ", "Contact: <sip:a@b>\r\n".repeat(count)));
    for (text, status, reason, warning) in [
        (contacts(4), 400, "Too Many Contact values", Some("expected fewer Contact values")),
        (
            good.replace("Content-Length: 0", "Content-Length: x"),
            400,
            "Bad Content-Length",
            Some("expected "),
        ),
        (contacts(3), 200, "OK", None),
        (
            good.replace("From: ", "From: <sip:x@y>;tag=x\r\nFrom: "),
            400,
            "More Than One From",
            Some("From: more than one value"),
        ),
        (
            good.replace("To: ", "t: <sip:x@y>\r\nTo: "),
            400,
            "More Than One To",
            Some("To: more than one value"),
        ),
        (
            good.replace("Call-ID: ", "i: x\r\nCall-ID: "),
            400,
            "More Than One Call-ID",
            Some("Call-ID: more than one value"),
        ),
        (
            good.replace("CSeq: ", "CSeq: 1 OPTIONS\r\nCSeq: "),
            400,
            "More Than One CSeq",
            Some("CSeq: more than one value"),
        ),
        (
            good.replace("Max-Forwards: ", "Max-Forwards: 1\r\nMax-Forwards: "),
            400,
            "More Than One Max-Forwards",
            Some("Max-Forwards: more than one value"),
        ),
        (
            good.replace("Max-Forwards: 70", "Max-Forwards: 256"),
            400,
            "Bad Max-Forwards",
            Some("Max-Forwards: expected a number up to 255 at offset 0"),
        ),
        (
            good.replace("Max-Forwards: 70", "Max-Forwards: many"),
            400,
            "Bad Max-Forwards",
            Some("Max-Forwards: "),
        ),
        (good.replace("Max-Forwards: 70", "Max-Forwards: 255"), 200, "OK", None),
        // RFC 3261 25.1 has NUL in no header but behind the backslash of a quoted string (RFC 4475 3.1.1.2).
        (
            good.replace("From: ", "From: \"a\0b\" "),
            400,
            "Bad Header Line",
            Some("expected no NUL at offset "),
        ),
        (
            good.replace("Call-ID: ", "Call-ID: a\0b"),
            400,
            "Bad Header Line",
            Some("expected no NUL at offset "),
        ),
        (
            good.replace("To: ", "X: \"\\\\\0\"\r\nTo: "),
            400,
            "Bad Header Line",
            Some("expected no NUL at offset "),
        ),
        (good.replace("From: ", "From: \"a\\\0b\" "), 200, "OK", None),
    ] {
        peer.send(&text, us.address).await;
        let (response, _) = peer.receive().await;
        assert_eq!((response.status(), response.reason()), (Some(status), reason.as_bytes()));
        let warned = response.first(HeaderId::Warning).map(|value| Warning::parse(value).unwrap());
        assert_eq!(warned.map(|warned| warned.code), warning.map(|_| 399));
        let text =
            warned.map_or_else(String::new, |warned| String::from_utf8_lossy(&warned.text()).into_owned());
        assert!(text.starts_with(warning.unwrap_or_default()), "{text}");
    }
}

/// MSG-10: what an answer is made of may stand behind more lines than a message may have.
#[tokio::test]
async fn a_request_with_too_many_lines_is_told_so_wherever_its_headers_stand() {
    let us = Running::with(|config| (config.limits.header_lines, config.limits.via_values) = (20, 5)).await;
    let peer = UdpPeer::new().await;
    let good = request_of_peer("OPTIONS", VIA);
    let many = "X: 1\r\n".repeat(30);
    for text in [
        good.replacen("Via: ", &format!("{many}Via: "), 1),
        good.replacen("From: ", &format!("{many}From: "), 1),
        good.replacen("Content-Length: ", &format!("{many}Content-Length: "), 1),
    ] {
        peer.send(&text, us.address).await;
        let (response, _) = peer.receive().await;
        assert_eq!((response.status(), response.reason()), (Some(400), &b"Too Many header lines"[..]));
        let warned = Warning::parse(response.first(HeaderId::Warning).expect("a warning")).unwrap();
        assert!(warned.text().starts_with(b"expected fewer header lines at offset "));
        assert_eq!(response.call_id().unwrap(), message(good.clone()).call_id().unwrap());
    }
    // No more of them are looked for than a message may have.
    let vias = format!("Via: {VIA}\r\n").repeat(100);
    peer.send(good.replacen("Via: ", &format!("{vias}Via: "), 1), us.address).await;
    let (response, _) = peer.receive().await;
    assert_eq!(response.status(), Some(400));
    assert_eq!(response.values(HeaderId::Via).count(), 25);
}

/// MSG-10
#[tokio::test]
async fn a_via_that_only_begins_well_is_enough_for_the_answer() {
    let us = Running::new().await;
    let peer = UdpPeer::new().await;
    let port = peer.address.port();
    let sent_by = request_of_peer("OPTIONS", &format!("SIP/2.0/UDP 192.0.2.15:{port};;,;,,"));
    let asked = request_of_peer("OPTIONS", "SIP/2.0/UDP 192.0.2.15:9;;rport;maddr=192.0.2.16,;,,");
    for text in [sent_by, asked] {
        peer.send(&text, us.address).await;
        let (response, _) = peer.receive().await;
        assert_eq!(response.status(), Some(400));
        let via = text.lines().find(|line| line.starts_with("Via: ")).unwrap();
        assert!(String::from_utf8_lossy(response.bytes()).contains(via), "by which its sender finds it");
    }
}

/// MSG-01, MSG-10, TRN-07: on a connection the way back is known. T15: one that carries something outlives a message beyond a limit.
#[tokio::test]
async fn a_stream_answers_an_unreadable_via_another_version_and_a_long_request_uri_and_stays_open() {
    let mut us = Running::new().await;
    let mut peer = TcpPeer::connect(us.address).await;
    peer.send_text(&request_of_peer("REGISTER", "SIP/2.0/TCP 127.0.0.1:9;branch=z9hG4bK0")).await;
    let (key, message, _) = us.request().await;
    us.respond_written(key, message, 200);
    assert_eq!(peer.receive().await.status(), Some(200));
    let good = request_of_peer("OPTIONS", "SIP/2.0/TCP 127.0.0.1:9;branch=z9hG4bK1");
    for (text, status) in [
        (good.replace(";branch=z9hG4bK1", ";;,;,,"), 400),
        (good.replace("SIP/2.0", "SIP/7.0"), 505),
        (good.replacen("sip:us", &"sip:us".repeat(3_400), 1), 414),
        (good, 200),
    ] {
        peer.send_text(&text).await;
        assert_eq!(peer.receive().await.status(), Some(status));
    }
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
    let unanswered = [
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
    ];
    for text in &unanswered {
        peer.send(text, us.address).await;
    }
    peer.send(good.replace("z9hG4bK1", "z9hG4bKgood"), us.address).await;
    let (response, _) = peer.receive().await;
    assert_eq!(response.status(), Some(200), "the first and only answer is that to the good request");
    assert_eq!(response.top_via().unwrap().branch, Some("z9hG4bKgood"));
    assert_eq!(us.counters.malformed_answered.count(), 0);
    assert_eq!(us.counters.malformed_unanswered.count(), unanswered.len() as u64);
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

/// T15, MSG-10: who broke a limit, or the stream, reads the answer and then the end, however much he had written behind it; a reset by
/// the kernel for octets that nobody took would be an error. What only breaks the grammar leaves the stream open.
#[tokio::test]
async fn who_breaks_a_limit_of_a_stream_reads_the_answer_and_then_the_end() {
    let good = request_of_peer("OPTIONS", "SIP/2.0/TCP 127.0.0.1:9;branch=z9hG4bK1");
    let lines = |line: &str, count| good.replace("Content-", &format!("{}Content-", line.repeat(count)));
    for (fault, text, status) in [
        ("no length", good.replace("Content-Length: 0\r\n", ""), Some(400)),
        ("long body", good.replace("Length: 0", "Length: 99999999"), Some(513)),
        ("long head", lines("X: 0123456789\r\n", 10_000), Some(513)),
        ("long line", lines(&format!("X: {}\r\n", "x".repeat(20_000)), 1), Some(400)),
        ("Contacts", lines("Contact: <sip:a@b>\r\n", 60), Some(400)),
        ("header lines", lines("X: 1\r\n", 300), Some(400)),
        ("Request-URI", good.replacen("sip:us", &"sip:us".repeat(3_400), 1), Some(414)),
        ("garbage", "\u{16}\u{3}\u{1} of another protocol\r\n\r\n".to_owned(), None),
        ("a response to nobody", "SIP/2.0 200 OK\r\nContent-Length: 0\r\nVia\r\n\r\n".to_owned(), None),
    ] {
        let mut us = Running::new().await;
        let mut peer = TcpPeer::connect(us.address).await;
        peer.send_text(&text).await;
        // More than is read before the end is decided about, and less than is thrown away after it.
        peer.send_text(&"x".repeat(300_000)).await;
        while !matches!(us.told().await, Told::Closed(_, FlowEnd::Ours)) {}
        peer.send_text("and more behind the end").await;
        if let Some(status) = status {
            assert_eq!(peer.receive().await.status(), Some(status), "{fault}");
        }
        assert_eq!(peer.read_to_the_end().await, "", "{fault}");
        assert_eq!(us.counters.connections_garbled.count(), 1, "{fault}");
        assert_eq!(us.counters.ends_cut_short.count(), 0, "{fault}");
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
    for _ in 0..2 {
        assert_eq!(peer.receive().await.status(), Some(400));
    }
    peer.send_text(&good).await;
    assert_eq!(peer.receive().await.status(), Some(200));
}

/// Damage of every kind, by seeds that are printed.
#[tokio::test]
async fn no_damaged_datagram_stops_the_loop_or_makes_it_panic() {
    let us = Running::new().await;
    let (attacker, peer) = (UdpPeer::new().await, UdpPeer::new().await);
    let own_via = format!("SIP/2.0/UDP 127.0.0.1:{};branch=z9hG4bK0", us.address.port());
    let whole = [
        request_of_peer("INVITE", VIA),
        request_of_peer("ACK", VIA),
        request_of_peer("CANCEL", VIA),
        request_of_peer("OPTIONS", "SIP/2.0/UDP old.example"),
        String::from_utf8(response(&message(request_of_peer("INVITE", &own_via)), 200).bytes().to_vec())
            .unwrap(),
        "\0\u{1}\0\0\u{21}\u{12}abcdefghijklmnop".to_owned(),
    ];
    for seed in 1..=60 {
        println!("seed {seed}");
        let mut random: u64 = seed;
        let mut below = |limit: usize| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) as usize % limit
        };
        for _ in 0..50 {
            let mut bytes = whole[below(whole.len())].clone().into_bytes();
            for _ in 0..=below(4) {
                let at = below(bytes.len());
                match below(4) {
                    0 => bytes[at] = below(256) as u8,
                    1 => bytes.truncate(at.max(1)),
                    2 => bytes.insert(at, b"\r\n\0,;<>\"@: "[below(11)]),
                    _ => {
                        let piece = bytes[at..(at + below(40)).min(bytes.len())].to_vec();
                        bytes.splice(at..at, piece);
                    }
                }
            }
            attacker.send(bytes, us.address).await;
        }
        let via = format!("SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bKalive{seed};rport");
        peer.send(request_of_peer("OPTIONS", &via), us.address).await;
        assert_eq!(peer.receive().await.0.status(), Some(200), "seed {seed}");
    }
    assert_eq!(us.counters.internal_panics.count(), 0);
}
