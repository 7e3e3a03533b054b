//! SIP over WebSocket: one SIP message is one WebSocket message. RFC 7118
//!
//! Text and binary are taken alike; what is no UTF-8 leaves as binary (RFC 7118 4.2). A WebSocket message has a length of its
//! own, so that Content-Length may be left out (RFC 7118 5). Whoever goes away without a word is found by a ping.
//!
//! | the request of the handshake | is answered |
//! |---|---|
//! | has another method than GET | 405 with Allow |
//! | asks for no WebSocket, or for another version of it | 426 with the version that is spoken (RFC 6455 4.4) |
//! | cannot be read, has no key, does not offer `sip` (RFC 7118 4.1) | 400 |
//! | is longer than 16 kB | 431 |
//! | is of a page of an origin that is not allowed | 403 |
//! | else | 101; after any other answer the connection ends |

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use sip_message::Message;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::machine::TryParse;
use tokio_tungstenite::tungstenite::handshake::server::{
    ErrorResponse, Request, Response, create_response, write_response,
};
use tokio_tungstenite::tungstenite::http::header::{
    ALLOW, CONNECTION, CONTENT_LENGTH, HeaderName, ORIGIN, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
    UPGRADE,
};
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Utf8Bytes};

use crate::flow::FlowEnd;
use crate::stream::{Event, Line, Parcel, Patience, What};

type Frame = tungstenite::Message;

/// The name of SIP in the handshake. RFC 7118 4.1
const SIP: &str = "sip";

/// The only version there is. RFC 6455 4.1
const VERSION: &str = "13";

/// The longest request that may be a handshake: cookies of the page's site go along with it.
const LONGEST_HEAD: usize = 16 * 1024;

/// What is read from the socket at a time: most messages of a phone fit, and an idle connection holds no more.
const READ: usize = 4 * 1024;

/// Answers that may wait while a peer does not read.
const WORDS: usize = 16;

/// Something to say that is no SIP message.
#[derive(Debug, Clone, Copy)]
enum Word {
    /// The answer to a double line end. RFC 5626 3.5.1
    LineEnd,
    /// Is anybody there? RFC 6455 5.5.2
    Ping,
    /// What came is none of it, or too long: the connection ends. RFC 6455 7.4.1
    Close(CloseCode),
}

/// Answers the handshake of a browser.
///
/// # Errors
/// When it is none that leads here; what was asked instead has got its answer, and the connection is at its end.
pub(crate) async fn upgrade<S>(
    mut stream: S,
    origins: &[String],
    patience: &Patience,
) -> Result<WebSocketStream<S>, Refused>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (answer, rest) = match head(&mut stream).await? {
        Some((head, rest)) => (answer(&head, origins), rest),
        None => {
            (Err(refusal(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "no handshake is so long")), Vec::new())
        }
    };
    match answer {
        Ok(accepted) => say(&mut stream, &accepted, "").await?,
        Err(refusal) => {
            say(&mut stream, &refusal, refusal.body().as_deref().unwrap_or_default()).await?;
            return Err(leave(stream).await);
        }
    }
    let largest = patience.limits.head_bytes + patience.limits.body_bytes;
    let config = WebSocketConfig::default()
        .read_buffer_size(READ)
        .write_buffer_size(0)
        .max_write_buffer_size(16 * largest)
        .max_message_size(Some(largest))
        .max_frame_size(Some(largest));
    Ok(WebSocketStream::from_partially_read(stream, rest, Role::Server, Some(config)).await)
}

/// No WebSocket was made of a connection.
#[derive(Debug)]
pub(crate) struct Refused;

impl From<io::Error> for Refused {
    fn from(_: io::Error) -> Self {
        Self
    }
}

/// Reads a request up to its empty line; `None` when it is too long. What came behind it is for the WebSocket.
async fn head(stream: &mut (impl AsyncRead + Unpin)) -> Result<Option<(Vec<u8>, Vec<u8>)>, Refused> {
    let mut read = Vec::with_capacity(1024);
    let mut looked = 0;
    while read.len() < LONGEST_HEAD {
        if stream.read_buf(&mut read).await? == 0 {
            return Err(Refused);
        }
        if let Some(at) = read[looked..].windows(4).position(|end| end == b"\r\n\r\n") {
            let rest = read.split_off(looked + at + 4);
            return Ok(Some((read, rest)));
        }
        looked = read.len().saturating_sub(3);
    }
    Ok(None)
}

/// What a request is answered with. RFC 6455 4.2
#[allow(clippy::result_large_err, reason = "the type is the library's")]
fn answer(head: &[u8], origins: &[String]) -> Result<Response, ErrorResponse> {
    let bad =
        || refusal(StatusCode::BAD_REQUEST, "a handshake of WebSocket is what is taken here (RFC 6455)");
    let method = head.split(|byte| *byte == b' ').next().unwrap_or_default();
    let is_method = !method.is_empty() && method.iter().all(u8::is_ascii_uppercase);
    if is_method && method != b"GET" {
        let mut refused =
            refusal(StatusCode::METHOD_NOT_ALLOWED, "only GET begins a WebSocket (RFC 6455 4.1)");
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
        return Err(refused);
    }
    let Ok(Some((_, request))) = Request::try_parse(head) else { return Err(bad()) };
    let says = |name: HeaderName, word: &str| {
        let values = request.headers().get_all(name).into_iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|value| value.trim().eq_ignore_ascii_case(word))
    };
    let is_upgrade = says(CONNECTION, "upgrade") && says(UPGRADE, "websocket");
    // RFC 6455 4.4, RFC 9110 15.5.22
    if !is_upgrade || !says(SEC_WEBSOCKET_VERSION, VERSION) {
        let mut refused =
            refusal(StatusCode::UPGRADE_REQUIRED, "WebSocket of version 13 is spoken here (RFC 6455)");
        let headers = refused.headers_mut();
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static(VERSION));
        return Err(refused);
    }
    let accepted = create_response(&request).map_err(|_| bad())?;
    judge(&request, accepted, origins)
}

async fn say<T>(
    stream: &mut (impl AsyncWrite + Unpin),
    response: &tungstenite::http::Response<T>,
    body: &str,
) -> Result<(), Refused> {
    let mut text = Vec::new();
    write_response(&mut text, response).map_err(|_| Refused)?;
    text.extend_from_slice(body.as_bytes());
    stream.write_all(&text).await?;
    stream.flush().await?;
    Ok(())
}

/// Closes a connection so that its peer can read the answer: what it still sends is taken first, else the kernel would reset it.
async fn leave(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Refused {
    let mut left = [0; 1024];
    let mut taken = 0;
    if stream.shutdown().await.is_ok() {
        while let Ok(read @ 1..) = stream.read(&mut left).await
            && taken < LONGEST_HEAD
        {
            taken += read;
        }
    }
    Refused
}

#[allow(clippy::result_large_err, reason = "the type is the library's")]
fn judge(request: &Request, mut response: Response, origins: &[String]) -> Result<Response, ErrorResponse> {
    if !asks_for_sip(request) {
        return Err(refusal(
            StatusCode::BAD_REQUEST,
            "the subprotocol sip is what is spoken here (RFC 7118)",
        ));
    }
    if !may_come(request, origins) {
        return Err(refusal(StatusCode::FORBIDDEN, "pages of this origin may not connect here"));
    }
    response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SIP));
    Ok(response)
}

fn asks_for_sip(request: &Request) -> bool {
    let offered = request.headers().get_all(SEC_WEBSOCKET_PROTOCOL);
    let mut names = offered.iter().filter_map(|value| value.to_str().ok()).flat_map(|names| names.split(','));
    names.any(|name| name.trim() == SIP)
}

/// Only a browser says where its page is from, and it cannot be made to lie; others may say anything. RFC 6455 10.2
fn may_come(request: &Request, origins: &[String]) -> bool {
    let Some(origin) = request.headers().get(ORIGIN) else { return true };
    let is =
        |allowed: &String| origin.as_bytes().eq_ignore_ascii_case(allowed.trim_end_matches('/').as_bytes());
    origins.is_empty() || origins.iter().any(is)
}

fn refusal(status: StatusCode, why: &str) -> ErrorResponse {
    let mut response = ErrorResponse::new(Some(why.to_owned()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, HeaderValue::from(why.len()));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

/// Runs a connection until either side ends it, and reports the end.
pub(crate) async fn run<S>(socket: Box<WebSocketStream<S>>, mut line: Line)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let (mut sink, mut stream) = socket.split();
    let (say, words) = mpsc::channel(WORDS);
    let (activity, active) = watch::channel(Instant::now());
    let mut in_hand = Vec::new();
    // Apart from the line, which the reading half looks at meanwhile.
    let mut outgoing = std::mem::replace(&mut line.outgoing, mpsc::channel(1).1);
    let end = tokio::select! {
        biased;
        // Writing first: what we owe goes out before more is taken in.
        end = write(&mut sink, &mut outgoing, words, &mut in_hand, &activity, line.patience.write) => end,
        end = read(&mut stream, &line, say, active) => end,
    };
    line.outgoing = outgoing;
    // What came can be no more than a close of theirs, and what we had to say is said.
    if matches!(end, FlowEnd::Ours | FlowEnd::Broken(io::ErrorKind::InvalidData))
        && let Ok(mut socket) = sink.reunite(stream)
    {
        let stream = socket.get_mut();
        if let Ok(Ok(())) = timeout(line.patience.write, stream.shutdown()).await {
            line.lingering.leave(stream).await;
        }
    }
    line.end(end, in_hand).await;
}

async fn read<S>(
    stream: &mut SplitStream<Box<WebSocketStream<S>>>,
    line: &Line,
    say: mpsc::Sender<Word>,
    active: watch::Receiver<Instant>,
) -> FlowEnd
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let Patience { ping, message, .. } = line.patience;
    let (mut last_heard, mut last_message) = (Instant::now(), Instant::now());
    let mut asked = None;
    loop {
        let idle_at = last_message.max(*active.borrow()) + line.idle();
        let deadline = asked.map_or(last_heard + ping, |at: Instant| at + message).min(idle_at);
        let frame = tokio::select! {
            biased;
            frame = stream.next() => frame,
            () = sleep_until(deadline) => {
                let now = Instant::now();
                match asked {
                    Some(at) if now >= at + message => return FlowEnd::Silent,
                    None if now >= last_heard + ping => {
                        // When so much waits already, the peer does not read, and that ends by itself.
                        let _ = say.try_send(Word::Ping);
                        asked = Some(now);
                    }
                    Some(_) | None => {}
                }
                if now >= last_message.max(*active.borrow()) + line.idle() {
                    return FlowEnd::Idle;
                }
                continue;
            }
        };
        (last_heard, asked) = (Instant::now(), None);
        let bytes: Bytes = match frame {
            Some(Ok(Frame::Text(text))) => text.into(),
            Some(Ok(Frame::Binary(bytes))) => bytes,
            Some(Ok(Frame::Ping(_) | Frame::Pong(_))) => {
                // A phone that answers is there; only strangers have to say something.
                if line.is_kept() {
                    last_message = last_heard;
                }
                continue;
            }
            Some(Ok(Frame::Close(_) | Frame::Frame(_))) | None => return FlowEnd::Peer,
            Some(Err(error)) => {
                let Some(code) = fault(&error) else { return end_of(&error) };
                // The writing half says it and ends; nothing more is read.
                let _ = say.send(Word::Close(code)).await;
                return std::future::pending().await;
            }
        };
        let keeps_alive = keep_alive(&bytes);
        if line.is_kept() || keeps_alive.is_none() {
            last_message = last_heard;
        }
        let what = match keeps_alive {
            Some(true) => {
                // A peer that sends them faster than it reads gets fewer answers.
                let _ = say.try_send(Word::LineEnd);
                What::Ping
            }
            Some(false) => continue,
            None => match Message::parse(bytes.clone(), &line.patience.limits) {
                Ok(message) => What::Message(Box::new(message)),
                Err(error) => What::Malformed { error, bytes, fatal: false },
            },
        };
        if line.events.send(Event { flow: line.flow, what }).await.is_err() {
            return FlowEnd::Ours;
        }
    }
}

/// Nothing but line ends: whether an answer is asked for.
fn keep_alive(bytes: &[u8]) -> Option<bool> {
    let only_line_ends = bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n'));
    only_line_ends.then(|| bytes.starts_with(b"\r\n\r\n"))
}

async fn write<S>(
    sink: &mut SplitSink<Box<WebSocketStream<S>>, Frame>,
    outgoing: &mut mpsc::Receiver<Parcel>,
    mut words: mpsc::Receiver<Word>,
    in_hand: &mut Vec<Parcel>,
    activity: &watch::Sender<Instant>,
    patience: Duration,
) -> FlowEnd
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    const TOGETHER: usize = 32;
    loop {
        let word = tokio::select! {
            biased;
            Some(word) = words.recv() => Some(word),
            count = outgoing.recv_many(in_hand, TOGETHER) => {
                if count == 0 {
                    // Nobody will ever send on this connection again: we are closing it. RFC 6455 7.1.2
                    let _ = timeout(patience, sink.close()).await;
                    return FlowEnd::Ours;
                }
                None
            }
        };
        let is_last = matches!(word, Some(Word::Close(_)));
        let frames = in_hand.iter().map(|parcel| frame(&parcel.bytes));
        let all: Vec<Frame> = word.map(said).into_iter().chain(frames).collect();
        let sending = async {
            for frame in all {
                sink.feed(frame).await?;
            }
            sink.flush().await
        };
        match timeout(patience, sending).await {
            Ok(Ok(())) if is_last => return FlowEnd::Broken(io::ErrorKind::InvalidData),
            Ok(Ok(())) => {}
            Ok(Err(error)) => return end_of(&error),
            Err(_) => return FlowEnd::TooSlow,
        }
        if !in_hand.is_empty() {
            in_hand.clear();
            let _ = activity.send(Instant::now());
        }
    }
}

fn said(word: Word) -> Frame {
    match word {
        Word::LineEnd => Frame::Text(Utf8Bytes::from_static("\r\n")),
        Word::Ping => Frame::Ping(Bytes::new()),
        Word::Close(code) => Frame::Close(Some(CloseFrame { code, reason: Utf8Bytes::default() })),
    }
}

/// Text where it is text, which is what pages take most easily.
fn frame(bytes: &Bytes) -> Frame {
    match Utf8Bytes::try_from(bytes.clone()) {
        Ok(text) => Frame::Text(text),
        Err(_) => Frame::Binary(bytes.clone()),
    }
}

/// What a peer is told that did not keep to the protocol; `None` when the connection itself is broken. RFC 6455 7.4.1
fn fault(error: &tungstenite::Error) -> Option<CloseCode> {
    match error {
        tungstenite::Error::Capacity(_) => Some(CloseCode::Size),
        tungstenite::Error::Protocol(
            tungstenite::error::ProtocolError::ResetWithoutClosingHandshake
            | tungstenite::error::ProtocolError::SendAfterClosing
            | tungstenite::error::ProtocolError::ReceivedAfterClosing,
        ) => None,
        tungstenite::Error::Protocol(_) => Some(CloseCode::Protocol),
        tungstenite::Error::Utf8(_) => Some(CloseCode::Invalid),
        _ => None,
    }
}

fn end_of(error: &tungstenite::Error) -> FlowEnd {
    use std::io::ErrorKind;
    match error {
        tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed => FlowEnd::Peer,
        tungstenite::Error::Io(error) => FlowEnd::Broken(error.kind()),
        _ => FlowEnd::Broken(ErrorKind::InvalidData),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(headers: &[(&str, &str)]) -> Request {
        let mut request = Request::new(());
        for (name, value) in headers {
            let name: tungstenite::http::HeaderName = name.parse().unwrap();
            request.headers_mut().append(name, value.parse().unwrap());
        }
        request
    }

    fn status(headers: &[(&str, &str)], origins: &[&str]) -> u16 {
        let origins: Vec<String> = origins.iter().map(|origin| (*origin).to_owned()).collect();
        match judge(&request(headers), Response::new(()), &origins) {
            Ok(response) => {
                assert_eq!(response.headers()[SEC_WEBSOCKET_PROTOCOL], "sip");
                101
            }
            Err(refusal) => refusal.status().as_u16(),
        }
    }

    /// TRN-10
    #[test]
    fn only_who_offers_sip_is_let_in() {
        assert_eq!(status(&[("sec-websocket-protocol", "sip")], &[]), 101);
        assert_eq!(status(&[("sec-websocket-protocol", "msrp, sip")], &[]), 101);
        assert_eq!(
            status(&[("sec-websocket-protocol", "msrp"), ("sec-websocket-protocol", "sip")], &[]),
            101
        );
        assert_eq!(status(&[("sec-websocket-protocol", "msrp")], &[]), 400);
        assert_eq!(status(&[("sec-websocket-protocol", "sipx")], &[]), 400);
        assert_eq!(status(&[], &[]), 400);
    }

    #[test]
    fn a_page_of_another_origin_is_refused_when_origins_are_set() {
        let from = |origin| [("sec-websocket-protocol", "sip"), ("origin", origin)];
        let allowed = ["https://phone.example.com"];
        assert_eq!(status(&from("https://phone.example.com"), &allowed), 101);
        assert_eq!(status(&from("HTTPS://Phone.example.com"), &allowed), 101);
        for other in
            ["https://evil.example", "http://phone.example.com", "https://phone.example.com.evil", "null"]
        {
            assert_eq!(status(&from(other), &allowed), 403, "{other}");
            assert_eq!(status(&from(other), &[]), 101, "{other}");
        }
        assert_eq!(status(&[("sec-websocket-protocol", "sip")], &allowed), 101, "no page at all");
    }

    /// TRN-11
    #[test]
    fn what_is_no_utf_8_leaves_as_binary() {
        assert!(frame(&Bytes::from_static("INVITE \u{fc}".as_bytes())).is_text());
        assert!(frame(&Bytes::from_static(b"INVITE \xfc")).is_binary());
    }

    /// TRN-13
    #[test]
    fn a_double_line_end_is_a_keep_alive() {
        assert_eq!(keep_alive(b"\r\n\r\n"), Some(true));
        assert_eq!(keep_alive(b"\r\n"), Some(false));
        assert_eq!(keep_alive(b"OPTIONS"), None);
    }
}
