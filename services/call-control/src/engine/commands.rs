//! Wishes of the business application for a connected call: hold and resume.
//!
//! | wish            | effects                                                          |
//! |-----------------|------------------------------------------------------------------|
//! | hold            | re-INVITE of both legs, every stream inactive                    |
//! | hold of a leg   | the same for that leg                                            |
//! | resume          | re-INVITE without SDP of the second leg, its offer to the first  |
//! | resume of a leg | the same, and the leg makes the offer                            |
//!
//! Each ends with one event, see [`hold`](crate::engine::hold).
//!
//! What does not fit the state is refused with it; what would meet an exchange that is under way is refused as a conflict.

use std::time::Duration;

use crate::engine::StepError;
use crate::engine::call::{Call, TimerKind};
use crate::engine::hold::record::Wish;
use crate::engine::leg::{Pending, Purpose};
use crate::engine::offer_answer::is_hold;
use crate::engine::outcome::BY_CARILLON;
use crate::engine::report::CallEventType;
use crate::engine::send::Ask;
use crate::engine::signal::{LegIndex, Reply, Signal};
use crate::engine::stage::Stage;
use crate::engine::work::Work;

impl Work<'_> {
    /// Makes every stream of one leg, or of both, inactive.
    pub fn hold(&mut self, leg_id: Option<&str>, music: &str) -> Result<(), StepError> {
        let mut legs = self.legs_of(leg_id)?;
        let pair = self.pair_of(&legs);
        legs.retain(|&leg| !self.is_held(leg));
        if legs.is_empty() {
            return Err(self.wrong_state());
        }
        self.must_be_free(&pair)?;
        self.begin_holding(Wish::Hold, leg_id, &legs);
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
        // Of a phone that holds, too: it may agree to a session, or hold again
        if !self.call.held && !self.pair_of(&legs).iter().any(|&leg| self.is_held(leg)) {
            return Err(self.wrong_state());
        }
        self.must_be_free(&self.pair_of(&legs))?;
        let asked = legs.last().copied().unwrap_or_default();
        self.begin_holding(Wish::Unhold, leg_id, &[asked]);
        let headers = self.session_headers();
        let purpose = Purpose::Resume;
        self.ask(asked, Ask { method: "INVITE", headers, purpose, ..Ask::default() });
        Ok(())
    }

    /// The two that a wish about these legs concerns.
    fn pair_of(&self, legs: &[LegIndex]) -> [LegIndex; 2] {
        match legs {
            [leg] => [*leg, self.other(*leg)],
            _ => self.pair(),
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
            Some(_) if !self.call.holdings.is_empty() => Err(StepError::Conflict),
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
                    (Some(offer), true) => self.resume(leg, offer),
                    _ if self.retry_later(leg, &request, &reply) => {}
                    // The end of the call tells of it
                    _ if reply.is_gone() => self.on_any_stage(Signal::Reply { leg, request, reply }),
                    _ => {
                        let refusal = self.refusal(leg, &reply);
                        self.on_any_stage(Signal::Reply { leg, request, reply });
                        self.unhold_settled(leg, Some(refusal));
                    }
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

    /// A leg that was to be held has answered.
    pub fn on_held(&mut self, leg: LegIndex, request: Box<Pending>, reply: Reply) {
        let tag = request.request.to_tag.clone();
        self.ack(leg, &tag, None);
        if reply.is_ok() {
            self.keep_on_hold(leg);
            self.hold_settled(leg, None);
        } else if self.retry_later(leg, &request, &reply) {
        } else if reply.is_gone() {
            self.on_any_stage(Signal::Reply { leg, request, reply });
        } else {
            // UAC-22: it stays as it was
            let refusal = self.refusal(leg, &reply);
            self.hold_settled(leg, Some(refusal));
        }
    }

    /// The leg's new offer goes to the other one; its own 2xx waits meanwhile.
    pub fn resume(&mut self, from: LegIndex, offer: &[u8]) {
        self.start_timer(TimerKind::Guard, from, Duration::from_millis(self.call.policy.guard_ms));
        let headers = self.session_headers();
        let (offer, purpose) = (offer.to_vec(), Purpose::Connect);
        if !self.ask(self.other(from), Ask { method: "INVITE", headers, purpose, offer, ..Ask::default() }) {
            self.stop_timer(TimerKind::Guard, from);
            self.stay_held(from);
            let refusal = self.refusal(from, &Reply { status: 200, ..Reply::default() });
            self.unhold_settled(from, Some(refusal));
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
        let Some((said, fitted)) = answer.and_then(|answer| {
            let fitted = self.fit_answer(from, &tag, &request.offer, answer, &request.lines);
            Some((answer.clone(), fitted?))
        }) else {
            let refusal = self.refusal(to, &reply);
            self.stay_held(from);
            if !reply.is_gone() {
                self.unhold_settled(from, Some(refusal));
            }
            return self.on_any_stage(Signal::Reply { leg: to, request: Box::new(request), reply });
        };
        self.ack(from, &tag, Some(fitted));
        let was_held = self.lift_hold(self.pair_of(&[from]));
        if !self.unhold_settled(from, None) && was_held {
            self.report_by(None, CallEventType::Unheld, (0, ""), BY_CARILLON);
        }
        let by = if !is_hold(&request.offer) && self.leg(to).holds { to } else { from };
        self.note_hold(
            by,
            if by == from { &request.offer } else { &said },
            if by == from { &said } else { &request.offer },
        );
    }

    /// Whether a new exchange may begin on the leg.
    pub fn is_free(&self, leg: LegIndex) -> bool {
        let on = self.leg(leg);
        on.is_up() && on.retry.is_none() && !on.is_busy(&on.remote_tag)
    }
}

impl Call {
    /// Whether no operation is under way that another call would meet. What it says can change before a leg is asked for.
    pub fn takes_operations(&self) -> bool {
        let is_free = match &self.stage {
            Some(Stage::Listening(listening)) => listening.may_be_left(),
            Some(stage) => !stage.is_operation(),
            None => true,
        };
        is_free && self.holdings.is_empty()
    }
}
