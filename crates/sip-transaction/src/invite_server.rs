//! The INVITE server transaction: RFC 3261 figure 7 as redrawn in RFC 6026 figure 1.
//!
//! | State | Input | Next | Effect | Section |
//! |---|---|---|---|---|
//! | (start) | INVITE | Unanswered | the table passes it | 3261 17.2.1 |
//! | Unanswered | 150 ms | Proceeding | send 100 | 3261 17.2.1 |
//! | Unanswered, Proceeding | 1xx from the user | Proceeding | send | 3261 17.2.1 |
//! | Unanswered, Proceeding | 2xx from the user | Accepted | send | 6026 7.1 |
//! | Unanswered, Proceeding | 300–699 from the user | Completed | send | 3261 17.2.1 |
//! | Proceeding | INVITE again | Proceeding | send the last response again | 3261 17.2.1 |
//! | Accepted | INVITE again | Accepted | – | 6026 7.1 |
//! | Accepted | 2xx from the user | Accepted | send | 6026 7.1 |
//! | Accepted | ACK | Accepted | pass | 6026 7.1 |
//! | Accepted | Timer L | Terminated | – | 6026 7.1 |
//! | Completed | INVITE again, Timer G | Completed | send the response again | 3261 17.2.1 |
//! | Completed | ACK | Confirmed | – | 3261 17.2.1 |
//! | Completed | Timer H | Terminated | ACK timed out | 3261 17.2.1 |
//! | Confirmed | Timer I | Terminated | – | 3261 17.2.1 |
//! | all but Confirmed | transport error | same | transport failed | 6026 7.1, 8.8 |
//! | after a final response | other responses from the user | same | refuse | 3261 17.2.1 |
//!
//! Whatever is not in the table is ignored.

use std::time::Instant;

use bytes::Bytes;
use sip_message::{Message, ResponseBuilder};

use crate::config::Terms;
use crate::effect::{Effect, Effects, RespondError};
use crate::resend::{Resend, earlier};

/// The machine.
#[derive(Debug, Clone)]
pub(crate) enum InviteServer {
    /// The user has the INVITE and said nothing yet. The figure counts this as Proceeding.
    Unanswered(Unanswered),
    /// A provisional response went out.
    Proceeding(Proceeding),
    /// A 2xx went out. Its repetition is the user's affair (RFC 3261 13.3.1.4), not ours.
    Accepted(Accepted),
    /// Another final response went out and waits for its ACK.
    Completed(Completed),
    /// The ACK came; more copies of it are absorbed.
    Confirmed(Confirmed),
    /// Over.
    Terminated,
}

#[derive(Debug, Clone)]
pub(crate) struct Unanswered {
    invite: Box<Message>,
    trying_at: Instant,
}

#[derive(Debug, Clone)]
pub(crate) struct Proceeding {
    last: Bytes,
}

#[derive(Debug, Clone)]
pub(crate) struct Accepted {
    /// Timer L.
    until: Instant,
}

#[derive(Debug, Clone)]
pub(crate) struct Completed {
    response: Bytes,
    /// Timer G.
    resend: Resend,
    /// Timer H.
    give_up_at: Instant,
}

#[derive(Debug, Clone)]
pub(crate) struct Confirmed {
    /// Timer I.
    until: Instant,
}

/// The timers, one at most at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Timer {
    /// The sender must hear something.
    Trying,
    /// Send the final response again.
    G,
    /// Nobody acknowledged.
    H,
    /// No more copies of the ACK can come.
    I,
    /// No more copies of the INVITE can come, nor ACKs for its 2xx.
    L,
}

/// What may happen.
#[derive(Debug, Clone)]
pub(crate) enum Input {
    /// The INVITE came again.
    Again,
    /// An ACK of this transaction.
    Ack,
    /// The user answers 1xx.
    Provisional(Bytes),
    /// The user answers 2xx.
    Success(Bytes),
    /// The user answers 300–699.
    Failure(Bytes),
    /// The neighbour cannot be reached.
    TransportError,
    /// A timer fired.
    Timer(Timer),
}

impl InviteServer {
    /// Takes in an INVITE that the user is about to see.
    pub(crate) fn start(now: Instant, invite: Message, terms: Terms<'_>) -> Self {
        Self::Unanswered(Unanswered { invite: Box::new(invite), trying_at: now + terms.timing.trying })
    }

    /// The timer that is set.
    pub(crate) fn timer(&self) -> Option<(Instant, Timer)> {
        match self {
            Self::Unanswered(state) => Some((state.trying_at, Timer::Trying)),
            // As long as the user likes; a proxy bounds it by Timer C.
            Self::Proceeding(_) => None,
            Self::Accepted(state) => Some((state.until, Timer::L)),
            Self::Completed(state) => Some(earlier(&state.resend, Timer::G, state.give_up_at, Timer::H)),
            Self::Confirmed(state) => Some((state.until, Timer::I)),
            Self::Terminated => None,
        }
    }

    /// The INVITE, as long as nothing was sent in answer.
    pub(crate) fn unanswered(&self) -> Option<&Message> {
        match self {
            Self::Unanswered(state) => Some(&state.invite),
            Self::Proceeding(_)
            | Self::Accepted(_)
            | Self::Completed(_)
            | Self::Confirmed(_)
            | Self::Terminated => None,
        }
    }

    /// The response that an ACK would acknowledge here, for comparing To tags.
    pub(crate) fn unacknowledged(&self) -> Option<&Bytes> {
        match self {
            Self::Completed(state) => Some(&state.response),
            Self::Unanswered(_)
            | Self::Proceeding(_)
            | Self::Accepted(_)
            | Self::Confirmed(_)
            | Self::Terminated => None,
        }
    }

    /// The next state.
    pub(crate) fn step(self, now: Instant, input: Input, terms: Terms<'_>, effects: &mut Effects) -> Self {
        match self {
            Self::Unanswered(state) => state.step(now, input, terms, effects),
            Self::Proceeding(state) => state.step(now, input, terms, effects),
            Self::Accepted(state) => state.step(input, effects),
            Self::Completed(state) => state.step(now, input, terms, effects),
            Self::Confirmed(state) => state.step(input, effects),
            Self::Terminated => Self::Terminated,
        }
    }
}

impl Unanswered {
    fn step(self, now: Instant, input: Input, terms: Terms<'_>, effects: &mut Effects) -> InviteServer {
        match input {
            Input::Provisional(response) => provide(response, effects),
            Input::Success(response) => accept(response, now, terms, effects),
            Input::Failure(response) => complete(response, now, terms, effects),
            Input::TransportError => {
                effects.push(Effect::TransportFailed);
                InviteServer::Unanswered(self)
            }
            Input::Timer(Timer::Trying) => {
                let trying = ResponseBuilder::to(&self.invite, 100).build();
                provide(trying.bytes().clone(), effects)
            }
            // The 100 is under way.
            Input::Again => InviteServer::Unanswered(self),
            // Of a final response that nobody sent.
            Input::Ack => InviteServer::Unanswered(self),
            // Not set in this state.
            Input::Timer(Timer::G | Timer::H | Timer::I | Timer::L) => InviteServer::Unanswered(self),
        }
    }
}

impl Proceeding {
    fn step(self, now: Instant, input: Input, terms: Terms<'_>, effects: &mut Effects) -> InviteServer {
        match input {
            Input::Again => {
                effects.push(Effect::Send(self.last.clone()));
                InviteServer::Proceeding(self)
            }
            Input::Provisional(response) => provide(response, effects),
            Input::Success(response) => accept(response, now, terms, effects),
            Input::Failure(response) => complete(response, now, terms, effects),
            Input::TransportError => {
                effects.push(Effect::TransportFailed);
                InviteServer::Proceeding(self)
            }
            // Of a final response that nobody sent.
            Input::Ack => InviteServer::Proceeding(self),
            // None is set in this state.
            Input::Timer(Timer::Trying | Timer::G | Timer::H | Timer::I | Timer::L) => {
                InviteServer::Proceeding(self)
            }
        }
    }
}

impl Accepted {
    fn step(self, input: Input, effects: &mut Effects) -> InviteServer {
        match input {
            Input::Success(response) => {
                effects.push(Effect::Send(response));
                InviteServer::Accepted(self)
            }
            Input::Ack => {
                effects.push(Effect::Pass);
                InviteServer::Accepted(self)
            }
            Input::TransportError => {
                effects.push(Effect::TransportFailed);
                InviteServer::Accepted(self)
            }
            Input::Timer(Timer::L) => InviteServer::Terminated,
            // The user repeats its 2xx by itself.
            Input::Again => InviteServer::Accepted(self),
            Input::Provisional(_) | Input::Failure(_) => {
                effects.push(Effect::Refuse(RespondError::AlreadyFinal));
                InviteServer::Accepted(self)
            }
            // Not set in this state.
            Input::Timer(Timer::Trying | Timer::G | Timer::H | Timer::I) => InviteServer::Accepted(self),
        }
    }
}

impl Completed {
    fn step(self, now: Instant, input: Input, terms: Terms<'_>, effects: &mut Effects) -> InviteServer {
        match input {
            Input::Again => {
                effects.push(Effect::Send(self.response.clone()));
                InviteServer::Completed(self)
            }
            Input::Ack if terms.reliable => {
                // Timer I is zero. RFC 3261 17.2.1
                InviteServer::Terminated
            }
            Input::Ack => InviteServer::Confirmed(Confirmed { until: now + terms.timing.t4 }),
            Input::TransportError => {
                effects.push(Effect::TransportFailed);
                InviteServer::Completed(self)
            }
            Input::Timer(Timer::G) => {
                effects.push(Effect::Send(self.response.clone()));
                let resend = self.resend.next(now, Some(terms.timing.t2));
                InviteServer::Completed(Self { resend, ..self })
            }
            Input::Timer(Timer::H) => {
                effects.push(Effect::AckTimedOut);
                InviteServer::Terminated
            }
            Input::Provisional(_) | Input::Success(_) | Input::Failure(_) => {
                effects.push(Effect::Refuse(RespondError::AlreadyFinal));
                InviteServer::Completed(self)
            }
            // Not set in this state.
            Input::Timer(Timer::Trying | Timer::I | Timer::L) => InviteServer::Completed(self),
        }
    }
}

impl Confirmed {
    fn step(self, input: Input, effects: &mut Effects) -> InviteServer {
        match input {
            Input::Timer(Timer::I) => InviteServer::Terminated,
            Input::Provisional(_) | Input::Success(_) | Input::Failure(_) => {
                effects.push(Effect::Refuse(RespondError::AlreadyFinal));
                InviteServer::Confirmed(self)
            }
            // Late copies: this state is there to absorb them.
            Input::Again | Input::Ack => InviteServer::Confirmed(self),
            // Nothing is sent in this state; the peer has the response.
            Input::TransportError => InviteServer::Confirmed(self),
            // Not set in this state.
            Input::Timer(Timer::Trying | Timer::G | Timer::H | Timer::L) => InviteServer::Confirmed(self),
        }
    }
}

fn provide(response: Bytes, effects: &mut Effects) -> InviteServer {
    effects.push(Effect::Send(response.clone()));
    InviteServer::Proceeding(Proceeding { last: response })
}

fn accept(response: Bytes, now: Instant, terms: Terms<'_>, effects: &mut Effects) -> InviteServer {
    effects.push(Effect::Send(response));
    InviteServer::Accepted(Accepted { until: now + terms.timing.timeout() })
}

fn complete(response: Bytes, now: Instant, terms: Terms<'_>, effects: &mut Effects) -> InviteServer {
    effects.push(Effect::Send(response.clone()));
    InviteServer::Completed(Completed {
        response,
        resend: Resend::start(now, terms.timing.t1, terms.reliable),
        give_up_at: now + terms.timing.timeout(),
    })
}

#[cfg(test)]
mod tests;
