//! A leg of call-control whose target the registrar could not look up, because it or its store is away for a moment.
//!
//! That is not the phone's answer, and call-control has accepted the call: the question is asked again, with pauses, before the leg
//! fails with 503. Whatever ends the INVITE meanwhile, as the ring timer of the call, ends the asking. A phone's own request is refused
//! at once: the phone may try elsewhere.

use std::time::{Duration, Instant};

use cluster_api::registrar::v1::{self as api, route_response::Plan};
use cluster_api::sip::v1::Header;
use hashbrown::HashMap;
use sip_proxy::BranchId;
use tonic::{Code, Status};

use super::fork::{Fork, ForkId};
use super::upstream::Upstream;
use crate::edge::{Cx, Edge, Timer};

/// How long a question is asked: a store that fails over is back in 2 s, or 6 s where its sentinels wait longer.
const PATIENCE: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Questions that were not answered. Each is of a request that is being forwarded, and there are no more than those.
pub(crate) type Unanswered = HashMap<(ForkId, BranchId), Asking>;

/// One of them.
#[derive(Debug)]
pub(crate) struct Asking {
    until: Instant,
    pause: Duration,
}

impl Edge {
    /// The registrar has decided about a branch, or could not.
    pub(crate) fn take_lookup_or_ask_again(
        &mut self,
        cx: &mut Cx<'_>,
        id: ForkId,
        branch: BranchId,
        result: Result<api::RouteResponse, Status>,
    ) {
        let is_of_leg =
            |fork: &Fork| matches!(fork.upstream, Upstream::Leg(_)) && fork.context.is_wanted(branch);
        let is_worth_it = self.forks.get(&id).is_some_and(|fork| is_of_leg(fork));
        let pause = if is_worth_it && is_passing(&result) { self.pause(cx.now(), id, branch) } else { None };
        match pause {
            Some(pause) => drop(cx.set_timer(pause, Timer::AskAgain(id, branch))),
            None => {
                self.unanswered.remove(&(id, branch));
                self.take_lookup(cx, id, branch, result);
            }
        }
    }

    /// The pause before the question is asked again, if it is.
    fn pause(&mut self, now: Instant, id: ForkId, branch: BranchId) -> Option<Duration> {
        let first = || Asking { until: now + PATIENCE, pause: FIRST_PAUSE };
        let asking = self.unanswered.entry((id, branch)).or_insert_with(first);
        let pause = asking.pause;
        asking.pause = (2 * pause).min(LONGEST_PAUSE);
        (now + pause <= asking.until).then_some(pause)
    }

    /// The pause is over.
    pub(crate) fn ask_again(&mut self, cx: &mut Cx<'_>, id: ForkId, branch: BranchId) {
        let is_wanted = self.forks.get(&id).is_some_and(|fork| fork.context.is_wanted(branch));
        if !is_wanted {
            self.unanswered.remove(&(id, branch));
        }
        self.with_fork(cx, id, |edge, cx, fork| match is_wanted {
            true => edge.look_up(cx, id, fork, branch),
            false => fork.context.redirect(cx.now(), branch, Vec::new()),
        });
    }
}

/// Nobody decided, and somebody may soon: there is no registrar, or its store is away, which it says by 503 with Retry-After.
fn is_passing(result: &Result<api::RouteResponse, Status>) -> bool {
    match result {
        Err(status) => matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded),
        Ok(api::RouteResponse { plan: Some(Plan::Refuse(refuse)), .. }) => {
            let passes = |header: &Header| header.name.eq_ignore_ascii_case("Retry-After");
            refuse.status == 503 && refuse.headers.iter().any(passes)
        }
        Ok(_) => false,
    }
}
