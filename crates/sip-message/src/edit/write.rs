//! Writing a changed message.

use bytes::Bytes;
use smallvec::SmallVec;

use super::text::Digits;
use super::{Edit, Line};
use crate::error::BuildError;
use crate::header::HeaderId;
use crate::limits::Limits;
use crate::message::{Entry, INLINE_ENTRIES, Message, StartLine};

const CONTENT_LENGTH: &[u8] = b"Content-Length: ";

impl Edit<'_> {
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
        let body = self.body();
        if !self.lines.iter().any(|line| line.id == HeaderId::ContentLength) {
            out.extend_from_slice(CONTENT_LENGTH);
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
        if self.message.clean_lines {
            Ok(self.message_of(out.into()))
        } else {
            Message::parse(out.into(), &Limits::OWN).map_err(|_| BuildError::TooLarge)
        }
    }

    /// The changed message around its bytes, without reading them again: where each line stands follows from how long
    /// the lines before it are. Only for lines that leave as they stand, or that this edit wrote.
    fn message_of(&self, bytes: Bytes) -> Message {
        let mut start = self.message.start.clone();
        let mut position = self.message.entries.first().map_or(self.message.head_end, |first| first.start);
        if let (StartLine::Request { uri, .. }, Some((from, to))) = (&mut start, self.request_uri) {
            let line_end = position - uri.1;
            uri.1 = uri.0 + (to - from) as u16;
            position = uri.1 + line_end;
        }
        let mut entries: SmallVec<[Entry; INLINE_ENTRIES]> = self
            .lines
            .iter()
            .map(|line| {
                let start = position;
                position += (line.next - line.start) as u16;
                let (value, end) = if line.own { self.trimmed(line) } else { (line.value, line.end) };
                Entry {
                    start,
                    value: start + (value - line.start) as u16,
                    end: start + (end - line.start) as u16,
                    name_len: line.name_len,
                    id: line.id,
                }
            })
            .collect();
        let head_end = (bytes.len() - self.body().len() - 2) as u16;
        if head_end > position {
            let value = position + CONTENT_LENGTH.len() as u16;
            let name_len = CONTENT_LENGTH.len() as u8 - 2;
            let id = HeaderId::ContentLength;
            entries.push(Entry { start: position, value, end: head_end - 2, name_len, id });
        }
        let body_start = u32::from(head_end) + 2;
        // What this edit wrote was checked.
        let plain_values = self.message.plain_values;
        Message { bytes, start, entries, head_end, body_start, clean_lines: true, plain_values }
    }

    /// A value that was given with white space around it.
    fn trimmed(&self, line: &Line) -> (u32, u32) {
        let text = &self.scratch[line.value as usize..line.end as usize];
        let blanks = |text: &mut dyn Iterator<Item = &u8>| {
            text.take_while(|byte| matches!(byte, b' ' | b'\t')).count() as u32
        };
        let value = line.value + blanks(&mut text.iter());
        (value, value.max(line.end - blanks(&mut text.iter().rev())))
    }

    fn body(&self) -> &[u8] {
        self.body.as_deref().unwrap_or_else(|| self.message.body())
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
}

/// Copies header lines with every line end as CR LF.
fn write_clean(out: &mut Vec<u8>, lines: &[u8]) {
    for line in lines.split_inclusive(|byte| *byte == b'\n') {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        out.extend_from_slice(text.strip_suffix(b"\r").unwrap_or(text));
        out.extend_from_slice(b"\r\n");
    }
}
