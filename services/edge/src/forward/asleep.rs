//! Phones that sleep until they are pushed: the request is held until the phone has registered again. RFC 8599 5.6.2
//!
//! The registrar has it pushed and looks for its REGISTER, which may come to any edge; asked, it says within a second or so how far that
//! is, and is asked again as long as the request is wanted.
//!
//! | what is heard                  | the branch                                |
//! |--------------------------------|-------------------------------------------|
//! | the phone is awake             | gives its place to the binding as it is now |
//! | it cannot be woken             | fails as 480                              |
//! | it sleeps on for too long      | fails as 480                              |
//! | nobody wants it any more       | ends                                      |
//! | nothing: no registrar answers  | asks again after a pause                  |

use std::time::{Duration, Instant};

use cluster_api::registrar::v1::{self as api, wake_response::State};
use sip_proxy::{BranchFailure, BranchId};
use tonic::Status;

use super::fork::{Fork, ForkId};
use super::{lineage, plan};
use crate::capture::why;
use crate::edge::{Completion, Cx, Edge, Timer};

/// The pause after a question that nobody answered.
const PAUSE: Duration = Duration::from_millis(500);

/// A branch whose phone is being woken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Waking {
    fork: ForkId,
    branch: BranchId,
    aor: String,
    binding: String,
    until: Instant,
    /// Whether the registrar has answered before, so that the phone was pushed.
    again: bool,
}

impl Edge {
    /// Has the phone of a branch woken, unless too many are waited for.
    pub(crate) fn wake(&mut self, cx: &mut Cx<'_>, id: ForkId, fork: &mut Fork, branch: BranchId) {
        let Some(running) = fork.branches.get(branch.0 as usize) else { return };
        let waking = Waking {
            fork: id,
            branch,
            aor: running.target.aor.to_string(),
            binding: running.target.wake.to_string(),
            until: cx.now() + self.config.wake_timeout,
            again: false,
        };
        if self.held >= self.config.limits.held {
            self.meters.woken.with_label_values(&["full"]).inc();
            return self.fail_branch(cx, fork, branch, BranchFailure::Refused(480));
        }
        self.hold(1);
        self.ask_to_wake(cx, waking);
    }

    pub(super) fn hold(&mut self, more: isize) {
        self.held = self.held.saturating_add_signed(more);
        self.meters.held.set(i64::try_from(self.held).unwrap_or(i64::MAX));
    }

    pub(crate) fn ask_to_wake(&mut self, cx: &mut Cx<'_>, waking: Waking) {
        let location = self.deps.location.clone();
        let Waking { aor, binding, again, .. } = waking.clone();
        let later = waking.clone();
        let work = async move {
            let request = api::WakeRequest { aor, binding_id: binding, again, ..api::WakeRequest::default() };
            Completion::Woken(Box::new(waking), location.wake(request).await)
        };
        if cx.spawn(work).is_err() {
            cx.set_timer(PAUSE, Timer::Wake(Box::new(later)));
        }
    }

    /// The registrar has said how far it is.
    pub(crate) fn take_woken(
        &mut self,
        cx: &mut Cx<'_>,
        waking: Waking,
        result: Result<api::WakeResponse, Status>,
    ) {
        let Waking { fork, branch, until, .. } = waking;
        let is_wanted = self.forks.get(&fork).is_some_and(|fork| fork.context.is_wanted(branch));
        let is_late = cx.now() >= until;
        let (state, target) = match result {
            Ok(answer) => (answer.state(), answer.target),
            Err(_) => (State::Unspecified, None),
        };
        let (outcome, target) = match (state, target) {
            _ if !is_wanted => ("unwanted", None),
            (State::Awake, Some(target)) => ("awake", Some(target)),
            (State::Lost, _) => ("lost", None),
            (State::Awake | State::Asleep | State::Unspecified, _) if is_late => ("late", None),
            (State::Asleep, _) => return self.ask_to_wake(cx, Waking { again: true, ..waking }),
            (State::Awake | State::Unspecified, _) => {
                cx.set_timer(PAUSE, Timer::Wake(Box::new(waking)));
                return;
            }
        };
        self.hold(-1);
        self.meters.woken.with_label_values(&[outcome]).inc();
        self.with_fork(cx, fork, |edge, cx, fork| {
            edge.ring.note(&fork.request, || fork.own(why::woken(branch, outcome)));
            match target {
                Some(target) => {
                    let group = api::Group {
                        targets: vec![target],
                        cause: "contact".to_owned(),
                        ..api::Group::default()
                    };
                    let mut groups = plan::groups(api::Fork { groups: vec![group], recurse: false });
                    lineage::woken(fork, branch, &mut groups);
                    fork.context.redirect(cx.now(), branch, groups);
                }
                // What was cancelled ends as that.
                None if !is_wanted => fork.context.redirect(cx.now(), branch, Vec::new()),
                None => edge.fail_branch(cx, fork, branch, BranchFailure::Refused(480)),
            }
        });
    }
}
