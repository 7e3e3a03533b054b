//! What goes into the machine and what comes out of it.

use super::{Best, BranchId, CancelCause};

/// What the machine needs to know of a response.
pub trait Response: Clone {
    /// Its status code.
    fn status(&self) -> u16;
}

impl Response for sip_message::Message {
    fn status(&self) -> u16 {
        sip_message::Message::status(self).unwrap_or(500)
    }
}

/// What the machine wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output<R, T> {
    /// Send the request to this target.
    Start {
        /// The new branch.
        branch: BranchId,
        /// Where to.
        target: T,
        /// Max-Breadth to send, RFC 5393 5.3.3.
        breadth: u32,
    },
    /// Cancel this branch; a provisional response has come.
    Cancel {
        /// Which one.
        branch: BranchId,
        /// Why, for the Reason header (RFC 3326).
        cause: CancelCause,
    },
    /// Pass this provisional response or 2xx up.
    Forward(R),
    /// Answer with the best failure. `challenges` are other 401 and 407 responses whose challenges are added.
    Fail {
        /// The best failure.
        best: Best<R>,
        /// RFC 3261 16.7 step 7.
        challenges: Vec<R>,
    },
    /// Look the contacts of this 3xx up, then call [`ResponseContext::redirect`](super::ResponseContext::redirect).
    Redirected {
        /// The branch that it came on.
        branch: BranchId,
        /// The 3xx.
        response: R,
    },
}

/// Why a branch got no response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BranchFailure {
    /// Timer B or F, or 64*T1 after a CANCEL: counts as 408.
    Timeout,
    /// It could not be sent: counts as 503.
    Transport,
    /// The flow it was meant for is gone, RFC 5626 5.3.1: counts as 430.
    FlowFailed,
    /// It was not sent, for a reason that has a status of its own.
    Refused(u16),
}

impl BranchFailure {
    pub(super) fn status(self) -> u16 {
        match self {
            Self::Timeout => 408,
            Self::Transport => 503,
            Self::FlowFailed => 430,
            Self::Refused(status) => status,
        }
    }
}

/// What a request is, as far as its branches are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nature {
    /// Whether it is an INVITE: only that rings and can be cancelled.
    pub invite: bool,
    /// Incoming Max-Breadth, or 60 when it had none.
    pub breadth: u32,
    /// Whether 3xx responses are followed.
    pub recurse: bool,
}
