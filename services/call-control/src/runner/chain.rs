//! Several steps of one call that commit together.

use cluster_api::callcontrol::v1 as wire;

use crate::engine::call::Call;
use crate::engine::event::Event;
use crate::engine::time::Moment;
use crate::engine::{self, Context, DueChange, Step, StepError};
use crate::repository::{Change, Loaded, RequestUse};
use crate::wire::public;

/// The call after the steps so far, and what they gave.
pub(super) struct Chain {
    call: Call,
    revision: u64,
    now: Moment,
    events: Vec<wire::CallEvent>,
    legs: Vec<String>,
    due: DueChange,
    changed: bool,
    finished: bool,
}

impl Chain {
    /// Before any step.
    pub(super) fn new(call: &Call, loaded: &Loaded, now: Moment) -> Chain {
        Chain {
            call: call.clone(),
            revision: loaded.revision + 1,
            now,
            events: Vec::new(),
            legs: Vec::new(),
            due: DueChange::Keep,
            changed: false,
            finished: false,
        }
    }

    /// After the step that made the call.
    pub(super) fn begin(step: Step, now: Moment) -> Chain {
        let mut chain = Chain {
            call: Call::default(),
            revision: 1,
            now,
            events: Vec::new(),
            legs: Vec::new(),
            due: DueChange::Keep,
            changed: false,
            finished: false,
        };
        chain.take(step);
        chain
    }

    /// One more event.
    ///
    /// # Errors
    /// When the engine refuses it; the chain is as before.
    pub(super) fn step(&mut self, event: &Event, context: &Context) -> Result<(), StepError> {
        let step = engine::step(&self.call, event, self.now, context)?;
        if !step.unchanged {
            self.take(step);
        }
        Ok(())
    }

    fn take(&mut self, step: Step) {
        if !step.events.is_empty() {
            let call = public::call(&step.call, self.revision);
            let events = step.events.iter().map(|event| public::event(event, self.now.millis(), &call));
            self.events.extend(events);
        }
        for effect in step.effects {
            if !self.legs.contains(&effect.leg_id) {
                self.legs.push(effect.leg_id);
            }
        }
        if step.due != DueChange::Keep {
            self.due = step.due;
        }
        self.call = step.call;
        self.finished = step.finished;
        self.changed = true;
    }

    /// Sets the due entry of the timer anew, whatever the steps said about it.
    pub(super) fn rewrite_timer(&mut self) {
        let next = self.call.timers.iter().map(|timer| timer.at_ms).min();
        self.due = next.map_or(DueChange::Clear, |at| DueChange::At(Moment::from_millis(at)));
        self.changed = true;
    }

    pub(super) fn has_changed(&self) -> bool {
        self.changed
    }

    pub(super) fn is_finished(&self) -> bool {
        self.finished
    }

    /// The legs for which there is something new to do.
    pub(super) fn legs_with_effects(&self) -> Vec<String> {
        self.legs.clone()
    }

    pub(super) fn change<'a>(
        self,
        before: Option<&'a Loaded>,
        request: Option<&'a RequestUse>,
    ) -> Change<'a> {
        Change {
            before,
            after: self.call,
            events: self.events,
            due: self.due,
            finished: self.finished,
            request,
        }
    }
}
