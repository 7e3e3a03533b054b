//! The fields that every message must carry.

use super::typed::number;
use super::{Message, StartLine};
use crate::error::{HeaderError, HeaderFault, SyntaxError};
use crate::grammar::{self, run, trim};
use crate::header::{CSeq, HeaderId, NameAddr, Via, comma};
use crate::swar;

/// The fields that every message must carry, read and checked together. RFC 3261 8.1.1
#[derive(Clone, Debug)]
pub struct Essentials<'a> {
    /// The topmost Via.
    pub via: Via<'a>,
    /// From.
    pub from: NameAddr<'a>,
    /// To.
    pub to: NameAddr<'a>,
    /// Call-ID.
    pub call_id: &'a [u8],
    /// CSeq; its method is that of the request line.
    pub cseq: CSeq,
    /// Max-Forwards, if there is one.
    pub max_forwards: Option<u32>,
}

impl Message {
    /// Reads and checks the mandatory fields at once. MSG-10, MSG-11
    ///
    /// # Errors
    /// The first field that is missing, repeated, malformed, or in conflict with the request line.
    pub fn essentials(&self) -> Result<Essentials<'_>, HeaderError> {
        let mut via = None;
        let [mut from, mut to, mut call_id, mut cseq, mut max_forwards] = [Only::default(); 5];
        for entry in &self.entries {
            match entry.id {
                HeaderId::Via if via.is_none() && entry.value < entry.end => via = Some(self.value_of(entry)),
                HeaderId::From => from.add(self.value_of(entry)),
                HeaderId::To => to.add(self.value_of(entry)),
                HeaderId::CallId => call_id.add(self.value_of(entry)),
                HeaderId::CSeq => cseq.add(self.value_of(entry)),
                HeaderId::MaxForwards => max_forwards.add(self.value_of(entry)),
                _ => {}
            }
        }
        let essentials = Essentials {
            via: first_via(via)?,
            from: from.read(HeaderId::From, NameAddr::parse)?,
            to: to.read(HeaderId::To, NameAddr::parse)?,
            call_id: call_id.read(HeaderId::CallId, whole_call_id)?,
            cseq: cseq.read(HeaderId::CSeq, CSeq::parse)?,
            max_forwards: match max_forwards.value {
                Some(_) => Some(max_forwards.read(HeaderId::MaxForwards, hops)?),
                None => None,
            },
        };
        if let StartLine::Request { method, .. } = &self.start
            && essentials.cseq.method != *method
        {
            // RFC 3261 8.1.1.5
            let fault = HeaderFault::Contradiction("the method of CSeq is not that of the request line");
            return Err(HeaderError { header: HeaderId::CSeq, fault });
        }
        Ok(essentials)
    }
}

/// The topmost value in the first Via line that has one.
pub(super) fn first_via(line: Option<&[u8]>) -> Result<Via<'_>, HeaderError> {
    let line = line.ok_or_else(|| HeaderError::missing(HeaderId::Via))?;
    let value = comma(line).map_or(line, |at| &line[..at]);
    Via::parse(trim(value)).map_err(HeaderError::syntax(HeaderId::Via))
}

/// A Call-ID is read as it stands: peers are to get theirs back.
pub(super) fn whole_call_id(value: &[u8]) -> Result<&[u8], SyntaxError> {
    let plain = swar::plain_run(value);
    let length = plain + run(&value[plain..], &CALL_ID);
    if length == value.len() && length > 0 {
        Ok(value)
    } else {
        Err(SyntaxError { expected: "a Call-ID without white space", offset: length })
    }
}

/// One octet of hops. RFC 3261 20.22; RFC 4475 3.1.2.4 leaves it to us what becomes of more
fn hops(value: &[u8]) -> Result<u32, SyntaxError> {
    let fault = SyntaxError { expected: "a number up to 255", offset: 0 };
    number(value).ok().filter(|hops| *hops <= 255).ok_or(fault)
}

/// Letters of a Call-ID: more than RFC 3261 25.1 lists.
const CALL_ID: [bool; 256] = grammar::all_but(b"");

/// The lines of a header that must not repeat.
#[derive(Clone, Copy, Default)]
struct Only<'a> {
    value: Option<&'a [u8]>,
    repeated: bool,
}

impl<'a> Only<'a> {
    #[inline]
    fn add(&mut self, value: &'a [u8]) {
        self.repeated = self.value.replace(value).is_some();
    }

    #[inline]
    fn read<T>(
        self,
        header: HeaderId,
        parse: impl FnOnce(&'a [u8]) -> Result<T, SyntaxError>,
    ) -> Result<T, HeaderError> {
        let value = self.value.ok_or_else(|| HeaderError::missing(header))?;
        if self.repeated {
            return Err(HeaderError { header, fault: HeaderFault::Repeated });
        }
        parse(value).map_err(HeaderError::syntax(header))
    }
}
