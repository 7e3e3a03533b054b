//! WebSocket, as a page speaks it.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use sip_endpoint::{Config, Failure, FlowEnd, ListenStream, Transport};
use sip_message::Message;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{self, Message as Frame};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::certificates::Authority;
use crate::support::*;

fn serve(config: &mut Config, transport: Transport) {
    let address = "127.0.0.1:0".parse().unwrap();
    config.streams.push(ListenStream { transport, address, advertise: None });
}

async fn serving() -> Running {
    Running::with(|config| serve(config, Transport::Ws)).await
}

/// A page that has connected.
struct Page<S>(WebSocketStream<S>);

async fn open<S>(
    stream: S,
    protocol: Option<&str>,
    origin: Option<&str>,
) -> Result<Page<S>, Box<tungstenite::Error>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut request = "ws://carillon.example/".into_client_request().unwrap();
    for (name, value) in [("Sec-WebSocket-Protocol", protocol), ("Origin", origin)] {
        if let Some(value) = value {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
    }
    let (socket, response) = client_async(request, stream).await?;
    assert_eq!(response.headers()["Sec-WebSocket-Protocol"], "sip");
    Ok(Page(socket))
}

impl Page<TcpStream> {
    async fn connect(to: SocketAddr) -> Self {
        open(TcpStream::connect(to).await.unwrap(), Some("sip"), None).await.unwrap()
    }

    /// What still comes by the connection itself up to its end, which has to be one: no reset.
    async fn read_to_the_end(&mut self) -> Vec<u8> {
        let mut left = Vec::new();
        let read = timeout(PATIENCE, self.0.get_mut().read_to_end(&mut left)).await;
        read.expect("the end comes in time").unwrap();
        left
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Page<S> {
    async fn send(&mut self, frame: Frame) {
        self.0.send(frame).await.unwrap();
    }

    async fn frame(&mut self) -> Frame {
        let next = timeout(PATIENCE, self.0.next()).await.expect("something comes in time");
        next.expect("the connection is there").unwrap()
    }

    async fn receive(&mut self) -> Message {
        match self.frame().await {
            Frame::Text(text) => message(Bytes::from(text)),
            Frame::Binary(bytes) => message(bytes),
            other => panic!("expected a message, got {other:?}"),
        }
    }
}

fn options(via: &str, more: &str) -> String {
    let request = request_of_peer("OPTIONS", &format!("SIP/2.0/WS {via};branch=z9hG4bK1"));
    request.replace("Content-Length: 0\r\n", more)
}

async fn ended(us: &mut Running) -> FlowEnd {
    loop {
        if let Told::Closed(_, end) = us.told().await {
            return end;
        }
    }
}

/// TRN-10
#[tokio::test]
async fn who_does_not_offer_sip_is_refused() {
    let mut us = serving().await;
    for protocol in [None, Some("msrp")] {
        let stream = TcpStream::connect(us.streams[0].1).await.unwrap();
        let refused = open(stream, protocol, None).await.err().map(|error| *error);
        let Some(tungstenite::Error::Http(response)) = refused else { panic!("{protocol:?} was let in") };
        assert_eq!(response.status(), 400);
        assert_eq!(ended(&mut us).await, FlowEnd::Handshake);
    }
    assert_eq!(us.counters.websocket_handshakes_failed.count(), 2);
    let mut page = Page::connect(us.streams[0].1).await;
    page.send(Frame::text(options("df7jal23ls0d.invalid", ""))).await;
    assert_eq!(page.receive().await.status(), Some(200));
}

/// TRN-10: by raw octets, what is no handshake is told what is missing, and its connection ends; one that comes octet by octet is one.
#[tokio::test]
async fn what_is_no_handshake_is_told_what_is_missing() {
    let us = serving().await;
    let whole = "GET /sip HTTP/1.1\r\nHost: carillon.example\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: sip\r\n\r\n";
    let long = format!("X: {}\r\n", "x".repeat(20_000));
    for (from, to, status, header) in [
        ("Version: 13", "Version: 8", "426 Upgrade Required", "sec-websocket-version: 13"),
        ("Sec-WebSocket-Version: 13\r\n", "", "426 Upgrade Required", "sec-websocket-version: 13"),
        ("Upgrade: websocket\r\n", "", "426 Upgrade Required", "upgrade: websocket"),
        ("keep-alive, Upgrade", "close", "426 Upgrade Required", "upgrade: websocket"),
        ("GET", "POST", "405 Method Not Allowed", "allow: GET"),
        ("GET /sip HTTP/1.1", "OPTIONS * HTTP/1.1", "405 Method Not Allowed", "allow: GET"),
        ("GET", "REGISTER", "405 Method Not Allowed", "allow: GET"),
        ("Sec-WebSocket-Protocol: sip\r\n", "", "400 Bad Request", "connection: close"),
        ("Protocol: sip", "Protocol: sipx, msrp", "400 Bad Request", "connection: close"),
        ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "", "400 Bad Request", "connection: close"),
        ("HTTP/1.1", "HTTP/1.0", "400 Bad Request", "connection: close"),
        ("GET /sip HTTP/1.1", "hello", "400 Bad Request", "connection: close"),
        ("Host: carillon.example\r\n", &long, "431 Request Header Fields Too Large", "connection: close"),
    ] {
        assert!(whole.contains(from), "{from}");
        let mut stream = TcpStream::connect(us.streams[0].1).await.unwrap();
        // what comes behind it does not keep the answer from being read
        let text = format!("{}and a body", whole.replacen(from, to, 1));
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let end = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("the connection ends");
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(end.is_ok() && answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{to}: {answer}");
        assert!(answer.contains(&format!("\r\n{header}\r\n")), "{to}: {answer}");
    }
    let mut stream = TcpStream::connect(us.streams[0].1).await.unwrap();
    stream.set_nodelay(true).unwrap();
    for octet in whole.bytes() {
        stream.write_all(&[octet]).await.unwrap();
    }
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 101");
}

/// T17
#[tokio::test]
async fn a_page_of_another_origin_is_refused() {
    let us = Running::with(|config| {
        serve(config, Transport::Ws);
        config.origins = vec!["https://phone.example".to_owned()];
    })
    .await;
    let stream = TcpStream::connect(us.streams[0].1).await.unwrap();
    let refused = open(stream, Some("sip"), Some("https://evil.example")).await.err().map(|error| *error);
    assert!(matches!(refused, Some(tungstenite::Error::Http(response)) if response.status() == 403));
    let stream = TcpStream::connect(us.streams[0].1).await.unwrap();
    assert!(open(stream, Some("sip"), Some("https://phone.example")).await.is_ok());
}

/// TRN-11, TRN-12: text and binary, with and without Content-Length; the answer comes by the connection, whatever sent-by says.
#[tokio::test]
async fn one_message_is_one_frame_of_either_kind_and_needs_no_length() {
    let mut us = serving().await;
    let mut page = Page::connect(us.streams[0].1).await;
    let body = "Content-Type: text/plain\r\n\r\nfour";
    for frame in [
        Frame::text(options("df7jal23ls0d.invalid", "")),
        Frame::binary(options("df7jal23ls0d.invalid", "Content-Length: 0\r\n").into_bytes()),
        Frame::text(options("df7jal23ls0d.invalid", body).strip_suffix("\r\n").unwrap().to_owned()),
    ] {
        page.send(frame).await;
        let answer = page.frame().await;
        assert!(answer.is_text());
        let answer = message(answer.into_data());
        assert_eq!(answer.status(), Some(200));
        let via = answer.top_via().unwrap();
        assert_eq!(
            (via.transport, via.host, via.received),
            ("WS", "df7jal23ls0d.invalid", Some("127.0.0.1"))
        );
    }
    us.request().await;
    us.request().await;
    let (_, request, arrival) = us.request().await;
    assert_eq!(request.body(), b"four");
    assert_eq!(arrival.transport, Transport::Ws);
    assert!(arrival.transport.is_reliable());
}

/// TRN-11: what is no UTF-8 leaves as binary, and comes back so.
#[tokio::test]
async fn a_body_that_is_no_text_goes_and_comes_as_binary() {
    let mut us = serving().await;
    let mut page = Page::connect(us.streams[0].1).await;
    let mut bytes = options("df7jal23ls0d.invalid", "Content-Type: application/pkcs7-mime\r\n").into_bytes();
    bytes.extend_from_slice(b"\xff\xfe");
    page.send(Frame::binary(bytes)).await;
    let (_, request, arrival) = us.request().await;
    assert_eq!(request.body(), b"\xff\xfe");
    page.receive().await;
    us.order(move |cx| {
        let plain = request_of_ours(cx, "MESSAGE", 0, arrival.flow);
        let text = String::from_utf8(plain.bytes().to_vec()).unwrap();
        let mut bytes = text.replace("Content-Length: 0", "Content-Length: 2").into_bytes();
        bytes.extend_from_slice(b"\xff\xfe");
        cx.send_request(message(bytes), arrival.flow).unwrap();
        None
    });
    let frame = page.frame().await;
    assert!(frame.is_binary());
    let request = message(frame.into_data());
    // TRN-12: the Via says by what it went.
    assert_eq!(request.top_via().unwrap().transport, "WS");
    page.send(Frame::text(String::from_utf8(response(&request, 200).bytes().to_vec()).unwrap())).await;
    assert_eq!(us.response().await.status(), Some(200));
}

/// TRN-12: when the connection is gone, nobody is looked for: sent-by is no name, and a page does not listen.
#[tokio::test]
async fn a_response_whose_page_is_gone_goes_nowhere() {
    let mut us = serving().await;
    let mut page = Page::connect(us.streams[0].1).await;
    page.send(Frame::text(request_of_peer("INVITE", "SIP/2.0/WS df7jal23ls0d.invalid;branch=z9hG4bK1")))
        .await;
    let (key, request, _) = us.request().await;
    page.0.close(None).await.unwrap();
    assert_eq!(ended(&mut us).await, FlowEnd::Peer);
    us.respond(key, request, 486);
    assert_eq!(us.failure().await, Failure::NotAnswered(key));
    assert_eq!(us.counters.responses_rerouted.count(), 0);
    us.order(|cx| {
        assert_eq!(cx.hop_to(Transport::Ws, "127.0.0.1:9".parse().unwrap()), None);
        Some(Told::Completion("looked"))
    });
    while !matches!(us.told().await, Told::Completion(_)) {}
}

/// TRN-13, TRN-14: pings of either layer are answered.
#[tokio::test]
async fn a_page_keeps_its_connection_alive_by_line_ends_or_by_ping() {
    let us = serving().await;
    let mut page = Page::connect(us.streams[0].1).await;
    for _ in 0..3 {
        page.send(Frame::text("\r\n\r\n")).await;
        assert_eq!(page.frame().await, Frame::text("\r\n"));
        page.send(Frame::Ping(Bytes::from_static(b"there?"))).await;
        assert_eq!(page.frame().await, Frame::Pong(Bytes::from_static(b"there?")));
    }
    assert_eq!(us.counters.keep_alives.count(), 3);
}

#[tokio::test]
async fn a_page_that_went_away_without_a_word_is_found_by_a_ping() {
    let mut us = Running::with(|config| {
        serve(config, Transport::Ws);
        config.websocket_ping = Duration::from_millis(20);
        config.message_timeout = Duration::from_millis(100);
    })
    .await;
    let page = Page::connect(us.streams[0].1).await;
    // It is there and reads nothing, so it answers no ping.
    assert_eq!(ended(&mut us).await, FlowEnd::Silent);
    assert_eq!(us.counters.connections_idle.count(), 1);
    drop(page);
}

#[tokio::test]
async fn a_page_that_answers_pings_and_lets_nothing_in_is_a_stranger_all_the_same() {
    let mut us = Running::with(|config| {
        serve(config, Transport::Ws);
        config.websocket_ping = Duration::from_millis(10);
        config.stranger_timeout = Duration::from_millis(100);
    })
    .await;
    let mut page = Page::connect(us.streams[0].1).await;
    // Reading answers the pings, and only who has answered is asked again.
    let mut pings = 0;
    while let Some(Ok(frame)) = timeout(PATIENCE, page.0.next()).await.expect("it ends in time") {
        assert!(pings < 1_000, "it goes on for ever");
        assert!(matches!(frame, Frame::Ping(_) | Frame::Close(_)), "{frame:?}");
        pings += 1;
    }
    assert_eq!(ended(&mut us).await, FlowEnd::Idle);
    assert!(pings > 1, "{pings} pings");
}

/// TRN-14
#[tokio::test]
async fn a_page_that_was_let_in_and_answers_pings_stays() {
    let mut us = Running::with(|config| {
        serve(config, Transport::Ws);
        config.websocket_ping = Duration::from_millis(20);
        config.message_timeout = Duration::from_millis(500);
        config.stranger_timeout = Duration::from_millis(100);
        config.idle_timeout = Duration::from_millis(1_000);
    })
    .await;
    let mut page = Page::connect(us.streams[0].1).await;
    let register = request_of_peer("REGISTER", "SIP/2.0/WS df7jal23ls0d.invalid;branch=z9hG4bK0");
    page.send(Frame::text(register)).await;
    let (key, request, _) = us.request().await;
    us.respond(key, request, 200);
    let since = tokio::time::Instant::now();
    // Longer than it could stay by saying nothing.
    while since.elapsed() < Duration::from_millis(1_500) {
        let frame = page.frame().await;
        assert!(matches!(frame, Frame::Ping(_) | Frame::Text(_)), "{frame:?}");
    }
    page.send(Frame::text(options("df7jal23ls0d.invalid", ""))).await;
    us.request().await;
}

/// T15
#[tokio::test]
async fn a_message_beyond_the_bound_ends_the_connection() {
    let mut us = Running::with(|config| {
        serve(config, Transport::Ws);
        config.limits.body_bytes = 1_000;
    })
    .await;
    let mut page = Page::connect(us.streams[0].1).await;
    page.send(Frame::binary(vec![b'x'; 900_000])).await;
    // RFC 6455 7.4.1
    let Frame::Close(Some(said)) = page.frame().await else { panic!("it is said why") };
    assert_eq!(said.code, CloseCode::Size);
    assert_eq!(page.read_to_the_end().await, b"", "the end, and no reset");
    assert!(matches!(ended(&mut us).await, FlowEnd::Broken(_)));
}

/// T15: what is no WebSocket is told so, and then it is over; a message beyond a limit is answered first.
#[tokio::test]
async fn who_breaks_the_rules_of_websocket_or_a_limit_is_told_and_reads_the_end() {
    let mut us = serving().await;
    let mut page = Page::connect(us.streams[0].1).await;
    // A frame of a client has to be masked. RFC 6455 5.1
    page.0.get_mut().write_all(b"\x81\x05hello").await.unwrap();
    page.0.get_mut().write_all(&[b'x'; 200_000]).await.unwrap();
    let Frame::Close(Some(said)) = page.frame().await else { panic!("it is said why") };
    assert_eq!(said.code, CloseCode::Protocol);
    assert_eq!(page.read_to_the_end().await, b"");
    assert!(matches!(ended(&mut us).await, FlowEnd::Broken(_)));

    let mut page = Page::connect(us.streams[0].1).await;
    page.send(Frame::text(options("h", &"Contact: <sip:a@b>\r\n".repeat(60)))).await;
    assert_eq!(page.receive().await.status(), Some(400));
    assert!(matches!(page.frame().await, Frame::Close(_)));
    assert_eq!(page.read_to_the_end().await, b"");
    assert_eq!(ended(&mut us).await, FlowEnd::Ours);
}

#[tokio::test]
async fn what_is_no_handshake_is_turned_away() {
    let mut us = serving().await;
    let mut peer = TcpStream::connect(us.streams[0].1).await.unwrap();
    peer.write_all(options("h", "").as_bytes()).await.unwrap();
    assert_eq!(ended(&mut us).await, FlowEnd::Handshake);
    assert_eq!(us.counters.stream_messages_received.count(), 0);
}

/// TRN-10, TRN-12, SEC-04
#[tokio::test]
async fn a_page_that_was_loaded_securely_speaks_the_same_inside_tls() {
    let authority = Authority::new();
    let tls = authority.tls(vec![authority.issue("ours", &["carillon.example"])]);
    let mut us = Running::with(|config| {
        config.tls = Some(tls);
        serve(config, Transport::Wss);
    })
    .await;
    let stream = authority.connect(us.streams[0].1, "carillon.example", None).await;
    let mut page = open(stream, Some("sip"), None).await.unwrap();
    page.send(Frame::text(options("df7jal23ls0d.invalid", "").replace("/WS", "/WSS"))).await;
    assert_eq!(page.receive().await.status(), Some(200));
    let (.., arrival) = us.request().await;
    assert_eq!(arrival.transport, Transport::Wss);
    us.order(move |cx| {
        let request = request_of_ours(cx, "OPTIONS", 0, arrival.flow);
        cx.send_request(request, arrival.flow).unwrap();
        None
    });
    let request = page.receive().await;
    let via = request.top_via().unwrap();
    assert_eq!((via.transport, via.port), ("WSS", Some(us.streams[0].1.port())));
}
