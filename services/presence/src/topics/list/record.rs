//! The records of lists. A field number is never used twice (docs/adr/0007).

use bytes::Bytes;
use cluster_api::convert::timestamp;
use cluster_api::presence::v1::ResourceList;
use prost::Message as _;
use store::StoreError;

use crate::repository::{corrupt, time};

const SCHEMA: u32 = 1;
/// Members of a list.
pub const MOST_MEMBERS: usize = 256;

/// One list.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Record {
    /// Version of this schema.
    #[prost(uint32, tag = "1")]
    schema: u32,
    /// As the application set it.
    #[prost(message, required, tag = "2")]
    pub list: ResourceList,
    /// Larger with every change, also after it was removed and made again.
    #[prost(uint64, tag = "3")]
    pub revision: u64,
    /// When it was last changed, in milliseconds since 1970.
    #[prost(uint64, tag = "4")]
    pub update_ms: u64,
    /// Members of domains that are not served here.
    #[prost(string, repeated, tag = "5")]
    pub elsewhere: Vec<String>,
    /// Who is no member any more, and may still be listed as one ([`Listed`]).
    #[prost(string, repeated, tag = "6")]
    pub former: Vec<String>,
    /// Whether it was removed; the record goes once no former member is listed.
    #[prost(bool, tag = "7")]
    pub is_removed: bool,
}

impl Record {
    /// Reads a record.
    ///
    /// # Errors
    /// When it is none of ours.
    pub fn read(value: &Bytes) -> Result<Record, StoreError> {
        let record = Record::decode(value.clone()).map_err(corrupt)?;
        match record.schema {
            1..=SCHEMA => Ok(record),
            later => Err(corrupt(format!("a list of schema {later}"))),
        }
    }

    /// What is kept.
    pub fn write(&self) -> Vec<u8> {
        Record { schema: SCHEMA, ..self.clone() }.encode_to_vec()
    }

    /// As applications see it.
    pub fn shown(&self) -> ResourceList {
        ResourceList {
            update_time: Some(timestamp(time(self.update_ms))),
            etag: self.revision.to_string(),
            ..self.list.clone()
        }
    }

    /// Whether this watcher may subscribe.
    pub fn admits(&self, watcher: &str) -> bool {
        self.list.owner.is_empty() || self.list.owner == watcher
    }

    /// Whether somebody is on it.
    pub fn has(&self, member: &str) -> bool {
        self.list.members.iter().any(|known| known.uri == member)
    }

    /// The members of domains that are served here.
    pub fn own_members(&self) -> impl Iterator<Item = &str> {
        let is_own = |uri: &&str| !self.elsewhere.iter().any(|elsewhere| elsewhere == uri);
        self.list.members.iter().map(|member| member.uri.as_str()).filter(is_own)
    }

    /// The list after a change; `None`: it is removed.
    pub fn next(before: Option<Record>, list: Option<(ResourceList, Vec<String>)>, now_ms: u64) -> Record {
        let before = before.unwrap_or_default();
        let is_removed = list.is_none();
        let (list, elsewhere) = list.unwrap_or_else(|| {
            let list_uri = before.list.list_uri.clone();
            (ResourceList { list_uri, ..ResourceList::default() }, Vec::new())
        });
        let mut after = Record {
            schema: SCHEMA,
            list,
            revision: (before.revision + 1).max(now_ms),
            update_ms: now_ms,
            elsewhere,
            former: Vec::new(),
            is_removed,
        };
        let mut former: Vec<String> = before.own_members().map(str::to_owned).collect();
        former.extend(before.former);
        former.retain(|uri| !after.has(uri));
        former.sort_unstable();
        former.dedup();
        after.former = former;
        after
    }
}

/// The lists that somebody is on, beside everything else of that one: whom a change of it has to reach.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Listed {
    /// Version of this schema.
    #[prost(uint32, tag = "1")]
    schema: u32,
    /// The lists, by URI.
    #[prost(message, repeated, tag = "2")]
    pub on: Vec<On>,
}

/// One of the lists.
#[derive(Clone, PartialEq, prost::Message)]
pub struct On {
    /// URI of the list.
    #[prost(string, tag = "1")]
    pub list: String,
    /// The revision of the list that says so.
    #[prost(uint64, tag = "2")]
    revision: u64,
}

impl Listed {
    /// Reads the record.
    ///
    /// # Errors
    /// When it is none of ours.
    pub fn read(value: Option<&Bytes>) -> Result<Listed, StoreError> {
        value.map_or(Ok(Listed::default()), |value| Listed::decode(value.clone()).map_err(corrupt))
    }

    /// The record; `None` when there is nothing to keep.
    pub fn write(&self) -> Option<Vec<u8>> {
        (!self.on.is_empty()).then(|| Listed { schema: SCHEMA, ..self.clone() }.encode_to_vec())
    }

    /// What this revision of a list says; an older one than is known says nothing. Returns whether something is different now.
    pub fn says(&mut self, list: &str, revision: u64, is_on: bool) -> bool {
        let known = self.on.iter().position(|on| on.list == list);
        match (known, is_on) {
            (Some(at), true) if self.on[at].revision < revision => self.on[at].revision = revision,
            (Some(at), false) if self.on[at].revision <= revision => drop(self.on.remove(at)),
            (None, true) => self.on.push(On { list: list.to_owned(), revision }),
            (Some(_) | None, _) => return false,
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use cluster_api::presence::v1::ListMember;

    use super::*;

    fn list(members: &[&str]) -> (ResourceList, Vec<String>) {
        let members =
            members.iter().map(|uri| ListMember { uri: (*uri).to_owned(), display_name: String::new() });
        let list =
            ResourceList { list_uri: "sip:l@d".to_owned(), members: members.collect(), ..Default::default() };
        (list, vec!["sip:far@away".to_owned()])
    }

    #[test]
    fn who_leaves_is_remembered_until_it_is_listed_no_more_and_revisions_never_come_back() {
        let first = Record::next(None, Some(list(&["sip:a@d", "sip:far@away"])), 1_000);
        assert_eq!((first.revision, first.former.len()), (1_000, 0));
        let second = Record::next(Some(first.clone()), Some(list(&["sip:b@d"])), 900);
        assert_eq!((second.revision, second.former.as_slice()), (1_001, &["sip:a@d".to_owned()][..]));
        let third = Record::next(Some(second.clone()), Some(list(&["sip:a@d"])), 2_000);
        assert_eq!(third.former, ["sip:b@d"], "who comes back is no former member");
        let gone = Record::next(Some(second), None, 2_000);
        assert_eq!(
            (gone.is_removed, gone.former.as_slice()),
            (true, &["sip:a@d".to_owned(), "sip:b@d".to_owned()][..])
        );
        let value = Bytes::from(third.write());
        assert_eq!(Record::read(&value).expect("a list"), third);
    }

    #[test]
    fn an_older_revision_neither_lists_nor_removes() {
        let mut listed = Listed::default();
        assert!(listed.says("sip:l@d", 5, true) && !listed.says("sip:l@d", 5, true));
        assert!(!listed.says("sip:l@d", 4, false) && listed.says("sip:l@d", 6, true));
        assert!(!listed.says("sip:l@d", 5, false) && listed.says("sip:l@d", 7, false));
        assert!(listed.write().is_none() && !listed.says("sip:l@d", 8, false));
    }
}
