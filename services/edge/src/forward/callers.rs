//! Callers whose connection ends while what they call still rings.
//!
//! No CANCEL comes from them any more, and the phones would ring for a call that nobody takes part in. But a connection is not its
//! caller: from then on responses go to where its Via says that it listens (RFC 3261 18.2.2), and a caller that is still there gets its
//! 2xx by that way. So it is given a while:
//!
//! | after ten T1 without the connection                              | the INVITE                                |
//! |------------------------------------------------------------------|-------------------------------------------|
//! | there is one to where its responses go now, by whoever opened it | goes on, and that connection is the caller's |
//! | there is none, or its transport has no such place                | is cancelled, as if the caller had said so |
//!
//! RFC 3261 16.9 would not have a proxy cancel because a response was not delivered: a Via would be enough to end the calls of
//! others. The end of a connection is the doing of who opened it, and costs only the INVITEs that came by it.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use sip_endpoint::{FlowId, Hop, Transport};
use sip_message::{Message, host_ip};

use super::fork::ForkId;
use super::upstream::Upstream;
use crate::capture::why;
use crate::edge::{Cx, Edge, Timer};

/// How long a caller may be without a connection, in T1: 5 s by default. A phone that changes its network has opened another
/// one by then, and nobody likes to answer a call that nobody makes any more.
pub(crate) const PATIENCE: u32 = 10;

/// The INVITEs that are being forwarded, by the connection that their callers are at. As many as there are forks at most.
#[derive(Debug, Default)]
pub(crate) struct Callers {
    waiting: BTreeSet<(FlowId, ForkId)>,
}

impl Callers {
    pub(crate) fn watch(&mut self, upstream: &Upstream, fork: ForkId) {
        self.waiting.extend(flow_of(upstream).map(|flow| (flow, fork)));
    }

    pub(crate) fn forget(&mut self, upstream: &Upstream, fork: ForkId) {
        if let Some(flow) = flow_of(upstream) {
            self.waiting.remove(&(flow, fork));
        }
    }

    /// Those who were at a connection that has ended.
    fn leave(&mut self, flow: FlowId) -> Vec<ForkId> {
        let first = self.waiting.range((flow, ForkId::FIRST)..);
        let gone: Vec<ForkId> = first.take_while(|(at, _)| *at == flow).map(|(_, fork)| *fork).collect();
        for fork in &gone {
            self.waiting.remove(&(flow, *fork));
        }
        gone
    }
}

impl Edge {
    /// A connection has ended.
    pub(crate) fn leave_callers(&mut self, cx: &mut Cx<'_>, flow: FlowId) {
        for fork in self.callers.leave(flow) {
            self.await_caller(cx, fork);
        }
    }

    /// The connection ended before the INVITE was sent on: nobody else says so.
    pub(crate) fn await_caller_if_gone(&mut self, cx: &mut Cx<'_>, id: ForkId) {
        let Some(fork) = self.forks.get(&id) else { return };
        if let Some(flow) = flow_of(&fork.upstream)
            && !cx.is_alive(Hop::Flow(flow))
        {
            self.callers.forget(&fork.upstream, id);
            self.await_caller(cx, id);
        }
    }

    fn await_caller(&mut self, cx: &mut Cx<'_>, id: ForkId) {
        let Some(fork) = self.forks.get(&id) else { return };
        self.meters.absent_callers.with_label_values(&["gone"]).inc();
        // Begins to connect, for what is to be known by then.
        way_back(cx, &fork.request);
        let patience = self.config.endpoint.transactions.timing.t1 * PATIENCE;
        cx.set_timer(patience, Timer::Caller(id));
    }

    /// The time of a caller without a connection is over.
    pub(crate) fn look_for_caller(&mut self, cx: &mut Cx<'_>, id: ForkId) {
        let Some(fork) = self.forks.get_mut(&id) else { return };
        let back = way_back(cx, &fork.request).filter(|flow| cx.flow(*flow).is_some_and(|view| view.open));
        match (back, &mut fork.upstream) {
            (Some(flow), Upstream::Server { hop, .. }) => {
                *hop = Hop::Flow(flow);
                self.callers.watch(&fork.upstream, id);
                self.meters.absent_callers.with_label_values(&["back"]).inc();
            }
            (Some(_) | None, _) => {
                self.meters.absent_callers.with_label_values(&["cancelled"]).inc();
                self.with_fork(cx, id, |edge, cx, fork| {
                    edge.ring.note(&fork.request, why::caller_is_gone);
                    fork.context.cancel(cx.now());
                });
            }
        }
    }
}

/// The connection by which the responses to this request go when its own is gone, opened when there is none.
// RFC 3261 18.2.2
pub(crate) fn way_back(cx: &mut Cx<'_>, request: &Message) -> Option<FlowId> {
    let via = request.top_via().ok()?;
    if !via.transport.eq_ignore_ascii_case(Transport::Tcp.as_str()) {
        return None;
    }
    let ip = via.received_ip().or_else(|| host_ip(via.host))?;
    match cx.hop_to(Transport::Tcp, SocketAddr::new(ip, via.port_or_default()))? {
        Hop::Flow(flow) => Some(flow),
        Hop::Udp { .. } => None,
    }
}

/// The connection of a caller, if it has one.
fn flow_of(upstream: &Upstream) -> Option<FlowId> {
    match upstream {
        Upstream::Server { hop: Hop::Flow(flow), .. } => Some(*flow),
        Upstream::Server { hop: Hop::Udp { .. }, .. }
        | Upstream::Leg(_)
        | Upstream::Exchange(_)
        | Upstream::Nobody => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An end costs the INVITEs of this connection alone, and each once.
    #[test]
    fn only_who_was_at_a_connection_leaves_with_it() {
        let mut callers = Callers::default();
        let fork = |number: u64| (0..number).fold(ForkId::FIRST, |fork, _| fork.next());
        callers.waiting.extend([(1, 4), (2, 1), (2, 3), (3, 2)].map(|(at, of)| (FlowId(at), fork(of))));
        assert_eq!(callers.leave(FlowId(2)), [fork(1), fork(3)]);
        assert_eq!(callers.leave(FlowId(2)), []);
        assert_eq!(callers.waiting.len(), 2);
    }
}
