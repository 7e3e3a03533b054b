//! The transaction user: everything the endpoint reports is sent to its place from here.
//!
//! | what comes | goes to |
//! |---|---|
//! | a request along a route of ours, or inside a dialog | `arrive/along_route.rs`: no rpc |
//! | a request to a leg of call-control (`cc.CALL.LEG@…`) | `legs/` |
//! | a NOTIFY to a callback of call-control (`cb.CALLBACK@…`) | `arrive/notified.rs` |
//! | REGISTER for a domain of ours | `arrive/register.rs` |
//! | another request to the edge itself | `arrive/admission.rs`, `arrive/options.rs` |
//! | another request | `arrive/out_of_dialog.rs`: one rpc, then `forward/fork.rs` |
//! | ACK, CANCEL | `forward/ack_and_cancel.rs` |
//! | a response, a failure, a timer of a branch | `forward/fork.rs`; what it tells of a call: `seen/` |

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use cluster_api::callcontrol::v1 as calls_api;
use cluster_api::edge::v1 as edge_api;
use cluster_api::presence::v1 as presence_api;
use cluster_api::registrar::v1 as registrar_api;
use hashbrown::HashMap;
use sip_endpoint::{
    Arrival, CancelTarget, ClientKey, Context, Destination, Distrust, DnsError, Failure, FlowEnd, FlowId,
    Hop, ServerKey, TimerId, TransactionUser, Transport, Witness,
};
use sip_message::Message;
use sip_proxy::{BranchId, Own};
use tonic::Status;

use crate::answer::LocalTags;
use crate::arrive::allocate::Asking;
use crate::arrive::along_route::Stray;
use crate::arrive::early::Early;
use crate::arrive::merged::Begun;
use crate::arrive::notified::Notified;
use crate::arrive::out_of_dialog::Pending;
use crate::arrive::presence::Handing;
use crate::arrive::proved::Proved;
use crate::arrive::register::Registering;
use crate::arrive::registered::Registered;
use crate::arrive::sources::Sources;
use crate::capture::Ring;
use crate::cluster::{Cluster, Sibling};
use crate::config::Config;
use crate::deps::Deps;
use crate::exchange::{Exchanges, Reply};
use crate::forward::answered::Challenged;
use crate::forward::ask_again::Unanswered;
use crate::forward::asleep::Waking;
use crate::forward::astray_cancel::Asked;
use crate::forward::avoided::Avoided;
use crate::forward::branch_name::BranchNames;
use crate::forward::callers::Callers;
use crate::forward::fork::{ClientUse, Fork, ForkId};
use crate::forward::moved::{Following, Moved};
use crate::forward::off_limits::OffLimits;
use crate::legs::{self, Legs};
use crate::operate::leaving::Leaving;
use crate::operate::meters::Meters;
use crate::operate::operation::InHand;
use crate::operate::pressure::Pressure;
use crate::seen::{Reported, SeenCalls};

/// What is left of a drain: requests that are being answered or forwarded, and legs with something under way. Not what only
/// absorbs repetitions for 64*T1, nor dialogs in which nothing happens: any other edge, or the next life of this one, answers
/// what still comes.
pub(crate) const IN_HAND: &str = "requests and calls";

pub(crate) type Cx<'a> = Context<'a, Edge>;

/// The edge as the endpoint's user.
pub(crate) struct Edge {
    pub(crate) config: Arc<Config>,
    pub(crate) own: Own,
    pub(crate) deps: Deps,
    pub(crate) cluster: Cluster,
    pub(crate) early: Early,
    pub(crate) off_limits: OffLimits,
    pub(crate) proved: Proved,
    pub(crate) registered: Registered,
    pub(crate) asked: Asked,
    pub(crate) meters: Meters,
    pub(crate) tags: LocalTags,
    pub(crate) names: BranchNames,
    pub(crate) servers: HashMap<ServerKey, ServerUse>,
    pub(crate) clients: HashMap<ClientKey, ClientUse>,
    pub(crate) forks: HashMap<ForkId, Box<Fork>>,
    pub(crate) last_fork: ForkId,
    pub(crate) callers: Callers,
    pub(crate) unanswered: Unanswered,
    /// Servers found by name that failed.
    pub(crate) avoided: Avoided,
    /// Trunks by whose names none served.
    /// Whether the registrar said last that peers of trunks are known by address.
    pub(crate) trunk_addresses: bool,
    pub(crate) avoided_trunks: Avoided<Box<str>>,
    pub(crate) moved: Moved,
    pub(crate) legs: Legs,
    pub(crate) begun: Begun,
    pub(crate) sources: Sources,
    pub(crate) exchanges: Exchanges,
    pub(crate) ring: Arc<Ring>,
    pub(crate) pressure: Pressure,
    pub(crate) leaving: Option<Leaving>,
    pub(crate) seen: SeenCalls,
    /// Branches whose phones are being woken.
    pub(crate) held: usize,
}

/// What a server transaction is waiting for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ServerUse {
    /// A decision of another service.
    Deciding,
    /// Its branches.
    Fork(ForkId),
    /// Call-control, for this call.
    Leg(Arc<str>),
}

/// Results of asynchronous work.
pub(crate) enum Completion {
    /// The registrar answered a REGISTER.
    Registered(Box<Registering>, Result<registrar_api::RegisterResponse, Status>),
    /// The registrar was told of connections that ended.
    FlowsEnded(Result<registrar_api::EndFlowsResponse, Status>),
    /// The registrar decided about a request.
    Routed(Box<Pending>, Result<registrar_api::RouteResponse, Status>),
    /// The registrar decided about a further target of a request.
    LookedUp(ForkId, BranchId, Result<registrar_api::RouteResponse, Status>),
    /// Whether a branch may go to the addresses that DNS says.
    Cleared(ForkId, BranchId, Vec<Destination>, Result<registrar_api::RouteResponse, Status>),
    /// The registrar answered the challenge of a trunk.
    Answered(Box<Challenged>, Result<registrar_api::AnswerChallengeResponse, Status>),
    /// The registrar said how far the waking of a phone is.
    Woken(Box<Waking>, Result<registrar_api::WakeResponse, Status>),
    /// The registrar said whether the trunk of a branch has room.
    Seized(ForkId, BranchId, Result<registrar_api::SeizeTrunkResponse, Status>),
    /// The registrar was told that a branch needs no room any more, and heard it.
    Released(bool),
    /// The registrar said what took the place of a flow.
    Followed(Box<Following>, Result<registrar_api::WakeResponse, Status>),
    /// The list of edges was asked for because of a branch, and has come since or not.
    Listed(ForkId, BranchId, bool),
    /// The host of a branch's next hop was resolved.
    Located(ForkId, BranchId, Result<Vec<Destination>, DnsError>),
    /// The host of a message's next hop was resolved that goes outside any transaction.
    StrayLocated(Box<Stray>, Result<Vec<Destination>, DnsError>),
    /// The registrar said where the peer of such a message is.
    StrayLookedUp(Box<Stray>, Result<registrar_api::RouteResponse, Status>),
    /// Call-control answered a NOTIFY.
    Notified(Box<Notified>, Result<calls_api::NotifyResponse, Status>),
    /// The registrar said what took the place of the flow of such a message.
    StrayFollowed(Box<Stray>, Result<registrar_api::WakeResponse, Status>),
    /// Presence answered a request.
    Handled(Box<Handing>, Result<presence_api::HandleResponse, Status>),
    /// The registrar answered an ALLOCATE.
    Lent(Box<Asking>, Result<registrar_api::AllocateResponse, Status>),
    /// Work for the legs.
    Leg(legs::Completion),
    /// Call-control was told of proxied calls.
    Reported(Reported),
}

/// What a timer means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Timer {
    /// A deadline of a response context.
    Fork(ForkId),
    /// The caller of this request has been without a connection for a while.
    Caller(ForkId),
    /// Ask again for a phone that sleeps.
    Wake(Box<Waking>),
    /// Ask again what took the place of a flow.
    Follow(Box<Following>),
    /// A deadline of the legs.
    Leg(legs::Timer),
    /// Tell call-control of proxied calls.
    Report,
    /// Tell the registrar of connections that ended.
    EndedFlows,
    /// Ask the registrar about this branch again.
    AskAgain(ForkId, BranchId),
    /// This attempt of a branch may not be silent any longer.
    Silent(ForkId, BranchId, ClientKey),
    /// No phone has answered this message.
    Unread(ForkId),
    /// This request has waited for the first lease as long as it may.
    Early(u64),
    /// The next connections of a drain are to end.
    LetGo,
    /// Nobody asks for the answer of this exchange any more.
    ForgetExchange(Arc<str>),
}

/// What other tasks ask of the edge.
pub(crate) enum Command {
    /// Carry an effect of a call out.
    Carry(Box<edge_api::CarryRequest>, tokio::sync::oneshot::Sender<Result<(), Status>>),
    /// The list of members has changed.
    Learn,
    /// The drain began: say from now on how much is left.
    Drain,
    /// Send a request and tell how it ended.
    Exchange(Box<edge_api::ExchangeRequest>, Reply),
    /// End an INVITE that is being proxied.
    CancelProxied(
        edge_api::CancelProxiedRequest,
        tokio::sync::oneshot::Sender<Result<edge_api::CancelProxiedResponse, Status>>,
    ),
    /// Tell how much there is in hand.
    CountInHand(tokio::sync::oneshot::Sender<InHand>),
}

impl TransactionUser for Edge {
    type Completion = Completion;
    type Timer = Timer;
    type Command = Command;

    fn on_request(&mut self, cx: &mut Cx<'_>, key: ServerKey, request: Message, arrival: &Arrival) {
        self.learn_members(cx);
        self.note_load(cx);
        if self.is_of_scanner(&request, arrival) {
            return self.ignore(cx, key, "scanner");
        }
        self.take_request(cx, key, request, arrival);
    }

    fn on_ack(&mut self, cx: &mut Cx<'_>, key: Option<ServerKey>, ack: Message, _: &Arrival) {
        self.learn_members(cx);
        self.take_ack(cx, key, ack);
    }

    fn on_cancel(
        &mut self,
        cx: &mut Cx<'_>,
        key: ServerKey,
        target: CancelTarget,
        cancel: Message,
        arrival: &Arrival,
    ) {
        self.learn_members(cx);
        self.take_cancel(cx, key, target, cancel, arrival);
    }

    fn on_response(&mut self, cx: &mut Cx<'_>, key: ClientKey, response: Message, arrival: &Arrival) {
        self.take_response(cx, key, response, arrival);
    }

    fn on_failure(&mut self, cx: &mut Cx<'_>, failure: Failure) {
        match failure {
            Failure::TimedOut(key) => self.take_silence(cx, key),
            Failure::NotSent(key) => self.take_transport_error(cx, key),
            // RFC 6026 8.8: the transaction lives on, and a repetition of the request gets the answer again.
            Failure::NotAnswered(_) => self.meters.dropped.with_label_values(&["response"]).inc(),
            Failure::AckTimedOut(_) => self.meters.dropped.with_label_values(&["ack_missing"]).inc(),
        }
    }

    fn on_refused(&mut self, cx: &mut Cx<'_>, key: ClientKey) {
        self.take_refusal(cx, key);
    }

    fn on_distrusted_server(&mut self, _: &mut Cx<'_>, key: ClientKey, why: Distrust) {
        self.take_distrusted_server(key, why);
    }

    fn on_server_ended(&mut self, _: &mut Cx<'_>, key: ServerKey) {
        self.begun.forget(key);
        self.legs.forget_caller(key);
        if let Some(ServerUse::Leg(call)) = self.servers.remove(&key) {
            self.legs.forget_served(&call, key);
        }
    }

    fn on_client_ended(&mut self, _: &mut Cx<'_>, key: ClientKey) {
        self.clients.remove(&key);
    }

    fn on_flow_opened(&mut self, cx: &mut Cx<'_>, flow: FlowId) {
        self.proved.note(flow, &cx.proved_domains(Hop::Flow(flow)), &self.config.trusted_domains);
        let peer = cx.flow(flow).map(|view| view.peer.ip());
        if peer.is_some_and(|peer| self.is_trusted_at(peer, Hop::Flow(flow))) {
            cx.keep(Hop::Flow(flow));
        }
    }

    fn on_flow_closed(&mut self, cx: &mut Cx<'_>, flow: FlowId, _: FlowEnd) {
        self.proved.forget(flow);
        self.leave_callers(cx, flow);
        self.leave_leg_callers(cx, flow);
        self.end_flow(cx, Hop::Flow(flow));
    }

    fn on_silence(&mut self, cx: &mut Cx<'_>, flow: Hop) {
        self.take_flow_silence(cx, flow);
    }

    fn on_overflow(&mut self, cx: &mut Cx<'_>, request: Message, arrival: &Arrival) {
        self.refuse_overflow(cx, &request, arrival);
    }

    fn on_timer(&mut self, cx: &mut Cx<'_>, _: TimerId, timer: Timer) {
        match timer {
            Timer::Fork(fork) => self.handle_fork_deadline(cx, fork),
            Timer::Caller(fork) => self.look_for_caller(cx, fork),
            Timer::Wake(waking) => self.ask_to_wake(cx, *waking),
            Timer::Follow(following) => self.ask_to_follow(cx, *following),
            Timer::Leg(timer) => self.handle_leg_timer(cx, timer),
            Timer::Report => self.report_calls(cx),
            Timer::EndedFlows => self.tell_ended(cx),
            Timer::AskAgain(fork, branch) => self.ask_again(cx, fork, branch),
            Timer::Silent(fork, branch, key) => self.give_up_if_silent(cx, fork, branch, key),
            Timer::Unread(fork) => self.keep_if_unread(cx, fork),
            Timer::LetGo => self.drain(cx),
            Timer::Early(number) => self.end_early_wait(cx, number),
            Timer::ForgetExchange(id) => {
                self.exchanges.remove(&id);
            }
        }
    }

    fn on_completion(&mut self, cx: &mut Cx<'_>, completion: Completion) {
        self.learn_members(cx);
        match completion {
            Completion::Registered(registering, result) => self.finish_register(cx, *registering, result),
            Completion::FlowsEnded(result) => self.take_told(cx, result),
            Completion::Routed(pending, result) => self.take_plan(cx, *pending, result),
            Completion::LookedUp(fork, branch, result) => {
                self.take_lookup_or_ask_again(cx, fork, branch, result);
            }
            Completion::Answered(challenged, result) => self.take_credentials(cx, *challenged, result),
            Completion::Woken(waking, result) => self.take_woken(cx, *waking, result),
            Completion::Followed(following, result) => self.take_followed(cx, *following, result),
            Completion::StrayFollowed(stray, result) => self.take_stray_followed(cx, *stray, result),
            Completion::Seized(fork, branch, result) => self.take_seized(cx, fork, branch, result),
            Completion::Released(is_heard) => self.take_released(is_heard),
            Completion::Listed(fork, branch, is_fresh) => self.take_listed(cx, fork, branch, is_fresh),
            Completion::Located(fork, branch, result) => self.take_location(cx, fork, branch, result),
            Completion::Cleared(fork, branch, found, result) => {
                self.take_cleared(cx, fork, branch, found, result);
            }
            Completion::StrayLocated(stray, result) => self.send_stray(cx, *stray, result),
            Completion::StrayLookedUp(stray, result) => self.place_stray(cx, *stray, result),
            Completion::Notified(notified, result) => self.finish_notify(cx, *notified, result),
            Completion::Handled(handing, result) => self.finish_handing(cx, *handing, result),
            Completion::Lent(asking, result) => self.finish_asking(cx, *asking, result),
            Completion::Leg(completion) => self.take_leg_completion(cx, completion),
            Completion::Reported(reported) => self.take_report(cx, reported),
        }
    }

    fn on_command(&mut self, cx: &mut Cx<'_>, command: Command) {
        self.learn_members(cx);
        match command {
            Command::Carry(request, reply) => {
                // The caller may have given up waiting; the effect stands all the same.
                let _ = reply.send(self.carry(cx, *request));
            }
            // It is learnt before every command.
            Command::Learn => {}
            Command::Drain => self.drain(cx),
            Command::Exchange(request, reply) => self.exchange(cx, *request, reply),
            Command::CancelProxied(request, reply) => {
                // The caller may have given up waiting; the INVITE ends all the same.
                let _ = reply.send(self.cancel_proxied(cx, request));
            }
            Command::CountInHand(reply) => {
                // The caller may have given up waiting.
                let _ = reply.send(self.in_hand(cx));
            }
        }
    }

    fn may_return(&self, to: SocketAddr) -> bool {
        self.may_lead(to)
    }

    fn witness(&self) -> Option<Arc<dyn Witness>> {
        self.ring.is_on().then(|| self.ring.clone() as Arc<dyn Witness>)
    }

    fn on_round(&mut self, cx: &mut Cx<'_>, _: Instant) {
        self.note_load(cx);
        match self.deps.drain.is_draining() {
            true => self.drain(cx),
            false => self.stay(),
        }
    }
}

impl Edge {
    fn note_load(&mut self, cx: &Cx<'_>) {
        let (now, load) = (cx.now(), cx.load());
        self.pressure.note(now, load.lag, self.config.overload_delay);
        self.pressure.note_backlog(now, load.backlog, self.config.overload_interval);
    }

    /// Takes over who is alive, before anything is decided by it.
    fn learn_members(&mut self, cx: &mut Cx<'_>) {
        // The sender may be gone; then nobody is new.
        if self.deps.members.has_changed().unwrap_or(false) {
            let view = self.deps.members.borrow_and_update().clone();
            for life in self.cluster.learn(&view) {
                self.end_sibling(cx, life);
            }
            self.meters.gateways.set(i64::try_from(view.gateways.len()).unwrap_or(i64::MAX));
            self.end_early(cx, &view);
        }
    }

    /// A life of another edge is over. A host that is cut off says nothing: what waits for an answer by its connections fails now, and
    /// not when its own time is over, and so do the callers that it had.
    fn end_sibling(&mut self, cx: &mut Cx<'_>, life: Sibling) {
        let is_free = |at: &SocketAddr| !self.cluster.serves_at(at);
        let in_clear = life.sip.filter(is_free).and_then(|at| cx.hop_to(Transport::Tcp, at));
        let by_tls = life.sip_tls.filter(is_free).and_then(|at| cx.hop_to_sibling(at));
        for flow in [in_clear, by_tls].into_iter().flatten().filter_map(|hop| hop.flow()) {
            cx.close_flow(flow);
        }
        self.leave_callers_of(cx, &life);
    }

    fn in_hand(&self, cx: &Cx<'_>) -> InHand {
        let load = cx.load();
        InHand {
            flows: load.connections as u64,
            transactions: (load.transactions.clients + load.transactions.servers) as u64,
            legs: self.legs.len() as u64,
        }
    }
}
