//! Due work: entries that any process may claim when their time has come.

use bytes::Bytes;

/// A claimed due entry.
///
/// The claim holds for the lease; after that the entry can be claimed again, by anybody, unless a commit removed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// Its id in the queue.
    pub id: String,
    /// What was stored with it.
    pub payload: Bytes,
    /// Names this claim; see [`crate::Batch::due_done`].
    pub token: u64,
}
