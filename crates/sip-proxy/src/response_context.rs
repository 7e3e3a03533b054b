//! The response context of a stateful proxy, RFC 3261 16.7: which branches run, what goes upstream, and when.
//!
//! | what happens | branch | upstream |
//! |---|---|---|
//! | 100 | `Calling` → `Proceeding` | nothing (16.7 step 5) |
//! | 101–199 | as 100; Timer C restarts (16.7 step 2) | forwarded, unless a final went before |
//! | 2xx to INVITE | `Answered`; the others are cancelled (16.7 step 10) | forwarded, always |
//! | 2xx to others | `Answered`; the others run out | forwarded, if it is the first final |
//! | 3xx, recursing | `Redirecting` until [`ResponseContext::redirect`] | nothing; its other contacts as one of the failures |
//! | 300–599 | `Ended`; the next flow, target or group begins | the best one, when nothing is left to try |
//! | 6xx | `Ended`; nothing begins, the others are cancelled | when all have ended; a 2xx still wins |
//! | timeout, transport error | as 408, 503 (16.7, 16.9) | |
//! | Timer C, ring time | `Calling` → given up; `Proceeding` → `Cancelling` (16.8) | |
//! | default ring time, target elsewhere | `Calling` → given up; `Proceeding` waits for Timer C (16.6 step 11) | |
//! | CANCEL from upstream | `Proceeding` → `Cancelling`; a `Calling` branch holds it (9.1, 16.10) | 487, also for what rang in vain before |
//!
//! The machine names targets and responses but does not read them: it is generic over both.

mod best;
mod branch;
mod face;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod looked_up;
mod plan;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use smallvec::SmallVec;

pub use best::Best;
use best::{Ending, choose};
use branch::{Branch, State};
pub use branch::{BranchId, CancelCause};
pub use face::{BranchFailure, Nature, Output, Response};
pub use plan::{Condition, Group, Settings, Target};
use plan::{Plan, Scope, untried};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Trying,
    Answered,
    Failed,
}

/// Why no new branch may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    Cancelled,
    Declined(u16),
}

/// How long the running group may ring.
#[derive(Debug)]
struct Ringing {
    time: Duration,
    /// The latest end, however often others join: of a group that names its time.
    until: Option<Instant>,
    /// When what rings is given up.
    over: Option<Instant>,
}

/// All branches of one request.
#[derive(Debug)]
pub struct ResponseContext<R, T> {
    settings: Settings,
    nature: Nature,
    stage: Stage,
    stop: Option<Stop>,
    plan: Plan<T>,
    /// Targets of the running group that have no branch yet: a second flow of a device, or too little breadth.
    waiting: Vec<(Scope, T)>,
    ringing: Ringing,
    branches: SmallVec<[Branch<R, T>; 1]>,
    /// 3xx with those contacts that were not followed.
    rests: Vec<R>,
    outputs: VecDeque<Output<R, T>>,
}

impl<R: Response, T: Target> ResponseContext<R, T> {
    /// Takes the plan and starts its first group.
    pub fn new(now: Instant, settings: Settings, nature: Nature, groups: Vec<Group<T>>) -> Self {
        let mut context = Self {
            settings,
            nature,
            stage: Stage::Trying,
            stop: None,
            plan: Plan::new(groups),
            waiting: Vec::new(),
            ringing: Ringing { time: settings.ring_time, until: None, over: None },
            branches: SmallVec::new(),
            rests: Vec::new(),
            outputs: VecDeque::new(),
        };
        if nature.breadth == 0 {
            // RFC 5393 5.3.3.1
            context.fail(Best::Local(440), Vec::new());
        } else {
            context.advance(now);
        }
        context
    }

    /// A response came on a branch.
    pub fn handle_response(&mut self, now: Instant, branch: BranchId, response: R) {
        let Some(at) = self.position(branch) else { return };
        match response.status() {
            ..=199 => self.handle_provisional(now, at, response),
            200..=299 => self.handle_success(at, response),
            _ => self.handle_failure_response(now, at, response),
        }
    }

    /// A branch ended without a response.
    pub fn handle_failure(&mut self, now: Instant, branch: BranchId, failure: BranchFailure) {
        let Some(at) = self.position(branch) else { return };
        if !self.branches[at].is_active() {
            if let State::Ended { silent, .. } = &mut self.branches[at].state {
                *silent = false;
            }
            return;
        }
        let ending = match (&self.branches[at].state, failure) {
            (State::Cancelling { cause: CancelCause::NoAnswer }, BranchFailure::Timeout) => {
                Ending::Unanswered
            }
            (
                State::Calling { .. }
                | State::Proceeding { .. }
                | State::Cancelling { .. }
                | State::Redirecting { .. }
                | State::Ended { .. }
                | State::Answered,
                BranchFailure::Timeout
                | BranchFailure::Transport
                | BranchFailure::FlowFailed
                | BranchFailure::Refused(_),
            ) => Ending::Failed(Best::Local(failure.status())),
        };
        self.end(at, ending, false);
        self.advance(now);
    }

    /// The caller cancelled. Without effect on anything but an INVITE that is being tried. RFC 3261 16.10
    pub fn cancel(&mut self, now: Instant) {
        if !self.nature.invite || self.stage != Stage::Trying || self.stop == Some(Stop::Cancelled) {
            return;
        }
        self.stop = Some(Stop::Cancelled);
        self.waiting.clear();
        self.rests.clear();
        for at in 0..self.branches.len() {
            match &mut self.branches[at].state {
                State::Redirecting { .. } => self.end(at, Ending::Failed(Best::Local(487)), false),
                // RFC 3261 9.2: what rang in vain was for the next target to heal. There is none any more, and the caller is
                // answered for its CANCEL.
                State::Cancelling { cause: cause @ CancelCause::NoAnswer } => *cause = CancelCause::Caller,
                State::Ended { ending: ending @ (Ending::Unanswered | Ending::Silent), .. } => {
                    *ending = Ending::Replaced
                }
                State::Calling { .. }
                | State::Proceeding { .. }
                | State::Cancelling { .. }
                | State::Ended { .. }
                | State::Answered => {}
            }
        }
        self.cancel_branches(CancelCause::Caller);
        self.advance(now);
    }

    /// Other targets take the place of a branch: of one that answered 3xx, or of one whose target had to be looked up.
    /// The first group joins the running one, if there is one, and rings as long; the others come next, and their conditions are
    /// about these new targets. Without any the branch ends as it was answered; where all of them are, or were, tried by other branches, it
    /// says nothing more about the callee than those do, and has no part in the choice. RFC 3261 16.7 step 4
    pub fn redirect(&mut self, now: Instant, branch: BranchId, mut groups: Vec<Group<T>>) {
        let Some(at) = self.position(branch).filter(|at| self.branches[*at].is_active()) else { return };
        let is_led_on = !groups.is_empty() && self.may_begin();
        if self.may_begin() {
            // A target that had to be looked up was not tried: it may turn out to stand for itself.
            let was_sent = |branch: &&Branch<R, T>| {
                branch.id != self.branches[at].id || matches!(branch.state, State::Redirecting { .. })
            };
            let sent = self.branches.iter().filter(was_sent).map(|branch| &branch.target);
            let tried: Vec<&T> = sent.chain(self.waiting.iter().map(|(_, target)| target)).collect();
            for group in &mut groups {
                self.plan.keep_new(group, &tried);
            }
            groups.retain(|group| !group.targets.is_empty());
        } else {
            groups.clear();
        }
        let ending = match &self.branches[at].state {
            _ if is_led_on => Ending::Replaced,
            State::Redirecting { response } => Ending::Failed(Best::Received(response.clone())),
            State::Calling { .. } | State::Proceeding { .. } | State::Cancelling { .. } => {
                Ending::Failed(Best::Local(if self.stop.is_some() { 487 } else { 480 }))
            }
            State::Ended { .. } | State::Answered => return,
        };
        self.end(at, ending, false);
        if !groups.is_empty() {
            let scope = self.plan.open(self.branches[at].scope);
            let is_running = !self.waiting.is_empty() || self.branches.iter().any(Branch::is_active);
            if is_running && groups[0].condition == Condition::Always {
                let targets = groups.remove(0).targets;
                self.waiting.extend(targets.into_iter().map(|target| (scope, target)));
            }
            self.plan.insert_next(scope, groups);
        }
        self.advance(now);
    }

    /// Takes what is left of a 3xx whose other contacts are followed: it is an answer among the others, and says nothing about the
    /// callee's devices. One for each branch at most, by who calls [`Self::redirect`]. RFC 3261 16.7 step 4
    pub fn keep_rest(&mut self, rest: R) {
        if self.may_begin() {
            self.rests.push(rest);
        }
    }

    /// When to come back.
    pub fn next_deadline(&self) -> Option<Instant> {
        let ring = self.ringing.over.filter(|_| self.stage == Stage::Trying);
        self.branches.iter().filter_map(Branch::timer_c).chain(ring).min()
    }

    /// Timer C and the ring time.
    pub fn handle_deadline(&mut self, now: Instant) {
        let ring_over = self.stage == Stage::Trying && self.ringing.over.is_some_and(|over| over <= now);
        if ring_over {
            self.ringing.over = None;
        }
        let ends_elsewhere = self.settings.bounds_elsewhere || self.ringing.until.is_some();
        for at in 0..self.branches.len() {
            let timer_c_over = self.branches[at].timer_c().is_some_and(|timer| timer <= now);
            if !ring_over && !timer_c_over {
                continue;
            }
            match self.branches[at].state {
                State::Calling { cancel: None, .. } => self.end(at, Ending::Silent, true),
                // Held since before: the transaction gives up by itself.
                State::Calling { cancel: Some(_), .. } => {
                    if timer_c_over {
                        self.end(at, Ending::Silent, true);
                    }
                }
                State::Proceeding { .. } => {
                    if timer_c_over || ends_elsewhere || !self.branches[at].target.is_elsewhere() {
                        self.start_cancelling(at, CancelCause::NoAnswer);
                    }
                }
                State::Cancelling { .. }
                | State::Redirecting { .. }
                | State::Ended { .. }
                | State::Answered => {}
            }
        }
        self.advance(now);
    }

    /// The next thing to do; to be drained after every call.
    pub fn poll_output(&mut self) -> Option<Output<R, T>> {
        self.outputs.pop_front()
    }

    /// Has a final response gone up, and has every branch ended?
    pub fn is_finished(&self) -> bool {
        self.stage != Stage::Trying && !self.branches.iter().any(Branch::is_active)
    }

    /// Whether a branch is still to be answered: it has no final response, and nobody has given it up.
    pub fn is_wanted(&self, branch: BranchId) -> bool {
        self.position(branch).is_some_and(|at| self.branches[at].is_wanted())
    }

    /// The status of a branch that ended without success; `None` while it runs, and when others took its place.
    pub fn failure_of(&self, branch: BranchId) -> Option<u16> {
        let ending = self.position(branch).and_then(|at| self.branches[at].ending())?;
        ending.best().map(|best| best.status())
    }

    /// Whether another target stands in for one that does not serve the request at all.
    pub fn has_stand_in(&self) -> bool {
        self.may_begin() && self.plan.has_stand_in()
    }

    /// The target of a branch.
    pub fn target(&self, branch: BranchId) -> Option<&T> {
        self.position(branch).map(|at| &self.branches[at].target)
    }

    fn handle_provisional(&mut self, now: Instant, at: usize, response: R) {
        let restarted = if response.status() > 100 { self.timer_c(now) } else { None };
        let state = &mut self.branches[at].state;
        let mut held = None;
        let forward = match state {
            State::Calling { cancel: Some(cause), .. } => {
                held = Some(*cause);
                true
            }
            State::Calling { timer_c, cancel: None } | State::Proceeding { timer_c } => {
                *state = State::Proceeding { timer_c: restarted.or(*timer_c) };
                true
            }
            State::Cancelling { .. } => true,
            State::Ended { silent: silent @ true, .. } => {
                *silent = false;
                let branch = self.branches[at].id;
                self.outputs.push_back(Output::Cancel { branch, cause: CancelCause::NoAnswer });
                false
            }
            State::Redirecting { .. } | State::Ended { .. } | State::Answered => false,
        };
        if forward && response.status() > 100 && self.stage == Stage::Trying {
            self.outputs.push_back(Output::Forward(response));
        }
        if let Some(cause) = held {
            self.start_cancelling(at, cause);
        }
    }

    fn handle_success(&mut self, at: usize, response: R) {
        if !self.nature.invite && self.stage != Stage::Trying {
            self.branches[at].state = State::Answered;
            return;
        }
        self.branches[at].state = State::Answered;
        self.stage = Stage::Answered;
        self.waiting.clear();
        self.outputs.push_back(Output::Forward(response));
        if self.nature.invite && !self.settings.leave_losers {
            self.cancel_branches(CancelCause::AnsweredElsewhere);
        }
    }

    fn handle_failure_response(&mut self, now: Instant, at: usize, response: R) {
        let status = response.status();
        let ending = match &self.branches[at].state {
            State::Calling { cancel: None, .. } | State::Proceeding { .. }
                if status < 400 && self.nature.recurse && self.may_begin() =>
            {
                let branch = self.branches[at].id;
                self.branches[at].state = State::Redirecting { response: response.clone() };
                self.outputs.push_back(Output::Redirected { branch, response });
                return;
            }
            State::Cancelling { cause: CancelCause::NoAnswer } if matches!(status, 408 | 487) => {
                Ending::Unanswered
            }
            State::Calling { .. } | State::Proceeding { .. } | State::Cancelling { .. } => {
                Ending::Failed(Best::Received(response))
            }
            State::Redirecting { .. } | State::Ended { .. } | State::Answered => return,
        };
        self.end(at, ending, false);
        if status >= 600 && self.may_begin() {
            self.stop = Some(Stop::Declined(status));
            self.waiting.clear();
            if self.nature.invite {
                self.cancel_branches(CancelCause::Declined(status));
            }
        }
        self.advance(now);
    }

    fn may_begin(&self) -> bool {
        self.stage == Stage::Trying && self.stop.is_none()
    }

    /// Begins what may begin; when nothing runs and nothing is left, answers.
    fn advance(&mut self, now: Instant) {
        while self.stage == Stage::Trying {
            if self.stop.is_none() {
                self.begin_waiting(now);
            }
            if self.branches.iter().any(Branch::is_active) {
                return;
            }
            let ended = self.branches.iter().filter_map(|branch| Some((branch.scope, branch.ending()?)));
            let endings: Vec<(Scope, &Ending<R>)> = ended.collect();
            let group = match self.stop {
                None => self.plan.take_next(&endings, false),
                // The callee's own forwarding on busy is no new branch of the caller's request to her.
                Some(Stop::Declined(600)) => self.plan.take_next(&endings, true),
                Some(Stop::Declined(_) | Stop::Cancelled) => None,
            };
            match group {
                Some((scope, mut group)) => {
                    if group.condition.is_one_of_several() {
                        let tried: Vec<&T> = self.branches.iter().map(|branch| &branch.target).collect();
                        untried(&mut group.targets, &tried);
                        if group.targets.is_empty() {
                            continue;
                        }
                    }
                    self.stop = None;
                    let named = self.plan.part_of(now, scope, &group).filter(|_| self.nature.invite);
                    self.ringing = Ringing {
                        time: named.unwrap_or(self.settings.ring_time),
                        until: named.map(|time| now + time),
                        over: None,
                    };
                    self.waiting = group.targets.into_iter().map(|target| (scope, target)).collect();
                }
                None => {
                    let nothing = if self.stop == Some(Stop::Cancelled) { 487 } else { 480 };
                    let endings = self.branches.iter().filter_map(Branch::ending).filter_map(Ending::best);
                    let endings = endings.chain(self.rests.drain(..).map(Best::Received));
                    let (best, challenges) =
                        choose(endings).unwrap_or_else(|| (Best::Local(nothing), Vec::new()));
                    self.fail(best, challenges);
                }
            }
        }
    }

    /// Starts waiting targets: one flow a device, and no more than there is breadth. RFC 5393 5.3.3.2
    fn begin_waiting(&mut self, now: Instant) {
        if self.ringing.until.is_some_and(|until| until <= now) {
            self.waiting.clear();
        }
        let room = self.settings.max_branches.saturating_sub(self.branches.len());
        let in_use: u32 = self.branches.iter().filter(|branch| branch.is_active()).map(|b| b.breadth).sum();
        let available = self.nature.breadth.saturating_sub(in_use);
        let mut chosen: Vec<(Scope, T)> = Vec::new();
        let mut kept: Vec<(Scope, T)> = Vec::new();
        for (scope, target) in self.waiting.drain(..) {
            let same_device = |other: &T| target.device().is_some() && other.device() == target.device();
            let running = self.branches.iter().filter(|branch| branch.is_active()).map(|b| &b.target);
            if running.chain(chosen.iter().map(|(_, target)| target)).any(same_device) || chosen.len() >= room
            {
                kept.push((scope, target));
            } else {
                chosen.push((scope, target));
            }
        }
        let at_once = chosen.len().min(available as usize);
        kept.extend(chosen.drain(at_once..));
        // Without room for a single further branch the rest is given up.
        self.waiting = if room == 0 { Vec::new() } else { kept };
        if chosen.is_empty() {
            return;
        }
        let share = available / at_once as u32;
        let odd = available as usize % at_once;
        for (index, (scope, target)) in chosen.into_iter().enumerate() {
            let breadth = share + u32::from(index < odd);
            let branch = BranchId(self.branches.len() as u32);
            let state = State::Calling { timer_c: self.timer_c(now), cancel: None };
            self.branches.push(Branch { id: branch, target: target.clone(), scope, breadth, state });
            self.outputs.push_back(Output::Start { branch, target, breadth });
        }
        let over = now + self.ringing.time;
        let over = self.ringing.until.map_or(over, |until| until.min(over));
        self.ringing.over = self.nature.invite.then_some(over);
    }

    fn timer_c(&self, now: Instant) -> Option<Instant> {
        self.nature.invite.then(|| now + self.settings.timer_c)
    }

    fn end(&mut self, at: usize, ending: Ending<R>, silent: bool) {
        let branch = &mut self.branches[at];
        if let Some(device) = branch.target.device()
            && !ending.is_flow_failure()
        {
            // RFC 5626 7: any other answer is the device's own.
            self.waiting.retain(|(_, target)| target.device() != Some(device));
        }
        branch.state = State::Ended { ending, silent };
    }

    fn cancel_branches(&mut self, cause: CancelCause) {
        for at in 0..self.branches.len() {
            match &mut self.branches[at].state {
                State::Calling { cancel, .. } => {
                    cancel.get_or_insert(cause);
                }
                State::Proceeding { .. } => self.start_cancelling(at, cause),
                State::Redirecting { .. } => self.end(at, Ending::Replaced, false),
                State::Cancelling { .. } | State::Ended { .. } | State::Answered => {}
            }
        }
    }

    fn start_cancelling(&mut self, at: usize, cause: CancelCause) {
        let branch = &mut self.branches[at];
        branch.state = State::Cancelling { cause };
        self.outputs.push_back(Output::Cancel { branch: branch.id, cause });
    }

    fn fail(&mut self, best: Best<R>, challenges: Vec<R>) {
        self.stage = Stage::Failed;
        self.outputs.push_back(Output::Fail { best, challenges });
    }

    fn position(&self, branch: BranchId) -> Option<usize> {
        let at = branch.0 as usize;
        (at < self.branches.len()).then_some(at)
    }
}
