//! The end of a flow over which phones registered: the registrar is told at once. RFC 5626 5.3, 5.4, 7

use std::time::Duration;

use cluster_api::registrar::v1::{
    EdgeLife, EndFlowsRequest, EndFlowsResponse, EndedFlow, RegisterRequest, RegisterResponse,
};
use cluster_api::sip::v1::Header;
use sip_endpoint::{Arrival, ClientKey, Hop, Key, Transport};
use sip_message::{HeaderId, Message};
use tonic::{Code, Status};

use crate::edge::{Completion, Cx, Edge, Timer};
use crate::flow_token::FlowToken;
use crate::forward::fork::ClientUse;
use crate::forward::obstacle::Obstacle;
use crate::forward::target::Target;
use crate::report::text;

/// How often a phone has to be heard of by datagrams at least: what address translators forget a phone after (RFC 5626 4.4.2).
const DATAGRAMS: Duration = Duration::from_secs(29);
/// How much longer its silence is borne, for what is on its way.
const GRACE: Duration = Duration::from_secs(5);

/// The flow that a REGISTER binds its contacts to.
#[derive(Debug)]
pub(crate) struct Over {
    flow: Hop,
    transport: Transport,
    /// Its token. Of a flow by datagrams that is not to be kept alive nothing is remembered.
    token: Option<String>,
}

impl Over {
    /// `None` when no contact is reached by a flow of its phone: a proxy on the way, whose Path says so, may connect again.
    pub(crate) fn of(
        request: &Message,
        arrival: &Arrival,
        question: &RegisterRequest,
        by_flow: bool,
    ) -> Option<Self> {
        let mut options = question.supported.iter().chain(&question.require);
        let is_remembered = arrival.transport.is_reliable() || options.any(|option| option == "outbound");
        (by_flow && !request.has(HeaderId::Path)).then(|| Self {
            flow: arrival.flow,
            transport: arrival.transport,
            token: is_remembered.then(|| question.flow.clone()),
        })
    }
}

impl Edge {
    /// The registrar has answered. Without an answer nobody knows whether anything was bound; the phone is told to try again.
    ///
    /// Returns how often the phone has to be heard of (Flow-Timer, RFC 5626 5.4), where it keeps its flow and somebody watches that.
    pub(crate) fn note_registered(
        &mut self,
        cx: &mut Cx<'_>,
        over: &Over,
        request: &Message,
        decision: &RegisterResponse,
    ) -> Option<Duration> {
        let Over { flow, token, .. } = over;
        if decision.status != 200 {
            return None;
        }
        let timer = self.flow_timer(over, decision);
        let to = || request.to().map_or(String::new(), |to| text(to.uri));
        if decision.contacts.is_empty() {
            // Others over the same flow are still to be heard of.
            if self.registered.forget(*flow, &to()) {
                return None;
            }
        } else if let Some(token) = token.as_deref().filter(|_| timer.is_some() || flow.flow().is_some())
            && !self.registered.note(*flow, &to(), token)
        {
            self.meters.ended_flows.with_label_values(&["lost"]).inc();
            return None;
        }
        if timer.is_none() {
            cx.forget_silence(*flow);
        }
        // It ended while the registrar was asked.
        if !cx.is_alive(*flow) {
            self.end_flow(cx, *flow);
        }
        self.count_registered();
        timer.filter(|timer| {
            let is_watched = cx.watch_silence(*flow, *timer + GRACE);
            self.count_watched(cx);
            if !is_watched {
                self.meters.ended_flows.with_label_values(&["unwatched"]).inc();
            }
            is_watched
        })
    }

    /// How often its phone has to be heard of. A WebSocket is asked by us whether it is there: a page cannot keep it alive.
    fn flow_timer(&self, over: &Over, decision: &RegisterResponse) -> Option<Duration> {
        let most = match over.transport {
            Transport::Udp => self.config.flow_timer.min(DATAGRAMS),
            Transport::Tcp | Transport::Tls => self.config.flow_timer,
            Transport::Ws | Transport::Wss => return None,
        };
        let applies = |header: &Header| header.name == "Require" && header.value == "outbound";
        let is_kept = !decision.contacts.is_empty() && decision.headers.iter().any(applies);
        (is_kept && !most.is_zero()).then_some(most)
    }

    /// A flow was silent for longer than its phone has promised: it is over. RFC 5626 5.4
    pub(crate) fn take_flow_silence(&mut self, cx: &mut Cx<'_>, flow: Hop) {
        self.meters.ended_flows.with_label_values(&["silent"]).inc();
        match flow {
            // Its end is told as every other one.
            Hop::Flow(connection) => cx.close_flow(connection),
            Hop::Udp { .. } => self.end_flow(cx, flow),
        }
    }

    /// A connection has ended, or a phone is not there any more.
    pub(crate) fn end_flow(&mut self, cx: &mut Cx<'_>, flow: Hop) {
        self.count_watched(cx);
        self.registered.end(flow);
        self.arm_ended(cx);
    }

    /// The port of a phone is closed: its flow by datagrams is over, and the target after it is tried at once. Who reports that has
    /// quoted the request, whose branch nobody guesses; it is the phone's host, or somebody on the way to it, who could as
    /// well have kept the request to himself.
    pub(crate) fn take_refusal(&mut self, cx: &mut Cx<'_>, key: ClientKey) {
        let Some(ClientUse::Branch(id, branch)) = self.clients.get(&key) else { return };
        let Some(fork) = self.forks.get_mut(id) else { return };
        let Some(running) = fork.branches.get(branch.0 as usize).filter(|running| running.on_flow) else {
            return;
        };
        let Target { aor, flow, .. } = running.target.clone();
        // It is the flow of the token, and not another way to the same phone.
        let is_it = |token: FlowToken| {
            token.edge_id == self.config.id && cx.hop_of(Key::Client(key)) == Some(token.hop)
        };
        if !self.cluster.open(&flow).is_ok_and(is_it) {
            return;
        }
        fork.obstacle = Some(Obstacle::Refused);
        self.lose_flow(cx, &aor, &flow);
        // nobody else is there either
        if let Some(hop) = cx.hop_of(Key::Client(key)) {
            cx.forget_silence(hop);
            self.end_flow(cx, hop);
        }
    }

    /// A binding's flow by datagrams is over. Whoever has been told by a sibling does not know whose it is, and leaves that to it.
    pub(crate) fn lose_flow(&mut self, cx: &mut Cx<'_>, aor: &str, flow: &str) {
        if !aor.is_empty() {
            self.tell_lost(cx, aor, flow, None, "refused");
        }
    }

    /// A target leads nowhere. The connection of its binding went with the edge that had it, when that is over: nobody else tells of it,
    /// and from the next call on it is not tried in vain. The registrar knows better than our list whether that life is over. What a phone
    /// reaches by datagrams is not lost with an edge, as long as another one's get through to it; nor is a proxy on the way (Path),
    /// which connects again.
    pub(crate) fn lose_flow_of_dead(&mut self, cx: &mut Cx<'_>, Target { aor, flow, routes, .. }: &Target) {
        let Ok(FlowToken { edge_id, epoch, hop: Hop::Flow(_), .. }) = self.cluster.open(flow) else { return };
        if !aor.is_empty() && routes.is_empty() && self.cluster.is_over(&edge_id, epoch) {
            self.tell_lost(cx, aor, flow, Some(EdgeLife { edge_id, epoch }), "edge_gone");
        }
    }

    fn tell_lost(&mut self, cx: &mut Cx<'_>, aor: &str, flow: &str, life: Option<EdgeLife>, why: &str) {
        let outcome = if self.registered.lose(aor, flow, life) { why } else { "lost" };
        self.meters.ended_flows.with_label_values(&[outcome]).inc();
        self.count_registered();
        self.arm_ended(cx);
    }

    fn arm_ended(&mut self, cx: &mut Cx<'_>) {
        if let Some(after) = self.registered.ended().arm() {
            cx.set_timer(after, Timer::EndedFlows);
        }
    }

    /// It is time to tell.
    pub(crate) fn tell_ended(&mut self, cx: &mut Cx<'_>) {
        let batch = self.registered.ended().take_batch();
        self.tell_batch(cx, batch);
    }

    fn tell_batch(&mut self, cx: &mut Cx<'_>, flows: Vec<EndedFlow>) {
        if flows.is_empty() {
            return;
        }
        let location = self.deps.location.clone();
        let work = async move { Completion::FlowsEnded(location.end_flows(EndFlowsRequest { flows }).await) };
        if cx.spawn(work).is_err() {
            self.tell_later(cx);
        }
    }

    pub(crate) fn take_told(&mut self, cx: &mut Cx<'_>, result: Result<EndFlowsResponse, Status>) {
        let outcome = match result {
            Ok(_) => "told",
            // A registrar of the release before: the bindings expire.
            Err(status) if status.code() == Code::Unimplemented => "lost",
            Err(_) => {
                self.meters.ended_flows.with_label_values(&["failed"]).inc();
                return self.tell_later(cx);
            }
        };
        self.meters.ended_flows.with_label_values(&[outcome]).inc();
        let next = self.registered.ended().acknowledge();
        self.count_registered();
        self.tell_batch(cx, next);
        self.arm_ended(cx);
    }

    fn tell_later(&mut self, cx: &mut Cx<'_>) {
        let pause = self.registered.ended().fail();
        cx.set_timer(pause, Timer::EndedFlows);
    }

    fn count_watched(&self, cx: &Cx<'_>) {
        self.meters.watched_flows.set(i64::try_from(cx.watched_flows()).unwrap_or(i64::MAX));
    }

    fn count_registered(&self) {
        self.meters.registered.set(i64::try_from(self.registered.len()).unwrap_or(i64::MAX));
    }
}
