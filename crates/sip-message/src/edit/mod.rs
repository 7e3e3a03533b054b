//! Forwarding by splicing: a list of changes to a message whose other bytes stay as they are.

mod line;
mod received;
mod text;
mod write;

use std::fmt;

use bytes::Bytes;
use smallvec::SmallVec;

pub(crate) use self::text::Digits;
use self::text::write_fmt;
use crate::error::{BuildError, SyntaxError};
use crate::grammar::trim;
use crate::header::{HeaderId, OneOrList, comma};
use crate::message::{Entry, Message, is_request_uri};

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
        let line = |entry: &Entry, next: u16| Line {
            start: entry.start.into(),
            value: entry.value.into(),
            end: entry.end.into(),
            next: next.into(),
            id: entry.id,
            name_len: entry.name_len,
            own: false,
        };
        let mut lines = SmallVec::new();
        if let Some((last, others)) = self.entries.split_last() {
            let following = &self.entries[1..];
            lines.extend(others.iter().zip(following).map(|(entry, next)| line(entry, next.start)));
            lines.push(line(last, self.head_end));
        }
        Edit { message: self, lines, scratch: SmallVec::new(), request_uri: None, body: None, error: None }
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

    /// Removes the lines of this header whose value is not to be kept.
    pub fn retain(&mut self, id: HeaderId, keep: impl Fn(&[u8]) -> bool) -> &mut Self {
        for index in (0..self.lines.len()).rev() {
            if self.lines[index].id == id && !keep(self.value(index)) {
                self.lines.remove(index);
            }
        }
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

    /// Removes every line of a header whose name begins so.
    pub fn remove_prefixed(&mut self, prefix: &str) -> &mut Self {
        let prefix = prefix.as_bytes();
        for index in (0..self.lines.len()).rev() {
            let begins = self.name(index).get(..prefix.len());
            if begins.is_some_and(|begins| begins.eq_ignore_ascii_case(prefix)) {
                self.lines.remove(index);
            }
        }
        self
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
}

/// Values and names of new lines; kept small enough for the stack.
type Scratch = SmallVec<[u8; 1024]>;
