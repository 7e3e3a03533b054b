//! A list: the presence of its members as one state (RFC 4662).
//!
//! The members live in other partitions than their list, so that what is read of them cannot be checked by the commit of a
//! notification. It need not be: a step is committed only upon the version of its subscription that was read before the members were,
//! so that no later notification is made of anything older.

mod document;
mod record;

use std::collections::HashMap;

pub use self::record::{Listed, MOST_MEMBERS, Record};
use super::Presentity;
use crate::elsewhere::Sought;
use crate::engine::{Access, Asking, Document, Topic};

/// Lists within each other that are shown.
pub const MAX_DEPTH: usize = 4;
/// Members that are read for one list, with those of the lists within it; what is beyond is shown without its state.
pub const MOST_READ: usize = 1_024;

/// What a member is.
pub enum Found {
    /// Another list.
    List(Record),
    /// A user.
    User(Presentity),
}

/// A list with all that was read of it.
pub struct List {
    /// Its URI.
    pub uri: String,
    /// Itself, and its members by URI.
    pub found: HashMap<String, Found>,
    /// What its watcher knows of the members in other domains; `None` when they are not sought for it.
    pub sought: Option<HashMap<String, Sought>>,
}

impl List {
    fn root(&self) -> Option<&Record> {
        match self.found.get(&self.uri) {
            Some(Found::List(record)) => Some(record),
            Some(Found::User(_)) | None => None,
        }
    }

    /// The members in other domains, of the list and of those within it that this watcher may see, each once; as many as are shown.
    pub fn elsewhere(&self, watcher: &str) -> Vec<String> {
        let lists = self.found.values().filter_map(|found| match found {
            Found::List(record) if record.admits(watcher) => Some(record),
            Found::List(_) | Found::User(_) => None,
        });
        let mut all: Vec<String> = lists.flat_map(|record| record.elsewhere.iter().cloned()).collect();
        all.sort_unstable();
        all.dedup();
        all.truncate(MOST_READ);
        all
    }
}

impl Topic for List {
    fn access(&self, watcher: &str) -> Access {
        match self.root() {
            Some(record) if record.admits(watcher) => Access::Granted,
            Some(_) | None => Access::Refused,
        }
    }

    fn is_there(&self) -> bool {
        self.root().is_some()
    }

    fn document(&self, asking: &Asking<'_>) -> Document {
        self.root().map_or_else(Document::default, |root| document::of(self, root, asking))
    }
}

#[cfg(test)]
mod tests;
