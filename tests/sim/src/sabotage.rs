//! Mistakes put in on purpose, to see that the invariants find them. Each stands for a mistake that a service could make.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::chance::Chance;

/// A mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sabotage {
    /// None.
    Nothing,
    /// What a request id was used for is not kept.
    ForgetsRequests,
    /// Steps of calls are acknowledged and not kept.
    ForgetsSteps,
    /// Calls that are over are forgotten at once.
    ForgetsTheEnded,
    /// Effects go out that no step decided on.
    InventsEffects,
    /// Events are not kept.
    LosesEvents,
    /// Events are kept and not told.
    MissesEvents,
    /// Events are told twice.
    TellsTwice,
    /// Events are kept twice.
    RepeatsEvents,
    /// Two events change places on their way to the application.
    SwapsEvents,
    /// What the application is told about the outcome is not what happened.
    TellsAnotherOutcome,
    /// ENDED is told without the outcome.
    TellsNoOutcome,
    /// BYE and CANCEL are taken on and not sent.
    LosesHangups,
    /// BYEs are sent again and again, each as a request of its own.
    RepeatsHangups,
    /// No CANCEL reaches a phone.
    LosesCancels,
    /// Work that is done is not taken from the lists.
    KeepsDueWork,
    /// Callbacks are kept, and not that they are due.
    ForgetsCallbacks,
    /// Of every call it is said that it goes on.
    KeepsPlaces,
    /// REGISTER is answered with 200 and not kept.
    ForgetsBindings,
    /// A binding that was removed comes back.
    RevivesBindings,
}

/// Commits the mistake now and then.
pub struct Saboteur {
    /// Which.
    pub sabotage: Sabotage,
    chance: Mutex<Chance>,
    at_work: AtomicBool,
}

impl Saboteur {
    /// Somebody who makes this mistake.
    pub fn new(sabotage: Sabotage, chance: Chance) -> Self {
        Self { sabotage, chance: Mutex::new(chance), at_work: AtomicBool::new(false) }
    }

    /// Begins: the cluster itself is set up without mistakes.
    pub fn begin(&self) {
        self.at_work.store(true, Ordering::Relaxed);
    }

    /// Whether this mistake is made this time, so many times out of a hundred.
    pub fn does(&self, sabotage: Sabotage, percent: u64) -> bool {
        self.sabotage == sabotage
            && self.at_work.load(Ordering::Relaxed)
            && self.chance.lock().percent(percent)
    }
}
