//! What is to be tried, in which order: groups of targets, and when a group applies.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use smallvec::SmallVec;

use super::Response;
use super::best::{Ending, conditions_met};

/// A place that the request may be sent to.
pub trait Target: Clone {
    /// Whether a second branch to `other` would reach the same place (URI equality, RFC 3261 16.5).
    fn same_as(&self, other: &Self) -> bool;

    /// The device behind it, when it is known: flows of one device are tried one after the other, RFC 5626 7.
    fn device(&self) -> Option<&str> {
        None
    }

    /// Whether it is nobody's phone that we know of, but a server of somebody else's: how long it rings is decided there.
    fn is_elsewhere(&self) -> bool {
        false
    }
}

/// Targets that are tried in parallel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group<T> {
    /// The targets.
    pub targets: Vec<T>,
    /// How long the group may ring; absent means the default of the [`Settings`]. Unconditional groups that name a time are one
    /// callee's, and have it together: each rings for its part of what is left of it.
    pub ring_time: Option<Duration>,
    /// When the group is tried at all.
    pub condition: Condition,
}

/// When a group is tried, once everything before it has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// In any case: the next lower q.
    Always,
    /// The callee is busy: 486, 600.
    Busy,
    /// Nobody answered in time.
    NoAnswer,
    /// No device could be reached: 408, 430, 480, 503, transport errors, no binding.
    Unreachable,
    /// The target before it did not serve the request at all: no answer, no connection, 500, 502, 503, 504. Any other answer is the
    /// callee's, who would be asked twice.
    NotServed,
}

impl Condition {
    /// Whether groups of this condition stand beside groups of others, of which those of one are tried.
    pub(super) fn is_one_of_several(self) -> bool {
        match self {
            Self::Busy | Self::NoAnswer | Self::Unreachable => true,
            Self::Always | Self::NotServed => false,
        }
    }
}

/// Removes targets that are repeated, or in `tried`. RFC 3261 16.5
pub(super) fn untried<T: Target>(targets: &mut Vec<T>, tried: &[&T]) {
    let mut kept: Vec<T> = Vec::with_capacity(targets.len());
    for target in targets.drain(..) {
        if !kept.iter().chain(tried.iter().copied()).any(|other| other.same_as(&target)) {
            kept.push(target);
        }
    }
    *targets = kept;
}

/// Bounds of one response context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Timer C, restarted by every 101–199. Default 181 s, RFC 3261 16.6 step 11 asks for more than three minutes.
    pub timer_c: Duration,
    /// How long a group may ring that names no time of its own. Default 60 s.
    pub ring_time: Duration,
    /// Whether that is said to targets elsewhere too. Default no: one that sent a provisional response is ended by Timer C alone.
    pub bounds_elsewhere: bool,
    /// Branches that one request may ever have, redirections included. Default 30.
    pub max_branches: usize,
    /// Whether branches are left alone when another one answered (RFC 3841 9.1, `no-cancel`).
    pub leave_losers: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            timer_c: Duration::from_secs(181),
            ring_time: Duration::from_secs(60),
            bounds_elsewhere: false,
            max_branches: 30,
            leave_losers: false,
        }
    }
}

/// Whose rules a group or a branch belongs to. The callee's are the first; each target that others take the place of opens a new
/// one for them, so that the rules of somebody who was forwarded to look at that user's phones only.
pub(super) type Scope = usize;

#[derive(Debug)]
struct Level {
    /// The scope of the target that was looked up.
    parent: Option<Scope>,
    /// The condition under which the devices of this scope were left; it stays, whatever the forward target answers.
    left_by: Option<Condition>,
    /// When the time is over that its unconditional groups have together.
    until: Option<Instant>,
}

/// The groups that have not begun, without duplicate targets.
#[derive(Debug)]
pub(super) struct Plan<T> {
    groups: VecDeque<(Scope, Group<T>)>,
    levels: SmallVec<[Level; 1]>,
}

impl<T: Target> Plan<T> {
    pub(super) fn new(groups: Vec<Group<T>>) -> Self {
        let root = Level { parent: None, left_by: None, until: None };
        let mut plan = Self { groups: VecDeque::new(), levels: SmallVec::from_iter([root]) };
        for mut group in groups {
            plan.keep_new(&mut group, &[]);
            if !group.targets.is_empty() {
                plan.groups.push_back((0, group));
            }
        }
        plan
    }

    /// Removes targets that are repeated, sure to be tried already by what is planned, or in `tried`. A group that waits for one outcome of several
    /// may name what another outcome names too, as voicemail for busy and for no answer: see [`untried`].
    pub(super) fn keep_new(&self, group: &mut Group<T>, tried: &[&T]) {
        let is_one_of_several = group.condition.is_one_of_several();
        let sure = self
            .groups
            .iter()
            .filter(|(_, other)| !is_one_of_several && !other.condition.is_one_of_several());
        let sure: Vec<&T> = sure.flat_map(|(_, other)| &other.targets).chain(tried.iter().copied()).collect();
        untried(&mut group.targets, &sure);
    }

    /// A scope for what takes the place of a target of `parent`.
    pub(super) fn open(&mut self, parent: Scope) -> Scope {
        self.levels.push(Level { parent: Some(parent), left_by: None, until: None });
        self.levels.len() - 1
    }

    /// Puts groups before everything else that is planned.
    pub(super) fn insert_next(&mut self, scope: Scope, groups: Vec<Group<T>>) {
        for group in groups.into_iter().rev() {
            self.groups.push_front((scope, group));
        }
    }

    /// Takes the next group out, of the innermost scope that has one. Within a scope unconditional groups come first, then one
    /// whose condition its branches have met; once a conditional group was taken only groups of its condition follow.
    /// `declined` leaves only conditional groups.
    pub(super) fn take_next<R: Response>(
        &mut self,
        endings: &[(Scope, &Ending<R>)],
        declined: bool,
    ) -> Option<(Scope, Group<T>)> {
        (0..self.levels.len()).rev().find_map(|scope| {
            let within = endings.iter().filter(|(of, _)| self.is_within(*of, scope));
            let within: Vec<&Ending<R>> = within.map(|(_, ending)| *ending).collect();
            let is_unserved = !declined && within.last().is_some_and(|last| last.is_unserved());
            let next = self.take_of(scope, conditions_met(&within), declined);
            let next = next.or_else(|| {
                self.take_where(scope, |condition| condition == Condition::NotServed && is_unserved)
            });
            next.map(|group| (scope, group))
        })
    }

    /// Whether a group is left that is tried when the one before it was not served.
    pub(super) fn has_stand_in(&self) -> bool {
        self.groups.iter().any(|(_, group)| group.condition == Condition::NotServed)
    }

    /// How long a group that was taken out may ring, if it names a time.
    pub(super) fn part_of(&mut self, now: Instant, scope: Scope, group: &Group<T>) -> Option<Duration> {
        let named = group.ring_time?;
        if group.condition != Condition::Always {
            return Some(named);
        }
        let until = *self.levels[scope].until.get_or_insert(now + named);
        let shares = |(of, other): &&(Scope, Group<T>)| {
            *of == scope && other.condition == Condition::Always && other.ring_time.is_some()
        };
        let following = self.groups.iter().filter(shares).count();
        Some(until.saturating_duration_since(now) / u32::try_from(following + 1).unwrap_or(u32::MAX))
    }

    fn is_within(&self, scope: Scope, outer: Scope) -> bool {
        std::iter::successors(Some(scope), |scope| self.levels[*scope].parent).any(|each| each == outer)
    }

    fn take_of(&mut self, scope: Scope, met: &[Condition], declined: bool) -> Option<Group<T>> {
        if let Some(left_by) = self.levels[scope].left_by {
            return self.take_where(scope, |condition| condition == left_by && !declined);
        }
        if !declined && let Some(group) = self.take_where(scope, |condition| condition == Condition::Always) {
            return Some(group);
        }
        let is_planned =
            |met: &&Condition| self.groups.iter().any(|(of, group)| *of == scope && group.condition == **met);
        let condition = *met.iter().find(is_planned)?;
        self.levels[scope].left_by = Some(condition);
        self.take_where(scope, |each| each == condition)
    }

    fn take_where(&mut self, scope: Scope, wanted: impl Fn(Condition) -> bool) -> Option<Group<T>> {
        let at = self.groups.iter().position(|(of, group)| *of == scope && wanted(group.condition))?;
        self.groups.remove(at).map(|(_, group)| group)
    }
}
