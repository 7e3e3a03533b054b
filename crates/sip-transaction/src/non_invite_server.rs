//! The non-INVITE server transaction: RFC 3261 figure 8 with RFC 4320.
//!
//! | State | Input | Next | Effect | Section |
//! |---|---|---|---|---|
//! | (start) | request | Trying | the table passes it | 3261 17.2.2 |
//! | Trying | 3.5 s by default | Proceeding | send 100 | 4320 4.1 |
//! | Trying | 100 from the user, reliable transport | Proceeding | send | 4320 4.1 |
//! | Trying | 100 from the user, otherwise | Trying | – (goes out when it is due) | 4320 4.1 |
//! | Trying, Proceeding | other 1xx from the user | same | refuse | 4320 4.1 |
//! | Trying, Proceeding | 408 from the user | same | refuse | 4320 4.2 |
//! | Trying, Proceeding | 200–699 from the user | Completed | send | 3261 17.2.2 |
//! | Trying, Proceeding | 64*T1 after the request | Terminated | – | 4320 4.2 |
//! | Proceeding | 100 from the user | Proceeding | send | 3261 17.2.2 |
//! | Proceeding, Completed | request again | same | send the last response again | 3261 17.2.2 |
//! | Completed | responses from the user | Completed | refuse | 3261 17.2.2 |
//! | Completed | Timer J | Terminated | – | 3261 17.2.2 |
//! | any | transport error | same | transport failed | 6026 8.8 |
//!
//! Whatever is not in the table is ignored. After 64*T1 the sender has given up (its Timer F), so that no answer is of
//! use to it any more; the user learns that the transaction ended, and answering it then is refused as unknown.

use std::time::Instant;

use bytes::Bytes;
use sip_message::{Message, ResponseBuilder};

use crate::config::Terms;
use crate::effect::{Effect, Effects, RespondError};

/// The machine.
#[derive(Debug, Clone)]
pub(crate) enum NonInviteServer {
    /// The user has the request and said nothing yet.
    Trying(Trying),
    /// A 100 went out.
    Proceeding(Proceeding),
    /// The final response went out.
    Completed(Completed),
    /// Over.
    Terminated,
}

#[derive(Debug, Clone)]
pub(crate) struct Trying {
    request: Box<Message>,
    trying_at: Instant,
    /// When the sender gives up.
    useless_at: Instant,
}

#[derive(Debug, Clone)]
pub(crate) struct Proceeding {
    last: Bytes,
    /// When the sender gives up.
    useless_at: Instant,
}

#[derive(Debug, Clone)]
pub(crate) struct Completed {
    response: Bytes,
    /// Timer J.
    until: Instant,
}

/// The timers, one at most at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Timer {
    /// The sender has slowed down to T2 and must hear something.
    Trying,
    /// The sender has given up.
    Useless,
    /// No more copies of the request can come.
    J,
}

/// What may happen.
#[derive(Debug, Clone)]
pub(crate) enum Input {
    /// The request came again.
    Again,
    /// The user answers 100.
    Trying(Bytes),
    /// The user answers 101–199.
    Provisional,
    /// The user answers 408.
    Timeout,
    /// The user answers with any other final response.
    Final(Bytes),
    /// The neighbour cannot be reached.
    TransportError,
    /// A timer fired.
    Timer(Timer),
}

impl NonInviteServer {
    /// Takes in a request that the user is about to see.
    pub(crate) fn start(now: Instant, request: Message, terms: Terms<'_>) -> Self {
        Self::Trying(Trying {
            request: Box::new(request),
            trying_at: now + terms.timing.late_trying(),
            useless_at: now + terms.timing.timeout(),
        })
    }

    /// The timer that is set.
    pub(crate) fn timer(&self) -> Option<(Instant, Timer)> {
        match self {
            Self::Trying(state) if state.trying_at < state.useless_at => {
                Some((state.trying_at, Timer::Trying))
            }
            Self::Trying(Trying { useless_at, .. }) | Self::Proceeding(Proceeding { useless_at, .. }) => {
                Some((*useless_at, Timer::Useless))
            }
            Self::Completed(state) => Some((state.until, Timer::J)),
            Self::Terminated => None,
        }
    }

    /// The request, as long as nothing was sent in answer.
    pub(crate) fn unanswered(&self) -> Option<&Message> {
        match self {
            Self::Trying(state) => Some(&state.request),
            Self::Proceeding(_) | Self::Completed(_) | Self::Terminated => None,
        }
    }

    /// The next state.
    pub(crate) fn step(self, now: Instant, input: Input, terms: Terms<'_>, effects: &mut Effects) -> Self {
        match self {
            Self::Trying(state) => state.step(now, input, terms, effects),
            Self::Proceeding(state) => state.step(now, input, terms, effects),
            Self::Completed(state) => state.step(input, effects),
            Self::Terminated => Self::Terminated,
        }
    }
}

impl Trying {
    fn step(self, now: Instant, input: Input, terms: Terms<'_>, effects: &mut Effects) -> NonInviteServer {
        match input {
            Input::Trying(response) if terms.reliable => self.proceed(response, effects),
            // Too early over datagrams. RFC 4320 4.1
            Input::Trying(_) => NonInviteServer::Trying(self),
            Input::Provisional => {
                effects.push(Effect::Refuse(RespondError::Provisional));
                NonInviteServer::Trying(self)
            }
            Input::Timeout => {
                effects.push(Effect::Refuse(RespondError::Timeout));
                NonInviteServer::Trying(self)
            }
            Input::Final(response) => complete(response, now, terms, effects),
            Input::TransportError => {
                effects.push(Effect::TransportFailed);
                NonInviteServer::Trying(self)
            }
            Input::Timer(Timer::Trying) => {
                let trying = ResponseBuilder::to(&self.request, 100).build();
                self.proceed(trying.bytes().clone(), effects)
            }
            Input::Timer(Timer::Useless) => NonInviteServer::Terminated,
            // Swallowed. RFC 3261 17.2.2
            Input::Again => NonInviteServer::Trying(self),
            // Not set in this state.
            Input::Timer(Timer::J) => NonInviteServer::Trying(self),
        }
    }

    fn proceed(self, response: Bytes, effects: &mut Effects) -> NonInviteServer {
        effects.push(Effect::Send(response.clone()));
        NonInviteServer::Proceeding(Proceeding { last: response, useless_at: self.useless_at })
    }
}

impl Proceeding {
    fn step(self, now: Instant, input: Input, terms: Terms<'_>, effects: &mut Effects) -> NonInviteServer {
        match input {
            Input::Again => {
                effects.push(Effect::Send(self.last.clone()));
                NonInviteServer::Proceeding(self)
            }
            Input::Trying(response) => {
                effects.push(Effect::Send(response.clone()));
                NonInviteServer::Proceeding(Self { last: response, ..self })
            }
            Input::Provisional => {
                effects.push(Effect::Refuse(RespondError::Provisional));
                NonInviteServer::Proceeding(self)
            }
            Input::Timeout => {
                effects.push(Effect::Refuse(RespondError::Timeout));
                NonInviteServer::Proceeding(self)
            }
            Input::Final(response) => complete(response, now, terms, effects),
            Input::TransportError => {
                effects.push(Effect::TransportFailed);
                NonInviteServer::Proceeding(self)
            }
            Input::Timer(Timer::Useless) => NonInviteServer::Terminated,
            // Not set in this state.
            Input::Timer(Timer::Trying | Timer::J) => NonInviteServer::Proceeding(self),
        }
    }
}

impl Completed {
    fn step(self, input: Input, effects: &mut Effects) -> NonInviteServer {
        match input {
            Input::Again => {
                effects.push(Effect::Send(self.response.clone()));
                NonInviteServer::Completed(self)
            }
            Input::Trying(_) | Input::Provisional | Input::Timeout | Input::Final(_) => {
                effects.push(Effect::Refuse(RespondError::AlreadyFinal));
                NonInviteServer::Completed(self)
            }
            Input::TransportError => {
                effects.push(Effect::TransportFailed);
                NonInviteServer::Completed(self)
            }
            Input::Timer(Timer::J) => NonInviteServer::Terminated,
            // Not set in this state.
            Input::Timer(Timer::Trying | Timer::Useless) => NonInviteServer::Completed(self),
        }
    }
}

fn complete(response: Bytes, now: Instant, terms: Terms<'_>, effects: &mut Effects) -> NonInviteServer {
    effects.push(Effect::Send(response.clone()));
    if terms.reliable {
        // Timer J is zero. RFC 3261 17.2.2
        return NonInviteServer::Terminated;
    }
    // A copy without room to spare: it is kept for half a minute, and many at a time.
    let response = Bytes::copy_from_slice(&response);
    NonInviteServer::Completed(Completed { response, until: now + terms.timing.timeout() })
}

#[cfg(test)]
mod tests;
