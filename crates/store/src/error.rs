//! What can go wrong, sorted by what the caller does about it.

use crate::Cursor;

/// Why the store did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// An expectation of the batch did not hold; nothing was written. Read again, decide again, a bounded number of times.
    #[error("somebody else changed the record first")]
    Conflict,
    /// The store cannot be reached or refuses to work now. A commit that was under way may still have happened.
    #[error("the store is unavailable: {reason}")]
    Unavailable {
        /// What was seen, for logs.
        reason: String,
    },
    /// Written, but fewer replicas confirmed it than asked for: it may be lost in a failover, or it may stay.
    /// Do not acknowledge; read again before deciding anew.
    #[error("written, but confirmed by {confirmed} of {wanted} replicas")]
    Unreplicated {
        /// Replicas that confirmed in time.
        confirmed: u32,
        /// Replicas that had to.
        wanted: u32,
    },
    /// No answer in time. A commit may or may not have happened.
    #[error("the store did not answer within {after_ms} ms")]
    Timeout {
        /// How long was waited.
        after_ms: u64,
    },
    /// Entries right after this log cursor are gone: the reader missed something and begins anew from a snapshot.
    #[error("the log no longer holds what followed the cursor")]
    Trimmed {
        /// The oldest entry still there.
        oldest: Option<Cursor>,
    },
    /// A bug of the caller: a batch or key beyond the limits.
    #[error("unusable request to the store: {reason}")]
    Invalid {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// What is stored, or what the server answered, is not what this version understands.
    #[error("unreadable data in the store: {reason}")]
    Corrupt {
        /// What was seen.
        reason: String,
    },
}

impl StoreError {
    /// An [`StoreError::Unavailable`].
    pub fn unavailable(reason: impl Into<String>) -> StoreError {
        StoreError::Unavailable { reason: reason.into() }
    }
}
