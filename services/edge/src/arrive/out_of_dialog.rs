//! A request outside a dialog: one question to the registrar, and its plan carried out.

use std::net::IpAddr;
use std::time::Instant;

use cluster_api::registrar::v1::{self as api, route_response::Plan};
use cluster_api::sip::v1 as sip_api;
use sip_endpoint::{Arrival, Hop, ServerKey};
use sip_message::{HeaderId, Message, Method, NameAddr};
use sip_proxy::{Arrived, BranchFailure, BranchId, Group, RoutingDigest};
use tonic::Status;

use super::sources::{Fate, fate_of};
use super::toward_gateway::Leads;
use super::unread::may_be_kept;
use crate::answer::pairs;
use crate::capture::why;
use crate::edge::{Completion, Cx, Edge, ServerUse};
use crate::flow_token::FlowToken;
use crate::forward::fork::{Fork, ForkId, NewFork};
use crate::forward::history;
use crate::forward::lineage;
use crate::forward::obstacle::Obstacle;
use crate::forward::plan;
use crate::forward::record_route::{self, Side};
use crate::forward::secure::is_secure_number;
use crate::forward::target::{LookUp, Target};
use crate::forward::upstream::Upstream;
use crate::legs::begin::Begun;
use crate::reject::Reject;
use crate::report::text;
use crate::seen::Seen;

/// Where credentials stand: those for a server, those for a proxy.
const CREDENTIALS: [HeaderId; 2] = [HeaderId::Authorization, HeaderId::ProxyAuthorization];

/// A request that waits for a decision.
pub(crate) struct Pending {
    pub(crate) key: ServerKey,
    pub(crate) request: Message,
    pub(crate) arrived: Arrived,
    pub(crate) digest: RoutingDigest,
    pub(crate) max_breadth: u32,
    pub(crate) arrival: Arrival,
    /// What it tells of its call.
    pub(crate) seen: Option<Seen>,
    /// It is an INVITE or REFER to the Contact of a leg of call-control, outside its dialog.
    pub(crate) is_to_leg: bool,
    /// Where it is led within its dialog.
    pub(crate) leads: Leads,
}

/// What the registrar says of where a request came from.
struct FromTrunk {
    /// The peer of a trunk.
    is_one: bool,
    /// The trunk whose challenges can be answered; empty for none.
    challenger: String,
}

impl Edge {
    /// Asks the registrar where the request goes.
    pub(crate) fn decide(&mut self, cx: &mut Cx<'_>, mut pending: Pending) {
        let uri = text(pending.arrived.request_uri(&pending.request));
        let mut question = self.question(&pending.request, uri, Some(&pending.arrival));
        question.to_leg = pending.is_to_leg;
        question.at_gateway = pending.leads == Leads::ToAnotherNumber;
        let next_route = pending.arrived.next_route.as_deref();
        question.next_route = next_route.map_or(String::new(), uri_of_route);
        question.secure = is_secure_number(&question.request_uri, &pending.request, &pending.arrived);
        if !question.in_dialog && !pending.is_to_leg {
            pending.seen = Seen::begins(&pending.request);
            question.call_id = pending.seen.as_ref().map_or(String::new(), |seen| seen.call_id.to_string());
        }
        let location = self.deps.location.clone();
        let (key, request) = (pending.key, pending.request.clone());
        let pending = Box::new(pending);
        let work = async move {
            let answer = location.route(question).await;
            Completion::Routed(pending, answer)
        };
        if cx.spawn(work).is_err() {
            self.reject(cx, key, &request, &Reject::Full);
        }
    }

    /// The registrar has decided.
    pub(crate) fn take_plan(
        &mut self,
        cx: &mut Cx<'_>,
        pending: Pending,
        result: Result<api::RouteResponse, Status>,
    ) {
        if let Ok(response) = &result {
            let is_known = self.is_known(&pending, &response.identity);
            let fate = match fate_of(response, is_known) {
                Fate::Challenged if CREDENTIALS.iter().any(|id| pending.request.has(*id)) => Fate::Refused,
                fate => fate,
            };
            self.note_fate(cx, &pending.arrival, fate);
        }
        // Cancelled or ended meanwhile: it was answered.
        if self.servers.get(&pending.key) != Some(&ServerUse::Deciding) {
            return;
        }
        let response = match result {
            Ok(response) => response,
            Err(_) => return self.reject(cx, pending.key, &pending.request, &self.decision_unavailable()),
        };
        let Some(plan) = response.plan else {
            return self.reject(cx, pending.key, &pending.request, &Reject::Internal);
        };
        self.meters.plans.with_label_values(&[label(&plan)]).inc();
        self.ring.note(&pending.request, || why::planned(&plan, &response.identity));
        let is_known = self.is_known(&pending, &response.identity);
        if is_known {
            cx.keep(pending.arrival.flow);
        }
        self.trunk_addresses = response.trunk_addresses;
        let from_trunk = FromTrunk {
            // whoever is trusted is not told from a trunk by the registrar, and one behind the same address who proves to be a user is none
            is_one: response.from_trunk
                || (response.identity.is_empty() && self.is_trusted_gateway(&pending.arrival)),
            challenger: response.trunk,
        };
        match plan {
            Plan::Challenge(challenge) => self.challenge(cx, &pending, &challenge),
            Plan::Refuse(refuse) => {
                let status = refuse.status.clamp(400, 699) as u16;
                let answer = (status, refuse.reason.as_str());
                self.conclude(cx, &pending, answer, is_known, pairs(&refuse.headers));
            }
            // A registrar that does not know yet what a leg is
            Plan::Fork(_) | Plan::Relay(_) | Plan::Redirect(_) if pending.is_to_leg => {
                self.reject(cx, pending.key, &pending.request, &self.decision_unavailable());
            }
            Plan::Redirect(redirect) => {
                let status = redirect.status.clamp(300, 399) as u16;
                let contacts = redirect.contacts.iter().map(|contact| ("Contact", contact.as_str()));
                self.conclude(cx, &pending, (status, ""), is_known, contacts);
            }
            // It would have passed but for its sender's name or its dialog's age, and its sender is known now. RFC 4916, PXY-27
            Plan::Fork(_) | Plan::Relay(_)
                if is_known
                    && in_dialog(&pending.request)
                    && self.is_along_dialog(&pending.request, &pending.arrived) =>
            {
                self.resume(cx, pending);
            }
            // A Route further on is obeyed, but only for somebody we know: we relay for nobody else. PXY-27
            Plan::Fork(_) if pending.arrived.next_route.is_some() => {
                if !is_known {
                    return self.reject(cx, pending.key, &pending.request, &Reject::RelayingDenied);
                }
                let groups = vec![plan::only(Target::of_uri(None))];
                self.fork_to(cx, pending, &from_trunk, groups, false);
            }
            Plan::Fork(fork) => {
                let recurse = fork.recurse;
                let mut groups = plan::groups(fork);
                self.put_failed_trunks_last(cx.now(), &mut groups);
                lineage::of_request(&pending, &mut groups);
                self.fork_to(cx, pending, &from_trunk, groups, recurse);
            }
            Plan::Relay(api::Relay {}) => {
                let target = Target::of_uri(None);
                self.fork_to(cx, pending, &from_trunk, vec![plan::only(target)], false);
            }
            Plan::CallControl(_) if !self.begun.enter(pending.key, &pending.request) => {
                self.reject(cx, pending.key, &pending.request, &Reject::Merged);
            }
            Plan::CallControl(_) if pending.is_to_leg && pending.request.method() == Method::Refer => {
                self.take_refer_aside(cx, pending, response.identity);
            }
            Plan::CallControl(handed) => {
                let begun = Begun { identity: response.identity, counted_as: response.call_id, handed };
                self.begin_call(cx, pending, begun);
            }
            Plan::Lend(api::LendNumber {}) => self.ask_for_number(cx, pending, response.identity),
            Plan::Presence(api::HandToPresence { nobody }) => {
                self.hand_to_presence(cx, pending, response.identity, nobody);
            }
        }
    }

    fn fork_to(
        &mut self,
        cx: &mut Cx<'_>,
        pending: Pending,
        from_trunk: &FromTrunk,
        groups: Vec<Group<Target>>,
        recurse: bool,
    ) {
        if !self.has_room() {
            return self.reject(cx, pending.key, &pending.request, &Reject::Full);
        }
        let kept_from = may_be_kept(&pending.request, &groups).then(|| Box::new(pending.arrival));
        let is_bound = kept_from.is_some();
        let caller = self.caller_side(cx, &pending, from_trunk);
        let seen = pending.seen.filter(|_| self.has_room_for_report());
        let upstream = Upstream::Server { key: pending.key, hop: pending.arrival.hop };
        let new = NewFork {
            upstream,
            request: pending.request,
            arrived: pending.arrived,
            digest: pending.digest,
            max_breadth: pending.max_breadth,
            recurse,
            caller,
            ring_time: None,
            seen,
            kept_from,
        };
        let fork = self.open_fork(cx, new, groups);
        if is_bound {
            self.bound_message(cx, fork);
        }
    }

    /// The caller's side of the Record-Route, for requests that can form a dialog. PXY-12
    fn caller_side(&self, cx: &Cx<'_>, pending: &Pending, from_trunk: &FromTrunk) -> Option<Side> {
        if in_dialog(&pending.request) || !pending.request.method().forms_dialog() {
            return None;
        }
        let flow = pending.arrival.flow;
        let token = record_route::needs_flow(&pending.request, &pending.arrival, &self.own)
            .then(|| self.token(&pending.arrival));
        let at = pending.arrival.source.ip().to_canonical();
        let trunk = self.trunk_at(&pending.request, &from_trunk.challenger, Some(at));
        let contact = pending.request.contacts().next().and_then(Result::ok);
        let number = || contact.map_or(String::new(), |contact| record_route::number_of(contact.uri));
        let gateway = from_trunk.is_one.then(number);
        let sent_by = cx.sent_by(flow)?.to_owned();
        Some(Side { transport: pending.arrival.transport, sent_by, token, trunk, gateway })
    }

    /// The flow by which the sender of a request is reached later. Empty when its Contact or its route leads there, and when a
    /// request inside a dialog does not say.
    pub(crate) fn flow_to_sender(&self, request: &Message, arrival: &Arrival) -> String {
        let says = request.has(HeaderId::Contact) || !in_dialog(request);
        if says && record_route::needs_flow(request, arrival, &self.own) {
            self.token(arrival)
        } else {
            String::new()
        }
    }

    /// The token of the flow that something came by.
    pub(crate) fn token(&self, arrival: &Arrival) -> String {
        self.cluster.seal(&FlowToken {
            edge_id: self.config.id.clone(),
            epoch: self.config.epoch,
            hop: arrival.flow,
            phone: arrival.transport.is_reliable().then_some((arrival.transport, arrival.source)),
            is_named: false,
        })
    }

    // RFC 3261 22.2, 22.3; the sender has not shown that it owns its address: nothing is remembered of it (26.3.2.4).
    fn challenge(&mut self, cx: &mut Cx<'_>, pending: &Pending, challenge: &api::Challenge) {
        self.servers.remove(&pending.key);
        let (status, name) = match challenge.of_server {
            true => (401, "WWW-Authenticate"),
            false => (407, "Proxy-Authenticate"),
        };
        let headers: Vec<_> = challenge.challenges.iter().map(|value| (name, value.as_str())).collect();
        let room = Self::room(cx, pending.key, &pending.request);
        match self.answer_within(room, &pending.request, (status, ""), &headers) {
            Ok(Some(response)) => self.respond_once(cx, pending.key, response),
            Ok(None) => self.stay_silent(cx, pending.key),
            Err(_) => self.meters.dropped.with_label_values(&["response"]).inc(),
        }
    }

    fn conclude<'h>(
        &mut self,
        cx: &mut Cx<'_>,
        pending: &Pending,
        (status, reason): (u16, &str),
        is_known: bool,
        headers: impl Iterator<Item = (&'h str, &'h str)>,
    ) {
        let (request, key) = (&pending.request, pending.key);
        let history = history::of_refusal(request, pending.arrived.request_uri(request), status);
        let history = history.iter().map(|entry| (HeaderId::HistoryInfo.as_str(), entry.as_str()));
        let mut headers: Vec<(&str, &str)> = headers.collect();
        headers.extend(history);
        let room = if is_known { usize::MAX } else { Self::room(cx, key, request) };
        match self.answer_within(room, request, (status, reason), &headers) {
            Ok(Some(response)) => {
                self.servers.remove(&key);
                if !is_known && Self::is_answered_once(cx, key, request) {
                    self.respond_once(cx, key, response);
                } else {
                    self.respond(cx, key, response);
                }
            }
            Ok(None) => self.stay_silent(cx, key),
            Err(_) => self.reject(cx, pending.key, &pending.request, &Reject::Internal),
        }
    }

    /// Asks the registrar about a branch whose target is an address of a domain of ours.
    pub(crate) fn look_up(&mut self, cx: &mut Cx<'_>, id: ForkId, fork: &mut Fork, branch: BranchId) {
        let target = fork.context.target(branch).and_then(|target| target.uri.clone());
        let uri = text(target.as_deref().unwrap_or_else(|| fork.arrived.request_uri(&fork.request)));
        let mut question = self.question(&fork.request, uri, None);
        question.forwards += lineage::forwards(fork, branch);
        question.trunk = fork.upstream.trunk().to_owned();
        question.on_behalf_of = fork.upstream.on_behalf_of().to_owned();
        let answerable = fork.context.target(branch).map(|target| target.answerable().as_ref());
        question.led_by = answerable.unwrap_or_default().to_owned();
        question.referred_by = fork.upstream.referred_by().to_owned();
        question.call_id = fork.counted_as().to_owned();
        let route = fork.context.target(branch).and_then(|target| target.routes.first());
        question.next_route = route.map_or(String::new(), |route| uri_of_route(route));
        question.secure = is_secure_number(&question.request_uri, &fork.request, &fork.arrived);
        let location = self.deps.location.clone();
        let work = async move {
            let answer = location.route(question).await;
            Completion::LookedUp(id, branch, answer)
        };
        if cx.spawn(work).is_err() {
            fork.context.handle_failure(cx.now(), branch, BranchFailure::Refused(503));
        }
    }

    /// The registrar has decided about a branch: its targets take the branch's place.
    pub(crate) fn take_lookup(
        &mut self,
        cx: &mut Cx<'_>,
        id: ForkId,
        branch: BranchId,
        result: Result<api::RouteResponse, Status>,
    ) {
        self.with_fork(cx, id, |edge, cx, fork| {
            let now = cx.now();
            if let Ok(response) = &result {
                edge.trunk_addresses = response.trunk_addresses;
            }
            let plan = result.ok().and_then(|response| response.plan);
            if let Some(plan) = &plan {
                edge.ring.note(&fork.request, || fork.upstream.own(why::planned(plan, "")));
            }
            match plan {
                // ALC-10: its To would show the number to who rings
                Some(Plan::Fork(found)) if fork.upstream.is_leg() && plan::callee(&found).is_some() => {
                    fork.obstacle = plan::callee(&found).map(|callee| Obstacle::Lent(callee.into()));
                    fork.context.handle_failure(now, branch, BranchFailure::Refused(404));
                }
                Some(Plan::Fork(found)) => {
                    let mut groups = plan::groups(found);
                    edge.put_failed_trunks_last(now, &mut groups);
                    lineage::looked_up(fork, branch, &mut groups);
                    fork.context.redirect(now, branch, groups);
                }
                Some(Plan::Relay(api::Relay {})) => {
                    let asked = fork.context.target(branch);
                    let uri = asked.and_then(|target| target.uri.clone());
                    let routes = asked.map(|target| target.routes.clone()).unwrap_or_default();
                    let mut groups = vec![plan::only(Target { routes, ..Target::of_uri(uri) })];
                    lineage::looked_up(fork, branch, &mut groups);
                    fork.context.redirect(now, branch, groups);
                }
                Some(Plan::Refuse(refuse)) => {
                    let status = refuse.status.clamp(400, 699) as u16;
                    if refuse.headers.iter().any(|header| header.value.starts_with("380 ")) {
                        fork.obstacle = Some(Obstacle::PhoneInClear);
                    }
                    fork.context.handle_failure(now, branch, BranchFailure::Refused(status));
                }
                // A redirection that the registrar itself decided on is followed: the target was ours to resolve.
                Some(Plan::Redirect(redirect)) => {
                    let mut groups = plan::contact_groups(redirect.contacts.iter().map(String::as_bytes));
                    lineage::after_redirection(fork, branch, &mut groups);
                    // nobody has looked yet at where these lead
                    let targets = groups.iter_mut().flat_map(|group| &mut group.targets);
                    targets.for_each(|target| target.look_up = LookUp::First);
                    let uri = fork.context.target(branch).and_then(|target| target.uri.clone());
                    lineage::led_by(&text(uri.as_deref().unwrap_or_default()), &mut groups);
                    fork.context.redirect(now, branch, groups);
                }
                // Nobody can be asked for credentials on the way, and a call within a call is not begun.
                Some(Plan::Challenge(_) | Plan::CallControl(_) | Plan::Presence(_) | Plan::Lend(_)) => {
                    fork.context.handle_failure(now, branch, BranchFailure::Refused(403));
                }
                None => fork.context.handle_failure(now, branch, BranchFailure::Refused(503)),
            }
        });
    }

    fn put_failed_trunks_last(&mut self, now: Instant, groups: &mut [Group<Target>]) {
        plan::put_failed_trunks_last(groups, &mut self.avoided, &mut self.avoided_trunks, now);
    }

    /// What the registrar needs to know of a request. Without an arrival it is a question of our own: authorised before.
    pub(crate) fn question(
        &self,
        request: &Message,
        request_uri: String,
        arrival: Option<&Arrival>,
    ) -> api::RouteRequest {
        let uri_of =
            |address: Result<NameAddr<'_>, _>| address.map_or(String::new(), |address| text(address.uri));
        // What presence answers itself is proved to it, not to a proxy.
        let may_be_served = matches!(request.method(), Method::Subscribe | Method::Publish);
        let preferences = [HeaderId::AcceptContact, HeaderId::RejectContact, HeaderId::RequestDisposition];
        let headers = preferences.into_iter().flat_map(|id| request.all(id).map(move |value| (id, value)));
        api::RouteRequest {
            method: request.method_str().to_owned(),
            request_uri,
            from_uri: uri_of(request.from()),
            to_uri: uri_of(request.to()),
            sip_call_id: request.call_id().map_or(String::new(), text),
            cseq: request.cseq().map_or(0, |cseq| cseq.number),
            authorization: match may_be_served {
                true => request.all(HeaderId::Authorization).map(text).collect(),
                false => Vec::new(),
            },
            proxy_authorization: request.all(HeaderId::ProxyAuthorization).map(text).collect(),
            body: digested_body(request, if may_be_served { &CREDENTIALS } else { &CREDENTIALS[1..] }),
            source: arrival.map(|arrival| self.source(arrival)),
            internal: arrival.is_none(),
            trunk: String::new(),
            preferences: headers
                .map(|(id, value)| sip_api::Header { name: id.as_str().to_owned(), value: text(value) })
                .collect(),
            event: request.first(HeaderId::Event).map_or(String::new(), text),
            in_dialog: in_dialog(request),
            forwards: lineage::forwards_before(request),
            call_id: String::new(),
            to_leg: false,
            on_behalf_of: String::new(),
            led_by: String::new(),
            referred_by: String::new(),
            next_route: String::new(),
            secure: false,
            addresses: Vec::new(),
            at_gateway: false,
        }
    }

    /// Where a request came from, for another service.
    pub(crate) fn source(&self, arrival: &Arrival) -> sip_api::Source {
        let transport = arrival.transport.as_str().to_ascii_lowercase();
        sip_api::Source::new(&transport, arrival.source, self.is_trusted(arrival))
    }

    /// Has the sender proved to be somebody, or is it trusted to be?
    fn is_known(&self, pending: &Pending, identity: &str) -> bool {
        !identity.is_empty() || self.is_trusted(&pending.arrival)
    }

    fn is_trusted_gateway(&self, arrival: &Arrival) -> bool {
        self.cluster.gateways.has(arrival.source.ip()) && self.is_trusted(arrival)
    }

    pub(crate) fn is_trusted(&self, arrival: &Arrival) -> bool {
        self.is_trusted_at(arrival.source.ip(), arrival.flow)
    }

    /// Is a neighbour at this address, or at the end of this connection, trusted?
    pub(crate) fn is_trusted_at(&self, source: IpAddr, flow: Hop) -> bool {
        self.config.trusted.iter().any(|network| network.contains(source)) || self.proved.is_trusted(flow)
    }
}

/// The URI of a Route value.
fn uri_of_route(route: &[u8]) -> String {
    text(NameAddr::parse(route).map_or(route, |address| address.uri))
}

/// Does the request say that it belongs to a dialog?
pub(super) fn in_dialog(request: &Message) -> bool {
    request.checked_party(HeaderId::To).is_some_and(|to| to.tag().is_some())
}

fn label(plan: &Plan) -> &'static str {
    match plan {
        Plan::Challenge(_) => "challenge",
        Plan::Refuse(_) => "refuse",
        Plan::Redirect(_) => "redirect",
        Plan::Fork(_) => "fork",
        Plan::Relay(_) => "relay",
        Plan::CallControl(_) => "call_control",
        Plan::Presence(_) => "presence",
        Plan::Lend(_) => "lend",
    }
}

/// The body, when the credentials say that it is part of their digest (qop=auth-int); nobody else needs it.
pub(crate) fn digested_body(request: &Message, credentials: &[HeaderId]) -> bytes::Bytes {
    let covers = |value: &[u8]| value.windows(8).any(|word| word.eq_ignore_ascii_case(b"auth-int"));
    if credentials.iter().any(|id| request.all(*id).any(covers)) {
        request.body_bytes()
    } else {
        bytes::Bytes::new()
    }
}
