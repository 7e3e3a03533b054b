//! One branch of a request: where it was sent and how far it came.

use std::time::Instant;

use super::best::Ending;
use super::plan::Scope;

/// A branch within its response context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BranchId(pub u32);

/// Why a branch is cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelCause {
    /// The caller cancelled.
    Caller,
    /// Another branch answered 2xx.
    AnsweredElsewhere,
    /// Another branch answered 6xx with this status.
    Declined(u16),
    /// It rang too long: the ring time of its group or Timer C.
    NoAnswer,
}

#[derive(Debug)]
pub(super) struct Branch<R, T> {
    pub(super) id: BranchId,
    pub(super) target: T,
    pub(super) scope: Scope,
    /// Its share of Max-Breadth.
    pub(super) breadth: u32,
    pub(super) state: State<R>,
}

#[derive(Debug)]
pub(super) enum State<R> {
    /// Sent; no response yet. A CANCEL waits here for the first 1xx. RFC 3261 9.1
    Calling { timer_c: Option<Instant>, cancel: Option<CancelCause> },
    /// A provisional response came.
    Proceeding { timer_c: Option<Instant> },
    /// CANCEL is on its way; the transaction ends by its final response, or by itself after 64*T1.
    Cancelling { cause: CancelCause },
    /// A 3xx came, and the caller of the machine looks its contacts up.
    Redirecting { response: R },
    /// Over without success. A late response may still come when `silent`: nothing had come when it was given up.
    Ended { ending: Ending<R>, silent: bool },
    /// It answered 2xx.
    Answered,
}

impl<R, T> Branch<R, T> {
    pub(super) fn is_active(&self) -> bool {
        match self.state {
            State::Calling { .. }
            | State::Proceeding { .. }
            | State::Cancelling { .. }
            | State::Redirecting { .. } => true,
            State::Ended { .. } | State::Answered => false,
        }
    }

    /// No final response came, and nobody has given it up.
    pub(super) fn is_wanted(&self) -> bool {
        match self.state {
            State::Calling { cancel: None, .. } | State::Proceeding { .. } => true,
            State::Calling { cancel: Some(_), .. }
            | State::Cancelling { .. }
            | State::Redirecting { .. }
            | State::Ended { .. }
            | State::Answered => false,
        }
    }

    pub(super) fn ending(&self) -> Option<&Ending<R>> {
        match &self.state {
            State::Ended { ending, .. } => Some(ending),
            State::Calling { .. }
            | State::Proceeding { .. }
            | State::Cancelling { .. }
            | State::Redirecting { .. }
            | State::Answered => None,
        }
    }

    pub(super) fn timer_c(&self) -> Option<Instant> {
        match self.state {
            State::Calling { timer_c, .. } | State::Proceeding { timer_c } => timer_c,
            State::Cancelling { .. } | State::Redirecting { .. } | State::Ended { .. } | State::Answered => {
                None
            }
        }
    }
}
