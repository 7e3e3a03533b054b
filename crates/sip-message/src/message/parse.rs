//! From a datagram or frame to a [`Message`]: one pass that finds lines and names, and no more.

use bytes::{Buf, Bytes};

use super::Message;
use super::head::{Head, fail};
use crate::error::{ParseError, ParseErrorKind};
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
        let is_free_of_nul = head.check_octets()?;
        let announced = head.check_values()?;
        let Head { entries, head_end, position: body_start, clean_lines, has_folds, .. } = head;
        let present = datagram.len() - body_start;
        let body = announced.unwrap_or(present);
        if body > present {
            let expected = "the body that Content-Length announces";
            return Err(fail(ParseErrorKind::ShortBody, expected, datagram.len()));
        }
        if body > limits.body_bytes {
            return Err(fail(ParseErrorKind::TooLarge, "a smaller body", body_start));
        }
        if body < present {
            datagram.truncate(body_start + body);
        }
        Ok(Message {
            bytes: datagram,
            start,
            entries,
            head_end: head_end as u16,
            body_start: body_start as u32,
            clean_lines,
            plain_values: is_free_of_nul && !has_folds,
        })
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
        let Head { entries, head_end, position: end, .. } = head;
        datagram.truncate(end);
        Some(Message {
            bytes: datagram,
            start,
            entries,
            head_end: if head_end == 0 { end } else { head_end } as u16,
            body_start: end as u32,
            // The gaps in the table hold lines that are none.
            clean_lines: false,
            plain_values: false,
        })
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
