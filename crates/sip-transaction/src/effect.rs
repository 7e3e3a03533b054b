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

#[cfg(test)]
pub(crate) mod print {
    //! Short, stable text for the golden tests.

    use std::time::Instant;

    use super::{Effect, Effects};

    pub(crate) fn effects(effects: &Effects) -> String {
        if effects.is_empty() {
            return "-".to_owned();
        }
        let words: Vec<String> = effects.iter().map(effect).collect();
        words.join(", ")
    }

    fn effect(effect: &Effect) -> String {
        match effect {
            Effect::Send(bytes) => format!("send {}", first_word(bytes)),
            Effect::SendCancel(cancel) => format!("start {}", first_word(cancel.bytes())),
            Effect::Pass => "pass".to_owned(),
            Effect::TimedOut => "timed out".to_owned(),
            Effect::TransportFailed => "transport failed".to_owned(),
            Effect::AckTimedOut => "ACK timed out".to_owned(),
            Effect::Refuse(error) => format!("refuse {error:?}"),
        }
    }

    /// The method of a request, the status of a response.
    fn first_word(bytes: &[u8]) -> String {
        let line = String::from_utf8_lossy(bytes);
        let line = line.strip_prefix("SIP/2.0 ").unwrap_or(&line);
        line.split([' ', '\r']).next().unwrap_or_default().to_owned()
    }

    pub(crate) fn timer<T: std::fmt::Debug>(timer: Option<(Instant, T)>, now: Instant) -> String {
        match timer {
            Some((at, timer)) => format!("{timer:?} in {} ms", (at - now).as_millis()),
            None => "none".to_owned(),
        }
    }
}
