//! Phones in a dialog that have come back by another connection: what follows its old flow finds the new one. ADR 18
//!
//! Nothing is asked while a flow is there. When it is gone, here or at the edge that had it, the registrar says once what the same device
//! registered with since; that is remembered for what comes next in the dialog. Who may send it along the route was decided before, by
//! the mark.
//!
//! | what is heard                    | the branch                                                    |
//! |----------------------------------|---------------------------------------------------------------|
//! | the device has another flow      | goes on along it                                              |
//! | it sleeps, or is called anew     | gives its place to the binding as it is now                   |
//! | it has not come back             | asks again for a while inside a dialog, then fails as before  |
//! | nobody wants it any more         | ends                                                          |

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cluster_api::registrar::v1::{self as api, wake_response::State};
use hashbrown::HashMap;
use sip_endpoint::Hop;
use sip_message::Method;
use sip_proxy::{BranchFailure, BranchId};
use tonic::Status;

use super::fork::{Fork, ForkId};
use super::upstream::Upstream;
use super::{lineage, obstacle, plan};
use crate::arrive::along_route::Stray;
use crate::edge::{Completion, Cx, Edge, Timer};

/// How long a phone in a dialog is waited for: who asked for something in it is answered within 5 s.
const PATIENCE: Duration = Duration::from_millis(4_500);
/// The pause after a question that nobody answered.
const PAUSE: Duration = Duration::from_millis(500);
/// Flows that are remembered to have moved, in some 3 MB; beyond it the oldest are forgotten, and the registrar is asked again.
const MOST: usize = 10_000;
/// How long: a dialog in which more is said asks again.
const KEPT: Duration = Duration::from_secs(600);

/// Where flows have moved to, by token.
#[derive(Debug, Default)]
pub(crate) struct Moved {
    to: HashMap<Arc<str>, (Box<str>, Instant)>,
    /// All are kept for the same time: the first of these is over first.
    oldest_first: VecDeque<Arc<str>>,
}

impl Moved {
    fn note(&mut self, now: Instant, old: &str, new: &str) {
        let old: Arc<str> = old.into();
        if self.to.insert(old.clone(), (new.into(), now + KEPT)).is_none() {
            self.oldest_first.push_back(old);
        }
        // Twice the bound, for those that were forgotten in between.
        while self.to.len() > MOST || self.oldest_first.len() > 2 * MOST {
            let Some(oldest) = self.oldest_first.pop_front() else { return };
            self.to.remove(&oldest);
        }
    }

    /// The flow that took the place of this one.
    pub(crate) fn to(&self, now: Instant, old: &str) -> Option<&str> {
        if self.to.is_empty() {
            return None;
        }
        self.to.get(old).filter(|(_, until)| *until > now).map(|(new, _)| &**new)
    }

    fn forget(&mut self, old: &str) {
        self.to.remove(old);
    }
}

/// A branch whose flow is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Following {
    fork: ForkId,
    branch: BranchId,
    /// Empty inside a dialog, whose sides do not say.
    aor: String,
    flow: String,
    until: Instant,
}

impl Edge {
    /// The flow of a branch is gone, or the edge that had it: asks what took its place. `false` when there is nothing to ask.
    pub(super) fn follow(&mut self, cx: &mut Cx<'_>, id: ForkId, fork: &mut Fork, branch: BranchId) -> bool {
        let Some(running) = fork.branches.get_mut(branch.0 as usize) else { return false };
        let is_connection =
            self.cluster.open(&running.target.flow).is_ok_and(|token| matches!(token.hop, Hop::Flow(_)));
        // What a sibling has sent here, that sibling follows.
        let is_elsewhere = obstacle::is_relayed(&fork.arrived.own_routes);
        if running.is_followed || !is_connection || is_elsewhere || fork.request.method() == Method::Cancel {
            return false;
        }
        running.is_followed = true;
        if self.held >= self.config.limits.held {
            self.meters.followed.with_label_values(&["full"]).inc();
            return false;
        }
        running.heard = false;
        if let Some(key) = running.key.take() {
            self.clients.remove(&key);
        }
        let aor = running.target.aor.to_string();
        let is_waited_for = match &fork.upstream {
            Upstream::Server { .. } | Upstream::Leg(_) => {
                !aor.is_empty() || fork.request.to().is_ok_and(|to| to.tag().is_some())
            }
            Upstream::Exchange(_) | Upstream::Nobody => false,
        };
        let until = if is_waited_for { cx.now() + PATIENCE } else { cx.now() };
        let flow = running.target.flow.clone();
        self.moved.forget(&flow);
        self.hold(1);
        self.ask_to_follow(cx, Following { fork: id, branch, aor, flow, until });
        true
    }

    pub(crate) fn ask_to_follow(&mut self, cx: &mut Cx<'_>, following: Following) {
        let location = self.deps.location.clone();
        let Following { aor, flow, .. } = following.clone();
        let later = following.clone();
        let work = async move {
            let request = api::WakeRequest { aor, flow, ..api::WakeRequest::default() };
            Completion::Followed(Box::new(following), location.wake(request).await)
        };
        if cx.spawn(work).is_err() {
            cx.set_timer(PAUSE, Timer::Follow(Box::new(later)));
        }
    }

    /// The registrar has said what took its place.
    pub(crate) fn take_followed(
        &mut self,
        cx: &mut Cx<'_>,
        following: Following,
        result: Result<api::WakeResponse, Status>,
    ) {
        let Following { fork, branch, until, .. } = following;
        let is_wanted = self.forks.get(&fork).is_some_and(|fork| fork.context.is_wanted(branch));
        let (state, target) = match result {
            Ok(answer) => (answer.state(), answer.target),
            Err(_) => (State::Unspecified, None),
        };
        let found = target.filter(|_| state == State::Awake && is_wanted);
        let is_over = !is_wanted || cx.now() >= until || state == State::Lost;
        if found.is_none() && !is_over {
            return match state {
                State::Asleep => self.ask_to_follow(cx, following),
                State::Awake | State::Lost | State::Unspecified => {
                    cx.set_timer(PAUSE, Timer::Follow(Box::new(following)));
                }
            };
        }
        self.hold(-1);
        let outcome = if found.is_some() { "moved" } else { "lost" };
        self.meters.followed.with_label_values(&[outcome]).inc();
        self.with_fork(cx, fork, |edge, cx, found_fork| match found {
            Some(target) => edge.go_on(cx, fork, found_fork, &following, target),
            None if !is_wanted => found_fork.context.redirect(cx.now(), branch, Vec::new()),
            None => edge.give_up(cx, fork, found_fork, branch),
        });
    }

    fn go_on(&mut self, cx: &mut Cx<'_>, id: ForkId, fork: &mut Fork, old: &Following, target: api::Target) {
        // A call that begins is for the binding as it is now, and so is what has to wake its phone first.
        if !old.aor.is_empty() || !target.wake.is_empty() || !target.route.is_empty() {
            let group =
                api::Group { targets: vec![target], cause: "contact".to_owned(), ..api::Group::default() };
            let mut groups = plan::groups(api::Fork { groups: vec![group], recurse: false });
            lineage::woken(fork, old.branch, &mut groups);
            return fork.context.redirect(cx.now(), old.branch, groups);
        }
        self.moved.note(cx.now(), &old.flow, &target.flow);
        let Some(running) = fork.branches.get(old.branch.0 as usize) else { return };
        let ways = self.ways_of(cx, fork, &running.target.clone());
        self.take_ways(cx, id, fork, old.branch, ways);
    }

    /// Nothing took its place.
    fn give_up(&mut self, cx: &mut Cx<'_>, id: ForkId, fork: &mut Fork, branch: BranchId) {
        let is_ours = !matches!(fork.upstream, Upstream::Server { .. });
        match fork.branches.get_mut(branch.0 as usize) {
            // What we send ourselves has another way: where the peer said that it is.
            Some(running) if is_ours && running.target.aor.is_empty() => {
                running.target.flow.clear();
                let ways = self.ways_of(cx, fork, &fork.branches[branch.0 as usize].target.clone());
                self.take_ways(cx, id, fork, branch, ways);
            }
            Some(_) | None => self.fail_branch(cx, fork, branch, BranchFailure::FlowFailed),
        }
    }

    /// The same for an ACK, of which nobody tells whether it arrived: asked once.
    pub(crate) fn follow_stray(&mut self, cx: &mut Cx<'_>, stray: Stray) {
        let flow = stray.target.flow.clone();
        let is_elsewhere = obstacle::is_relayed(&stray.arrived.own_routes);
        if flow.is_empty() || is_elsewhere || self.moved.to(cx.now(), &flow).is_some() {
            return self.drop_stray();
        }
        let location = self.deps.location.clone();
        let work = async move {
            let request = api::WakeRequest { flow, ..api::WakeRequest::default() };
            Completion::StrayFollowed(Box::new(stray), location.wake(request).await)
        };
        if cx.spawn(work).is_err() {
            self.drop_stray();
        }
    }

    pub(crate) fn take_stray_followed(
        &mut self,
        cx: &mut Cx<'_>,
        stray: Stray,
        result: Result<api::WakeResponse, Status>,
    ) {
        let found =
            result.ok().filter(|answer| answer.state() == State::Awake).and_then(|found| found.target);
        match found.filter(|target| target.wake.is_empty() && target.route.is_empty()) {
            Some(target) => {
                self.moved.note(cx.now(), &stray.target.flow, &target.flow);
                self.forward_stray(cx, stray);
            }
            None => self.drop_stray(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_that_moved_is_remembered_for_a_while_and_by_a_bounded_table() {
        let now = Instant::now();
        let mut moved = Moved::default();
        moved.note(now, "a", "b");
        moved.note(now, "a", "c");
        assert_eq!((moved.to(now, "a"), moved.to(now, "b")), (Some("c"), None));
        assert_eq!(moved.to(now + KEPT, "a"), None);
        for flow in 0..2 * MOST {
            moved.note(now, &flow.to_string(), "x");
        }
        assert_eq!((moved.to.len(), moved.oldest_first.len()), (MOST, MOST));
        assert_eq!(
            (moved.to(now, "0"), moved.to(now, &MOST.to_string())),
            (None, Some("x")),
            "the oldest gave way"
        );
        moved.note(now + KEPT, "late", "x");
        assert_eq!((moved.to.len(), moved.to(now + KEPT, "late")), (MOST, Some("x")));
        for _ in 0..3 * MOST {
            moved.forget("late");
            moved.note(now + KEPT, "late", "x");
        }
        assert!(moved.oldest_first.len() <= 2 * MOST, "{}", moved.oldest_first.len());
        moved.forget("late");
        assert_eq!(moved.to(now + KEPT, "late"), None);
    }
}
