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
//! An edge that sent an INVITE on for its caller takes no other connection once the members know that its life is over, and nobody has the
//! INVITE any more: it is cancelled at that moment, also when the connection of a host that fell silent still seems to be there.
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
use crate::cluster::Sibling;
use crate::edge::{Cx, Edge, Timer};

/// How long a caller may be without a connection, in T1: 5 s by default. A phone that changes its network has opened another
/// one by then, and nobody likes to answer a call that nobody makes any more.
pub(crate) const PATIENCE: u32 = 10;

/// The INVITEs that are being forwarded, by the connection that their callers are at. As many as there are forks at most.
#[derive(Debug, Default)]
pub(crate) struct Callers {
    waiting: BTreeSet<(FlowId, ForkId)>,
    /// Those whose callers are without a connection.
    absent: BTreeSet<ForkId>,
}

impl Callers {
    pub(crate) fn watch(&mut self, upstream: &Upstream, fork: ForkId) {
        self.waiting.extend(flow_of(upstream).map(|flow| (flow, fork)));
    }

    fn forget(&mut self, upstream: &Upstream, fork: ForkId) {
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

    /// Of the edge that INVITEs came by, the members know that its life is over. One look at all that ring for each death of an edge.
    pub(crate) fn leave_callers_of(&mut self, cx: &mut Cx<'_>, life: &Sibling) {
        let came_by = |edge: &Self, id: &ForkId, is_it: &dyn Fn(SocketAddr) -> bool| {
            edge.forks.get(id).and_then(|fork| sent_by(&fork.request)).is_some_and(is_it)
        };
        let is_of_life = |at| life.listeners().any(|listener| listener == at);
        let absent = self.callers.absent.iter().filter(|id| came_by(self, id, &is_of_life));
        // Who has the address since may have sent what came by a connection that is there.
        let is_of_nobody = |at| is_of_life(at) && !self.cluster.serves_at(&at);
        let waiting = self.callers.waiting.iter().map(|(_, id)| id);
        let waiting = waiting.filter(|id| came_by(self, id, &is_of_nobody));
        for id in absent.chain(waiting).copied().collect::<Vec<_>>() {
            if !self.callers.absent.contains(&id) {
                self.meters.absent_callers.with_label_values(&["gone"]).inc();
            }
            self.cancel_for_caller(cx, id);
        }
    }

    /// The fork is over.
    pub(crate) fn forget_caller(&mut self, upstream: &Upstream, id: ForkId) {
        self.callers.forget(upstream, id);
        if self.callers.absent.remove(&id) {
            self.meters.absent_callers.with_label_values(&["over"]).inc();
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
        self.callers.absent.insert(id);
        // Begins to connect, for what is to be known by then.
        way_back(cx, &fork.request);
        let patience = self.config.endpoint.transactions.timing.t1 * PATIENCE;
        cx.set_timer(patience, Timer::Caller(id));
    }

    /// The time of a caller without a connection is over.
    pub(crate) fn look_for_caller(&mut self, cx: &mut Cx<'_>, id: ForkId) {
        if !self.callers.absent.contains(&id) {
            return;
        }
        let Some(fork) = self.forks.get_mut(&id) else { return };
        let back = way_back(cx, &fork.request).filter(|flow| cx.flow(*flow).is_some_and(|view| view.open));
        match (back, &mut fork.upstream) {
            (Some(flow), Upstream::Server { hop, .. }) => {
                *hop = Hop::Flow(flow);
                self.callers.watch(&fork.upstream, id);
                self.callers.absent.remove(&id);
                self.meters.absent_callers.with_label_values(&["back"]).inc();
            }
            (Some(_) | None, _) => self.cancel_for_caller(cx, id),
        }
    }

    fn cancel_for_caller(&mut self, cx: &mut Cx<'_>, id: ForkId) {
        let Some(fork) = self.forks.get(&id) else { return };
        self.callers.forget(&fork.upstream, id);
        self.callers.absent.remove(&id);
        self.meters.absent_callers.with_label_values(&["cancelled"]).inc();
        self.with_fork(cx, id, |edge, cx, fork| {
            edge.ring.note(&fork.request, why::caller_is_gone);
            fork.context.cancel(cx.now());
        });
    }
}

/// The connection by which the responses to this request go when its own is gone, opened when there is none.
// RFC 3261 18.2.2
pub(crate) fn way_back(cx: &mut Cx<'_>, request: &Message) -> Option<FlowId> {
    let via = request.top_via().ok()?;
    if !via.transport.eq_ignore_ascii_case(Transport::Tcp.as_str()) {
        return None;
    }
    cx.hop_to(Transport::Tcp, sent_by(request)?)?.flow()
}

/// Where the sender of this request listens.
fn sent_by(request: &Message) -> Option<SocketAddr> {
    let via = request.top_via().ok()?;
    let ip = via.received_ip().or_else(|| host_ip(via.host))?;
    Some(SocketAddr::new(ip, via.port_or_default()))
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
