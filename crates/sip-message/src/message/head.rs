//! The pass over the head of a message that finds lines and names, and no more.

use smallvec::SmallVec;

use super::{Entry, INLINE_ENTRIES, StartLine};
use crate::error::{ParseError, ParseErrorKind};
use crate::grammar::{TOKEN, run, saturating_number};
use crate::header::{HeaderId, OneOrList};
use crate::limits::Limits;
use crate::swar;

pub(super) struct Head<'a> {
    input: &'a [u8],
    limits: &'a Limits,
    /// Everything up to here is read.
    pub(super) position: usize,
    pub(super) entries: SmallVec<[Entry; INLINE_ENTRIES]>,
    /// The offset of the blank line, once it is found.
    pub(super) head_end: usize,
    /// Has every line so far ended with CR LF?
    pub(super) clean_lines: bool,
    /// Does any value go on in a second line?
    pub(super) has_folds: bool,
    lenient: bool,
    /// A line that ends up to here breaks no limit.
    no_limit_before: usize,
}

/// One line.
struct Line<'a> {
    /// The input from its first byte on.
    rest: &'a [u8],
    /// Its text.
    text: &'a [u8],
    /// Where the text ends.
    end: usize,
    /// Where the next line begins.
    next: usize,
}

/// Headers beside Via that an answer copies.
const COPIED: usize = 4;

impl<'a> Head<'a> {
    pub(super) fn new(datagram: &'a [u8], limits: &'a Limits, lenient: bool) -> Self {
        Head {
            input: datagram,
            limits,
            position: 0,
            entries: SmallVec::new(),
            head_end: 0,
            clean_lines: true,
            has_folds: false,
            lenient,
            no_limit_before: limits.line_bytes.min(limits.head_bytes).min(Limits::MAX_HEAD_BYTES),
        }
    }

    pub(super) fn start_line(&mut self) -> Result<StartLine, ParseError> {
        if self.input.is_empty() {
            return Err(fail(ParseErrorKind::Empty, "a message", 0));
        }
        let line = self.line(0)?;
        let start = StartLine::parse(line.text, self.limits)?;
        // Of a request that is too long because of its Request-URI that was just said. RFC 3261 21.4.11
        if line.text.len() > self.limits.line_bytes {
            return Err(fail(ParseErrorKind::LineTooLong, "a shorter start line", self.limits.line_bytes));
        }
        self.position = line.next;
        Ok(start)
    }

    pub(super) fn salvaged_start_line(&mut self) -> Option<StartLine> {
        let line = self.line(0).ok()?;
        self.position = line.next;
        let text = line.text;
        let unlimited = Limits::OWN;
        StartLine::parse(text, &unlimited).ok().or_else(|| {
            // Enough of a request line to know that it is one, and which method to name.
            let method_end = memchr::memchr(b' ', text)?;
            let method = std::str::from_utf8(&text[..method_end]).ok()?;
            if !method.bytes().all(|byte| TOKEN[byte as usize])
                || method.is_empty()
                || text.starts_with(b"SIP/")
            {
                return None;
            }
            let version_gap = memchr::memrchr(b' ', text).filter(|gap| *gap > method_end)?;
            Some(StartLine::Request {
                method: method.into(),
                method_end: method_end as u16,
                uri: (method_end as u16 + 1, version_gap as u16),
            })
        })
    }

    /// Finds the end of the line that begins at `start`.
    #[inline(always)]
    fn line(&mut self, start: usize) -> Result<Line<'a>, ParseError> {
        let rest = &self.input[start..];
        let Some((text, line_end)) = swar::line_end(rest).and_then(|at| rest.split_at_checked(at)) else {
            return Err(self.endless(start));
        };
        let at = start + text.len();
        let next = match line_end {
            [b'\r', b'\n', ..] => at + 2,
            [b'\n', ..] => {
                self.clean_lines = false;
                at + 1
            }
            [_] => return Err(fail(ParseErrorKind::UnfinishedHead, "LF after CR", at + 1)),
            _ => return Err(fail(ParseErrorKind::HeaderLine, "LF after CR", at + 1)),
        };
        if next > self.no_limit_before {
            self.check_limits(start, at, next)?;
        }
        Ok(Line { rest, text, end: at, next })
    }

    fn check_limits(&self, start: usize, end: usize, next: usize) -> Result<(), ParseError> {
        // The start line has a limit of its own, for the Request-URI.
        if start > 0 && !self.lenient && end - start > self.limits.line_bytes {
            return Err(fail(ParseErrorKind::LineTooLong, "a line end", start + self.limits.line_bytes));
        }
        if next > self.limits.head_bytes.min(Limits::MAX_HEAD_BYTES) {
            return Err(fail(ParseErrorKind::TooLarge, "a smaller head", start));
        }
        Ok(())
    }

    /// What is wrong with a line without an end.
    #[cold]
    fn endless(&self, start: usize) -> ParseError {
        if self.input.len() - start > self.limits.line_bytes {
            fail(ParseErrorKind::LineTooLong, "a line end", start + self.limits.line_bytes)
        } else {
            fail(ParseErrorKind::UnfinishedHead, "a line end", self.input.len())
        }
    }

    pub(super) fn header_lines(&mut self) -> Result<(), ParseError> {
        let mut left_out = false;
        loop {
            let start = self.position;
            let line = self.line(start)?;
            match line.text {
                [] => {
                    self.head_end = start;
                    self.position = line.next;
                    return Ok(());
                }
                long if self.lenient && long.len() > self.limits.line_bytes => left_out = true,
                // What continues a line that was left out goes with it.
                [b' ' | b'\t', ..] if left_out => {}
                [b' ' | b'\t', ..] => self.continue_value(start, &line)?,
                _ => match entry(start, &line) {
                    // What an answer copies is looked for behind the limit too, as many as a message may have of it.
                    Ok(entry) if self.lenient && self.is_full(&entry) => left_out = true,
                    // Before it is kept: what is read so far ends before this line.
                    Ok(_) if !self.lenient && self.entries.len() >= self.limits.header_lines => {
                        return Err(fail(ParseErrorKind::TooMany, "fewer header lines", start));
                    }
                    Ok(entry) => {
                        self.entries.push(entry);
                        left_out = false;
                    }
                    Err(_) if self.lenient => left_out = true,
                    Err(error) => return Err(error),
                },
            }
            self.position = line.next;
        }
    }

    /// Is there no room for this line in what is salvaged?
    fn is_full(&self, entry: &Entry) -> bool {
        let vias = self.limits.via_values;
        let room = match entry.id {
            HeaderId::Via => vias,
            HeaderId::From | HeaderId::To | HeaderId::CallId | HeaderId::CSeq => vias.saturating_add(COPIED),
            _ => 0,
        };
        self.entries.len() >= self.limits.header_lines.saturating_add(room)
    }

    /// A NUL stands in no header but behind the backslash of a quoted pair: who copies it as text copies less. Says whether there is none
    /// at all. RFC 3261 25.1
    pub(super) fn check_octets(&self) -> Result<bool, ParseError> {
        let head = &self.input[..self.position];
        if memchr::memchr(0, head).is_none() {
            return Ok(true);
        }
        let is_bare = |at: &usize| {
            let backslashes = head[..*at].iter().rev().take_while(|byte| **byte == b'\\').count();
            backslashes % 2 == 0
        };
        match memchr::memchr_iter(0, head).find(is_bare) {
            Some(at) => Err(fail(ParseErrorKind::HeaderLine, "no NUL", at)),
            None => Ok(false),
        }
    }

    /// A line that begins with white space belongs to the header before it. RFC 3261 7.3.1
    fn continue_value(&mut self, start: usize, line: &Line<'_>) -> Result<(), ParseError> {
        self.has_folds = true;
        let (value, end) = place(line.text, line);
        let Some(entry) = self.entries.last_mut() else {
            return if self.lenient {
                Ok(())
            } else {
                Err(fail(ParseErrorKind::HeaderLine, "a header name", start))
            };
        };
        if line.end - usize::from(entry.start) > self.limits.line_bytes {
            return Err(fail(ParseErrorKind::LineTooLong, "a shorter header", start));
        }
        if value < end {
            if entry.value == entry.end {
                entry.value = value as u16;
            }
            entry.end = end as u16;
        }
        Ok(())
    }

    fn values_of(&self, id: HeaderId) -> impl Iterator<Item = (usize, &'a [u8])> + '_ {
        let input = self.input;
        self.entries.iter().filter(move |entry| entry.id == id).map(move |entry| {
            (usize::from(entry.value), &input[usize::from(entry.value)..usize::from(entry.end)])
        })
    }

    /// Checks what is limited in number, and gives the length that Content-Length announces.
    pub(super) fn check_values(&self) -> Result<Option<usize>, ParseError> {
        let limits = self.limits;
        // No header has more values than it has lines and letters: for most messages that settles it.
        let [mut vias, mut routes, mut record_routes, mut contacts] = [0; 4];
        let mut lengths = 0;
        for entry in &self.entries {
            let most = 1 + usize::from(entry.end - entry.value);
            match entry.id {
                HeaderId::Via => vias += most,
                HeaderId::Route => routes += most,
                HeaderId::RecordRoute => record_routes += most,
                HeaderId::Contact => contacts += most,
                HeaderId::ContentLength => lengths += 1,
                _ => {}
            }
        }
        for (most, bound, id, expected) in [
            (vias, limits.via_values, HeaderId::Via, "fewer Via values"),
            (routes, limits.route_values, HeaderId::Route, "fewer Route values"),
            (record_routes, limits.route_values, HeaderId::RecordRoute, "fewer Record-Route values"),
            (contacts, limits.contact_values, HeaderId::Contact, "fewer Contact values"),
        ] {
            if most > bound && self.has_more_values(id, bound) {
                return Err(fail(ParseErrorKind::TooMany, expected, 0));
            }
        }
        if lengths == 0 { Ok(None) } else { self.content_length() }
    }

    /// Commas inside quotes and brackets matter only near the bound.
    fn has_more_values(&self, id: HeaderId, bound: usize) -> bool {
        let values = || self.values_of(id).map(|(_, value)| value);
        let roughly: usize = values().map(|value| 1 + memchr::memchr_iter(b',', value).count()).sum();
        roughly > bound && values().flat_map(|value| OneOrList::of(id, value)).count() > bound
    }

    /// Two different lengths are a smuggling attempt and refused. RFC 3261 18.3, 20.14
    fn content_length(&self) -> Result<Option<usize>, ParseError> {
        let mut found = None;
        for (offset, value) in self.values_of(HeaderId::ContentLength) {
            let length = saturating_number(value)
                .ok_or_else(|| fail(ParseErrorKind::ContentLength, "a number as Content-Length", offset))?;
            if found.is_some_and(|found| found != length) {
                return Err(fail(ParseErrorKind::ContentLength, "the same Content-Length twice", offset));
            }
            found = Some(length);
        }
        Ok(found.map(|length| usize::try_from(length).unwrap_or(usize::MAX)))
    }
}

#[inline(always)]
fn entry(start: usize, line: &Line<'_>) -> Result<Entry, ParseError> {
    let known = line.rest.first_chunk().and_then(HeaderId::at_line_start);
    let (id, name_len, value) = match known {
        Some((id, name_len)) if name_len < line.text.len() => (id, name_len, &line.text[name_len + 1..]),
        _ => any_name(start, line.text)?,
    };
    let (value, end) = place(value, line);
    Ok(Entry { start: start as u16, value: value as u16, end: end as u16, name_len: name_len as u8, id })
}

/// A name that is long, unknown, or has white space before its colon, with its length and what follows the colon.
fn any_name(start: usize, line: &[u8]) -> Result<(HeaderId, usize, &[u8]), ParseError> {
    let name_len = run(line, &TOKEN);
    let mut colon = name_len;
    while matches!(line.get(colon), Some(b' ' | b'\t')) {
        colon += 1;
    }
    if name_len == 0 || name_len > usize::from(u8::MAX) {
        return Err(fail(ParseErrorKind::HeaderLine, "a header name", start));
    }
    if line.get(colon) != Some(&b':') {
        return Err(fail(ParseErrorKind::HeaderLine, "a colon after the header name", start + colon));
    }
    Ok((HeaderId::from_name(&line[..name_len]), name_len, &line[colon + 1..]))
}

/// Where the last part of a line begins and ends without the white space around it.
#[inline(always)]
fn place(mut text: &[u8], line: &Line<'_>) -> (usize, usize) {
    while let [b' ' | b'\t', rest @ ..] = text {
        text = rest;
    }
    let start = line.end - text.len();
    while let [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    (start, start + text.len())
}

pub(super) fn fail(kind: ParseErrorKind, expected: &'static str, offset: usize) -> ParseError {
    ParseError { kind, expected, offset }
}
