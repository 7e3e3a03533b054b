//! A message: its bytes and a table that says where each header stands.

mod access;
mod essentials;
mod head;
mod parse;
mod start_line;
mod typed;

use bytes::Bytes;
use smallvec::SmallVec;

pub use access::{Field, SentBy};
pub use essentials::Essentials;
pub(crate) use start_line::{StartLine, is_request_uri};

use crate::header::HeaderId;

/// One SIP message, complete and unchanged as it was received or built.
///
/// Cloning is cheap: the bytes are shared. Nothing is typed until it is asked for, and typed views
/// borrow from the message.
pub struct Message {
    pub(crate) bytes: Bytes,
    pub(crate) start: StartLine,
    pub(crate) entries: SmallVec<[Entry; INLINE_ENTRIES]>,
    /// Offset of the blank line.
    pub(crate) head_end: u16,
    /// Offset of the first body byte.
    pub(crate) body_start: u32,
    /// Does every line of the head end with CR LF?
    pub(crate) clean_lines: bool,
    /// Is every value in one line, and free of NUL?
    pub(crate) plain_values: bool,
}

/// The table of headers is copied in one piece, which a derived clone would do entry by entry.
impl Clone for Message {
    fn clone(&self) -> Self {
        let Self { bytes, start, entries, head_end, body_start, clean_lines, plain_values } = self;
        Self {
            bytes: bytes.clone(),
            start: start.clone(),
            entries: SmallVec::from_slice(entries),
            head_end: *head_end,
            body_start: *body_start,
            clean_lines: *clean_lines,
            plain_values: *plain_values,
        }
    }
}

/// Most messages have fewer header lines; more than these go to the heap.
pub(crate) const INLINE_ENTRIES: usize = 32;

/// Where one header line stands. Sixteen bits are enough: the head is limited to 65,535 bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    /// First byte of the name, which is the first byte of the line.
    pub(crate) start: u16,
    /// First byte of the value that is not white space.
    pub(crate) value: u16,
    /// One past the last byte of the value that is not white space.
    pub(crate) end: u16,
    pub(crate) name_len: u8,
    pub(crate) id: HeaderId,
}

impl Message {
    /// The message as it stands on the wire, without leading line ends and surplus bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The body.
    pub fn body(&self) -> &[u8] {
        &self.bytes[self.body_start as usize..]
    }

    /// The body, shared with the message.
    pub fn body_bytes(&self) -> Bytes {
        self.bytes.slice(self.body_start as usize..)
    }

    pub(crate) fn value_of(&self, entry: &Entry) -> &[u8] {
        &self.bytes[usize::from(entry.value)..usize::from(entry.end)]
    }

    /// Does a line leave as it came: one line, with the usual spelling of its name and a blank before its value?
    pub(crate) fn is_as_printed(&self, entry: &Entry) -> bool {
        let name = entry.id.as_str().as_bytes();
        let (start, value, end) =
            (usize::from(entry.start), usize::from(entry.value), usize::from(entry.end));
        self.plain_values
            && value == start + name.len() + 2
            && self.bytes[start..].starts_with(name)
            && self.bytes[value - 2..].starts_with(b": ")
            && self.bytes[end..].starts_with(b"\r\n")
    }

    pub(crate) fn name_of(&self, entry: &Entry) -> &[u8] {
        let start = usize::from(entry.start);
        &self.bytes[start..start + usize::from(entry.name_len)]
    }
}

impl PartialEq for Message {
    /// Byte equality.
    fn eq(&self, other: &Message) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Message {}

impl std::fmt::Debug for Message {
    /// The start line and sizes only: headers hold credentials and addresses.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Message")
            .field("start_line", &String::from_utf8_lossy(self.start_line()))
            .field("headers", &self.entries.len())
            .field("body", &self.body().len())
            .finish()
    }
}
