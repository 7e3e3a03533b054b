//! The non-INVITE client transaction: RFC 3261 figure 6.
//!
//! | State | Input | Next | Effect | Section |
//! |---|---|---|---|---|
//! | (start) | request from the user | Trying | send | 3261 17.1.2.2 |
//! | Trying | Timer E | Trying | send again, pause doubled up to T2 | 3261 17.1.2.2 |
//! | Proceeding | Timer E | Proceeding | send again, pause T2 | 3261 17.1.2.2 |
//! | Trying, Proceeding | Timer F | Terminated | timed out | 3261 17.1.2.2 |
//! | Trying, Proceeding | transport error | Terminated | transport failed | 3261 17.1.4 |
//! | Trying, Proceeding | 1xx | Proceeding | pass | 3261 17.1.2.2 |
//! | Trying, Proceeding | 200–699 | Completed | pass | 3261 17.1.2.2 |
//! | Completed | Timer K | Terminated | – | 3261 17.1.2.2 |
//!
//! Whatever is not in the table is ignored.

use std::time::Instant;

use bytes::Bytes;
use sip_message::Message;

use crate::config::Terms;
use crate::effect::{Effect, Effects};
use crate::resend::{Resend, earlier};

/// The machine.
#[derive(Debug, Clone)]
pub(crate) enum NonInviteClient {
    /// Nothing came back yet.
    Trying(Waiting),
    /// A provisional response came.
    Proceeding(Waiting),
    /// The final response came; more copies of it are absorbed.
    Completed(Completed),
    /// Over.
    Terminated,
}

#[derive(Debug, Clone)]
pub(crate) struct Waiting {
    request: Bytes,
    /// Timer E.
    resend: Resend,
    /// Timer F.
    give_up_at: Instant,
}

#[derive(Debug, Clone)]
pub(crate) struct Completed {
    /// Timer K.
    until: Instant,
}

/// The timers, one at most at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Timer {
    /// Send the request again.
    E,
    /// Nobody answered.
    F,
    /// No more copies of the response can come.
    K,
}

/// What may happen.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Input {
    /// A 1xx.
    Provisional,
    /// A final response.
    Final,
    /// The neighbour cannot be reached.
    TransportError,
    /// A timer fired.
    Timer(Timer),
}

impl NonInviteClient {
    /// Sends the request.
    pub(crate) fn start(now: Instant, request: &Message, terms: Terms<'_>, effects: &mut Effects) -> Self {
        effects.push(Effect::Send(request.bytes().clone()));
        Self::Trying(Waiting {
            request: request.bytes().clone(),
            resend: Resend::start(now, terms.timing.t1, terms.reliable),
            give_up_at: now + terms.timing.timeout(),
        })
    }

    /// The timer that is set.
    pub(crate) fn timer(&self) -> Option<(Instant, Timer)> {
        match self {
            Self::Trying(state) | Self::Proceeding(state) => {
                Some(earlier(&state.resend, Timer::E, state.give_up_at, Timer::F))
            }
            Self::Completed(state) => Some((state.until, Timer::K)),
            Self::Terminated => None,
        }
    }

    /// The next state.
    pub(crate) fn step(self, now: Instant, input: Input, terms: Terms<'_>, effects: &mut Effects) -> Self {
        match self {
            Self::Trying(state) => state.step_trying(now, input, terms, effects),
            Self::Proceeding(state) => state.step_proceeding(now, input, terms, effects),
            Self::Completed(state) => state.step(input),
            Self::Terminated => Self::Terminated,
        }
    }
}

impl Waiting {
    fn step_trying(
        self,
        now: Instant,
        input: Input,
        terms: Terms<'_>,
        effects: &mut Effects,
    ) -> NonInviteClient {
        match input {
            Input::Provisional => {
                effects.push(Effect::Pass);
                NonInviteClient::Proceeding(self)
            }
            Input::Final => complete(now, terms, effects),
            Input::TransportError => fail(effects),
            Input::Timer(Timer::E) => {
                effects.push(Effect::Send(self.request.clone()));
                let resend = self.resend.next(now, Some(terms.timing.t2));
                NonInviteClient::Trying(Self { resend, ..self })
            }
            Input::Timer(Timer::F) => give_up(effects),
            // Not set in this state.
            Input::Timer(Timer::K) => NonInviteClient::Trying(self),
        }
    }

    fn step_proceeding(
        self,
        now: Instant,
        input: Input,
        terms: Terms<'_>,
        effects: &mut Effects,
    ) -> NonInviteClient {
        match input {
            Input::Provisional => {
                effects.push(Effect::Pass);
                NonInviteClient::Proceeding(self)
            }
            Input::Final => complete(now, terms, effects),
            Input::TransportError => fail(effects),
            Input::Timer(Timer::E) => {
                effects.push(Effect::Send(self.request.clone()));
                // Every T2 from here on, whatever the pause had grown to.
                let resend = Resend::start(now, terms.timing.t2, terms.reliable);
                NonInviteClient::Proceeding(Self { resend, ..self })
            }
            Input::Timer(Timer::F) => give_up(effects),
            // Not set in this state.
            Input::Timer(Timer::K) => NonInviteClient::Proceeding(self),
        }
    }
}

impl Completed {
    fn step(self, input: Input) -> NonInviteClient {
        match input {
            Input::Timer(Timer::K) => NonInviteClient::Terminated,
            // Copies of what the user has.
            Input::Provisional | Input::Final => NonInviteClient::Completed(self),
            // Nothing is sent in this state.
            Input::TransportError => NonInviteClient::Completed(self),
            // Not set in this state.
            Input::Timer(Timer::E | Timer::F) => NonInviteClient::Completed(self),
        }
    }
}

fn complete(now: Instant, terms: Terms<'_>, effects: &mut Effects) -> NonInviteClient {
    effects.push(Effect::Pass);
    if terms.reliable {
        // Timer K is zero. RFC 3261 17.1.2.2
        return NonInviteClient::Terminated;
    }
    NonInviteClient::Completed(Completed { until: now + terms.timing.t4 })
}

fn fail(effects: &mut Effects) -> NonInviteClient {
    effects.push(Effect::TransportFailed);
    NonInviteClient::Terminated
}

fn give_up(effects: &mut Effects) -> NonInviteClient {
    effects.push(Effect::TimedOut);
    NonInviteClient::Terminated
}

#[cfg(test)]
mod tests;
