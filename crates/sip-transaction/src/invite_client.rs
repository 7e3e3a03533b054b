//! The INVITE client transaction: RFC 3261 figure 5 as redrawn in RFC 6026 figure 2, with CANCEL held back as RFC 3261
//! 9.1 wants it.
//!
//! | State | Input | Next | Effect | Section |
//! |---|---|---|---|---|
//! | (start) | INVITE from the user | Calling | send | 3261 17.1.1.2 |
//! | Calling, Unwanted | Timer A | same | send again, pause doubled | 3261 17.1.1.2 |
//! | Calling, Unwanted | Timer B | Terminated | timed out | 3261 17.1.1.2 |
//! | Calling, Unwanted | transport error | Terminated | transport failed | 3261 17.1.4 |
//! | Calling | CANCEL from the user | Unwanted | – | 3261 9.1 |
//! | Calling | 1xx | Proceeding | pass | 3261 17.1.1.2 |
//! | Unwanted | 1xx | Cancelling | pass, start CANCEL | 3261 9.1 |
//! | Proceeding | CANCEL from the user | Cancelling | start CANCEL | 3261 9.1 |
//! | Proceeding, Cancelling | 1xx | same | pass | 3261 17.1.1.2 |
//! | Calling, Unwanted, Proceeding, Cancelling | end of the connection | Terminated | transport failed | 3261 18.4 |
//! | Cancelling | 64*T1 after the CANCEL | Terminated | timed out | 3261 9.1 |
//! | those above | 2xx | Accepted | pass | 6026 7.2 |
//! | those above | 300–699 | Completed | pass, send ACK | 3261 17.1.1.3 |
//! | Completed | 300–699 | Completed | send ACK | 3261 17.1.1.2 |
//! | Completed | 2xx | Completed | pass | 3261 16.7 step 5 |
//! | Completed | Timer D | Terminated | – | 3261 17.1.1.2 |
//! | Completed | transport error | Terminated | transport failed | 3261 17.1.1.2 |
//! | Accepted | 2xx | Accepted | pass | 6026 7.2 |
//! | Accepted | Timer M | Terminated | – | 6026 7.2 |
//!
//! Whatever is not in the table is ignored.

use std::time::Instant;

use bytes::Bytes;
use sip_message::Message;

use crate::config::Terms;
use crate::effect::{Effect, Effects};
use crate::hop_by_hop;
use crate::resend::{Resend, earlier};

/// The machine.
#[derive(Debug, Clone)]
pub(crate) enum InviteClient {
    /// Nothing came back yet.
    Calling(Calling),
    /// Nothing came back yet, and the user has lost interest: CANCEL goes out with the first provisional response.
    Unwanted(Calling, Box<Message>),
    /// A provisional response came.
    Proceeding(Proceeding),
    /// CANCEL was sent.
    Cancelling(Cancelling),
    /// A final response other than 2xx came and is acknowledged each time it comes again.
    Completed(Completed),
    /// A 2xx came. More of them, from other branches of a fork further on, may follow.
    Accepted(Accepted),
    /// Over.
    Terminated,
}

#[derive(Debug, Clone)]
pub(crate) struct Calling {
    invite: Box<Message>,
    /// Timer A.
    resend: Resend,
    /// Timer B.
    give_up_at: Instant,
}

#[derive(Debug, Clone)]
pub(crate) struct Proceeding {
    invite: Box<Message>,
}

#[derive(Debug, Clone)]
pub(crate) struct Cancelling {
    invite: Box<Message>,
    give_up_at: Instant,
}

#[derive(Debug, Clone)]
pub(crate) struct Completed {
    ack: Bytes,
    /// Timer D.
    until: Instant,
}

#[derive(Debug, Clone)]
pub(crate) struct Accepted {
    /// Timer M.
    until: Instant,
}

/// The timers, one at most at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Timer {
    /// Send the INVITE again.
    A,
    /// Nobody answered.
    B,
    /// The CANCEL brought no final response.
    Cancelled,
    /// No more repetitions of the final response can come.
    D,
    /// No more 2xx can come.
    M,
}

/// What may happen.
#[derive(Debug, Clone)]
pub(crate) enum Input<'a> {
    /// A 1xx.
    Provisional,
    /// A 2xx.
    Success,
    /// Any other final response.
    Failure(&'a Message),
    /// The user wants the call no more; the CANCEL to send.
    Cancel(Box<Message>),
    /// The neighbour cannot be reached.
    TransportError,
    /// The connection that the response was to come by is gone.
    Disconnected,
    /// A timer fired.
    Timer(Timer),
}

impl InviteClient {
    /// Sends the INVITE.
    pub(crate) fn start(now: Instant, invite: Message, terms: Terms<'_>, effects: &mut Effects) -> Self {
        effects.push(Effect::Send(invite.bytes().clone()));
        Self::Calling(Calling {
            invite: Box::new(invite),
            resend: Resend::start(now, terms.timing.t1, terms.reliable),
            give_up_at: now + terms.timing.timeout(),
        })
    }

    /// The timer that is set.
    pub(crate) fn timer(&self) -> Option<(Instant, Timer)> {
        match self {
            Self::Calling(state) | Self::Unwanted(state, _) => {
                Some(earlier(&state.resend, Timer::A, state.give_up_at, Timer::B))
            }
            Self::Proceeding(_) => None,
            Self::Cancelling(state) => Some((state.give_up_at, Timer::Cancelled)),
            Self::Completed(state) => Some((state.until, Timer::D)),
            Self::Accepted(state) => Some((state.until, Timer::M)),
            Self::Terminated => None,
        }
    }

    /// The INVITE, while a CANCEL for it may still be written.
    pub(crate) fn cancellable(&self) -> Option<&Message> {
        match self {
            Self::Calling(Calling { invite, .. }) | Self::Proceeding(Proceeding { invite }) => Some(invite),
            Self::Unwanted(..)
            | Self::Cancelling(_)
            | Self::Completed(_)
            | Self::Accepted(_)
            | Self::Terminated => None,
        }
    }

    /// The next state.
    pub(crate) fn step(
        self,
        now: Instant,
        input: Input<'_>,
        terms: Terms<'_>,
        effects: &mut Effects,
    ) -> Self {
        match self {
            Self::Calling(state) => state.step(now, input, terms, effects),
            Self::Unwanted(state, cancel) => state.step_unwanted(cancel, now, input, terms, effects),
            Self::Proceeding(state) => state.step(now, input, terms, effects),
            Self::Cancelling(state) => state.step(now, input, terms, effects),
            Self::Completed(state) => state.step(input, effects),
            Self::Accepted(state) => state.step(input, effects),
            Self::Terminated => Self::Terminated,
        }
    }
}

impl Calling {
    fn step(self, now: Instant, input: Input<'_>, terms: Terms<'_>, effects: &mut Effects) -> InviteClient {
        match input {
            Input::Provisional => {
                effects.push(Effect::Pass);
                InviteClient::Proceeding(Proceeding { invite: self.invite })
            }
            Input::Success => accept(now, terms, effects),
            Input::Failure(response) => complete(&self.invite, response, now, terms, effects),
            Input::Cancel(cancel) => InviteClient::Unwanted(self, cancel),
            Input::TransportError | Input::Disconnected => fail(effects),
            Input::Timer(Timer::A) => InviteClient::Calling(self.send_again(now, effects)),
            Input::Timer(Timer::B) => {
                effects.push(Effect::TimedOut);
                InviteClient::Terminated
            }
            // Not set in this state.
            Input::Timer(Timer::Cancelled | Timer::D | Timer::M) => InviteClient::Calling(self),
        }
    }

    fn step_unwanted(
        self,
        cancel: Box<Message>,
        now: Instant,
        input: Input<'_>,
        terms: Terms<'_>,
        effects: &mut Effects,
    ) -> InviteClient {
        match input {
            Input::Provisional => {
                effects.push(Effect::Pass);
                start_cancel(self.invite, cancel, now, terms, effects)
            }
            Input::Success => accept(now, terms, effects),
            Input::Failure(response) => complete(&self.invite, response, now, terms, effects),
            // Asked twice.
            Input::Cancel(_) => InviteClient::Unwanted(self, cancel),
            Input::TransportError | Input::Disconnected => fail(effects),
            Input::Timer(Timer::A) => InviteClient::Unwanted(self.send_again(now, effects), cancel),
            Input::Timer(Timer::B) => {
                effects.push(Effect::TimedOut);
                InviteClient::Terminated
            }
            // Not set in this state.
            Input::Timer(Timer::Cancelled | Timer::D | Timer::M) => InviteClient::Unwanted(self, cancel),
        }
    }

    fn send_again(self, now: Instant, effects: &mut Effects) -> Self {
        effects.push(Effect::Send(self.invite.bytes().clone()));
        // RFC 3261 17.1.1.2: the pause doubles without a cap.
        Self { resend: self.resend.next(now, None), ..self }
    }
}

impl Proceeding {
    fn step(self, now: Instant, input: Input<'_>, terms: Terms<'_>, effects: &mut Effects) -> InviteClient {
        match input {
            Input::Provisional => {
                effects.push(Effect::Pass);
                InviteClient::Proceeding(self)
            }
            Input::Success => accept(now, terms, effects),
            Input::Failure(response) => complete(&self.invite, response, now, terms, effects),
            Input::Cancel(cancel) => start_cancel(self.invite, cancel, now, terms, effects),
            // Nothing is sent in this state, so an error is a late one of a request that did arrive.
            Input::TransportError => InviteClient::Proceeding(self),
            Input::Disconnected => fail(effects),
            // None is set in this state.
            Input::Timer(Timer::A | Timer::B | Timer::Cancelled | Timer::D | Timer::M) => {
                InviteClient::Proceeding(self)
            }
        }
    }
}

impl Cancelling {
    fn step(self, now: Instant, input: Input<'_>, terms: Terms<'_>, effects: &mut Effects) -> InviteClient {
        match input {
            Input::Provisional => {
                effects.push(Effect::Pass);
                InviteClient::Cancelling(self)
            }
            Input::Success => accept(now, terms, effects),
            Input::Failure(response) => complete(&self.invite, response, now, terms, effects),
            // Sent before.
            Input::Cancel(_) => InviteClient::Cancelling(self),
            // Nothing is sent in this state; the CANCEL has a transaction of its own.
            Input::TransportError => InviteClient::Cancelling(self),
            Input::Disconnected => fail(effects),
            Input::Timer(Timer::Cancelled) => {
                effects.push(Effect::TimedOut);
                InviteClient::Terminated
            }
            // Not set in this state.
            Input::Timer(Timer::A | Timer::B | Timer::D | Timer::M) => InviteClient::Cancelling(self),
        }
    }
}

impl Completed {
    fn step(self, input: Input<'_>, effects: &mut Effects) -> InviteClient {
        match input {
            Input::Failure(_) => {
                effects.push(Effect::Send(self.ack.clone()));
                InviteClient::Completed(self)
            }
            Input::TransportError => fail(effects),
            // The user has the response.
            Input::Disconnected => InviteClient::Completed(self),
            Input::Timer(Timer::D) => InviteClient::Terminated,
            // A proxy further on had a failure and then a success: a proxy here passes on both.
            Input::Success => {
                effects.push(Effect::Pass);
                InviteClient::Completed(self)
            }
            // Overtaken by the final response that the user has.
            Input::Provisional => InviteClient::Completed(self),
            // Too late. RFC 3261 9.1
            Input::Cancel(_) => InviteClient::Completed(self),
            // Not set in this state.
            Input::Timer(Timer::A | Timer::B | Timer::Cancelled | Timer::M) => InviteClient::Completed(self),
        }
    }
}

impl Accepted {
    fn step(self, input: Input<'_>, effects: &mut Effects) -> InviteClient {
        match input {
            Input::Success => {
                effects.push(Effect::Pass);
                InviteClient::Accepted(self)
            }
            Input::Timer(Timer::M) => InviteClient::Terminated,
            // RFC 6026 7.2: only 2xx are passed on from here.
            Input::Provisional | Input::Failure(_) => InviteClient::Accepted(self),
            // Too late. RFC 3261 9.1
            Input::Cancel(_) => InviteClient::Accepted(self),
            // Nothing is sent in this state: the ACK is the user's own.
            Input::TransportError | Input::Disconnected => InviteClient::Accepted(self),
            // Not set in this state.
            Input::Timer(Timer::A | Timer::B | Timer::Cancelled | Timer::D) => InviteClient::Accepted(self),
        }
    }
}

fn fail(effects: &mut Effects) -> InviteClient {
    effects.push(Effect::TransportFailed);
    InviteClient::Terminated
}

fn accept(now: Instant, terms: Terms<'_>, effects: &mut Effects) -> InviteClient {
    effects.push(Effect::Pass);
    InviteClient::Accepted(Accepted { until: now + terms.timing.timeout() })
}

/// RFC 3261 17.1.1.3: the ACK is the transaction's, not the user's.
fn complete(
    invite: &Message,
    response: &Message,
    now: Instant,
    terms: Terms<'_>,
    effects: &mut Effects,
) -> InviteClient {
    effects.push(Effect::Pass);
    let Ok(ack) = hop_by_hop::ack(invite, response) else {
        // A response without a readable To cannot be acknowledged; the server's Timer H ends it.
        return InviteClient::Terminated;
    };
    effects.push(Effect::Send(ack.bytes().clone()));
    if terms.reliable {
        // Timer D is zero. RFC 3261 17.1.1.2
        return InviteClient::Terminated;
    }
    let until = now + terms.timing.absorb_final();
    InviteClient::Completed(Completed { ack: ack.bytes().clone(), until })
}

fn start_cancel(
    invite: Box<Message>,
    cancel: Box<Message>,
    now: Instant,
    terms: Terms<'_>,
    effects: &mut Effects,
) -> InviteClient {
    effects.push(Effect::SendCancel(cancel));
    InviteClient::Cancelling(Cancelling { invite, give_up_at: now + terms.timing.timeout() })
}

#[cfg(test)]
mod tests;
