//! What the machines ask of the table that holds them.

use bytes::Bytes;
use sip_message::Message;
use smallvec::SmallVec;

/// One consequence of an input.
#[derive(Debug, Clone)]
pub(crate) enum Effect {
    /// Send these bytes to the neighbour of this transaction.
    Send(Bytes),
    /// Start a client transaction of its own for this CANCEL, toward the same neighbour.
    SendCancel(Box<Message>),
    /// Hand the message that is the input to the user.
    Pass,
    /// Tell the user that no final response came in time.
    TimedOut,
    /// Tell the user that the neighbour cannot be reached.
    TransportFailed,
    /// Tell the user that nobody acknowledged its final response.
    AckTimedOut,
    /// Tell the user that this response is not allowed here.
    Refuse(RespondError),
}

pub(crate) type Effects = SmallVec<[Effect; 2]>;

/// Why a response was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RespondError {
    /// The transaction is over, or never was.
    #[error("no such server transaction")]
    Unknown,
    /// The message is a request.
    #[error("not a response")]
    NotAResponse,
    /// A final response went out before.
    #[error("the transaction has its final response")]
    AlreadyFinal,
    /// A non-INVITE request gets no provisional response but 100. RFC 4320 4.1
    #[error("a non-INVITE request gets no provisional response but 100")]
    Provisional,
    /// A non-INVITE request gets no 408: its sender has given up by then. RFC 4320 4.2
    #[error("a non-INVITE request gets no 408")]
    Timeout,
}
