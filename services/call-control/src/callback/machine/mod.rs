//! What happens to a callback, and what follows. LAD-6
//!
//! | what happens           | WAITING                                             | CALLING                              | ended     |
//! |------------------------|-----------------------------------------------------|--------------------------------------|-----------|
//! | its time is over       | EXPIRED                                             | the attempt goes on                  | -         |
//! | the two talk           | DONE                                                | -                                    | -         |
//! | one is known to be busy, or another callback calls one | look again          | -                                    | -         |
//! | the phone says free    | CALLING: the call is dialled                        | noted                                | -         |
//! | the phone says busy    | wait                                                | noted                                | -         |
//! | the call is connected  | -                                                   | DONE                                 | -         |
//! | the call is refused (603, 403) or given up | -                               | CANCELLED                            | -         |
//! | the call ends otherwise | -                                                  | WAITING after a pause; EXPIRED after the last attempt | - |
//! | Cancel                 | CANCELLED                                           | CANCELLED; the call goes on          | unchanged |
//!
//! Whether the phone is free is asked as `asking` says. A step that is repeated, or made by two replicas, does the same: one commits, and
//! calls and requests are named by the record. There is exactly one terminal state.

mod asking;
pub mod record;

use sha2::{Digest as _, Sha256};

use crate::engine::call::{Outcome, OutcomeKind, Party};
pub use asking::{Answer, Notify, NotifyState};
use record::{Awaited, Callback, Said, State};

/// The pause after an attempt that failed.
const PAUSE_MS: u64 = 30_000;
/// How often a party is looked for in the list of calls while it is in one.
const LOOK_MS: u64 = 5_000;
/// How often a call that is being made is looked at, beside being told.
const CALL_LOOK_MS: u64 = 5_000;

/// What is asked for: the input of [`begin`].
#[derive(Clone, Debug, PartialEq)]
pub struct NewCallback {
    /// A fresh id.
    pub callback_id: String,
    /// Who asked, and is rung first.
    pub from: Party,
    /// Who is to be reached.
    pub to: Party,
    /// No attempt before this; 0 for none.
    pub not_before_ms: u64,
    /// How long to try.
    pub lasts_ms: u64,
    /// How often to try.
    pub attempts: u32,
    /// Whose phone is asked.
    pub waits_for: Awaited,
    /// Fresh entropy, at least 16 octets.
    pub seed: Vec<u8>,
}

/// What Carillon itself knows of the two from the calls that it controls or proxies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// One of them is in a call.
    pub is_busy: bool,
    /// They are connected with each other.
    pub are_talking: bool,
}

/// How far the call of the latest attempt is.
#[derive(Clone, Debug, PartialEq)]
pub enum Progress {
    /// There is no such call: whoever was to dial it has died.
    Missing,
    /// It is being made.
    Running,
    /// The two are connected, or were.
    Connected,
    /// It is over, and they were not.
    Ended(Outcome),
}

/// What may happen.
#[derive(Clone, Debug, PartialEq)]
pub enum Event<'a> {
    /// Its time has come.
    Look,
    /// Somebody looked at its call.
    Called(Progress),
    /// The request of this number was answered.
    Answered(u32, &'a Answer),
    /// A NOTIFY came.
    Notified(&'a Notify),
    /// Nobody wants it any more.
    Cancel,
}

/// What follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// The call of the latest attempt is to be dialled, unless it is there.
    pub dials: bool,
    /// The request in the record is to be sent.
    pub asks: bool,
    /// Status for the NOTIFY.
    pub reply: u32,
}

/// A callback that was just asked for.
pub fn begin(new: NewCallback, now_ms: u64) -> Callback {
    Callback {
        schema: record::SCHEMA,
        callback_id: new.callback_id,
        from: new.from,
        to: new.to,
        state: State::Waiting.into(),
        create_ms: now_ms,
        not_before_ms: new.not_before_ms,
        expire_ms: now_ms.max(new.not_before_ms).saturating_add(new.lasts_ms),
        attempts_left: new.attempts,
        waits_for: new.waits_for.into(),
        seed: new.seed,
        due_ms: now_ms.max(new.not_before_ms),
        ..Callback::default()
    }
}

impl Callback {
    /// Applies what happened.
    pub fn step(&mut self, event: &Event<'_>, known: Known, now_ms: u64) -> Step {
        let asked = self.asked;
        let mut step = Step::default();
        match event {
            Event::Look => self.give_up_asking(now_ms),
            Event::Called(progress) => step.dials = self.called(progress, now_ms),
            Event::Answered(number, answer) => self.answered(*number, answer, now_ms),
            Event::Notified(notify) => step.reply = self.notified(notify, now_ms),
            Event::Cancel if self.is_over() => {}
            Event::Cancel => self.end(State::Cancelled, now_ms),
        }
        if self.state() == State::Waiting {
            step.dials |= self.wait(known, now_ms);
        }
        self.due_ms = self.next_ms(known, now_ms);
        step.asks = self.asked != asked;
        step
    }

    /// The id of the call of the latest attempt: the same for whoever dials it, in the partition of the callback.
    fn name_call(&self) -> String {
        let partition = self.callback_id.rsplit_once('-').map_or("0", |(_, partition)| partition);
        let digest = self.derived(&format!("call {}", self.attempts));
        let unique: String = digest.iter().take(16).map(|octet| format!("{octet:02x}")).collect();
        format!("{unique}-{partition}")
    }

    /// Octets that only this record gives, for a purpose.
    pub fn derived(&self, purpose: &str) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(&self.seed);
        hash.update(&self.callback_id);
        hash.update([0]);
        hash.update(purpose);
        hash.finalize().into()
    }

    /// Goes on with waiting; returns whether the call is to be dialled.
    fn wait(&mut self, known: Known, now_ms: u64) -> bool {
        if now_ms >= self.expire_ms {
            self.end(State::Expired, now_ms);
            return false;
        }
        if known.are_talking {
            self.end(State::Done, now_ms);
            return false;
        }
        if now_ms < self.earliest_ms() {
            return false;
        }
        if known.is_busy {
            if self.polls {
                // What it said is older than what is known
                self.said = Said::Nothing.into();
            }
            return false;
        }
        if self.said() == Said::Free {
            self.dial();
            return true;
        }
        self.ask_whether_free(now_ms);
        false
    }

    fn earliest_ms(&self) -> u64 {
        self.not_before_ms.max(self.ready_ms)
    }

    fn dial(&mut self) {
        self.state = State::Calling.into();
        self.attempts += 1;
        self.attempts_left = self.attempts_left.saturating_sub(1);
        self.call_id = self.name_call();
        self.outcome = None;
        if self.polls {
            self.said = Said::Nothing.into();
        }
    }

    /// Returns whether it is to be dialled once more.
    fn called(&mut self, progress: &Progress, now_ms: u64) -> bool {
        if self.state() != State::Calling {
            return false;
        }
        match progress {
            Progress::Missing => return true,
            Progress::Running => {}
            Progress::Connected => self.end(State::Done, now_ms),
            Progress::Ended(outcome) => {
                self.outcome = Some(outcome.clone());
                match outcome.kind() {
                    OutcomeKind::Completed => self.end(State::Done, now_ms),
                    OutcomeKind::Rejected | OutcomeKind::Cancelled => self.end(State::Cancelled, now_ms),
                    OutcomeKind::Unspecified
                    | OutcomeKind::Busy
                    | OutcomeKind::NoAnswer
                    | OutcomeKind::Unreachable
                    | OutcomeKind::Failed => self.try_later(now_ms),
                }
            }
        }
        false
    }

    fn try_later(&mut self, now_ms: u64) {
        if self.attempts_left == 0 {
            return self.end(State::Expired, now_ms);
        }
        self.state = State::Waiting.into();
        self.ready_ms = now_ms + PAUSE_MS;
    }

    fn end(&mut self, state: State, now_ms: u64) {
        self.state = state.into();
        self.end_ms = now_ms;
        self.unsubscribe(now_ms);
    }

    /// When to look again.
    fn next_ms(&self, known: Known, now_ms: u64) -> u64 {
        let asks_ms = self.ask_due_ms(now_ms);
        match self.state() {
            State::Calling => asks_ms.min(now_ms + CALL_LOOK_MS),
            State::Waiting if now_ms < self.earliest_ms() => {
                self.earliest_ms().min(self.expire_ms).min(asks_ms)
            }
            State::Waiting if known.is_busy => (now_ms + LOOK_MS).min(self.expire_ms).min(asks_ms),
            State::Waiting => self.asks_again_ms().min(self.expire_ms).min(asks_ms),
            State::Done | State::Expired | State::Cancelled | State::Unspecified => asks_ms,
        }
    }
}

#[cfg(test)]
mod tests;
