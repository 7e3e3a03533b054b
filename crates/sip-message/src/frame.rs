//! Messages out of a byte stream. RFC 3261 18.3, RFC 5626 3.5.1

use bytes::{Buf, Bytes, BytesMut};

use crate::error::{ParseError, ParseErrorKind};
use crate::grammar::{is_token, saturating_number, trim};
use crate::header::HeaderId;
use crate::limits::Limits;

/// What a TLS record with a handshake begins with, and no message ever. Its line may never end, while both sides wait. RFC 8446 5.1
const TLS_HANDSHAKE: u8 = 0x16;

/// What a stream holds next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// One whole message, ready for `Message::parse`.
    Message(Bytes),
    /// A double CR LF between messages: answer it with one CR LF.
    Ping,
    /// The stream can no longer be cut into messages: answer with 400 if `head` allows, then close.
    Broken {
        /// What was wrong.
        error: ParseError,
        /// The head as far as it came, for `Message::salvage`.
        head: Bytes,
    },
}

/// Cuts a byte stream into messages by Content-Length.
///
/// Stricter than the parser for datagrams: a bare LF, a missing, odd or repeated and different
/// Content-Length, or a Transfer-Encoding breaks the stream, because two readers could disagree
/// about where the next message begins. After that nothing more is read.
#[derive(Debug)]
pub struct Framer {
    limits: Limits,
    buffer: BytesMut,
    /// How far the current head has been searched.
    searched: usize,
    /// Where the line that is being searched begins.
    line_start: usize,
    /// Once the head is complete: its length, and that of the body.
    complete: Option<(usize, usize)>,
    broken: bool,
}

impl Framer {
    /// An empty stream.
    pub fn new(limits: Limits) -> Self {
        Framer { limits, buffer: BytesMut::new(), searched: 0, line_start: 0, complete: None, broken: false }
    }

    /// Adds what was read from the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        if !self.broken {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// Bytes that wait for the rest of their message.
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// The next frame; `None` when more bytes are needed, and for ever after [`Frame::Broken`].
    #[allow(clippy::should_implement_trait, reason = "an iterator would be fused; this is not")]
    pub fn next(&mut self) -> Option<Frame> {
        if self.broken {
            return None;
        }
        if self.searched == 0 && self.skip_line_ends()? {
            return Some(Frame::Ping);
        }
        if self.searched == 0 && self.buffer.first() == Some(&TLS_HANDSHAKE) {
            return Some(self.give_up(fail(ParseErrorKind::Tls, "a message without TLS", 0)));
        }
        if self.complete.is_none() {
            match self.find_head() {
                Ok(None) => return None,
                Ok(Some(lengths)) => self.complete = Some(lengths),
                Err(error) => return Some(self.give_up(error)),
            }
        }
        let (head, body) = self.complete?;
        if self.buffer.len() < head + body {
            return None;
        }
        let message = self.buffer.split_to(head + body).freeze();
        (self.searched, self.line_start, self.complete) = (0, 0, None);
        Some(Frame::Message(message))
    }

    /// Skips single line ends before a message; `Some(true)` on a ping, `None` when bytes are missing.
    fn skip_line_ends(&mut self) -> Option<bool> {
        loop {
            match self.buffer.as_ref() {
                [b'\r', b'\n', b'\r', b'\n', ..] => {
                    self.buffer.advance(4);
                    return Some(true);
                }
                [] | [b'\r'] | [b'\r', b'\n'] | [b'\r', b'\n', b'\r'] => return None,
                [b'\r', b'\n', ..] => self.buffer.advance(2),
                [_, ..] => return Some(false),
            }
        }
    }

    /// Looks for the blank line, beginning where the last search ended.
    fn find_head(&mut self) -> Result<Option<(usize, usize)>, ParseError> {
        while let Some(at) = memchr::memchr(b'\n', &self.buffer[self.searched..]) {
            let at = self.searched + at;
            self.check_limits(at + 1)?;
            self.searched = at + 1;
            if at == 0 || self.buffer[at - 1] != b'\r' {
                return Err(fail(ParseErrorKind::HeaderLine, "CR before LF", at));
            }
            let line_start = std::mem::replace(&mut self.line_start, at + 1);
            if at - 1 == line_start {
                return self.body_length(at + 1).map(|body| Some((at + 1, body)));
            }
        }
        self.check_limits(self.buffer.len())?;
        self.searched = self.buffer.len();
        Ok(None)
    }

    /// Checks the limits for a line that reaches to `end`. Which one was passed first does not depend
    /// on how the stream was cut.
    fn check_limits(&self, end: usize) -> Result<(), ParseError> {
        let head_limit = self.limits.head_bytes.min(Limits::MAX_HEAD_BYTES);
        // The limit of a line is for its text; the line end comes on top.
        let line_limit = self.line_start.saturating_add(self.limits.line_bytes).saturating_add(2);
        if end <= head_limit.min(line_limit) {
            Ok(())
        } else if line_limit < head_limit && self.line_start == 0 && self.begins_like_a_request(line_limit) {
            // A Request-URI that is too long has an answer of its own (RFC 3261 21.4.11), and the headers say to whom.
            if end <= head_limit { Ok(()) } else { Err(fail(ParseErrorKind::TooLarge, "a smaller head", 0)) }
        } else if line_limit < head_limit {
            Err(fail(ParseErrorKind::LineTooLong, "a line end", self.line_start))
        } else {
            Err(fail(ParseErrorKind::TooLarge, "a smaller head", self.line_start))
        }
    }

    /// Is there a method and a space, as far as the limit of a line goes?
    fn begins_like_a_request(&self, line_limit: usize) -> bool {
        let line = &self.buffer[..line_limit.min(self.buffer.len())];
        memchr::memchr(b' ', line).is_some_and(|space| is_token(&line[..space]))
    }

    fn body_length(&self, head: usize) -> Result<usize, ParseError> {
        let mut found = None;
        for (offset, id, value) in header_lines(&self.buffer[..head]) {
            match id {
                HeaderId::TransferEncoding => {
                    return Err(fail(ParseErrorKind::ContentLength, "no Transfer-Encoding", offset));
                }
                HeaderId::ContentLength => {
                    let length = saturating_number(value).ok_or_else(|| {
                        fail(ParseErrorKind::ContentLength, "a number as Content-Length", offset)
                    })?;
                    if found.is_some_and(|found| found != length) {
                        return Err(fail(
                            ParseErrorKind::ContentLength,
                            "the same Content-Length twice",
                            offset,
                        ));
                    }
                    found = Some(length);
                }
                _ => {}
            }
        }
        let length =
            found.ok_or_else(|| fail(ParseErrorKind::MissingContentLength, "a Content-Length", head))?;
        match usize::try_from(length) {
            Ok(length) if length <= self.limits.body_bytes => Ok(length),
            _ => Err(fail(ParseErrorKind::TooLarge, "a smaller body", head)),
        }
    }

    fn give_up(&mut self, error: ParseError) -> Frame {
        self.broken = true;
        let head = self.buffer.len().min(Limits::MAX_HEAD_BYTES);
        let head = self.buffer.split_to(head).freeze();
        self.buffer = BytesMut::new();
        Frame::Broken { error, head }
    }
}

/// The header lines of a head, each with its continuation lines.
fn header_lines(head: &[u8]) -> impl Iterator<Item = (usize, HeaderId, &[u8])> {
    let mut position = memchr::memchr(b'\n', head).map_or(head.len(), |at| at + 1);
    std::iter::from_fn(move || {
        let start = position;
        loop {
            position += memchr::memchr(b'\n', &head[position..])? + 1;
            if !matches!(head.get(position), Some(b' ' | b'\t')) {
                break;
            }
        }
        let line = &head[start..position];
        let colon = memchr::memchr(b':', line).unwrap_or(0);
        let id = HeaderId::from_name(trim(&line[..colon]));
        Some((start, id, trim(&line[(colon + 1).min(line.len())..])))
    })
}

fn fail(kind: ParseErrorKind, expected: &'static str, offset: usize) -> ParseError {
    ParseError { kind, expected, offset }
}
