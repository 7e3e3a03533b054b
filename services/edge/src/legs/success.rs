//! What a user agent owes to a 2xx of an INVITE. RFC 3261 13.2.2.4, 13.3.1.4
//!
//! Our own 2xx is repeated, T1 apart first and T2 at last, until its ACK comes; none within 64*T1 is an event. The ACK for
//! the peer's 2xx is repeated for each repetition of that.

use std::sync::Arc;

use cluster_api::callcontrol::v1::{AckMissing, leg_event::What};
use sip_endpoint::ServerKey;
use sip_message::Message;

use super::Timer;
use super::call::{KeptAck, Unacknowledged};
use crate::arrive::along_route::Stray;
use crate::edge::{self, Cx, Edge};
use crate::forward::branch_name::{Unique, digest};

impl Edge {
    /// Notes that a request of the peer was answered, with the 2xx to repeat if it was one to INVITE.
    pub(super) fn note_answer(
        &mut self,
        cx: &mut Cx<'_>,
        call_id: &Arc<str>,
        key: ServerKey,
        success: Option<Message>,
    ) {
        let timing = self.config.endpoint.transactions.timing;
        let served = self.legs.calls.get_mut(call_id).and_then(|call| call.served.get_mut(&key));
        let Some(served) = served else { return };
        served.answered = true;
        served.unpracked = None;
        if let Some(response) = success {
            let until = cx.now() + timing.timeout();
            served.unacknowledged = Some(Unacknowledged { response, pause: timing.t1, until });
            cx.set_timer(timing.t1, edge::Timer::Leg(Timer::Repeat(call_id.clone(), key)));
        }
    }

    /// The time for a repetition has come, unless the ACK came first.
    pub(super) fn repeat_success(&mut self, cx: &mut Cx<'_>, call_id: &Arc<str>, key: ServerKey) {
        let longest = self.config.endpoint.transactions.timing.t2;
        let now = cx.now();
        let Some(call) = self.legs.calls.get_mut(call_id) else { return };
        let Some(served) = call.served.get_mut(&key) else { return };
        let Some(unacknowledged) = &mut served.unacknowledged else { return };
        if now >= unacknowledged.until {
            let leg_id = served.leg_id.clone();
            call.served.remove(&key);
            let event = What::AckMissing(AckMissing { transaction: key.to_string() });
            return self.emit(cx, call_id, &leg_id, String::new(), event);
        }
        unacknowledged.pause = (unacknowledged.pause * 2).min(longest);
        let pause = unacknowledged.pause.min(unacknowledged.until - now);
        // A response that cannot be sent now is sent again later; that is the point of repeating it.
        let _ = cx.respond(key, unacknowledged.response.clone());
        cx.set_timer(pause, edge::Timer::Leg(Timer::Repeat(call_id.clone(), key)));
    }

    /// A 2xx of the peer came again: so does its ACK, if call-control has given one.
    pub(super) fn repeat_ack(&mut self, cx: &mut Cx<'_>, call_id: &Arc<str>, cseq: u32, to_tag: &str) {
        let Some(call) = self.legs.calls.get_mut(call_id) else { return };
        let Some(at) = call.acks.iter().position(|ack| ack.cseq == cseq && ack.to_tag == to_tag) else {
            return;
        };
        let ack = call.acks.swap_remove(at);
        self.send_kept(cx, call_id, &ack);
        if let Some(call) = self.legs.calls.get_mut(call_id) {
            call.acks.push(ack);
        }
    }

    /// Sends an ACK; each time the same octets.
    pub(super) fn send_kept(&mut self, cx: &mut Cx<'_>, call_id: &Arc<str>, ack: &KeptAck) {
        let origin = digest(call_id.as_bytes());
        let unique = Unique::Derived { origin, number: ack.effect, branch: 0, attempt: 0 };
        let stray = Stray {
            message: ack.message.clone(),
            arrived: ack.arrived.clone(),
            target: ack.target.clone(),
            unique,
        };
        self.forward_stray(cx, stray);
    }
}
