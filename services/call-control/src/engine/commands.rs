//! Wishes of the business application for a connected call: hold and resume.
//!
//! | wish            | effects                                                          | event                |
//! |-----------------|------------------------------------------------------------------|----------------------|
//! | hold            | re-INVITE of both legs, every stream inactive                    | HELD, when one took it |
//! | hold of a leg   | the same for that leg                                            | HELD of the leg      |
//! | resume          | re-INVITE without SDP of the second leg, its offer to the first  | UNHELD               |
//! | resume of a leg | the same, and the leg makes the offer                            | UNHELD of the leg    |
//!
//! What does not fit the state is refused with it; what would meet an exchange that is under way is refused as a conflict.

use std::time::Duration;

use crate::engine::StepError;
use crate::engine::call::TimerKind;
use crate::engine::leg::{LegState, Pending, Purpose};
use crate::engine::report::CallEventType;
use crate::engine::send::Ask;
use crate::engine::signal::{LegIndex, Reply, Signal};
use crate::engine::stage::Stage;
use crate::engine::work::Work;

impl Work<'_> {
    /// Makes every stream of one leg, or of both, inactive.
    pub fn hold(&mut self, leg_id: Option<&str>, music: &str) -> Result<(), StepError> {
        let legs = self.legs_of(leg_id)?;
        if self.call.held && leg_id.is_none() || legs.iter().all(|&leg| self.is_held(leg)) {
            return Err(self.wrong_state());
        }
        self.must_be_free(&self.pair_of(&legs))?;
        // In a conference the others are not on hold, and talk
        if !music.is_empty() && self.call.conference.is_none() {
            return self.hold_with_music(&legs, leg_id.is_some(), music);
        }
        for leg in legs {
            let headers = self.session_headers();
            let purpose = if leg_id.is_some() { Purpose::HoldLeg } else { Purpose::Hold };
            self.ask(leg, Ask { method: "INVITE", headers, purpose, ..Ask::default() });
        }
        Ok(())
    }

    /// Connects both legs again: one makes a new offer, the other one answers it.
    pub fn unhold(&mut self, leg_id: Option<&str>) -> Result<(), StepError> {
        if self.may_stop_listening() {
            self.stop_listening();
        }
        let legs = self.legs_of(leg_id)?;
        let is_held = self.call.held || legs.iter().any(|&leg| self.is_held(leg));
        if !is_held {
            return Err(self.wrong_state());
        }
        self.must_be_free(&self.pair_of(&legs))?;
        let asked = legs.last().copied().unwrap_or_default();
        let of_leg = leg_id.is_some();
        let headers = self.session_headers();
        let purpose = Purpose::Resume;
        self.ask(asked, Ask { method: "INVITE", headers, purpose, of_leg, ..Ask::default() });
        Ok(())
    }

    /// The two that a wish about these legs concerns.
    fn pair_of(&self, legs: &[LegIndex]) -> [LegIndex; 2] {
        match legs {
            [leg] => [*leg, self.other(*leg)],
            _ => self.pair(),
        }
    }

    /// The leg is on hold from now on. Whether that is news.
    fn is_held_now(&mut self, leg: LegIndex) -> bool {
        let was_held = self.is_held(leg);
        self.leg_mut(leg).state = LegState::Held.into();
        match self.call.conference.is_some() {
            true => !was_held,
            false => !std::mem::replace(&mut self.call.held, true),
        }
    }

    /// The legs that a wish is about, of a call whose parties are connected.
    fn legs_of(&self, leg_id: Option<&str>) -> Result<Vec<LegIndex>, StepError> {
        let pair = self.pair();
        let legs = match leg_id {
            None => pair.to_vec(),
            Some(leg_id) => vec![self.leg_named(leg_id)?],
        };
        if let ([leg], Some(Stage::Conferring(_)), Some(_)) = (&legs[..], &self.call.stage, leg_id) {
            self.must_be_in(*leg)?;
            return Ok(legs);
        }
        self.must_be_talking()?;
        match legs.iter().all(|leg| pair.contains(leg)) {
            true => Ok(legs),
            false => Err(self.wrong_state()),
        }
    }

    /// Index of the leg with this id.
    pub fn leg_named(&self, leg_id: &str) -> Result<LegIndex, StepError> {
        let leg = self.call.legs.iter().position(|leg| leg.leg_id == leg_id);
        leg.ok_or_else(|| StepError::UnknownLeg(leg_id.to_owned()))
    }

    /// The parties are connected, and nobody is about to come or to leave.
    pub fn must_be_talking(&self) -> Result<(), StepError> {
        match &self.call.stage {
            Some(Stage::Talking(_)) => Ok(()),
            Some(Stage::Listening(listening)) if listening.may_be_left() => Ok(()),
            Some(stage) if stage.is_operation() => Err(StepError::Conflict),
            _ => Err(self.wrong_state()),
        }
    }

    /// No exchange runs on these legs.
    pub fn must_be_free(&self, legs: &[LegIndex]) -> Result<(), StepError> {
        match legs.iter().all(|&leg| self.is_free(leg)) {
            true => Ok(()),
            false if legs.iter().all(|&leg| self.leg(leg).is_up()) => Err(StepError::Conflict),
            false => Err(self.wrong_state()),
        }
    }

    /// The refusal of a wish that does not fit the state.
    pub fn wrong_state(&self) -> StepError {
        StepError::WrongState(self.call.state())
    }

    pub fn is_held(&self, leg: LegIndex) -> bool {
        self.leg(leg).state() == LegState::Held
    }

    /// Stage Talking.
    pub fn on_talking(&mut self, signal: Signal) {
        match signal {
            Signal::Reply { leg, request, reply }
                if matches!(request.purpose(), Purpose::Hold | Purpose::HoldLeg) =>
            {
                self.on_held(leg, request, reply);
            }
            Signal::Reply { leg, request, reply } if request.purpose() == Purpose::Resume => {
                match (&reply.sdp, reply.is_ok()) {
                    (Some(offer), true) => self.resume(leg, offer, request.of_leg),
                    _ if self.retry_later(leg, &request, &reply) => {}
                    _ => self.on_any_stage(Signal::Reply { leg, request, reply }),
                }
            }
            Signal::Reply { leg, request, reply } if request.purpose() == Purpose::Connect => {
                self.on_resumed(leg, *request, reply);
            }
            Signal::Reply { leg, request, reply }
                if matches!(request.purpose(), Purpose::Move | Purpose::MoveAsk) =>
            {
                self.on_late_move(leg, request, reply);
            }
            other => self.on_relayed(other),
        }
    }

    pub fn on_held(&mut self, leg: LegIndex, request: Box<Pending>, reply: Reply) {
        let tag = request.request.to_tag.clone();
        self.ack(leg, &tag, None);
        if reply.is_ok() && request.purpose() == Purpose::Hold {
            self.leg_mut(leg).state = LegState::Held.into();
        } else if reply.is_ok() {
        } else if self.retry_later(leg, &request, &reply) {
            return;
        } else if reply.is_gone() {
            return self.on_any_stage(Signal::Reply { leg, request, reply });
        }
        if request.purpose() == Purpose::HoldLeg {
            let was_held = self.is_held(leg);
            if reply.is_ok() {
                self.is_held_now(leg);
            }
            if reply.is_ok() && !was_held {
                self.report_on(leg, CallEventType::Held, 0, "");
            }
            return;
        }
        // A leg that refused stays as it was (UAC-22); the call counts as held when one took it
        let is_settled = self.pair().iter().all(|&leg| {
            let on = self.leg(leg);
            on.retry.is_none() && on.pending.iter().all(|pending| pending.purpose() != Purpose::Hold)
        });
        let is_held = self.pair().iter().any(|&leg| self.is_held(leg));
        if is_settled && is_held && !self.call.held {
            self.call.held = true;
            self.report_again(None, CallEventType::Held, 0, "", None);
        }
    }

    /// The leg's new offer goes to the other one; its own 2xx waits meanwhile.
    pub fn resume(&mut self, from: LegIndex, offer: &[u8], of_leg: bool) {
        self.start_timer(TimerKind::Guard, from, Duration::from_millis(self.call.policy.guard_ms));
        let headers = self.session_headers();
        let (offer, purpose) = (offer.to_vec(), Purpose::Connect);
        let ask = Ask { method: "INVITE", headers, purpose, offer, of_leg, ..Ask::default() };
        if !self.ask(self.other(from), ask) {
            self.stop_timer(TimerKind::Guard, from);
            self.stay_held(from);
        }
    }

    fn on_resumed(&mut self, to: LegIndex, request: Pending, reply: Reply) {
        let from = self.other(to);
        let tag = self.leg(from).remote_tag.clone();
        if self.retry_later(to, &request, &reply) {
            return;
        }
        let own = self.leg(to).remote_tag.clone();
        self.ack(to, &own, None);
        self.stop_timer(TimerKind::Guard, from);
        let answer = reply.sdp.as_ref().filter(|_| reply.is_ok());
        match answer.and_then(|answer| self.fit_answer(from, &tag, &request.offer, answer, &request.lines)) {
            Some(answer) => {
                self.ack(from, &tag, Some(answer));
                let pair = self.pair_of(&[from]);
                let was_held = match self.call.conference.is_some() {
                    true => pair.iter().any(|&leg| self.is_held(leg)),
                    false => std::mem::take(&mut self.call.held),
                };
                for leg in pair {
                    self.leg_mut(leg).state = LegState::Answered.into();
                }
                if was_held {
                    let leg_id = request.of_leg.then(|| self.leg(from).leg_id.clone());
                    self.report_again(leg_id, CallEventType::Unheld, 0, "", None);
                }
            }
            None => {
                self.stay_held(from);
                self.on_any_stage(Signal::Reply { leg: to, request: Box::new(request), reply });
            }
        }
    }

    /// The leg's offer cannot go further: it is answered, and the call stays on hold (UAC-22), or is from now on.
    pub fn stay_held(&mut self, leg: LegIndex) {
        let tag = self.leg(leg).remote_tag.clone();
        let offer = self.leg(leg).chosen().map(|dialog| dialog.remote_sdp.clone()).unwrap_or_default();
        let answer = self.inactive_answer(leg, &tag, &offer);
        self.ack(leg, &tag, answer);
        if self.is_held_now(leg) {
            let leg_id = Some(self.leg(leg).leg_id.clone());
            self.report_again(leg_id, CallEventType::Held, 0, "", None);
        }
    }

    /// Whether a new exchange may begin on the leg.
    pub fn is_free(&self, leg: LegIndex) -> bool {
        let on = self.leg(leg);
        on.is_up() && on.retry.is_none() && !on.is_busy(&on.remote_tag)
    }
}
