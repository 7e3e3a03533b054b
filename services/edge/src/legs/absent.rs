//! Callers of call-control whose connection ends before they are answered: given a while, then cancelled for, as callers of what
//! is forwarded are (`forward/callers.rs`).

use std::collections::BTreeSet;
use std::sync::Arc;

use cluster_api::callcontrol::v1::{CancelReceived, leg_event::What};
use hashbrown::HashMap;
use sip_endpoint::{FlowId, Hop, ServerKey};

use super::Timer;
use crate::capture::why;
use crate::edge::{self, Cx, Edge};
use crate::forward::callers::{PATIENCE, way_back};

/// The INVITEs that began a call, by the connection that their callers are at: as many as there are transactions at most.
#[derive(Debug, Default)]
pub(super) struct Callers {
    at: HashMap<FlowId, BTreeSet<ServerKey>>,
    of: HashMap<ServerKey, (FlowId, Arc<str>)>,
}

impl Callers {
    fn watch(&mut self, flow: FlowId, key: ServerKey, call_id: Arc<str>) {
        self.at.entry(flow).or_default().insert(key);
        self.of.insert(key, (flow, call_id));
    }

    /// The transaction is over.
    pub(super) fn forget(&mut self, key: ServerKey) {
        let Some((flow, _)) = self.of.remove(&key) else { return };
        if let Some(waiting) = self.at.get_mut(&flow) {
            waiting.remove(&key);
            if waiting.is_empty() {
                self.at.remove(&flow);
            }
        }
    }

    /// Those who were at a connection that has ended.
    fn leave(&mut self, flow: FlowId) -> Vec<(ServerKey, Arc<str>)> {
        let gone = self.at.remove(&flow).unwrap_or_default();
        gone.into_iter().filter_map(|key| Some((key, self.of.remove(&key)?.1))).collect()
    }
}

impl Edge {
    /// Watches the connection of a caller that has begun a call.
    pub(super) fn watch_leg_caller(&mut self, cx: &mut Cx<'_>, key: ServerKey, hop: Hop, call_id: Arc<str>) {
        match hop {
            Hop::Flow(flow) if cx.is_alive(hop) => self.legs.callers.watch(flow, key, call_id),
            // It ended while the registrar was asked
            Hop::Flow(_) => self.await_leg_caller(cx, key, call_id),
            Hop::Udp { .. } => {}
        }
    }

    /// A connection has ended.
    pub(crate) fn leave_leg_callers(&mut self, cx: &mut Cx<'_>, flow: FlowId) {
        for (key, call_id) in self.legs.callers.leave(flow) {
            self.await_leg_caller(cx, key, call_id);
        }
    }

    fn await_leg_caller(&mut self, cx: &mut Cx<'_>, key: ServerKey, call_id: Arc<str>) {
        let served = self.legs.calls.get(&call_id).and_then(|call| call.served.get(&key));
        let Some(served) = served else { return };
        // Begins to connect, for what is to be known by then; or for the 2xx that is repeated until its ACK.
        way_back(cx, &served.request);
        if served.answered {
            return; // nobody who could be cancelled for
        }
        self.meters.absent_callers.with_label_values(&["gone"]).inc();
        let patience = self.config.endpoint.transactions.timing.t1 * PATIENCE;
        cx.set_timer(patience, edge::Timer::Leg(Timer::Absent(call_id, key)));
    }

    /// The time of a caller without a connection is over.
    pub(super) fn look_for_leg_caller(&mut self, cx: &mut Cx<'_>, call_id: &Arc<str>, key: ServerKey) {
        let served = self.legs.calls.get(call_id).and_then(|call| call.served.get(&key));
        let Some(served) = served.filter(|served| !served.answered) else {
            return self.meters.absent_callers.with_label_values(&["over"]).inc();
        };
        let back = way_back(cx, &served.request).filter(|flow| cx.flow(*flow).is_some_and(|view| view.open));
        match back {
            Some(flow) => {
                self.legs.callers.watch(flow, key, call_id.clone());
                self.meters.absent_callers.with_label_values(&["back"]).inc();
            }
            None => {
                self.meters.absent_callers.with_label_values(&["cancelled"]).inc();
                self.ring.note(&served.request, why::caller_is_gone);
                let leg_id = served.leg_id.clone();
                let event = CancelReceived { transaction: key.to_string(), reason: Vec::new() };
                self.emit(cx, call_id, &leg_id, String::new(), What::Cancel(event));
            }
        }
    }
}
