//! One branch of a fork on its way: where it goes, the copy that goes there, and the next address when it fails.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sip_endpoint::{ClientKey, Destination, Distrust, DnsError, Hop, SendError};
use sip_message::{Edit, HeaderId, Message, Method};
use sip_proxy::{BranchFailure, BranchId, Forwarding};

use super::answered::Answers;
use super::credentials;
use super::diversion;
use super::fork::{ClientUse, Fork, ForkId};
use super::history;
use super::lost_way::note_ringing;
use super::next_hop::{Way, Ways, draw};
use super::obstacle::{Obstacle, says_refused};
use super::privacy;
use super::record_route;
use super::secure::{self, Toward, is_sips};
use super::seized::{Seat, begins_call};
use super::size::may_leave_flow;
use super::target::Target;
use super::upstream::Upstream;
use crate::arrive::asserted;
use crate::capture::why;
use crate::edge::{Completion, Cx, Edge};

/// A branch as the edge runs it.
pub(crate) struct Branch {
    pub(crate) target: Target,
    breadth: u32,
    /// Its client transaction, of the current attempt.
    pub(crate) key: Option<ClientKey>,
    /// The name that led to them, before any SRV. RFC 5922 7.3
    domain: String,
    /// Addresses that are left to try. RFC 3263 4.3
    pub(super) left: VecDeque<Destination>,
    /// Where the current attempt goes, if a name led there, or it is the peer of a trunk.
    pub(super) at: Option<Destination>,
    attempts: u32,
    /// Transactions of attempts that were given up in silence.
    pub(super) given_up: Vec<ClientKey>,
    /// Whether anything came back.
    pub(super) heard: bool,
    /// The status that it ended with, for whoever is tried next.
    pub(crate) outcome: Option<u16>,
    /// The attempt went along the phone's own flow, or to the edge that has it.
    pub(crate) on_flow: bool,
    /// It went to the edge that has it.
    pub(crate) is_relayed: bool,
    /// The way that is left when the edge that has the flow is gone.
    pub(super) beyond: Option<Hop>,
    /// What phones said that ring there.
    pub(super) ringing: Vec<Message>,
    /// The way of the current attempt.
    pub(crate) way: Option<Way>,
    /// Whether it was asked what took the place of its flow.
    pub(super) is_followed: bool,
    /// Whether the list of edges was asked for because of it.
    pub(super) is_sought: bool,
    /// Answers to challenges of its trunk.
    pub(crate) answers: Answers,
    /// The room that it may have at a trunk.
    pub(super) seat: Option<Seat>,
}

impl Branch {
    /// Its transactions: of the current attempt, and of those that were given up.
    pub(crate) fn keys(&self) -> impl Iterator<Item = ClientKey> {
        self.key.iter().chain(&self.given_up).copied()
    }
}

impl Edge {
    pub(crate) fn start_branch(
        &mut self,
        cx: &mut Cx<'_>,
        id: ForkId,
        fork: &mut Fork,
        branch: BranchId,
        mut target: Target,
        breadth: u32,
    ) {
        if !begins_call(fork) {
            target.seize = "".into();
        }
        debug_assert_eq!(
            branch.0 as usize,
            fork.branches.len(),
            "branches begin in the order of their numbers"
        );
        let ways = self.ways_of(cx, fork, &target);
        let at = target.numeric_trunk();
        fork.branches.push(Branch {
            target,
            breadth,
            key: None,
            domain: String::new(),
            left: VecDeque::new(),
            at,
            attempts: 0,
            given_up: Vec::new(),
            heard: false,
            outcome: None,
            on_flow: false,
            is_relayed: false,
            beyond: None,
            ringing: Vec::new(),
            way: None,
            is_followed: false,
            is_sought: false,
            answers: Answers::default(),
            seat: None,
        });
        self.announce(cx, fork, branch);
        self.meters.branches.with_label_values(&[ways.label()]).inc();
        // Where a route or the registrar leads is told by the message, or by the registrar's plan that follows.
        if let Some(Branch { target, .. }) = fork.branches.last()
            && !target.cause.is_empty()
            && !matches!(ways, Ways::LookUp)
        {
            self.ring.note(&fork.request, || fork.own(why::branch_started(branch, target, &ways)));
        }
        self.take_ways(cx, id, fork, branch, ways);
    }

    /// The ways to a target of a fork.
    pub(super) fn ways_of(&self, cx: &mut Cx<'_>, fork: &Fork, target: &Target) -> Ways {
        let next_hop = next_hop(fork, target);
        let uri = target.uri.as_deref().unwrap_or_else(|| fork.arrived.request_uri(&fork.request));
        self.ways(cx, target, next_hop, is_sips(uri) || is_sips(next_hop))
    }

    /// Goes on with a branch.
    pub(super) fn take_ways(
        &mut self,
        cx: &mut Cx<'_>,
        id: ForkId,
        fork: &mut Fork,
        branch: BranchId,
        ways: Ways,
    ) {
        let running = fork.branches.get(branch.0 as usize);
        if running.is_some_and(|running| !self.may_be_led(fork, &running.target)) {
            return self.keep_off(cx, fork, branch);
        }
        match ways {
            Ways::Ready(way) => self.send_branch(cx, id, fork, branch, way),
            Ways::Resolve(target) => {
                if let Some(running) = fork.branches.get_mut(branch.0 as usize) {
                    running.domain.clone_from(&target.host);
                }
                let (dns, transports) = (cx.dns().clone(), cx.transports());
                let draw = draw(&fork.request);
                let work = async move {
                    let found = sip_endpoint::locate(&target, transports, &*dns, draw).await;
                    Completion::Located(id, branch, found)
                };
                if cx.spawn(work).is_err() {
                    self.fail_branch(cx, fork, branch, BranchFailure::Transport);
                }
            }
            Ways::LookUp => self.look_up(cx, id, fork, branch),
            Ways::Wake => self.wake(cx, id, fork, branch),
            Ways::Seize => self.seize(cx, id, fork, branch),
            Ways::InClear => {
                fork.obstacle = Some(Obstacle::EdgeInClear);
                self.fail_branch(cx, fork, branch, BranchFailure::Refused(480));
            }
            Ways::Unproved => {
                let is_secure = asks_for_tls(fork, branch);
                fork.obstacle = Some(Obstacle::Unproved { is_secure });
                let failure = refused_or_next(fork, branch);
                self.fail_branch(cx, fork, branch, failure);
            }
            Ways::Unlisted => self.look_for_edge(cx, id, fork, branch),
            Ways::Failed(failure) => self.lose_way(cx, id, fork, branch, failure),
        }
    }

    /// A branch that is led to the gateway of a trunk, where it may not go.
    pub(super) fn keep_off(&mut self, cx: &mut Cx<'_>, fork: &mut Fork, branch: BranchId) {
        fork.obstacle = Some(Obstacle::AtTrunk);
        let led = fork.context.target(branch).is_some_and(|target| !target.answerable().is_empty());
        // who called is not to blame for where somebody else leads
        self.fail_branch(cx, fork, branch, BranchFailure::Refused(if led { 480 } else { 403 }));
    }

    /// There is no way to a branch.
    pub(super) fn lose_way(
        &mut self,
        cx: &mut Cx<'_>,
        id: ForkId,
        fork: &mut Fork,
        branch: BranchId,
        failure: BranchFailure,
    ) {
        if let (BranchFailure::FlowFailed, Some(failed)) = (failure, fork.branches.get(branch.0 as usize)) {
            self.lose_flow_of_dead(cx, &failed.target);
        }
        if failure != BranchFailure::FlowFailed || !self.follow(cx, id, fork, branch) {
            self.fail_branch(cx, fork, branch, failure);
        }
    }

    /// The addresses of the next hop are known.
    pub(crate) fn take_location(
        &mut self,
        cx: &mut Cx<'_>,
        id: ForkId,
        branch: BranchId,
        result: Result<Vec<Destination>, DnsError>,
    ) {
        self.with_fork(cx, id, |edge, cx, fork| match result {
            Ok(destinations) if edge.asks_about_addresses(fork, branch) => {
                edge.ask_about_addresses(cx, id, fork, branch, destinations);
            }
            Ok(mut destinations) => match edge.keep_off_gateways(fork, branch, &mut destinations) {
                true => edge.try_addresses(cx, id, fork, branch, destinations),
                false => edge.keep_off(cx, fork, branch),
            },
            Err(error) => {
                edge.meters.unlocated.with_label_values(&[error.label()]).inc();
                // RFC 3261 8.1.3.1 and 16.7 would make a bare 500 of it, which says nothing. After a trunk the next one comes.
                let failure = refused_or_next(fork, branch);
                let is_trunk = failure == BranchFailure::Transport;
                let obstacle = match error {
                    DnsError::NoTransport if asks_for_tls(fork, branch) => Obstacle::PhoneInClear,
                    error => Obstacle::NoAddress(error),
                };
                fork.obstacle = fork.obstacle.take().or((!is_trunk).then_some(obstacle));
                edge.fail_branch(cx, fork, branch, failure);
            }
        });
    }

    /// Tries the addresses of the next hop one after the other.
    pub(super) fn try_addresses(
        &mut self,
        cx: &mut Cx<'_>,
        id: ForkId,
        fork: &mut Fork,
        branch: BranchId,
        mut destinations: Vec<Destination>,
    ) {
        self.avoided.put_last(cx.now(), &mut destinations);
        if let Some(running) = fork.branches.get_mut(branch.0 as usize) {
            running.left = destinations.into();
        }
        self.try_next(cx, id, fork, branch, BranchFailure::Transport);
    }

    pub(crate) fn take_branch_response(
        &mut self,
        cx: &mut Cx<'_>,
        id: ForkId,
        fork: &mut Fork,
        branch: BranchId,
        response: Message,
    ) {
        let Some(running) = fork.branches.get_mut(branch.0 as usize) else { return };
        running.heard = true;
        if running.beyond.is_some() {
            note_ringing(running, &response);
        }
        if running.is_relayed && says_refused(&response) {
            let Target { aor, flow, .. } = &running.target;
            self.lose_flow(cx, aor, flow);
        }
        // RFC 5626 5.3: the edge that has the flow has it no more.
        if running.is_relayed && response.status() == Some(430) && self.follow(cx, id, fork, branch) {
            return;
        }
        let Some(running) = fork.branches.get_mut(branch.0 as usize) else { return };
        let is_unavailable = response.status() == Some(503);
        // A phone's 503 comes as 500: it is the edge that serves nobody, and another flow of the device may lead by another one.
        if is_unavailable && running.is_relayed {
            if let Some(key) = running.key.take() {
                self.clients.remove(&key);
            }
            return self.fail_branch(cx, fork, branch, BranchFailure::FlowFailed);
        }
        if let Some(at) = running.at {
            match response.retry_after() {
                Ok(Some(after)) if is_unavailable => {
                    let span = Duration::from_secs(after.seconds.into());
                    self.avoid(cx, at, "unavailable", Some(span));
                }
                Ok(_) | Err(_) => {
                    self.avoided.note_answer(&at);
                    if let Some(name) = running.target.named_trunk() {
                        self.avoided_trunks.note_answer(&*name);
                    }
                }
            }
        }
        if self.ask_for_credentials(cx, id, fork, branch, &response) {
            return;
        }
        let Some(running) = fork.branches.get_mut(branch.0 as usize) else { return };
        // RFC 3263 4.3: a 503 is an address that failed, also when a provisional response came before it.
        if is_unavailable && !running.left.is_empty() {
            running.heard = false;
            if let Some(key) = running.key.take() {
                self.clients.remove(&key);
            }
            self.try_next(cx, id, fork, branch, BranchFailure::Transport);
        } else {
            history::note_response(running, &response);
            if response.status().is_some_and(|status| status >= 300) {
                self.give_seat_back(cx, fork, branch);
            }
            fork.heard = Some(branch);
            fork.context.handle_response(cx.now(), branch, response);
        }
    }

    /// An attempt failed without a final response: the next address, or the end of the branch.
    pub(crate) fn fail_over(
        &mut self,
        cx: &mut Cx<'_>,
        id: ForkId,
        fork: &mut Fork,
        branch: BranchId,
        failure: BranchFailure,
    ) {
        let is_late = failure == BranchFailure::Timeout
            && fork.request.method() != Method::Invite
            && matches!(fork.upstream, Upstream::Server { .. });
        let Some(running) = fork.branches.get_mut(branch.0 as usize) else { return };
        running.key = None;
        if let Some(at) = running.at.filter(|_| !running.heard) {
            let reason = if failure == BranchFailure::Timeout { "timeout" } else { "transport" };
            self.avoid(cx, at, reason, None);
        }
        // RFC 5626 5.3: a flow that fails under a request is one that is not there.
        let failure = match failure {
            BranchFailure::Transport if running.on_flow && running.beyond.is_none() => {
                BranchFailure::FlowFailed
            }
            failure => failure,
        };
        // RFC 4320 4.2: whoever sent this has given up as well, and a further server would answer nobody.
        if running.heard || is_late {
            if failure != BranchFailure::Timeout {
                self.stop_ringing(cx, fork, branch);
            }
            self.fail_branch(cx, fork, branch, failure);
        } else if let (BranchFailure::Transport, Some(hop)) = (failure, running.beyond.take()) {
            self.send_branch(cx, id, fork, branch, Way::along(hop));
        } else if failure != BranchFailure::FlowFailed || !self.follow(cx, id, fork, branch) {
            self.try_next(cx, id, fork, branch, failure);
        }
    }

    /// The server that an attempt led to does not prove the domain; its failure follows.
    pub(crate) fn take_distrusted_server(&mut self, key: ClientKey, why: Distrust) {
        let Some(ClientUse::Branch(id, branch)) = self.clients.get(&key) else { return };
        let Some(fork) = self.forks.get_mut(id) else { return };
        let domain = fork.branches.get(branch.0 as usize).map_or("", |running| &running.domain);
        if !domain.is_empty() {
            fork.obstacle = Some(Obstacle::DistrustedServer(domain.into(), why));
        }
    }

    /// Remembers that a server failed.
    pub(super) fn avoid(&mut self, cx: &Cx<'_>, at: Destination, reason: &str, span: Option<Duration>) {
        self.avoided.note_failure(cx.now(), at, span);
        self.meters.failed_servers.with_label_values(&[reason]).inc();
        self.count_avoided();
    }

    fn count_avoided(&self) {
        let avoided = self.avoided.len() + self.avoided_trunks.len();
        self.meters.avoided.set(i64::try_from(avoided).unwrap_or(i64::MAX));
    }

    /// No address of a branch's server served: a trunk that is given by name is tried after the others for a while.
    fn avoid_named_trunk(&mut self, now: Instant, fork: &Fork, branch: BranchId) {
        let running = fork.branches.get(branch.0 as usize).filter(|running| !running.heard);
        if let Some(name) = running.and_then(|running| running.target.named_trunk()) {
            self.avoided_trunks.note_failure(now, name, None);
            self.count_avoided();
        }
    }

    pub(super) fn try_next(
        &mut self,
        cx: &mut Cx<'_>,
        id: ForkId,
        fork: &mut Fork,
        branch: BranchId,
        failure: BranchFailure,
    ) {
        loop {
            let Some(running) = fork.branches.get_mut(branch.0 as usize) else { return };
            let Some(destination) = running.left.pop_front() else {
                self.avoid_named_trunk(cx.now(), fork, branch);
                if failure == BranchFailure::Transport && fork.obstacle.is_none() {
                    fork.obstacle = not_by_tls(fork, branch);
                }
                return self.fail_branch(cx, fork, branch, failure);
            };
            running.at = Some(destination);
            let toward = Toward { domain: &running.domain, from: &fork.request };
            if let Some(hop) = self.hop_by_uri(cx, destination, Some(toward)) {
                return self.send_branch(cx, id, fork, branch, Way::to(hop));
            }
        }
    }

    pub(crate) fn fail_branch(
        &mut self,
        cx: &mut Cx<'_>,
        fork: &mut Fork,
        branch: BranchId,
        failure: BranchFailure,
    ) {
        let label = match failure {
            BranchFailure::Timeout => "timeout",
            BranchFailure::Transport => "transport",
            BranchFailure::FlowFailed => "flow_failed",
            BranchFailure::Refused(_) => "refused",
        };
        self.meters.failures.with_label_values(&[label]).inc();
        history::note_failure(fork, branch, failure);
        self.give_seat_back(cx, fork, branch);
        self.ring.note(&fork.request, || fork.own(why::branch_failed(branch, label)));
        fork.context.handle_failure(cx.now(), branch, failure);
    }

    pub(crate) fn send_branch(
        &mut self,
        cx: &mut Cx<'_>,
        id: ForkId,
        fork: &mut Fork,
        branch: BranchId,
        way: Way,
    ) {
        let Some(running) = fork.branches.get_mut(branch.0 as usize) else { return };
        let unique = match &fork.upstream {
            Upstream::Server { .. } | Upstream::Nobody => self.names.forwarded(),
            Upstream::Leg(request) => request.branch(branch.0, running.attempts),
            Upstream::Exchange(asker) => asker.branch(branch.0, running.attempts),
        };
        running.attempts += 1;
        running.is_relayed = way.relay.is_some();
        running.on_flow = way.on_flow || running.is_relayed;
        running.beyond = way.beyond;
        running.way = Some(way.clone());
        let uri = running.target.uri.as_deref().unwrap_or_else(|| fork.arrived.request_uri(&fork.request));
        let may_leave = may_leave_flow(&running.target, uri, way.hop);
        let copy = self.copy(cx, fork, branch, &way, &fork.digest.branch(&unique.text()));
        if copy.as_ref().is_some_and(|copy| !secure::may_leave(cx, copy, way.hop)) {
            fork.obstacle = Some(Obstacle::PhoneInClear);
            return self.fail_branch(cx, fork, branch, BranchFailure::Refused(480));
        }
        let sent = match copy {
            Some(copy) if way.on_flow && !may_leave => cx.send_request_on_flow(copy, way.hop),
            Some(copy) => cx.send_request(copy, way.hop),
            None => Err(SendError::NotARequest),
        };
        match sent {
            Ok(key) => {
                self.clients.insert(key, ClientUse::Branch(id, branch));
                if let Some(running) = fork.branches.get_mut(branch.0 as usize) {
                    running.key = Some(key);
                }
                self.bound_silence(cx, id, fork, branch, key);
            }
            // An effect that is carried out twice: the transaction of the first time goes on for both.
            Err(SendError::Duplicate(_)) => {}
            Err(SendError::Full | SendError::NotARequest | SendError::NoBranch | SendError::Unknown) => {
                self.fail_branch(cx, fork, branch, BranchFailure::Transport);
            }
        }
    }

    /// The request as it leaves by this way; `None` when the way is gone or the request does not fit.
    fn copy(&self, cx: &Cx<'_>, fork: &Fork, branch: BranchId, way: &Way, name: &str) -> Option<Message> {
        let running = fork.branches.get(branch.0 as usize)?;
        let target = &running.target;
        let via = cx.via(way.hop, name)?.text();
        let uri = target.uri.as_deref().unwrap_or_else(|| fork.arrived.request_uri(&fork.request));
        let tls = self.tls_form(is_sips(uri) || is_sips(next_hop(fork, target)));
        let record_routes = match &fork.caller {
            Some(caller) => {
                let callee = self.callee_side(cx, &fork.request, target, way)?;
                let mark = self.mark_between(&fork.request, caller, &callee);
                record_route::values(caller, &callee, tls, &mark)
            }
            None => Vec::new(),
        };
        let relay = way.relay.iter().map(|route| self.relay(&fork.request, route));
        let routes: Vec<Bytes> = relay.chain(target.routes.iter().cloned()).collect();
        let forwarding = Forwarding {
            arrived: &fork.arrived,
            request_uri: target.uri.as_deref(),
            routes: &routes,
            record_routes: &record_routes,
            max_breadth: running.breadth,
            via: &via,
        };
        let (transport, sent_by) = way.shown(cx)?;
        let contact = match &fork.upstream {
            Upstream::Leg(leg) => Some(leg.contact(transport, tls, sent_by, &self.mark(&fork.request))),
            Upstream::Exchange(asker) => {
                asker.contact(&fork.request.method(), transport, sent_by, &self.mark(&fork.request))
            }
            Upstream::Server { .. } | Upstream::Nobody => None,
        };
        let contact = contact.filter(|_| has_contact(&fork.request.method()));
        let more = |edit: &mut Edit<'_>| {
            if let Some(contact) = &contact {
                edit.replace_first(HeaderId::Contact, contact);
            }
            privacy::conceal(edit, fork, target, &self.own);
            diversion::add(edit, &fork.request, target, &self.own);
            history::add(edit, fork, branch, &self.own);
            running.answers.add_to(edit);
            // Another edge shows it to its phone, or not.
            if way.relay.is_none() && target.trunk.is_empty() {
                asserted::keep_private(edit, &fork.request);
            }
            if let Upstream::Server { .. } = &fork.upstream {
                credentials::consume(edit, &fork.request, &self.config.realms);
            }
        };
        forwarding.apply(&fork.request, more).ok()
    }
}

/// How a branch fails whose target cannot be found: so that whoever asked hears why, or so that the next trunk is tried.
fn refused_or_next(fork: &Fork, branch: BranchId) -> BranchFailure {
    let target = fork.branches.get(branch.0 as usize).map(|running| &running.target);
    let is_trunk = target.is_some_and(|target| target.cause.starts_with("trunk"));
    if is_trunk { BranchFailure::Transport } else { BranchFailure::Refused(480) }
}

/// Is it by TLS alone that the branch may go on?
fn asks_for_tls(fork: &Fork, branch: BranchId) -> bool {
    fork.branches.get(branch.0 as usize).is_some_and(|running| {
        let target = &running.target;
        let uri = target.uri.as_deref().unwrap_or_else(|| fork.arrived.request_uri(&fork.request));
        is_sips(uri) || is_sips(next_hop(fork, target))
    })
}

/// None of the servers of a domain took a connection, and `sips` leaves no other way than theirs. Which gateways there are is nobody's business.
fn not_by_tls(fork: &Fork, branch: BranchId) -> Option<Obstacle> {
    let Branch { domain, target, .. } = fork.branches.get(branch.0 as usize)?;
    let is_told = !domain.is_empty() && !target.cause.starts_with("trunk") && asks_for_tls(fork, branch);
    is_told.then(|| Obstacle::NotByTls(domain.as_str().into()))
}

/// Whether a request of ours says where its sender is reached, or who is reached by what it asks for: not BYE, PRACK, INFO or MESSAGE.
/// RFC 3261 20, 3262 10, 3428 4, 6086 4.2.2; ALLOCATE draft 3.1
fn has_contact(method: &Method) -> bool {
    method.forms_dialog() || matches!(method, Method::Update | Method::Register | Method::Allocate)
}

/// The URI that decides where the copy for this target goes.
fn next_hop<'a>(fork: &'a Fork, target: &'a Target) -> &'a [u8] {
    if let Some(route) = fork.first_route(target) {
        return sip_message::NameAddr::parse(route).map_or(route, |address| address.uri);
    }
    target.uri.as_deref().unwrap_or_else(|| fork.arrived.request_uri(&fork.request))
}
