//! Splitting a header value at its top-level commas.

use super::HeaderId;
use crate::grammar::trim;

/// Values of a comma list, trimmed; commas inside quotes and angle brackets do not split. MSG-05
///
/// An empty element stays visible as an empty value, so that whoever parses it can refuse it.
#[derive(Clone, Debug)]
pub struct CommaList<'a> {
    rest: Option<&'a [u8]>,
}

impl<'a> CommaList<'a> {
    /// Splits `value`; an empty value has no elements.
    pub fn new(value: &'a [u8]) -> Self {
        CommaList { rest: (!trim(value).is_empty()).then_some(value) }
    }
}

impl<'a> Iterator for CommaList<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest.take()?;
        match comma(rest) {
            Some(at) => {
                self.rest = Some(&rest[at + 1..]);
                Some(trim(&rest[..at]))
            }
            None => Some(trim(rest)),
        }
    }
}

/// Either one undivided value or a comma list.
#[derive(Clone, Debug)]
pub(crate) enum OneOrList<'a> {
    One(Option<&'a [u8]>),
    List(CommaList<'a>),
}

impl<'a> OneOrList<'a> {
    /// Splits the value if the header is a list.
    pub(crate) fn of(id: HeaderId, value: &'a [u8]) -> Self {
        if id.is_list() { OneOrList::List(CommaList::new(value)) } else { OneOrList::One(Some(value)) }
    }
}

impl<'a> Iterator for OneOrList<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        match self {
            OneOrList::One(value) => value.take(),
            OneOrList::List(list) => list.next(),
        }
    }
}

/// Where the first top-level comma stands.
pub(crate) fn comma(value: &[u8]) -> Option<usize> {
    memchr::memchr(b',', value)?;
    let mut quoted = false;
    let mut bracketed = false;
    let mut index = 0;
    while index < value.len() {
        match value[index] {
            b'\\' if quoted => index += 1,
            b'"' if !bracketed => quoted = !quoted,
            b'<' if !quoted => bracketed = true,
            b'>' if !quoted => bracketed = false,
            b',' if !quoted && !bracketed => return Some(index),
            _ => {}
        }
        index += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// MSG-05, MSG-09
    #[test]
    fn commas_in_quotes_and_brackets_do_not_split() {
        let value = b"\"Doe, \\\", J\" <sip:a,b@h;x=\"1\">;q=1 ,\r\n <sip:c@h>, sip:d@h";
        let values: Vec<_> = CommaList::new(value).collect();
        assert_eq!(
            values,
            [&b"\"Doe, \\\", J\" <sip:a,b@h;x=\"1\">;q=1"[..], &b"<sip:c@h>"[..], &b"sip:d@h"[..]]
        );
    }

    #[test]
    fn empty_elements_stay_visible() {
        assert_eq!(CommaList::new(b"a,,b").count(), 3);
        assert_eq!(CommaList::new(b" ").count(), 0);
    }
}
