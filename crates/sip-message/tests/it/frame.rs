use bytes::Bytes;
use sip_message::{Frame, Framer, Limits, ParseErrorKind};

use crate::{INVITE, options_with};

fn frames(stream: &[u8], piece: usize) -> Vec<Frame> {
    frames_within(Limits::default(), stream, piece)
}

fn frames_within(limits: Limits, stream: &[u8], piece: usize) -> Vec<Frame> {
    let mut framer = Framer::new(limits);
    let mut frames = Vec::new();
    for bytes in stream.chunks(piece) {
        framer.push(bytes);
        while let Some(frame) = framer.next() {
            frames.push(frame);
        }
    }
    frames
}

fn broken(stream: &str) -> ParseErrorKind {
    let [bytewise, pieces, whole] =
        [1, 7, stream.len()].map(|piece| match frames(stream.as_bytes(), piece).pop() {
            Some(Frame::Broken { error, .. }) => error.kind,
            other => panic!("{other:?} from {stream:?}"),
        });
    assert_eq!((bytewise, pieces), (whole, whole));
    whole
}

/// TRN-07
#[test]
fn messages_are_the_same_however_the_stream_is_cut() {
    let options = options_with("Content-Length:\r\n 0\r\n");
    let stream = format!("\r\n{INVITE}\r\n\r\n{options}\r\n{INVITE}");
    let expected = [
        Frame::Message(Bytes::from(INVITE)),
        Frame::Ping,
        Frame::Message(Bytes::from(options)),
        Frame::Message(Bytes::from(INVITE)),
    ];
    for piece in [1, 2, 3, 7, 50, 64, 1000, stream.len()] {
        assert_eq!(frames(stream.as_bytes(), piece), expected, "cut every {piece} bytes");
    }
}

/// T16, TRN-07
#[test]
fn a_stream_that_two_readers_could_cut_differently_is_broken() {
    let with = |lines: &str| options_with(lines) + "rest";
    assert_eq!(broken(&with("")), ParseErrorKind::MissingContentLength);
    assert_eq!(broken(&with("Content-Length: x\r\n")), ParseErrorKind::ContentLength);
    assert_eq!(broken(&with("Content-Length: -1\r\n")), ParseErrorKind::ContentLength);
    assert_eq!(broken(&with("Content-Length: 0\r\nl: 4\r\n")), ParseErrorKind::ContentLength);
    assert_eq!(broken(&with("A: b\nContent-Length: 4\r\n")), ParseErrorKind::HeaderLine);
    assert_eq!(
        broken(&with("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n")),
        ParseErrorKind::ContentLength
    );
    assert_eq!(broken(&with("Content-Length: 9999999\r\n")), ParseErrorKind::TooLarge);
    assert_eq!(broken(&"x".repeat(20_000)), ParseErrorKind::LineTooLong);
    assert_eq!(broken(&"x: y\r\n".repeat(20_000)), ParseErrorKind::TooLarge);
}

/// A line and a head may be as long as their limits say and no octet longer, wherever the line stands and however the stream is
/// cut; a line end counts for the head and not for the line.
#[test]
fn a_line_and_a_head_may_be_as_long_as_their_limits_say() {
    const LINE: usize = 60;
    let lines = |first: usize, second: usize| {
        let line = |length: usize| format!("X: {}\r\n", "y".repeat(length - 3));
        options_with(&format!("{}{}Content-Length: 0\r\n", line(first), line(second)))
    };
    let fits = lines(LINE, LINE);
    let limits = Limits { line_bytes: LINE, head_bytes: fits.len(), ..Limits::default() };
    let kind =
        |limits: Limits, stream: &str, piece| match frames_within(limits, stream.as_bytes(), piece).pop() {
            Some(Frame::Message(message)) => {
                assert_eq!(message, stream);
                None
            }
            Some(Frame::Broken { error, .. }) => Some(error.kind),
            other => panic!("{other:?}"),
        };
    for piece in [1, 2, 3, 7, 1_000] {
        assert_eq!(kind(limits, &fits, piece), None, "cut every {piece} bytes");
        for (first, second) in [(LINE + 1, LINE - 1), (LINE - 1, LINE + 1)] {
            let found = kind(limits, &lines(first, second), piece);
            assert_eq!(found, Some(ParseErrorKind::LineTooLong), "cut every {piece} bytes");
        }
        let less = Limits { head_bytes: fits.len() - 1, ..limits };
        assert_eq!(kind(less, &fits, piece), Some(ParseErrorKind::TooLarge), "cut every {piece} bytes");
    }
}

/// T16
#[test]
fn nothing_is_read_after_a_broken_frame() {
    let stream = options_with("Content-Length: x\r\n") + INVITE;
    let mut framer = Framer::new(Limits::default());
    framer.push(stream.as_bytes());
    let Some(Frame::Broken { head, .. }) = framer.next() else { panic!("the length is no number") };
    assert!(sip_message::Message::salvage(head, &Limits::default()).unwrap().essentials().is_ok());
    framer.push(INVITE.as_bytes());
    assert_eq!(framer.next(), None);
    assert_eq!(framer.buffered(), 0);
}
