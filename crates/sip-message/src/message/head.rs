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
    lenient: bool,
}

/// One line: where its text ends and where the next line begins.
struct Line {
    end: usize,
    next: usize,
}

impl<'a> Head<'a> {
    pub(super) fn new(datagram: &'a [u8], limits: &'a Limits, lenient: bool) -> Self {
        Head {
            input: datagram,
            limits,
            position: 0,
            entries: SmallVec::new(),
            head_end: 0,
            clean_lines: true,
            lenient,
        }
    }

    pub(super) fn start_line(&mut self) -> Result<StartLine, ParseError> {
        if self.input.is_empty() {
            return Err(fail(ParseErrorKind::Empty, "a message", 0));
        }
        let line = self.line(0)?;
        let start = StartLine::parse(&self.input[..line.end], self.limits)?;
        self.position = line.next;
        Ok(start)
    }

    pub(super) fn salvaged_start_line(&mut self) -> Option<StartLine> {
        let line = self.line(0).ok()?;
        self.position = line.next;
        let text = &self.input[..line.end];
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
    fn line(&mut self, start: usize) -> Result<Line, ParseError> {
        let Some(at) = swar::line_end(&self.input[start..]).map(|at| start + at) else {
            return Err(self.endless(start));
        };
        let next = match self.input[at..] {
            [b'\r', b'\n', ..] => at + 2,
            [b'\n', ..] => {
                self.clean_lines = false;
                at + 1
            }
            [_] => return Err(fail(ParseErrorKind::UnfinishedHead, "LF after CR", at + 1)),
            _ => return Err(fail(ParseErrorKind::HeaderLine, "LF after CR", at + 1)),
        };
        if at - start > self.limits.line_bytes {
            return Err(fail(ParseErrorKind::LineTooLong, "a line end", start + self.limits.line_bytes));
        }
        if next > self.limits.head_bytes.min(Limits::MAX_HEAD_BYTES) {
            return Err(fail(ParseErrorKind::TooLarge, "a smaller head", start));
        }
        Ok(Line { end: at, next })
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
            if line.end == start {
                self.head_end = start;
                self.position = line.next;
                return Ok(());
            }
            match self.input[start] {
                // What continues a line that was left out goes with it.
                b' ' | b'\t' if left_out => {}
                b' ' | b'\t' => self.continue_value(start, &line)?,
                _ => match self.entry(start, line.end) {
                    // Before it is kept: what is read so far ends before this line.
                    Ok(_) if self.entries.len() >= self.limits.header_lines => {
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

    #[inline(always)]
    fn entry(&self, start: usize, end: usize) -> Result<Entry, ParseError> {
        let known = self.input[start..].first_chunk().and_then(HeaderId::at_line_start);
        let (id, name_len, colon) = match known {
            Some((id, name_len)) if start + name_len < end => (id, name_len, start + name_len),
            _ => self.any_name(start, end)?,
        };
        let (value, end) = self.trimmed(colon + 1, end);
        Ok(Entry {
            start: start as u16,
            value: value as u16,
            end: end as u16,
            name_len: name_len as u8,
            id,
        })
    }

    /// A name that is rare, long, unknown, or has white space before its colon.
    fn any_name(&self, start: usize, end: usize) -> Result<(HeaderId, usize, usize), ParseError> {
        let line = &self.input[start..end];
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
        Ok((HeaderId::from_name(&line[..name_len]), name_len, start + colon))
    }

    /// A line that begins with white space belongs to the header before it. RFC 3261 7.3.1
    fn continue_value(&mut self, start: usize, line: &Line) -> Result<(), ParseError> {
        let (value, end) = self.trimmed(start, line.end);
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

    /// Without white space at either end; a fold inside stays.
    #[inline(always)]
    fn trimmed(&self, mut start: usize, mut end: usize) -> (usize, usize) {
        while let [b' ' | b'\t', ..] = self.input[start..end] {
            start += 1;
        }
        while let [.., b' ' | b'\t'] = self.input[start..end] {
            end -= 1;
        }
        (start, end)
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

pub(super) fn fail(kind: ParseErrorKind, expected: &'static str, offset: usize) -> ParseError {
    ParseError { kind, expected, offset }
}
