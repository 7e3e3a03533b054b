//! `a=` lines and `c=` lines, found and replaced.

use bytes::Bytes;

use super::{Media, Sdp};

impl Sdp {
    /// Value of the first session attribute of that name, empty for a flag.
    pub fn attribute<'a>(&'a self, name: &'a [u8]) -> Option<&'a [u8]> {
        attributes(&self.session, name).next()
    }
}

impl Media {
    /// Values of the attributes of that name, in order; empty for a flag.
    pub fn attributes<'a>(&'a self, name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        attributes(&self.lines, name)
    }

    /// Whether there is an attribute of that name.
    pub fn has_flag(&self, name: &[u8]) -> bool {
        attributes(&self.lines, name).next().is_some()
    }

    /// Value of the `c=` line that holds for this stream.
    pub fn connection<'a>(&'a self, sdp: &'a Sdp) -> Option<&'a [u8]> {
        self.line(b'c').or_else(|| sdp.session_line(b'c'))
    }

    pub(crate) fn set_connection(&mut self, value: &str) {
        self.lines.retain(|line| line[0] != b'c');
        // RFC 4566 5: m=, i=, c=, b=, k=, a=
        let at = 1 + usize::from(self.lines.get(1).is_some_and(|line| line[0] == b'i'));
        self.lines.insert(at, Bytes::from(format!("c={value}")));
    }
}

/// Values of `a=name` and `a=name:value` lines.
pub(crate) fn attributes<'a>(lines: &'a [Bytes], name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    lines.iter().filter_map(move |line| {
        let rest = line.strip_prefix(b"a=")?.strip_prefix(name)?;
        match rest.split_first() {
            None => Some(rest),
            Some((b':', value)) => Some(value),
            Some(_) => None,
        }
    })
}
