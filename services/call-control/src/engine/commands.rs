//! Wishes of the business application for a connected call: hold, resume, INFO.

use std::time::Duration;

use crate::engine::StepError;
use crate::engine::call::TimerKind;
use crate::engine::effect::Body;
use crate::engine::leg::{LegState, Pending, Purpose};
use crate::engine::report::CallEventType;
use crate::engine::send::Ask;
use crate::engine::signal::{A, B, Reply, Signal};
use crate::engine::stage::Stage;
use crate::engine::work::Work;

impl Work<'_> {
    /// Makes every stream of both legs inactive.
    pub fn hold(&mut self) -> Result<(), StepError> {
        let is_talking = matches!(self.call.stage, Some(Stage::Talking(_)));
        if !is_talking || self.call.held || ![A, B].iter().all(|&leg| self.is_free(leg)) {
            return Err(StepError::WrongState);
        }
        for leg in [A, B] {
            let headers = self.session_headers();
            self.ask(leg, Ask { method: "INVITE", headers, purpose: Purpose::Hold, ..Ask::default() });
        }
        Ok(())
    }

    /// Connects both legs again: leg b makes a new offer, leg a answers it.
    pub fn unhold(&mut self) -> Result<(), StepError> {
        let is_talking = matches!(self.call.stage, Some(Stage::Talking(_)));
        if !is_talking || !self.call.held || ![A, B].iter().all(|&leg| self.is_free(leg)) {
            return Err(StepError::WrongState);
        }
        let headers = self.session_headers();
        self.ask(B, Ask { method: "INVITE", headers, purpose: Purpose::Resume, ..Ask::default() });
        Ok(())
    }

    /// Sends INFO in a leg's dialog.
    pub fn send_info(&mut self, leg_id: &str, body: &Body) -> Result<(), StepError> {
        let leg = self.call.legs.iter().position(|leg| leg.leg_id == leg_id);
        let leg = leg.ok_or_else(|| StepError::UnknownLeg(leg_id.to_owned()))?;
        if !self.leg(leg).is_up() || self.call.outcome.is_some() {
            return Err(StepError::WrongState);
        }
        let body = Some(body.clone());
        self.ask(leg, Ask { method: "INFO", body, purpose: Purpose::Info, ..Ask::default() });
        Ok(())
    }

    /// Stage Talking.
    pub fn on_talking(&mut self, signal: Signal) {
        match signal {
            Signal::Reply { leg, request, reply } if request.purpose() == Purpose::Hold => {
                let tag = request.request.to_tag.clone();
                self.ack(leg, &tag, None);
                if reply.is_ok() {
                    self.leg_mut(leg).state = LegState::Held.into();
                } else if self.retry_later(leg, &request, &reply) {
                    return;
                } else if reply.is_gone() {
                    return self.on_any_stage(Signal::Reply { leg, request, reply });
                }
                // A leg that refused stays as it was (UAC-22); the call counts as held when one took it
                let is_settled = [A, B].iter().all(|&leg| {
                    let on = self.leg(leg);
                    on.retry.is_none() && on.pending.iter().all(|pending| pending.purpose() != Purpose::Hold)
                });
                let is_held = [A, B].iter().any(|&leg| self.leg(leg).state() == LegState::Held);
                if is_settled && is_held && !self.call.held {
                    self.call.held = true;
                    self.report_again(None, CallEventType::Held, 0, "", None);
                }
            }
            Signal::Reply { leg: B, request, reply } if request.purpose() == Purpose::Resume => {
                match (&reply.sdp, reply.is_ok()) {
                    (Some(offer), true) => self.resume(offer),
                    _ if self.retry_later(B, &request, &reply) => {}
                    _ => self.on_any_stage(Signal::Reply { leg: B, request, reply }),
                }
            }
            Signal::Reply { leg: A, request, reply } if request.purpose() == Purpose::Connect => {
                self.on_resumed(*request, reply);
            }
            other => self.on_relayed(other),
        }
    }

    /// Leg b's new offer goes to leg a; leg b's 2xx waits meanwhile.
    fn resume(&mut self, offer: &[u8]) {
        self.start_timer(TimerKind::Guard, B, Duration::from_millis(self.call.policy.guard_ms));
        let headers = self.session_headers();
        let (offer, purpose) = (offer.to_vec(), Purpose::Connect);
        if !self.ask(A, Ask { method: "INVITE", headers, purpose, offer, ..Ask::default() }) {
            self.stop_timer(TimerKind::Guard, B);
            self.stay_held();
        }
    }

    fn on_resumed(&mut self, request: Pending, reply: Reply) {
        let tag = self.leg(B).remote_tag.clone();
        if self.retry_later(A, &request, &reply) {
            return;
        }
        self.ack_first();
        self.stop_timer(TimerKind::Guard, B);
        let answer = reply.sdp.as_ref().filter(|_| reply.is_ok());
        match answer.and_then(|answer| self.fit_answer(B, &tag, &request.offer, answer, &request.lines)) {
            Some(answer) => {
                self.ack(B, &tag, Some(answer));
                self.call.held = false;
                for leg in [A, B] {
                    self.leg_mut(leg).state = LegState::Answered.into();
                }
                self.report_again(None, CallEventType::Unheld, 0, "", None);
            }
            None => {
                self.stay_held();
                self.on_any_stage(Signal::Reply { leg: A, request: Box::new(request), reply });
            }
        }
    }

    /// Leg b's offer cannot go further: it is answered, and the call stays on hold (UAC-22).
    fn stay_held(&mut self) {
        let tag = self.leg(B).remote_tag.clone();
        let offer = self.leg(B).chosen().map(|dialog| dialog.remote_sdp.clone()).unwrap_or_default();
        let answer = self.inactive_answer(B, &tag, &offer);
        self.ack(B, &tag, answer);
    }

    /// Whether a new exchange may begin on the leg.
    fn is_free(&self, leg: usize) -> bool {
        let on = self.leg(leg);
        on.is_up() && on.retry.is_none() && !on.is_busy(&on.remote_tag)
    }
}
