//! What a subscription is about: the state of one resource in one package, as its watchers may see it.

use super::{Filter, Standing};

/// What a watcher may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Something: all of it, or what its topic shows to this watcher.
    Granted,
    /// Nothing until the owner has decided; the watcher gets a neutral document (RFC 3856 6.6.3).
    Undecided,
    /// Nothing at all.
    Refused,
}

/// Who asks for a document, and what was said before.
#[derive(Clone, Copy, Debug)]
pub struct Asking<'a> {
    /// Address of record of the watcher.
    pub watcher: &'a str,
    /// Where its subscription stands.
    pub standing: Standing,
    /// The version that the document has, where the package has versions.
    pub version: u32,
    /// What of the state it wants; everything when it says nothing.
    pub filter: Option<&'a Filter>,
    /// What the watcher knows, as the document before it said ([`Document::told`]); `None` when everything is to be said.
    pub told: Option<&'a [u8]>,
}

/// What a notification says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Document {
    /// Its type.
    pub content_type: String,
    /// The body.
    pub body: Vec<u8>,
    /// What the watcher knows afterwards: two documents with the same say the same, whatever their versions.
    pub told: Vec<u8>,
}

/// The state of a resource in a package.
pub trait Topic: Send + Sync {
    /// What this watcher may see.
    fn access(&self, watcher: &str) -> Access;

    /// Whether there is such a thing at all; what there is no more ends its subscriptions with `noresource` (RFC 6665 4.1.3).
    fn is_there(&self) -> bool {
        true
    }

    /// The document for this watcher.
    fn document(&self, asking: &Asking<'_>) -> Document;
}
