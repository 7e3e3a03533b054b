//! How events reach call-control, and what happens when it does not know their call.

use std::sync::Arc;

use cluster_api::callcontrol::v1::{DeliverRequest, DeliverResponse, LegEvent, leg_event::What};
use cluster_api::convert::timestamp;
use sip_message::Uri;
use tonic::Status;

use super::call::Call;
use super::{Address, Completion, Timer};
use crate::edge::{self, Cx, Edge};
use crate::reject::Reject;

impl Edge {
    /// The call of this id, made if there is room.
    pub(super) fn call(&mut self, id: &Arc<str>) -> Option<&mut Call> {
        if !self.legs.calls.contains_key(id) {
            if self.legs.calls.len() >= self.config.limits.calls {
                return None;
            }
            self.legs.calls.insert(id.clone(), Call::new(self.config.limits.events_per_call));
            self.meters.calls.set(self.legs.len() as i64);
        }
        self.legs.calls.get_mut(id)
    }

    /// Queues an event of a call that is known here.
    pub(super) fn emit(
        &mut self,
        cx: &mut Cx<'_>,
        call_id: &Arc<str>,
        leg_id: &str,
        flow: String,
        what: What,
    ) {
        let event = LegEvent {
            leg_id: leg_id.to_owned(),
            number: 0,
            time: Some(timestamp(self.deps.clock.now())),
            flow,
            what: Some(what),
        };
        let Some(call) = self.legs.calls.get_mut(call_id) else { return };
        if call.outbox.push(cx.now(), event) {
            self.deliver(cx, call_id);
        } else {
            self.meters.leg_events.with_label_values(&["overflow"]).inc();
        }
    }

    /// Offers the next events of a call, unless some are being offered.
    fn deliver(&mut self, cx: &mut Cx<'_>, call_id: &Arc<str>) {
        let Some(call) = self.legs.calls.get_mut(call_id) else { return };
        let Some(events) = call.outbox.take_batch(cx.now()) else { return };
        let request = DeliverRequest {
            call_id: call_id.to_string(),
            edge_id: self.config.id.clone(),
            edge_epoch: self.config.epoch,
            events,
        };
        let (leg_events, call_id) = (self.deps.leg_events.clone(), call_id.clone());
        let id = call_id.clone();
        let work = async move {
            let result = leg_events.deliver(request).await;
            edge::Completion::Leg(Completion::Delivered(id, result))
        };
        if cx.spawn(work).is_err() {
            self.retry_delivery(cx, &call_id);
        }
    }

    pub(crate) fn take_leg_completion(&mut self, cx: &mut Cx<'_>, completion: Completion) {
        let Completion::Delivered(call_id, result) = completion;
        match result {
            Ok(DeliverResponse { gone: false }) => {
                self.meters.leg_events.with_label_values(&["delivered"]).inc();
                let Some(call) = self.legs.calls.get_mut(&call_id) else { return };
                call.outbox.acknowledge(cx.now());
                self.deliver(cx, &call_id);
                self.forget_if_released(cx, &call_id);
            }
            Ok(DeliverResponse { gone: true }) => {
                self.meters.leg_events.with_label_values(&["gone"]).inc();
                self.end_call(cx, &call_id);
            }
            Err(Status { .. }) => {
                self.meters.leg_events.with_label_values(&["failed"]).inc();
                self.retry_delivery(cx, &call_id);
            }
        }
    }

    fn retry_delivery(&mut self, cx: &mut Cx<'_>, call_id: &Arc<str>) {
        let now = cx.now();
        let patience = self.config.limits.event_patience;
        let Some(call) = self.legs.calls.get_mut(call_id) else { return };
        if call.outbox.oldest().is_some_and(|oldest| now.saturating_duration_since(oldest) > patience) {
            self.meters.leg_events.with_label_values(&["given_up"]).inc();
            return self.end_call(cx, call_id);
        }
        let at = call.outbox.fail(now);
        cx.set_timer(at.saturating_duration_since(now), edge::Timer::Leg(Timer::Deliver(call_id.clone())));
    }

    pub(crate) fn handle_leg_timer(&mut self, cx: &mut Cx<'_>, timer: Timer) {
        match timer {
            Timer::Deliver(call) => self.deliver(cx, &call),
            Timer::Repeat(call, key) => self.repeat_success(cx, &call, key),
            Timer::RepeatProvisional(call, key, rseq) => self.repeat_provisional(cx, &call, key, rseq),
            Timer::Absent(call, key) => self.look_for_leg_caller(cx, &call, key),
            Timer::Forget(call) => {
                // A leg that came back keeps the call.
                if self.legs.calls.get(&call).is_some_and(Call::is_released)
                    && let Some(forgotten) = self.legs.calls.remove(&call)
                {
                    self.meters.calls.set(self.legs.len() as i64);
                    self.reject_unanswered(cx, &forgotten);
                }
            }
        }
    }

    /// Sets the time at which a call is forgotten, once all its legs were released and all events delivered.
    pub(super) fn forget_if_released(&mut self, cx: &mut Cx<'_>, call_id: &Arc<str>) {
        let after = self.config.limits.remember_released;
        let Some(call) = self.legs.calls.get_mut(call_id) else { return };
        if !call.is_released() || call.legs.is_empty() {
            return;
        }
        if let Some(timer) = call.forget.take() {
            cx.cancel_timer(timer);
        }
        call.forget = Some(cx.set_timer(after, edge::Timer::Leg(Timer::Forget(call_id.clone()))));
    }

    /// Call-control does not know the call: what is open ends in the way that hurts the peer least.
    fn end_call(&mut self, cx: &mut Cx<'_>, call_id: &Arc<str>) {
        let Some(call) = self.legs.calls.remove(call_id) else { return };
        self.meters.calls.set(self.legs.len() as i64);
        if let Some(timer) = call.forget {
            cx.cancel_timer(timer);
        }
        self.reject_unanswered(cx, &call);
        for fork in call.invites.into_values() {
            self.with_fork(cx, fork, |_, cx, fork| fork.context.cancel(cx.now()));
        }
        for answer in &call.unconfirmed {
            self.end_orphan(cx, &answer.response);
        }
    }

    /// What call-control has not answered it never will: no server transaction stays open.
    fn reject_unanswered(&mut self, cx: &mut Cx<'_>, call: &Call) {
        for (key, served) in &call.served {
            if !served.answered {
                // A call that was never taken on is no dialog that is gone: the caller may try again, but for a conference that is over
                let in_dialog = served.request.to().is_ok_and(|to| to.tag().is_some());
                let uri = served.request.request_uri().and_then(|uri| Uri::parse(uri).ok());
                let reject = match uri.as_ref().and_then(Address::conference_of) {
                    _ if in_dialog => Reject::DoesNotExist,
                    Some(_) => Reject::NoSuchConference,
                    None => self.decision_unavailable(),
                };
                self.reject(cx, *key, &served.request, &reject);
            }
        }
    }
}
