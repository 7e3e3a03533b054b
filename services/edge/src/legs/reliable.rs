//! What a user agent owes to a reliable provisional response of its own. RFC 3262 3
//!
//! It is repeated after T1, then after twice as long each time, until its PRACK or the final response; neither within 64*T1 is an
//! event, after which call-control gives the call up. Whether a PRACK fits is call-control's to say: the edge only pauses, and
//! goes on to count until a 2xx to it leaves.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cluster_api::callcontrol::v1::{PrackMissing, leg_event::What};
use sip_endpoint::ServerKey;
use sip_message::Message;

use super::Timer;
use super::call::Served;
use crate::edge::{self, Cx, Edge};

/// A reliable provisional response of ours without PRACK.
pub(super) struct Unpracked {
    response: Message,
    rseq: u32,
    pause: Duration,
    until: Instant,
    /// A PRACK came that call-control has not taken yet, or has refused.
    paused: bool,
}

impl Edge {
    /// Repeats a provisional response from now on, if it is a reliable one.
    pub(super) fn note_provisional(
        &mut self,
        cx: &mut Cx<'_>,
        call_id: &Arc<str>,
        key: ServerKey,
        response: Message,
    ) {
        let Some(rseq) = response.rseq().ok().flatten() else { return };
        let timing = self.config.endpoint.transactions.timing;
        let served = self.legs.calls.get_mut(call_id).and_then(|call| call.served.get_mut(&key));
        let Some(served) = served else { return };
        let until = cx.now() + timing.timeout();
        served.unpracked = Some(Unpracked { response, rseq, pause: timing.t1, until, paused: false });
        cx.set_timer(timing.t1, edge::Timer::Leg(Timer::RepeatProvisional(call_id.clone(), key, rseq)));
    }

    /// The time for a repetition has come, unless the PRACK or a further response came first.
    pub(super) fn repeat_provisional(
        &mut self,
        cx: &mut Cx<'_>,
        call_id: &Arc<str>,
        key: ServerKey,
        rseq: u32,
    ) {
        let now = cx.now();
        let Some(call) = self.legs.calls.get_mut(call_id) else { return };
        let Some(served) = call.served.get_mut(&key) else { return };
        let Some(unpracked) = served.unpracked.as_mut().filter(|one| one.rseq == rseq) else { return };
        if now >= unpracked.until {
            served.unpracked = None;
            let leg_id = served.leg_id.clone();
            let event = What::PrackMissing(PrackMissing { transaction: key.to_string(), rseq });
            return self.emit(cx, call_id, &leg_id, String::new(), event);
        }
        unpracked.pause *= 2;
        let pause = unpracked.pause.min(unpracked.until - now);
        if !unpracked.paused {
            // A response that cannot be sent now is sent again later; that is the point of repeating it.
            let _ = cx.respond(key, unpracked.response.clone());
        }
        cx.set_timer(pause, edge::Timer::Leg(Timer::RepeatProvisional(call_id.clone(), key, rseq)));
    }

    /// A PRACK came: what it acknowledges is not repeated any more, however long call-control takes.
    pub(super) fn pause_provisional(&mut self, call_id: &Arc<str>, prack: &Message) {
        if let Some(unpracked) = self.meant(call_id, prack).and_then(|served| served.unpracked.as_mut()) {
            unpracked.paused = true;
        }
    }

    /// Call-control has taken a PRACK: what it acknowledges is not missed any more.
    pub(super) fn end_provisional(&mut self, call_id: &Arc<str>, prack: &Message) {
        if let Some(served) = self.meant(call_id, prack) {
            served.unpracked = None;
        }
    }

    /// The INVITE whose reliable provisional response the PRACK acknowledges.
    fn meant(&mut self, call_id: &Arc<str>, prack: &Message) -> Option<&mut Served> {
        let rack = prack.rack().ok().flatten()?;
        let is_meant = |served: &&mut Served| {
            served.unpracked.as_ref().is_some_and(|one| one.rseq == rack.rseq)
                && served.request.call_id().ok() == prack.call_id().ok()
                && served.request.cseq().is_ok_and(|invite| invite.number == rack.cseq)
        };
        self.legs.calls.get_mut(call_id)?.served.values_mut().find(is_meant)
    }
}
