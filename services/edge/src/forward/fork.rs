//! Requests that are being forwarded: the response context of each, and what its outputs mean on the wire.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sip_endpoint::{Arrival, ClientKey, TimerId};
use sip_message::{HeaderId, Message, Method};
use sip_proxy::{
    Arrived, BranchFailure, BranchId, CancelCause, Group, Nature, Output, Own, ResponseContext,
    RoutingDigest, Settings,
};

use super::branch::Branch;
use super::history;
use super::lineage::{self, Diverted};
use super::obstacle::Obstacle;
use super::plan;
use super::record_route::Side;
use super::silent;
use super::target::Target;
use super::upstream::Upstream;
use crate::arrive::unread::is_unread;
use crate::capture::{Decided, why};
use crate::edge::{Cx, Edge, ServerUse, Timer};
use crate::seen::Seen;

/// A request that is being forwarded, within one life of the edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ForkId(u64);

impl ForkId {
    /// Before every other one.
    pub(crate) const FIRST: Self = Self(0);

    /// The one after it.
    pub(crate) fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// One request with all its branches.
pub(crate) struct Fork {
    pub(crate) upstream: Upstream,
    pub(crate) request: Message,
    pub(crate) arrived: Arrived,
    pub(crate) digest: RoutingDigest,
    pub(crate) context: ResponseContext<Message, Target>,
    /// By number of the branch.
    pub(crate) branches: Vec<Branch>,
    /// The caller's side of the Record-Route; `None` when none is due.
    pub(crate) caller: Option<Side>,
    /// Reason values of the CANCEL that came.
    pub(crate) cancel_reasons: Vec<Bytes>,
    /// What it tells of a proxied call.
    pub(crate) seen: Option<Box<Seen>>,
    /// The last forwarding that the caller was told of.
    pub(crate) announced: Option<Arc<Diverted>>,
    /// What kept a branch from its target.
    pub(crate) obstacle: Option<Obstacle>,
    /// Whose response came last: one that goes up does so at once.
    pub(crate) heard: Option<BranchId>,
    /// How it came, where it is a message that is kept when no phone answers it.
    pub(crate) kept_from: Option<Box<Arrival>>,
    timer: Option<(TimerId, Instant)>,
}

/// What is needed to open a fork.
pub(crate) struct NewFork {
    pub(crate) upstream: Upstream,
    pub(crate) request: Message,
    pub(crate) arrived: Arrived,
    pub(crate) digest: RoutingDigest,
    pub(crate) max_breadth: u32,
    pub(crate) recurse: bool,
    pub(crate) caller: Option<Side>,
    pub(crate) ring_time: Option<Duration>,
    pub(crate) seen: Option<Seen>,
    /// How it came, where it is a message that is kept when no phone answers it.
    pub(crate) kept_from: Option<Box<Arrival>>,
}

impl Fork {
    /// The first Route value with which the request leaves for a target.
    pub(crate) fn first_route<'a>(&'a self, target: &'a Target) -> Option<&'a [u8]> {
        target.routes.first().or(self.arrived.next_route.as_ref()).map(|route| &**route)
    }

    /// The id of the call by which accounts count it; empty for what begins none, and for a call that nobody is told of.
    pub(crate) fn counted_as(&self) -> &str {
        match (&self.upstream, &self.seen) {
            (Upstream::Leg(request), _) => &request.call_id,
            (_, Some(seen)) => &seen.call_id,
            (_, None) => "",
        }
    }

    /// Marks a decision as one about the call that the request is for.
    pub(crate) fn own(&self, decided: Decided) -> Decided {
        match &self.seen {
            Some(seen) => decided.of_call(&seen.call_id),
            None => self.upstream.own(decided),
        }
    }
}

impl NewFork {
    /// A request of Carillon's own: nobody's breadth to divide, nothing recorded, and a redirection is not followed.
    pub(crate) fn of_ours(upstream: Upstream, request: Message, arrived: Arrived) -> Self {
        Self {
            upstream,
            digest: RoutingDigest::of(&request),
            request,
            arrived,
            max_breadth: sip_proxy::MAX_BREADTH,
            recurse: false,
            caller: None,
            ring_time: None,
            seen: None,
            kept_from: None,
        }
    }
}

/// What a client transaction is for.
pub(crate) enum ClientUse {
    /// A branch of a fork.
    Branch(ForkId, BranchId),
    /// An attempt that was given up because nothing came back in time: only a 2xx still counts. RFC 3261 16.7 step 5
    GivenUp(ForkId, BranchId),
    /// A fork that is over; a further 2xx still goes up. RFC 3261 16.7 step 5. With the target of the branch, when somebody
    /// wants to know how its phone is reached.
    Tail(Upstream, Option<Box<Target>>),
}

impl Edge {
    /// Starts to forward a request. The caller has checked that there is room.
    pub(crate) fn open_fork(&mut self, cx: &mut Cx<'_>, new: NewFork, groups: Vec<Group<Target>>) -> ForkId {
        self.last_fork = self.last_fork.next();
        let id = self.last_fork;
        let invite = new.request.method() == Method::Invite;
        let settings = Settings {
            ring_time: new.ring_time.unwrap_or(self.config.ring_timeout),
            max_branches: self.config.limits.branches,
            // what call-control says of a leg is for any leg
            bounds_elsewhere: new.ring_time.is_some(),
            leave_losers: new.request.has_option_tag(HeaderId::RequestDisposition, "no-cancel"),
            ..Settings::default()
        };
        let nature = Nature { invite, breadth: new.max_breadth, recurse: new.recurse };
        let context = ResponseContext::new(cx.now(), settings, nature, groups);
        if let Upstream::Server { key, .. } = &new.upstream {
            self.servers.insert(*key, ServerUse::Fork(id));
        }
        let fork = Box::new(Fork {
            upstream: new.upstream,
            request: new.request,
            arrived: new.arrived,
            digest: new.digest,
            context,
            branches: Vec::new(),
            caller: new.caller,
            cancel_reasons: Vec::new(),
            seen: new.seen.map(Box::new),
            announced: None,
            obstacle: None,
            heard: None,
            kept_from: new.kept_from,
            timer: None,
        });
        self.meters.forks.inc();
        self.see_start(cx, id, &fork);
        if invite {
            self.callers.watch(&fork.upstream, id);
        }
        self.run_fork(cx, id, fork);
        if invite {
            self.await_caller_if_gone(cx, id);
        }
        id
    }

    /// Is there room for another fork?
    pub(crate) fn has_room(&self) -> bool {
        self.forks.len() < self.config.limits.forks
    }

    /// Does something with a fork, then what follows from it.
    pub(crate) fn with_fork(
        &mut self,
        cx: &mut Cx<'_>,
        id: ForkId,
        act: impl FnOnce(&mut Self, &mut Cx<'_>, &mut Fork),
    ) {
        if let Some(mut fork) = self.forks.remove(&id) {
            act(self, cx, &mut fork);
            self.run_fork(cx, id, fork);
        }
    }

    pub(crate) fn take_response(
        &mut self,
        cx: &mut Cx<'_>,
        key: ClientKey,
        mut response: Message,
        arrival: &Arrival,
    ) {
        self.disbelieve_answer(&mut response, arrival);
        match self.clients.get(&key) {
            Some(ClientUse::Branch(id, branch)) => {
                let (id, branch) = (*id, *branch);
                self.with_fork(cx, id, |edge, cx, fork| {
                    if let Some(branch) = fork.branches.get(branch.0 as usize) {
                        edge.note_flow(&mut fork.upstream, Some(&branch.target), &response, arrival);
                    }
                    edge.take_branch_response(cx, id, fork, branch, response);
                });
            }
            Some(ClientUse::GivenUp(id, branch)) if matches!(response.status(), Some(200..=299)) => {
                let (id, branch) = (*id, *branch);
                self.with_fork(cx, id, |edge, cx, fork| {
                    if let Some(branch) = fork.branches.get(branch.0 as usize) {
                        edge.note_flow(&mut fork.upstream, Some(&branch.target), &response, arrival);
                    }
                    edge.take_late_answer(cx, fork, branch, response);
                });
            }
            Some(ClientUse::Tail(upstream, target)) if matches!(response.status(), Some(200..=299)) => {
                let (mut upstream, target) = (upstream.clone(), target.clone());
                self.note_flow(&mut upstream, target.as_deref(), &response, arrival);
                self.forward_up(cx, &upstream, response);
            }
            Some(ClientUse::GivenUp(..) | ClientUse::Tail(..)) | None => {}
        }
    }

    pub(crate) fn take_silence(&mut self, cx: &mut Cx<'_>, key: ClientKey) {
        self.take_branch_failure(cx, key, BranchFailure::Timeout);
    }

    pub(crate) fn take_transport_error(&mut self, cx: &mut Cx<'_>, key: ClientKey) {
        self.take_branch_failure(cx, key, BranchFailure::Transport);
    }

    fn take_branch_failure(&mut self, cx: &mut Cx<'_>, key: ClientKey, failure: BranchFailure) {
        if let Some(ClientUse::Branch(id, branch)) = self.clients.remove(&key) {
            self.with_fork(cx, id, |edge, cx, fork| edge.fail_over(cx, id, fork, branch, failure));
        }
    }

    pub(crate) fn handle_fork_deadline(&mut self, cx: &mut Cx<'_>, id: ForkId) {
        self.with_fork(cx, id, |edge, cx, fork| {
            fork.timer = None;
            let unheard = silent::unheard(fork);
            fork.context.handle_deadline(cx.now());
            edge.avoid_given_up(cx, fork, &unheard);
        });
    }

    /// Carries the outputs of the response context out until there are none, then puts the fork back or ends it.
    fn run_fork(&mut self, cx: &mut Cx<'_>, id: ForkId, mut fork: Box<Fork>) {
        while let Some(output) = fork.context.poll_output() {
            match output {
                Output::Start { branch, target, breadth } => {
                    self.start_branch(cx, id, &mut fork, branch, target, breadth);
                }
                Output::Cancel { branch, cause } => {
                    history::note_cancel(&mut fork, branch, cause);
                    self.cancel_branch(cx, &fork, branch, cause);
                }
                Output::Forward(response) => {
                    self.see_response(cx, &mut fork, &response);
                    let response = history::answered(&fork, response, &self.own);
                    self.forward_up(cx, &fork.upstream, response);
                }
                Output::Fail { best, .. } if is_unread(&fork, &best) => return self.keep(cx, id, *fork),
                Output::Fail { best, challenges } => {
                    self.see_failure(cx, &fork, &best);
                    let best = history::failed(&fork, best, &self.own);
                    self.fail_up(cx, &fork, best, &challenges);
                }
                Output::Redirected { branch, response } => {
                    let (groups, rest) = led_on(&fork, branch, &response, &self.own);
                    rest.into_iter().for_each(|rest| fork.context.keep_rest(rest));
                    fork.context.redirect(cx.now(), branch, groups);
                }
            }
        }
        if fork.context.is_finished() {
            self.end_fork(cx, id, &fork);
        } else {
            self.arm_fork(cx, id, &mut fork);
            self.forks.insert(id, fork);
        }
    }

    fn cancel_branch(&mut self, cx: &mut Cx<'_>, fork: &Fork, branch: BranchId, cause: CancelCause) {
        let Some(key) = fork.branches.get(branch.0 as usize).and_then(|branch| branch.key) else { return };
        self.ring.note(&fork.request, || fork.own(why::branch_cancelled(branch, &cause)));
        // RFC 3326 2: why, in the words of the caller's CANCEL or our own.
        let own: [&[u8]; 1] = [match cause {
            CancelCause::AnsweredElsewhere => b"SIP;cause=200;text=\"Call completed elsewhere\"",
            CancelCause::Declined(600) => b"SIP;cause=600;text=\"Busy Everywhere\"",
            CancelCause::Declined(_) => b"SIP;cause=603;text=\"Declined\"",
            CancelCause::NoAnswer => b"SIP;cause=480;text=\"No answer\"",
            CancelCause::Caller => b"",
        }];
        let reasons: Vec<(&str, &[u8])> = match cause {
            CancelCause::Caller => fork.cancel_reasons.iter().map(|reason| ("Reason", &**reason)).collect(),
            _ => own.iter().map(|reason| ("Reason", *reason)).collect(),
        };
        if cx.cancel(key, &reasons).is_err() {
            // A Reason that does not fit is no reason not to cancel.
            let _ = cx.cancel(key, &[]);
        }
    }

    /// The response context is done: what still comes is a further 2xx to an INVITE at most.
    pub(crate) fn end_fork(&mut self, cx: &mut Cx<'_>, id: ForkId, fork: &Fork) {
        if let Some((timer, _)) = fork.timer {
            cx.cancel_timer(timer);
        }
        self.meters.forks.dec();
        self.see_no_more(fork);
        self.forget_caller(&fork.upstream, id);
        let invite = fork.request.method() == Method::Invite;
        for branch in &fork.branches {
            for key in branch.keys() {
                if invite && self.clients.contains_key(&key) {
                    let target = fork.upstream.wants_flow().then(|| Box::new(branch.target.clone()));
                    self.clients.insert(key, ClientUse::Tail(fork.upstream.clone(), target));
                } else {
                    self.clients.remove(&key);
                }
            }
        }
        match &fork.upstream {
            Upstream::Server { key, .. } => {
                self.servers.remove(key);
            }
            Upstream::Leg(request) => self.legs.end_request(request),
            Upstream::Exchange(_) | Upstream::Nobody => {}
        }
    }

    /// Keeps one timer at or before the next deadline. A deadline that moves away leaves it: it is looked at when the
    /// timer fires.
    fn arm_fork(&mut self, cx: &mut Cx<'_>, id: ForkId, fork: &mut Fork) {
        let Some(deadline) = fork.context.next_deadline() else { return };
        if let Some((timer, at)) = fork.timer {
            if at <= deadline {
                return;
            }
            cx.cancel_timer(timer);
        }
        let after = deadline.saturating_duration_since(cx.now());
        fork.timer = Some((cx.set_timer(after, Timer::Fork(id)), deadline));
    }
}

/// Where a branch that answered with 3xx leads, and what is left of the 3xx for the caller.
fn led_on(
    fork: &Fork,
    branch: BranchId,
    response: &Message,
    own: &Own,
) -> (Vec<Group<Target>>, Option<Message>) {
    if response.status() == Some(305) {
        let Some(answered) = fork.context.target(branch) else { return (Vec::new(), None) };
        let asked = answered.uri.as_deref().unwrap_or_else(|| fork.arrived.request_uri(&fork.request));
        return (plan::by_proxies(response, asked, answered), None);
    }
    let is_called = |uri: &[u8]| fork.branches.iter().any(|of| of.target.uri.as_deref() == Some(uri));
    let (mut groups, rest) = plan::redirection(response, own, is_called);
    lineage::after_redirection(fork, branch, &mut groups);
    (groups, rest)
}
