//! One index: members in octet order, each with a value.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::ops::Bound;

use bytes::Bytes;

use crate::IndexPage;

#[derive(Default)]
pub(super) struct Index(BTreeSet<Entry>);

/// The length of the member, the member, and its value, in one piece. Entries are ordered by their members.
struct Entry(Box<[u8]>);

/// Octets in front of the member. A name has 2048 octets at most.
const LENGTH: usize = size_of::<u16>();

impl Entry {
    fn new(member: &str, value: &[u8]) -> Self {
        let length = u16::try_from(member.len()).unwrap_or(u16::MAX);
        let member = &member.as_bytes()[..usize::from(length)];
        Self([&length.to_ne_bytes()[..], member, value].concat().into())
    }

    fn split(&self) -> (&[u8], &[u8]) {
        let (length, rest) = self.0.split_at(LENGTH);
        rest.split_at(usize::from(u16::from_ne_bytes([length[0], length[1]])))
    }

    fn member(&self) -> &[u8] {
        self.split().0
    }

    fn show(&self) -> (String, Bytes) {
        let (member, value) = self.split();
        (String::from_utf8_lossy(member).into_owned(), Bytes::copy_from_slice(value))
    }
}

impl Borrow<[u8]> for Entry {
    fn borrow(&self) -> &[u8] {
        self.member()
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        self.member().cmp(other.member())
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.member() == other.member()
    }
}

impl Eq for Entry {}

impl Index {
    pub(super) fn add(&mut self, member: &str, value: &[u8]) {
        self.0.replace(Entry::new(member, value));
    }

    pub(super) fn remove(&mut self, member: &str) {
        self.0.remove(member.as_bytes());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn page(&self, after: Option<&str>, limit: usize) -> IndexPage {
        let from = after.map_or(Bound::Unbounded, |after| Bound::Excluded(after.as_bytes()));
        let mut rest = self.0.range::<[u8], _>((from, Bound::Unbounded));
        let entries: Vec<_> = rest.by_ref().take(limit).map(Entry::show).collect();
        let next = rest.next().and_then(|_| entries.last().map(|(member, _)| member.clone()));
        IndexPage { entries, next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_in_octet_order_whatever_their_length_and_value() {
        let mut index = Index::default();
        for (member, value) in [("b", "x"), ("ab", "yy"), ("a", ""), ("b", "z"), ("aa", "much longer")] {
            index.add(member, value.as_bytes());
        }
        let shown = |page: IndexPage| {
            let text = |(member, value): (String, Bytes)| format!("{member}={}", value.escape_ascii());
            page.entries.into_iter().map(text).collect::<Vec<_>>()
        };
        assert_eq!(shown(index.page(None, 9)), ["a=", "aa=much longer", "ab=yy", "b=z"]);
        assert_eq!(shown(index.page(Some("aa"), 1)), ["ab=yy"]);
        index.remove("ab");
        assert_eq!(shown(index.page(Some("aa"), 9)), ["b=z"]);
    }
}
