//! From a datagram or frame to a [`Message`]: one pass that finds lines and names, and no more.

use bytes::{Buf, Bytes};
use smallvec::SmallVec;

use super::{Entry, Message, StartLine};
use crate::error::{ParseError, ParseErrorKind};
use crate::grammar::{TOKEN, saturating_number};
use crate::header::{HeaderId, OneOrList};
use crate::limits::Limits;

impl Message {
    /// Parses one datagram, WebSocket message or stream frame, without any allocation for up to 32
    /// header lines.
    ///
    /// Leading line ends are skipped and bytes beyond Content-Length are cut. RFC 3261 7.5, 18.3
    ///
    /// # Errors
    /// When the bytes are no SIP message, break a limit, or hold less body than announced. To answer
    /// such a request with an error status, see [`Message::salvage`].
    pub fn parse(mut datagram: Bytes, limits: &Limits) -> Result<Message, ParseError> {
        skip_line_ends(&mut datagram);
        let mut head = Head::new(&datagram, limits, false);
        let start = head.start_line()?;
        head.header_lines()?;
        head.check_counts()?;
        let body_start = head.position;
        let body = match head.content_length()? {
            None => datagram.len() - body_start,
            Some(length) if length <= datagram.len() - body_start => length,
            Some(_) => {
                let kind = ParseErrorKind::ShortBody;
                return Err(ParseError {
                    kind,
                    expected: "the body that Content-Length announces",
                    offset: datagram.len(),
                });
            }
        };
        if body > limits.body_bytes {
            let kind = ParseErrorKind::TooLarge;
            return Err(ParseError { kind, expected: "a smaller body", offset: body_start });
        }
        let message = head.into_message(start);
        Ok(message.with_bytes(datagram, body_start + body))
    }

    /// Reads what can be read of a request or response that [`Message::parse`] refused, so that it
    /// can be answered: header lines that are not understood are left out of the table, the version
    /// and Content-Length are not looked at, and a missing end is taken as the end.
    ///
    /// The result is for `ResponseBuilder` only; never forward it. `None` without a start line.
    pub fn salvage(mut datagram: Bytes, limits: &Limits) -> Option<Message> {
        skip_line_ends(&mut datagram);
        datagram.truncate(Limits::MAX_HEAD_BYTES.min(datagram.len()));
        let mut head = Head::new(&datagram, limits, true);
        let start = head.salvaged_start_line()?;
        // In salvage mode a bad line ends the reading at worst; what came before it is kept.
        let _ = head.header_lines();
        let end = head.position;
        let message = head.into_message(start);
        Some(message.with_bytes(datagram, end))
    }
}

/// RFC 3261 7.5: line ends before the start line are ignored.
fn skip_line_ends(datagram: &mut Bytes) {
    let mut count = 0;
    loop {
        match &datagram[count..] {
            [b'\r', b'\n', ..] => count += 2,
            [b'\n', ..] => count += 1,
            _ => break,
        }
    }
    if count > 0 {
        datagram.advance(count);
    }
}

struct Head<'a> {
    input: &'a [u8],
    limits: &'a Limits,
    /// Everything up to here is read.
    position: usize,
    entries: SmallVec<[Entry; super::INLINE_ENTRIES]>,
    head_end: usize,
    clean_lines: bool,
    lenient: bool,
    /// For each header of [`COUNTED`], its lines and all commas in them: never too low, and cheap.
    rough_counts: [usize; COUNTED.len()],
}

/// Headers whose values are limited in number.
const COUNTED: [HeaderId; 4] = [HeaderId::Via, HeaderId::Route, HeaderId::RecordRoute, HeaderId::Contact];

/// One line: where its text ends and where the next line begins.
struct Line {
    end: usize,
    next: usize,
}

impl<'a> Head<'a> {
    fn new(datagram: &'a [u8], limits: &'a Limits, lenient: bool) -> Self {
        Head {
            input: datagram,
            limits,
            position: 0,
            entries: SmallVec::new(),
            head_end: 0,
            clean_lines: true,
            lenient,
            rough_counts: [0; COUNTED.len()],
        }
    }

    fn start_line(&mut self) -> Result<StartLine, ParseError> {
        if self.input.is_empty() {
            return Err(fail(ParseErrorKind::Empty, "a message", 0));
        }
        let line = self.line(0)?;
        let start = StartLine::parse(&self.input[..line.end], self.limits)?;
        self.position = line.next;
        Ok(start)
    }

    fn salvaged_start_line(&mut self) -> Option<StartLine> {
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
    #[inline]
    fn line(&mut self, start: usize) -> Result<Line, ParseError> {
        let Some(at) = memchr::memchr2(b'\r', b'\n', &self.input[start..]).map(|at| start + at) else {
            return Err(if self.input.len() - start > self.limits.line_bytes {
                fail(ParseErrorKind::LineTooLong, "a line end", start + self.limits.line_bytes)
            } else {
                fail(ParseErrorKind::UnfinishedHead, "a line end", self.input.len())
            });
        };
        let next = match (self.input[at], self.input.get(at + 1)) {
            (b'\n', _) => {
                self.clean_lines = false;
                at + 1
            }
            (_, Some(b'\n')) => at + 2,
            (_, None) => return Err(fail(ParseErrorKind::UnfinishedHead, "LF after CR", at + 1)),
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

    fn header_lines(&mut self) -> Result<(), ParseError> {
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
                        self.count_roughly(entry.id, entry.value.into(), entry.end.into(), 1);
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

    fn entry(&self, start: usize, end: usize) -> Result<Entry, ParseError> {
        let line = &self.input[start..end];
        let mut name_len = 0;
        while name_len < line.len() && TOKEN[usize::from(line[name_len])] {
            name_len += 1;
        }
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
        let (value, end) = self.trimmed(start + colon + 1, end);
        Ok(Entry {
            start: start as u16,
            value: value as u16,
            end: end as u16,
            name_len: name_len as u8,
            id: HeaderId::from_name(&line[..name_len]),
        })
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
        let id = entry.id;
        if value < end {
            if entry.value == entry.end {
                entry.value = value as u16;
            }
            entry.end = end as u16;
        }
        self.count_roughly(id, value, end, 0);
        Ok(())
    }

    fn count_roughly(&mut self, id: HeaderId, start: usize, end: usize, lines: usize) {
        if let Some(slot) = COUNTED.iter().position(|counted| *counted == id) {
            let commas = memchr::memchr_iter(b',', &self.input[start..end]).count();
            self.rough_counts[slot] += lines + commas;
        }
    }

    fn trimmed(&self, mut start: usize, mut end: usize) -> (usize, usize) {
        let blank = |at: usize| matches!(self.input[at], b' ' | b'\t');
        while start < end && blank(start) {
            start += 1;
        }
        while start < end && blank(end - 1) {
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

    fn check_counts(&self) -> Result<(), ParseError> {
        let bounds = [
            (self.limits.via_values, "fewer Via values"),
            (self.limits.route_values, "fewer Route values"),
            (self.limits.route_values, "fewer Record-Route values"),
            (self.limits.contact_values, "fewer Contact values"),
        ];
        for ((id, roughly), (bound, expected)) in COUNTED.into_iter().zip(self.rough_counts).zip(bounds) {
            // Commas inside quotes and brackets matter only near the bound.
            if roughly <= bound {
                continue;
            }
            let count = self.values_of(id).flat_map(|(_, value)| OneOrList::of(id, value)).count();
            if count > bound {
                return Err(fail(ParseErrorKind::TooMany, expected, 0));
            }
        }
        Ok(())
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

    /// The message, still without its bytes.
    fn into_message(self, start: StartLine) -> Message {
        let head_end = if self.head_end == 0 { self.position } else { self.head_end };
        Message {
            bytes: Bytes::new(),
            start,
            entries: self.entries,
            head_end: head_end as u16,
            body_start: self.position as u32,
            clean_lines: self.clean_lines,
        }
    }
}

impl Message {
    fn with_bytes(mut self, mut bytes: Bytes, end: usize) -> Message {
        if end < bytes.len() {
            bytes.truncate(end);
        }
        self.bytes = bytes;
        self
    }
}

fn fail(kind: ParseErrorKind, expected: &'static str, offset: usize) -> ParseError {
    ParseError { kind, expected, offset }
}
