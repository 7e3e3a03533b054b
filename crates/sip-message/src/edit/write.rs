//! Writing a changed message.

use super::Edit;
use super::text::Digits;
use crate::error::BuildError;
use crate::header::HeaderId;
use crate::limits::Limits;
use crate::message::{Message, StartLine};

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
}

/// Copies header lines with every line end as CR LF.
fn write_clean(out: &mut Vec<u8>, lines: &[u8]) {
    for line in lines.split_inclusive(|byte| *byte == b'\n') {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        out.extend_from_slice(text.strip_suffix(b"\r").unwrap_or(text));
        out.extend_from_slice(b"\r\n");
    }
}
