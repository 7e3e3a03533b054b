//! Forwarding by splicing: a list of changes to a message whose other bytes stay as they are.

use std::fmt;
use std::net::IpAddr;

use bytes::Bytes;
use smallvec::SmallVec;

use crate::error::{BuildError, HeaderError, SyntaxError};
use crate::grammar::{is_token, trim};
use crate::header::{HeaderId, OneOrList, Params, comma};
use crate::limits::Limits;
use crate::message::{Message, StartLine, is_request_uri};

/// Changes to a message on its way through.
///
/// Lines that are not touched keep their name, case, spacing, folds and place. Two things are always
/// put right: the version leaves as `SIP/2.0`, and a missing Content-Length is added. A head that
/// came with bare LF line ends leaves with CR LF, so that no two readers can disagree about it.
///
/// Values are copied into a buffer inside the edit. Edits of ordinary size allocate nothing. The
/// first value that must not go out is remembered, and [`Edit::write_to`] then fails.
pub struct Edit<'m> {
    message: &'m Message,
    lines: SmallVec<[Line; 40]>,
    scratch: SmallVec<[u8; 1024]>,
    request_uri: Option<(usize, usize)>,
    body: Option<Bytes>,
    error: Option<BuildError>,
}

/// A header line, in the message or in the scratch buffer. Offsets are into the one or the other.
#[derive(Clone, Copy)]
struct Line {
    start: u32,
    value: u32,
    end: u32,
    /// One past the line end.
    next: u32,
    id: HeaderId,
    name_len: u8,
    own: bool,
}

impl Message {
    /// Begins to change a copy of this message.
    pub fn edit(&self) -> Edit<'_> {
        let ends = self.entries.iter().skip(1).map(|entry| u32::from(entry.start));
        let ends = ends.chain([u32::from(self.head_end)]);
        let lines = self.entries.iter().zip(ends).map(|(entry, next)| Line {
            start: entry.start.into(),
            value: entry.value.into(),
            end: entry.end.into(),
            next,
            id: entry.id,
            name_len: entry.name_len,
            own: false,
        });
        Edit {
            message: self,
            lines: lines.collect(),
            scratch: SmallVec::new(),
            request_uri: None,
            body: None,
            error: None,
        }
    }
}

impl Edit<'_> {
    /// Puts another Request-URI in.
    pub fn set_request_uri(&mut self, uri: impl AsRef<[u8]>) -> &mut Self {
        let uri = uri.as_ref();
        if !self.message.is_request() {
            self.fail(BuildError::WrongKind("request"));
        } else if is_request_uri(uri) {
            let start = self.scratch.len();
            self.scratch.extend_from_slice(uri);
            self.request_uri = Some((start, self.scratch.len()));
        } else {
            self.fail(BuildError::Uri(SyntaxError { expected: "a URI", offset: 0 }));
        }
        self
    }

    /// Adds a line above the first line of the same header; if there is none, below the Via lines.
    pub fn push_front(&mut self, id: HeaderId, value: impl AsRef<[u8]>) -> &mut Self {
        self.push_front_with(id, |scratch| scratch.extend_from_slice(value.as_ref()))
    }

    /// [`Edit::push_front`] of formatted text, without a string in between.
    pub fn push_front_fmt(&mut self, id: HeaderId, value: fmt::Arguments<'_>) -> &mut Self {
        self.push_front_with(id, |scratch| write_fmt(scratch, value))
    }

    /// [`Edit::push_front`] of a value in pieces: the quickest way to write one.
    pub fn push_front_parts(&mut self, id: HeaderId, parts: &[&[u8]]) -> &mut Self {
        self.push_front_with(id, |scratch| parts.iter().for_each(|part| scratch.extend_from_slice(part)))
    }

    /// Adds a Via value on top.
    pub fn prepend_via(&mut self, value: impl AsRef<[u8]>) -> &mut Self {
        self.push_front(HeaderId::Via, value)
    }

    /// Adds a line at the end.
    pub fn append(&mut self, id: HeaderId, value: impl AsRef<[u8]>) -> &mut Self {
        if let Some(line) = self.compose(id, id.as_str(), |scratch| scratch.extend_from_slice(value.as_ref()))
        {
            self.lines.push(line);
        }
        self
    }

    /// Adds a line of any name at the end.
    pub fn append_named(&mut self, name: &str, value: impl AsRef<[u8]>) -> &mut Self {
        let id = HeaderId::from_name(name.as_bytes());
        if let Some(line) = self.compose(id, name, |scratch| scratch.extend_from_slice(value.as_ref())) {
            self.lines.push(line);
        }
        self
    }

    /// Gives the first line of this header another value; adds a line if there is none.
    pub fn replace_first(&mut self, id: HeaderId, value: impl AsRef<[u8]>) -> &mut Self {
        self.replace_with(id, |scratch| scratch.extend_from_slice(value.as_ref()))
    }

    /// [`Edit::replace_first`] with formatted text.
    pub fn replace_first_fmt(&mut self, id: HeaderId, value: fmt::Arguments<'_>) -> &mut Self {
        self.replace_with(id, |scratch| write_fmt(scratch, value))
    }

    /// [`Edit::replace_first`] with a number.
    pub fn replace_first_number(&mut self, id: HeaderId, number: u32) -> &mut Self {
        self.replace_first(id, Digits::of(number.into()).as_bytes())
    }

    /// Gives the first value of a list header another text and leaves the rest of its line.
    pub fn replace_first_value(&mut self, id: HeaderId, value: impl AsRef<[u8]>) -> &mut Self {
        let Some(index) = self.find(id) else {
            return self.append(id, value);
        };
        let mut whole: SmallVec<[u8; 512]> = SmallVec::from_slice(value.as_ref());
        let old = self.value(index);
        if let Some(at) = comma(old) {
            whole.extend_from_slice(&old[at..]);
        }
        self.replace_at(index, &whole)
    }

    /// Removes the first line of this header.
    pub fn remove_first(&mut self, id: HeaderId) -> &mut Self {
        if let Some(index) = self.find(id) {
            self.lines.remove(index);
        }
        self
    }

    /// Removes the first value of a list header: its line, if the line holds no other.
    pub fn remove_first_value(&mut self, id: HeaderId) -> &mut Self {
        let Some(index) = self.find(id) else {
            return self;
        };
        let old = self.value(index);
        match comma(old) {
            None => {
                self.lines.remove(index);
                self
            }
            Some(at) => {
                let rest: SmallVec<[u8; 512]> = SmallVec::from_slice(trim(&old[at + 1..]));
                self.replace_at(index, &rest)
            }
        }
    }

    /// Removes the last value of a list header.
    pub fn remove_last_value(&mut self, id: HeaderId) -> &mut Self {
        let Some(index) = self.lines.iter().rposition(|line| line.id == id) else {
            return self;
        };
        let old = self.value(index);
        let count = OneOrList::of(id, old).count();
        if count < 2 {
            self.lines.remove(index);
            return self;
        }
        let mut kept: SmallVec<[u8; 512]> = SmallVec::new();
        for (position, value) in OneOrList::of(id, old).take(count - 1).enumerate() {
            kept.extend_from_slice(if position == 0 { b"" } else { b", " });
            kept.extend_from_slice(value);
        }
        self.replace_at(index, &kept)
    }

    /// Removes every line of this header.
    pub fn remove_all(&mut self, id: HeaderId) -> &mut Self {
        self.lines.retain(|line| line.id != id);
        self
    }

    /// Removes every line of a header by any name.
    pub fn remove_named(&mut self, name: &str) -> &mut Self {
        let mut index = 0;
        while index < self.lines.len() {
            if self.name(index).eq_ignore_ascii_case(name.as_bytes()) {
                self.lines.remove(index);
            } else {
                index += 1;
            }
        }
        self
    }

    /// Notes in the topmost Via where the message came from: `received` always, `rport` if it was
    /// asked for. The other parameters stay as they are. RFC 3261 18.2.1, RFC 3581 4
    pub fn mark_received(&mut self, address: IpAddr, port: u16) -> &mut Self {
        let Some(index) = self.find(HeaderId::Via) else {
            self.fail(BuildError::Header(HeaderError::missing(HeaderId::Via)));
            return self;
        };
        let old = self.value(index);
        let (first, rest) = old.split_at(comma(old).unwrap_or(old.len()));
        let mut marked: SmallVec<[u8; 512]> = SmallVec::new();
        match mark(&mut marked, trim(first), address, port) {
            Ok(()) => {
                marked.extend_from_slice(rest);
                self.replace_at(index, &marked)
            }
            Err(error) => {
                self.fail(BuildError::Header(HeaderError::syntax(HeaderId::Via)(error)));
                self
            }
        }
    }

    /// Puts another body in and sets Content-Length; Content-Type is set or removed.
    pub fn set_body(&mut self, content_type: Option<&str>, body: Bytes) -> &mut Self {
        match content_type {
            Some(content_type) => self.replace_first(HeaderId::ContentType, content_type),
            None => self.remove_all(HeaderId::ContentType),
        };
        self.remove_all(HeaderId::ContentLength);
        self.body = Some(body);
        self
    }

    /// The first error so far.
    pub fn error(&self) -> Option<&BuildError> {
        self.error.as_ref()
    }

    /// Appends the changed message to `out`.
    ///
    /// # Errors
    /// The first change that must not go out; `out` is then as it was.
    pub fn write_to(&self, out: &mut Vec<u8>) -> Result<(), BuildError> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        let begin = out.len();
        out.reserve(self.message.bytes.len() + self.scratch.len() + 32);
        self.write_start_line(out);
        self.write_lines(out);
        let body = self.body.as_deref().unwrap_or_else(|| self.message.body());
        if !self.lines.iter().any(|line| line.id == HeaderId::ContentLength) {
            out.extend_from_slice(b"Content-Length: ");
            out.extend_from_slice(Digits::of(body.len() as u64).as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"\r\n");
        if out.len() - begin > Limits::MAX_HEAD_BYTES {
            out.truncate(begin);
            return Err(BuildError::TooLarge);
        }
        out.extend_from_slice(body);
        Ok(())
    }

    /// The changed message.
    ///
    /// # Errors
    /// The first change that must not go out.
    pub fn finish(&self) -> Result<Message, BuildError> {
        let mut out = Vec::new();
        self.write_to(&mut out)?;
        Message::parse(out.into(), &Limits::OWN).map_err(|_| BuildError::TooLarge)
    }

    fn write_start_line(&self, out: &mut Vec<u8>) {
        let bytes = &self.message.bytes;
        match self.message.start {
            StartLine::Request { method_end, uri: (start, end), .. } => {
                out.extend_from_slice(&bytes[..usize::from(method_end) + 1]);
                match self.request_uri {
                    Some((start, end)) => out.extend_from_slice(&self.scratch[start..end]),
                    None => out.extend_from_slice(&bytes[usize::from(start)..usize::from(end)]),
                }
                out.extend_from_slice(b" SIP/2.0\r\n");
            }
            StartLine::Response { .. } => {
                out.extend_from_slice(b"SIP/2.0");
                out.extend_from_slice(&self.message.start_line()[7..]);
                out.extend_from_slice(b"\r\n");
            }
        }
    }

    /// Neighbouring lines of the message go out in one piece.
    fn write_lines(&self, out: &mut Vec<u8>) {
        let bytes = &self.message.bytes;
        let mut pending = 0..0;
        for line in &self.lines {
            let (start, next) = (line.start as usize, line.next as usize);
            if line.own {
                out.extend_from_slice(&bytes[std::mem::take(&mut pending)]);
                out.extend_from_slice(&self.scratch[start..next]);
            } else if !self.message.clean_lines {
                write_clean(out, &bytes[start..next]);
            } else if pending.end == start {
                pending.end = next;
            } else {
                out.extend_from_slice(&bytes[pending]);
                pending = start..next;
            }
        }
        out.extend_from_slice(&bytes[pending]);
    }

    fn push_front_with(&mut self, id: HeaderId, write: impl FnOnce(&mut Scratch)) -> &mut Self {
        let at = self.find(id).unwrap_or_else(|| {
            let last_via = self.lines.iter().rposition(|line| line.id == HeaderId::Via);
            if id == HeaderId::Via { 0 } else { last_via.map_or(0, |via| via + 1) }
        });
        if let Some(line) = self.compose(id, id.as_str(), write) {
            self.lines.insert(at, line);
        }
        self
    }

    fn replace_with(&mut self, id: HeaderId, write: impl FnOnce(&mut Scratch)) -> &mut Self {
        match self.find(id) {
            Some(index) => {
                if let Some(line) = self.compose_like(index, write) {
                    self.lines[index] = line;
                }
            }
            None => {
                if let Some(line) = self.compose(id, id.as_str(), write) {
                    self.lines.push(line);
                }
            }
        }
        self
    }

    fn replace_at(&mut self, index: usize, value: &[u8]) -> &mut Self {
        let line = self.compose_like(index, |scratch| {
            // A value that came from the message may hold folds; they are undone as it is copied.
            if memchr::memchr2(b'\r', b'\n', value).is_none() {
                scratch.extend_from_slice(value);
            } else {
                let unfolded = |byte: &u8| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte };
                scratch.extend(value.iter().map(unfolded));
            }
        });
        if let Some(line) = line {
            self.lines[index] = line;
        }
        self
    }

    /// Writes a line with the name of an existing one, spelled as there.
    fn compose_like(&mut self, index: usize, write: impl FnOnce(&mut Scratch)) -> Option<Line> {
        let line = self.lines[index];
        let name = line.start as usize..line.start as usize + usize::from(line.name_len);
        if line.own {
            let name: SmallVec<[u8; 64]> = SmallVec::from_slice(&self.scratch[name]);
            self.compose_checked(line.id, &name, write)
        } else {
            self.compose_checked(line.id, &self.message.bytes[name], write)
        }
    }

    /// Writes a line with a name that still has to be checked.
    fn compose(&mut self, id: HeaderId, name: &str, write: impl FnOnce(&mut Scratch)) -> Option<Line> {
        if (id == HeaderId::Other && !is_token(name.as_bytes())) || name.len() > usize::from(u8::MAX) {
            self.fail(BuildError::Name(name.to_owned()));
            return None;
        }
        self.compose_checked(id, name.as_bytes(), write)
    }

    /// Writes a line into the scratch buffer and checks its value there.
    fn compose_checked(
        &mut self,
        id: HeaderId,
        name: &[u8],
        write: impl FnOnce(&mut Scratch),
    ) -> Option<Line> {
        let start = self.scratch.len();
        self.scratch.extend_from_slice(name);
        self.scratch.extend_from_slice(b": ");
        let value = self.scratch.len();
        write(&mut self.scratch);
        let end = self.scratch.len();
        if let Some(offset) = memchr::memchr3(b'\r', b'\n', 0, &self.scratch[value..]) {
            self.fail(BuildError::Value { name: String::from_utf8_lossy(name).into_owned(), offset });
            return None;
        }
        self.scratch.extend_from_slice(b"\r\n");
        Some(Line {
            start: start as u32,
            value: value as u32,
            end: end as u32,
            next: self.scratch.len() as u32,
            id,
            name_len: name.len() as u8,
            own: true,
        })
    }

    fn fail(&mut self, error: BuildError) {
        self.error.get_or_insert(error);
    }

    fn find(&self, id: HeaderId) -> Option<usize> {
        self.lines.iter().position(|line| line.id == id)
    }

    fn text(&self, line: &Line) -> &[u8] {
        if line.own { &self.scratch } else { &self.message.bytes }
    }

    fn name(&self, index: usize) -> &[u8] {
        let line = &self.lines[index];
        let start = line.start as usize;
        &self.text(line)[start..start + usize::from(line.name_len)]
    }

    fn value(&self, index: usize) -> &[u8] {
        let line = &self.lines[index];
        &self.text(line)[line.value as usize..line.end as usize]
    }
}

type Scratch = SmallVec<[u8; 1024]>;

/// Copies a Via value with `received` and `rport` filled in. No semicolon can stand before the
/// parameters, so only these are read.
fn mark(out: &mut SmallVec<[u8; 512]>, value: &[u8], address: IpAddr, port: u16) -> Result<(), SyntaxError> {
    let (sent, params) = value.split_at(memchr::memchr(b';', value).unwrap_or(value.len()));
    let params = Params::parse(params)?;
    out.extend_from_slice(trim(sent));
    let mut asked = false;
    for param in params.raw_iter() {
        match param.name.len() {
            8 if param.is("received") => continue,
            5 if param.is("rport") => {
                asked = true;
                continue;
            }
            _ => out.push(b';'),
        }
        out.extend_from_slice(param.name);
        if let Some(value) = param.value {
            out.push(b'=');
            out.extend_from_slice(value);
        }
    }
    out.extend_from_slice(b";received=");
    match address {
        IpAddr::V4(address) => {
            for (position, octet) in address.octets().into_iter().enumerate() {
                if position > 0 {
                    out.push(b'.');
                }
                out.extend_from_slice(Digits::of(octet.into()).as_bytes());
            }
        }
        IpAddr::V6(address) => write_fmt(out, format_args!("{address}")),
    }
    if asked {
        out.extend_from_slice(b";rport=");
        out.extend_from_slice(Digits::of(port.into()).as_bytes());
    }
    Ok(())
}

fn write_fmt<const N: usize>(out: &mut SmallVec<[u8; N]>, value: fmt::Arguments<'_>) {
    struct Writer<'a, const N: usize>(&'a mut SmallVec<[u8; N]>);
    impl<const N: usize> fmt::Write for Writer<'_, N> {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0.extend_from_slice(text.as_bytes());
            Ok(())
        }
    }
    // The writer itself never fails; a Display that does leaves a shortened value, not a broken line.
    let _ = fmt::Write::write_fmt(&mut Writer(out), value);
}

/// A number in decimal digits; formatting machinery costs more than the rest of an edit.
struct Digits {
    text: [u8; 20],
    start: usize,
}

impl Digits {
    fn of(number: u64) -> Digits {
        let mut digits = Digits { text: [b'0'; 20], start: 20 };
        let mut rest = number;
        loop {
            digits.start -= 1;
            digits.text[digits.start] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                return digits;
            }
        }
    }

    fn as_bytes(&self) -> &[u8] {
        &self.text[self.start..]
    }
}

/// Copies header lines with every line end as CR LF.
fn write_clean(out: &mut Vec<u8>, lines: &[u8]) {
    for line in lines.split_inclusive(|byte| *byte == b'\n') {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        out.extend_from_slice(text.strip_suffix(b"\r").unwrap_or(text));
        out.extend_from_slice(b"\r\n");
    }
}
