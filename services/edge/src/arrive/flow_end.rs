//! The end of a connection over which phones registered: the registrar is told at once. RFC 5626 5.3, 7

use cluster_api::registrar::v1::{EndFlowsRequest, EndFlowsResponse, EndedFlow, RegisterResponse};
use sip_endpoint::{Arrival, ClientKey, FlowId, Hop, Key};
use sip_message::{HeaderId, Message};
use tonic::{Code, Status};

use crate::edge::{Completion, Cx, Edge, Timer};
use crate::flow_token::FlowToken;
use crate::forward::fork::ClientUse;
use crate::forward::obstacle::Obstacle;
use crate::forward::target::Target;

/// The connection that a REGISTER binds its contacts to.
#[derive(Debug)]
pub(crate) struct Over {
    flow: FlowId,
    to: String,
    token: String,
}

impl Over {
    /// `None` when no contact is reached by a connection of its phone: a proxy on the way, whose Path says so, may connect again.
    pub(crate) fn of(
        request: &Message,
        arrival: &Arrival,
        to: &str,
        token: &str,
        by_flow: bool,
    ) -> Option<Self> {
        match arrival.flow {
            Hop::Flow(flow) if by_flow && !request.has(HeaderId::Path) => {
                Some(Self { flow, to: to.to_owned(), token: token.to_owned() })
            }
            Hop::Flow(_) | Hop::Udp { .. } => None,
        }
    }
}

impl Edge {
    /// The registrar has answered. Without an answer nobody knows whether anything was bound; the phone is told to try again.
    pub(crate) fn note_registered(&mut self, cx: &mut Cx<'_>, over: &Over, decision: &RegisterResponse) {
        let Over { flow, to, token } = over;
        match decision.status {
            200 if decision.contacts.is_empty() => self.registered.forget(*flow, to),
            200 if self.registered.note(*flow, to, token) => {}
            200 => return self.meters.ended_flows.with_label_values(&["lost"]).inc(),
            _ => return,
        }
        // It ended while the registrar was asked.
        if !cx.is_alive(Hop::Flow(*flow)) {
            self.end_flow(cx, *flow);
        }
        self.count_registered();
    }

    /// A connection has ended.
    pub(crate) fn end_flow(&mut self, cx: &mut Cx<'_>, flow: FlowId) {
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
    }

    /// A binding's flow by datagrams is over. Whoever has been told by a sibling does not know whose it is, and leaves that to it.
    pub(crate) fn lose_flow(&mut self, cx: &mut Cx<'_>, aor: &str, flow: &str) {
        if aor.is_empty() {
            return;
        }
        let outcome = if self.registered.lose(aor, flow) { "refused" } else { "lost" };
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

    fn count_registered(&self) {
        self.meters.registered.set(i64::try_from(self.registered.len()).unwrap_or(i64::MAX));
    }
}
