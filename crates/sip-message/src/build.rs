//! New messages from checked parts.

use bytes::Bytes;
use smallvec::SmallVec;

use crate::edit::Digits;
use crate::error::BuildError;
use crate::grammar::is_token;
use crate::header::HeaderId;
use crate::limits::Limits;
use crate::message::{Entry, Message, is_request_uri};
use crate::{Method, standard_reason};

/// Room that is kept for Content-Type, Content-Length and the blank line.
const TAIL_BYTES: usize = 512;
/// Lines that most responses copy: as many Via as a request passes on its way, and five others.
const COPIED_LINES: usize = 12;
/// Room for the lines that are added to most messages, so that it is not made in steps.
const FEW_LINES: usize = 256;

/// Builds a request; headers leave in the order in which they are added.
#[derive(Clone, Debug)]
pub struct RequestBuilder {
    head: HeadBuilder,
}

impl RequestBuilder {
    /// Begins a request with its request line.
    ///
    /// # Errors
    /// When the method is no token or the URI no URI.
    pub fn new(method: Method, uri: impl AsRef<[u8]>) -> Result<Self, BuildError> {
        let uri = uri.as_ref();
        if !is_token(method.as_str().as_bytes()) {
            return Err(BuildError::Method(method.as_str().to_owned()));
        }
        if !is_request_uri(uri) || uri.len() > crate::MAX_URI_BYTES {
            return Err(BuildError::Uri(crate::SyntaxError { expected: "a URI", offset: 0 }));
        }
        let mut head = HeadBuilder::default();
        for part in [method.as_str().as_bytes(), b" ", uri, b" SIP/2.0\r\n"] {
            head.text.extend_from_slice(part);
        }
        Ok(RequestBuilder { head })
    }

    /// Adds a header line.
    ///
    /// # Errors
    /// When the value holds CR, LF or NUL, the head becomes too large, or it is Content-Length.
    pub fn header(mut self, id: HeaderId, value: impl AsRef<[u8]>) -> Result<Self, BuildError> {
        self.head.known_line(id, value.as_ref())?;
        Ok(self)
    }

    /// Adds a header line of any name.
    ///
    /// # Errors
    /// When the name is no token or Content-Length, the value holds CR, LF or NUL, or the head becomes
    /// too large.
    pub fn named(mut self, name: &str, value: impl AsRef<[u8]>) -> Result<Self, BuildError> {
        self.head.line(name, value.as_ref())?;
        Ok(self)
    }

    /// Sets the body and its type.
    ///
    /// # Errors
    /// When the type holds CR, LF or NUL, or is longer than 255 bytes.
    pub fn body(mut self, content_type: &str, body: impl Into<Bytes>) -> Result<Self, BuildError> {
        self.head.set_body(content_type, body.into())?;
        Ok(self)
    }

    /// The finished request, with Content-Length.
    pub fn build(self) -> Message {
        self.head.build()
    }
}

/// A response as it leaves. Every line was checked when it was added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    status: u16,
    bytes: Bytes,
}

impl Written {
    /// Its status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The message.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The message, to be kept.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }
}

/// Builds a response to a request. RFC 3261 8.2.6
#[derive(Clone, Debug)]
pub struct ResponseBuilder<'r> {
    request: &'r Message,
    status: u16,
    reason: Option<String>,
    to_tag: Option<String>,
    more: HeadBuilder,
}

impl<'r> ResponseBuilder<'r> {
    /// Begins a response; a status outside 100–699 becomes 500.
    ///
    /// Via, From, To, Call-ID, CSeq and Timestamp are taken from the request; Record-Route too, when
    /// the response can form a dialog. RFC 3261 8.2.6.1, 8.2.6.2, 12.1.1
    pub fn to(request: &'r Message, status: u16) -> Self {
        let status = if (100..700).contains(&status) { status } else { 500 };
        ResponseBuilder { request, status, reason: None, to_tag: None, more: HeadBuilder::default() }
    }

    /// Another reason phrase than the usual one.
    ///
    /// # Errors
    /// When it holds CR, LF or NUL.
    pub fn reason(mut self, reason: &str) -> Result<Self, BuildError> {
        check_value("reason phrase", reason.as_bytes())?;
        if reason.len() > 1024 {
            return Err(BuildError::TooLarge);
        }
        self.reason = Some(reason.to_owned());
        Ok(self)
    }

    /// The To tag; it is used when the request's To has none and the status is not 100.
    ///
    /// # Errors
    /// When it is no token.
    #[expect(clippy::wrong_self_convention, reason = "the tag of To, not a conversion")]
    pub fn to_tag(mut self, tag: &str) -> Result<Self, BuildError> {
        if !is_token(tag.as_bytes()) || tag.len() > 255 {
            return Err(BuildError::Value { name: "To tag".to_owned(), offset: 0 });
        }
        self.to_tag = Some(tag.to_owned());
        Ok(self)
    }

    /// Adds a header line after the copied ones.
    ///
    /// # Errors
    /// When the value holds CR, LF or NUL, the head becomes too large, or it is Content-Length.
    pub fn header(mut self, id: HeaderId, value: impl AsRef<[u8]>) -> Result<Self, BuildError> {
        self.more.known_line(id, value.as_ref())?;
        Ok(self)
    }

    /// Adds a header line of any name after the copied ones.
    ///
    /// # Errors
    /// When the name is no token or Content-Length, the value holds CR, LF or NUL, or the head becomes
    /// too large.
    pub fn named(mut self, name: &str, value: impl AsRef<[u8]>) -> Result<Self, BuildError> {
        self.more.line(name, value.as_ref())?;
        Ok(self)
    }

    /// Sets the body and its type.
    ///
    /// # Errors
    /// When the type holds CR, LF or NUL, or is longer than 255 bytes.
    pub fn body(mut self, content_type: &str, body: impl Into<Bytes>) -> Result<Self, BuildError> {
        self.more.set_body(content_type, body.into())?;
        Ok(self)
    }

    /// The finished response, with Content-Length.
    ///
    /// Should the copied and the added headers together pass the largest head, the added ones and
    /// the body are left out: the answer to a huge request is still an answer.
    pub fn build(self) -> Message {
        self.assemble().build()
    }

    /// The same for whoever only sends it: reading it again would cost more than writing it.
    pub fn write(self) -> Written {
        Written { status: self.status, bytes: self.assemble().finish() }
    }

    fn assemble(self) -> HeadBuilder {
        let reason = self.reason.as_deref().unwrap_or_else(|| standard_reason(self.status));
        // Measured first: it is written once, and kept as long as its transaction without room to spare.
        let tag = self.to_tag.as_deref().unwrap_or_default();
        let added = "SIP/2.0 200 \r\n;tag=".len() + reason.len() + tag.len() + self.more.text.len();
        let mut lines: SmallVec<[Entry; COPIED_LINES]> = SmallVec::new();
        let mut room = added + self.more.tail_len();
        for entry in self.request.entries.iter().filter(|entry| self.copies(entry.id)) {
            room += entry.id.as_str().len() + usize::from(entry.end - entry.value) + ": \r\n".len();
            lines.push(*entry);
        }
        let mut head = HeadBuilder { text: Vec::with_capacity(room), body: None };
        let status = [100, 10, 1].map(|place| b'0' + (self.status / place % 10) as u8);
        for part in [b"SIP/2.0 ", &status[..], b" ", reason.as_bytes(), b"\r\n"] {
            head.text.extend_from_slice(part);
        }
        self.copy_lines(&mut head, &lines, room);
        if head.text.len() + self.more.text.len() + TAIL_BYTES <= Limits::MAX_HEAD_BYTES {
            head.text.extend_from_slice(&self.more.text);
            head.body = self.more.body;
        }
        head
    }

    fn copies(&self, id: HeaderId) -> bool {
        match id {
            HeaderId::Via | HeaderId::From | HeaderId::To | HeaderId::CallId | HeaderId::CSeq => true,
            HeaderId::Timestamp => true,
            HeaderId::RecordRoute => {
                (101..300).contains(&self.status) && self.request.method().forms_dialog()
            }
            _ => false,
        }
    }

    /// Lines that leave as they came go with those before them in one piece.
    fn copy_lines(&self, head: &mut HeadBuilder, lines: &[Entry], room: usize) {
        let request = self.request;
        let is_within = room + TAIL_BYTES <= Limits::MAX_HEAD_BYTES;
        let mut piece = 0..0;
        for entry in lines {
            let (start, end) = (usize::from(entry.start), usize::from(entry.end));
            if !is_within || !request.is_as_printed(entry) {
                head.text.extend_from_slice(&request.bytes[std::mem::replace(&mut piece, 0..0)]);
                self.copy_line(head, entry.id, request.value_of(entry));
                continue;
            }
            if piece.end != start {
                head.text.extend_from_slice(&request.bytes[piece]);
                piece = start..start;
            }
            if let Some(tag) = self.tag_for(entry.id, request.value_of(entry)) {
                head.text.extend_from_slice(&request.bytes[piece.start..end]);
                head.text.extend_from_slice(b";tag=");
                head.text.extend_from_slice(tag.as_bytes());
                piece.start = end;
            }
            piece.end = end + 2;
        }
        head.text.extend_from_slice(&request.bytes[piece]);
    }

    /// The tag that a copied line gets.
    fn tag_for(&self, id: HeaderId, value: &[u8]) -> Option<&str> {
        let tag = self.to_tag.as_deref().filter(|_| id == HeaderId::To && self.status > 100)?;
        // Nothing follows the address: no need to read it.
        let has_none = value.ends_with(b">") || self.request.to().map_or(true, |to| to.tag().is_none());
        has_none.then_some(tag)
    }

    fn copy_line(&self, head: &mut HeadBuilder, id: HeaderId, value: &[u8]) {
        if head.text.len() + value.len() + TAIL_BYTES > Limits::MAX_HEAD_BYTES {
            return;
        }
        head.text.extend_from_slice(id.as_str().as_bytes());
        head.text.extend_from_slice(b": ");
        let start = head.text.len();
        head.text.extend_from_slice(value);
        // Folds are undone: we emit single lines. RFC 3261 7.3.1
        if memchr::memchr3(b'\r', b'\n', 0, value).is_some() {
            for byte in &mut head.text[start..] {
                if matches!(byte, b'\r' | b'\n' | 0) {
                    *byte = b' ';
                }
            }
        }
        if let Some(tag) = self.tag_for(id, value) {
            head.text.extend_from_slice(b";tag=");
            head.text.extend_from_slice(tag.as_bytes());
        }
        head.text.extend_from_slice(b"\r\n");
    }
}

#[derive(Clone, Debug, Default)]
struct HeadBuilder {
    text: Vec<u8>,
    body: Option<(String, Bytes)>,
}

impl HeadBuilder {
    fn line(&mut self, name: &str, value: &[u8]) -> Result<(), BuildError> {
        if !is_token(name.as_bytes()) || name.len() > usize::from(u8::MAX) {
            return Err(BuildError::Name(name.to_owned()));
        }
        if HeaderId::from_name(name.as_bytes()) == HeaderId::ContentLength {
            return Err(BuildError::Reserved(HeaderId::ContentLength));
        }
        self.checked_line(name, value)
    }

    /// The name of a header that is known is a token.
    fn known_line(&mut self, id: HeaderId, value: &[u8]) -> Result<(), BuildError> {
        match id {
            HeaderId::ContentLength => Err(BuildError::Reserved(HeaderId::ContentLength)),
            HeaderId::Other => Err(BuildError::Name(String::new())),
            known => self.checked_line(known.as_str(), value),
        }
    }

    fn checked_line(&mut self, name: &str, value: &[u8]) -> Result<(), BuildError> {
        check_value(name, value)?;
        if self.text.len() + name.len() + value.len() + TAIL_BYTES > Limits::MAX_HEAD_BYTES {
            return Err(BuildError::TooLarge);
        }
        if self.text.is_empty() {
            self.text.reserve(FEW_LINES);
        }
        for part in [name.as_bytes(), b": ", value, b"\r\n"] {
            self.text.extend_from_slice(part);
        }
        Ok(())
    }

    fn set_body(&mut self, content_type: &str, body: Bytes) -> Result<(), BuildError> {
        check_value("Content-Type", content_type.as_bytes())?;
        if content_type.len() > 255 {
            return Err(BuildError::TooLarge);
        }
        self.body = Some((content_type.to_owned(), body));
        Ok(())
    }

    /// Octets that [`build`](Self::build) adds to the text.
    fn tail_len(&self) -> usize {
        let (content_type, body) = match &self.body {
            Some((content_type, body)) => ("Content-Type: \r\n".len() + content_type.len(), body.len()),
            None => (0, 0),
        };
        content_type + "Content-Length: \r\n\r\n".len() + Digits::of(body as u64).as_bytes().len() + body
    }

    fn build(self) -> Message {
        Message::parse(self.finish(), &Limits::OWN)
            .expect("every line was checked when it was added, and the head is within the table's range")
    }

    fn finish(mut self) -> Bytes {
        self.text.reserve_exact(self.tail_len());
        let body = self.body.take();
        if let Some((content_type, _)) = &body {
            for part in [b"Content-Type: ", content_type.as_bytes(), b"\r\n"] {
                self.text.extend_from_slice(part);
            }
        }
        let body = body.map(|(_, body)| body).unwrap_or_default();
        let length = Digits::of(body.len() as u64);
        for part in [b"Content-Length: ", length.as_bytes(), b"\r\n\r\n", &body] {
            self.text.extend_from_slice(part);
        }
        self.text.into()
    }
}

fn check_value(name: &str, value: &[u8]) -> Result<(), BuildError> {
    match memchr::memchr3(b'\r', b'\n', 0, value) {
        None => Ok(()),
        Some(offset) => Err(BuildError::Value { name: name.to_owned(), offset }),
    }
}
