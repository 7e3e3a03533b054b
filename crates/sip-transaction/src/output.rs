//! What a table of transactions says to the shell below it and to the user above it.

use bytes::Bytes;
use sip_message::Message;

use crate::key::{ClientKey, Key, ServerKey};

/// One thing that follows from the last call. Drain [`Transactions::poll_output`](crate::Transactions::poll_output)
/// after every call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output<H> {
    /// Below: send these bytes.
    Transmit {
        /// The neighbour.
        hop: H,
        /// The message.
        bytes: Bytes,
        /// Whom to tell when it cannot be sent.
        origin: Key,
    },
    /// Above: a request has opened a server transaction. Never ACK or CANCEL.
    Request {
        /// The transaction to answer.
        key: ServerKey,
        /// The request.
        message: Message,
        /// Where it came from.
        hop: H,
    },
    /// Above: an ACK for a 2xx, or one that belongs to nothing here.
    Ack {
        /// The INVITE transaction that sent a 2xx, if it is still known.
        key: Option<ServerKey>,
        /// The ACK.
        message: Message,
        /// Where it came from.
        hop: H,
    },
    /// Above: a CANCEL. It has a transaction of its own that wants an answer.
    Cancel {
        /// The CANCEL's own transaction.
        key: ServerKey,
        /// What it cancels.
        target: CancelTarget,
        /// The CANCEL.
        message: Message,
        /// Where it came from.
        hop: H,
    },
    /// Above: a request for which there is no room. Nothing is remembered of it.
    Overflow {
        /// The request.
        message: Message,
        /// Where it came from.
        hop: H,
    },
    /// Above: a response to a request of the user's.
    Response {
        /// The transaction that sent the request.
        key: ClientKey,
        /// The response.
        message: Message,
        /// Where it came from.
        hop: H,
    },
    /// Above: a response to nothing. It must not be forwarded (RFC 6026 7.3).
    StrayResponse {
        /// The response.
        message: Message,
        /// Where it came from.
        hop: H,
    },
    /// Above: no final response in time.
    TimedOut {
        /// The transaction that sent the request.
        key: ClientKey,
    },
    /// Above: a message could not be sent.
    TransportFailed {
        /// The transaction that wanted to send it. A client transaction is over; a server transaction lives on.
        key: Key,
    },
    /// Above: nobody acknowledged the final response.
    AckTimedOut {
        /// The INVITE transaction.
        key: ServerKey,
    },
    /// Above: the transaction is over and its key without meaning. The last output of every transaction.
    Ended {
        /// The transaction that was.
        key: Key,
    },
}

/// What a CANCEL is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelTarget {
    /// This INVITE transaction, in whatever state it is.
    Invite(ServerKey),
    /// Another method: the CANCEL is answered 200 and has no effect (RFC 3261 9.2).
    NonInvite(ServerKey),
    /// Nothing known: 481, or forwarded statelessly by a proxy (RFC 3261 9.2, 16.10).
    Unknown,
}
