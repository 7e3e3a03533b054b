//! One step: the event goes to its leg, the leg's signals go to the flow, and then the call is settled.

use crate::engine::anchor::across;
use crate::engine::call::{Call, CallState, NewCall, PLAIN_SCHEMA, Seen, Timer, TimerKind};
use crate::engine::effect::{Effect, Header};
use crate::engine::event::{Carried, Command, EdgeEvent, Event, FailureCause, LegEvent};
use crate::engine::leg::{LegState, Purpose};
use crate::engine::outcome::Cause;
use crate::engine::report::CallEventType;
use crate::engine::signal::{A, B, LegIndex, Signal};
use crate::engine::stage::Stage;
use crate::engine::time::Moment;
use crate::engine::work::Work;
use crate::engine::{Context, DueChange, Step, StepError};

/// Makes a call and begins to dial. Commit the step before anything is carried out.
pub fn create(new: NewCall, now: Moment, context: &Context) -> Step {
    let call = Call {
        schema: PLAIN_SCHEMA,
        call_id: new.call_id,
        flow: new.flow.into(),
        from: new.from,
        to: new.to,
        policy: new.policy,
        headers: new.headers,
        metadata: new.metadata,
        callback_id: new.callback_id,
        seed: new.seed,
        state: CallState::Dialing.into(),
        create_ms: now.millis(),
        ..Call::default()
    };
    let mut work = Work::new(call, now, context);
    work.begin();
    work.finish(None)
}

/// Takes one event.
///
/// # Errors
/// When an earlier event of the edge is missing, or a command does not fit the call; the call is as it was.
pub fn step(call: &Call, event: &Event, now: Moment, context: &Context) -> Result<Step, StepError> {
    if let Event::Leg(event) = event
        && is_duplicate(call, event)?
    {
        return Ok(Step::unchanged(call));
    }
    let mut work = Work::new(call.clone(), now, context);
    match event {
        Event::Leg(event) => {
            work.note_taken(event);
            work.on_leg_event(event);
        }
        Event::Carried(carried) => work.on_carried(carried),
        Event::NotCarried { effect } => work.on_not_carried(*effect),
        Event::NoEdge { effect } => work.on_no_edge(*effect),
        Event::Due => work.on_due(),
        Event::EdgeLost { edge_id, edge_epoch } => work.on_edge_lost(edge_id, *edge_epoch),
        Event::Command(command) => work.on_command(command)?,
        Event::Told { from, operation, word } => work.on_told(from, *operation, word),
    }
    work.handle_signals();
    Ok(work.finish(Some(call)))
}

impl Step {
    fn unchanged(call: &Call) -> Step {
        Step {
            call: call.clone(),
            effects: Vec::new(),
            due: DueChange::Keep,
            events: Vec::new(),
            unchanged: true,
            finished: call.is_finished(),
        }
    }
}

/// Whether the event was taken before.
///
/// # Errors
/// When one before it was not.
pub fn is_duplicate(call: &Call, event: &EdgeEvent) -> Result<bool, StepError> {
    let expected = 1 + call.seen.iter().find(|seen| is_of(event, seen)).map_or(0, |seen| seen.number);
    match event.number.cmp(&expected) {
        std::cmp::Ordering::Less => Ok(true),
        std::cmp::Ordering::Greater => Err(StepError::OutOfOrder { expected, got: event.number }),
        std::cmp::Ordering::Equal => Ok(false),
    }
}

fn is_of(event: &EdgeEvent, seen: &Seen) -> bool {
    seen.edge_id == event.edge_id && seen.edge_epoch == event.edge_epoch
}

impl Work<'_> {
    /// The event is the next one of its edge, and is taken with this step.
    pub fn note_taken(&mut self, event: &EdgeEvent) {
        let seen = &mut self.call.seen;
        match seen.iter_mut().find(|seen| is_of(event, seen)) {
            Some(seen) => seen.number = event.number,
            None => seen.push(Seen {
                edge_id: event.edge_id.clone(),
                edge_epoch: event.edge_epoch,
                number: event.number,
            }),
        }
    }

    fn on_leg_event(&mut self, event: &EdgeEvent) {
        let Some(leg) = self.call.legs.iter().position(|leg| leg.leg_id == event.leg_id) else {
            if let LegEvent::Incoming(asked) = &event.what {
                self.on_conference_asked(event, asked);
            }
            return;
        };
        let on = self.leg_mut(leg);
        on.edge_id = event.edge_id.clone();
        on.edge_epoch = event.edge_epoch;
        // Who says where it is reached says by that whether it is by the flow only.
        let (tag, moves) = match &event.what {
            LegEvent::Response(response) if response.status < 300 => {
                (Some(&response.to_tag), !response.contact.is_empty())
            }
            LegEvent::Request(request) => (Some(&request.from_tag), !request.contact.is_empty()),
            LegEvent::Response(_)
            | LegEvent::Failed(_)
            | LegEvent::Ack { .. }
            | LegEvent::AckMissing { .. }
            | LegEvent::PrackMissing { .. }
            | LegEvent::Incoming(_)
            | LegEvent::Cancel { .. } => (None, false),
        };
        if moves || !event.flow.is_empty() {
            on.flow = event.flow.clone();
            if let Some(dialog) = tag.and_then(|tag| on.dialog_mut(tag)) {
                dialog.flow = event.flow.clone();
            }
        }
        // An answer proves that the edge took the effect on, even when its word about that was lost
        let answered = match &event.what {
            LegEvent::Response(response) => Some(response.effect),
            LegEvent::Failed(failed) => Some(failed.effect),
            LegEvent::Request(_)
            | LegEvent::Ack { .. }
            | LegEvent::AckMissing { .. }
            | LegEvent::PrackMissing { .. }
            | LegEvent::Incoming(_)
            | LegEvent::Cancel { .. } => None,
        };
        if let Some(effect) = answered {
            let (edge_id, edge_epoch) = (event.edge_id.clone(), event.edge_epoch);
            self.on_carried(&Carried { effect, edge_id, edge_epoch });
        }
        self.said = said(&event.what);
        let on = self.leg_mut(leg);
        match &event.what {
            LegEvent::Response(response) => {
                if on.invite.as_ref().is_some_and(|invite| invite.effect == response.effect) {
                    self.on_invite_response(leg, response);
                } else {
                    self.on_dialog_response(leg, response);
                }
            }
            LegEvent::Failed(failed) => {
                if on.invite.as_ref().is_some_and(|invite| invite.effect == failed.effect) {
                    match failed.cause {
                        FailureCause::Transport => self.lose_invite(leg),
                        FailureCause::Timeout => self.on_invite_silence(leg, failed.cause),
                    }
                } else {
                    self.on_dialog_silence(leg, failed);
                }
            }
            LegEvent::Request(request) => self.on_request(leg, (&event.edge_id, event.edge_epoch), request),
            LegEvent::Ack { transaction, body, .. } => self.on_ack(leg, transaction, body.as_ref()),
            LegEvent::AckMissing { transaction } => self.on_ack_missing(leg, transaction),
            LegEvent::Cancel { transaction, .. } => self.on_cancel(leg, transaction),
            LegEvent::PrackMissing { rseq, .. } => self.on_prack_missing(leg, *rseq),
            // Only the first event of a leg makes one
            LegEvent::Incoming(_) => {}
        }
    }

    fn on_command(&mut self, command: &Command) -> Result<(), StepError> {
        let is_over = self.call.outcome.is_some();
        match command {
            Command::Hangup { reason } => self.hang_up(reason),
            Command::SendInfo { leg_id, body, package, ticket } => {
                self.send_info(leg_id, body.clone(), package, ticket)?;
            }
            Command::SendKeys { leg_id, digits, duration_ms, ticket } => {
                self.send_keys(leg_id, digits, *duration_ms, ticket)?;
            }
            _ if is_over => return Err(self.wrong_state()),
            Command::Hold { leg_id, music } => self.hold(leg_id.as_deref(), music)?,
            Command::Play { leg_id, uri, limit_ms } => self.play(leg_id, uri, *limit_ms)?,
            Command::Unhold { leg_id } => self.unhold(leg_id.as_deref())?,
            Command::Transfer { leg_id, target, method } => self.transfer(leg_id, target, *method)?,
            Command::Join { party, mixer } => self.join(party.clone(), *mixer)?,
        }
        Ok(())
    }

    fn on_due(&mut self) {
        let now_ms = self.now.millis();
        let (fired, running): (Vec<Timer>, Vec<Timer>) =
            self.call.timers.drain(..).partition(|timer| timer.at_ms <= now_ms);
        self.call.timers = running;
        for timer in fired {
            let leg = timer.leg as LegIndex;
            match timer.kind() {
                TimerKind::Ring if self.try_next_mixer(leg) => {}
                TimerKind::Ring => {
                    let leg_id = self.leg(leg).leg_id.clone();
                    match self.is_untaken(leg) {
                        true => self.lose_party(leg, Cause::no_edge(&leg_id)),
                        false => self.lose_party(leg, Cause::no_answer(&leg_id)),
                    }
                }
                TimerKind::Guard if self.listener_late(leg) => {}
                TimerKind::Guard if self.call.conference.is_some() => self.member_late(leg),
                TimerKind::Guard => self.signals.push_back(Signal::Guard),
                TimerKind::Retry => self.send_waiting(leg),
                TimerKind::MaxDuration => self.end(Cause::too_long()),
                TimerKind::Closing => self.on_closing(leg),
                TimerKind::Refresh => self.refresh_session(leg),
                TimerKind::Expiry => self.session_expired(leg),
                TimerKind::Repeat => self.repeat_to_caller(),
                TimerKind::Expires => self.invite_expired(),
                TimerKind::Operation => self.on_operation_late(),
                TimerKind::Answer => self.on_answer_late(leg),
                TimerKind::Accepted => self.forget_setup(),
                TimerKind::Unspecified => {}
            }
            self.handle_signals();
        }
    }

    /// Gives the legs' signals to the flow, each to the stage as it then is.
    pub fn handle_signals(&mut self) {
        while let Some(signal) = self.signals.pop_front() {
            match self.call.stage.clone() {
                Some(Stage::DialA(stage)) => self.on_dial_a(stage, signal),
                Some(Stage::DialB(stage)) => self.on_dial_b(stage, signal),
                Some(Stage::Connect(_)) => self.on_connect(signal),
                Some(Stage::Ringback(stage)) => self.on_ringback(stage, signal),
                Some(Stage::Prack(stage)) => self.on_prack(stage, signal),
                Some(Stage::Early(stage)) => self.on_early(stage, signal),
                Some(Stage::AskOffer(_)) => self.on_ask_offer(signal),
                Some(Stage::OfferB(stage)) => self.on_offer_b(stage, signal),
                Some(Stage::Talking(_)) => self.on_talking(signal),
                Some(Stage::Anchored(stage)) => self.on_anchored(stage, signal),
                Some(Stage::Moving(stage)) => self.on_moving(stage, signal),
                Some(Stage::Lending(_)) => self.on_any_stage(signal),
                Some(Stage::Referring(stage)) => self.on_referring(stage, signal),
                Some(Stage::Listening(stage)) => self.on_listening(stage, signal),
                Some(Stage::Gathering(_)) => self.on_gathering(signal),
                Some(Stage::Conferring(_)) => self.on_conferring(signal),
                Some(Stage::Ending(_)) | None => self.on_ending(signal),
            }
        }
    }

    /// What a signal means in every stage that has no use of its own for it.
    pub fn on_any_stage(&mut self, signal: Signal) {
        match signal {
            Signal::Progress { .. } | Signal::EarlyAnswer { .. } | Signal::CallerAnswered { .. } => {}
            Signal::CallerLost { leg } => self.caller_lost(leg),
            Signal::EarlyOffer { leg, tag, .. } => self.refuse_early_offer(leg, &tag, Purpose::PrackPlain),
            Signal::Answered { leg, .. } => {
                let tag = self.leg(leg).remote_tag.clone();
                let answer = self.reject_answer(leg, &tag);
                self.ack(leg, &tag, answer);
            }
            Signal::Refused { leg, status, reason, silent } => self.refused(leg, status, &reason, silent),
            Signal::Reply { leg, request, reply } => {
                if request.request.method == "INVITE" && reply.is_ok() {
                    let answer = self.reject_answer(leg, &request.request.to_tag);
                    self.ack(leg, &request.request.to_tag, answer);
                }
                if request.purpose() == Purpose::Tone && reply.is_ok() {
                    self.report_call(CallEventType::RingbackStarted, 0, "");
                }
                let is_leg = self.leg(leg).remote_tag == request.request.to_tag;
                if is_leg && reply.ends_dialog_of(&request) {
                    self.gone(leg, &reply);
                } else if is_leg && request.purpose() == Purpose::Refresh && !reply.is_ok() {
                    self.refresh_refused(leg, &reply);
                }
            }
            Signal::PeerOffer { leg, transaction, .. } => {
                self.respond(leg, &transaction, 491, Vec::new(), None)
            }
            Signal::PeerAck { leg, transaction, sdp } => {
                self.leg_mut(leg).served.retain(|served| served.transaction != transaction);
                self.own_offer_answered(leg, sdp.as_deref());
                // Who was sent away before its ACK
                self.end_caller_if_waiting(leg);
            }
            Signal::PeerCancel { leg, transaction } => self.respond(leg, &transaction, 487, Vec::new(), None),
            Signal::PeerMessage { leg, transaction, message } => {
                let is_info = message.method == "INFO";
                if is_info {
                    self.note_info(leg, message.body);
                }
                self.respond(leg, &transaction, if is_info { 200 } else { 480 }, Vec::new(), None);
            }
            Signal::Guard => {
                self.end(Cause { refuse_early: true, ..Cause::failed(504, "Guard time passed") })
            }
        }
    }

    /// Stage Ending: the legs end by themselves.
    fn on_ending(&mut self, signal: Signal) {
        match signal {
            Signal::Refused { leg, .. } => self.leg_over(leg),
            Signal::PeerOffer { leg, transaction, .. }
            | Signal::PeerMessage { leg, transaction, .. }
            | Signal::PeerCancel { leg, transaction } => {
                self.respond(leg, &transaction, 487, Vec::new(), None)
            }
            Signal::PeerAck { leg, transaction, .. } => {
                self.leg_mut(leg).served.retain(|served| served.transaction != transaction);
                self.end_caller_if_waiting(leg);
            }
            Signal::CallerLost { leg } => self.caller_lost(leg),
            Signal::Reply { leg, request, reply } if self.leg(leg).returning => {
                self.on_returning(leg, &request, &reply);
            }
            Signal::Progress { .. }
            | Signal::EarlyOffer { .. }
            | Signal::EarlyAnswer { .. }
            | Signal::Answered { .. }
            | Signal::Reply { .. }
            | Signal::CallerAnswered { .. }
            | Signal::Guard => {}
        }
    }

    pub fn finish(mut self, before: Option<&Call>) -> Step {
        for leg in 0..self.call.legs.len() {
            self.send_waiting(leg);
        }
        self.settle_ends();
        self.settle_state();
        let due = self.call.next_due();
        let due = match before {
            Some(before) if before.next_due() == due => DueChange::Keep,
            _ => due.map_or(DueChange::Clear, DueChange::At),
        };
        let touched = std::mem::take(&mut self.effects);
        let is_touched = |effect: &&Effect| touched.iter().any(|one| one.number == effect.number);
        let effects = self.call.outbox.iter().filter(is_touched).cloned().collect();
        let unchanged = before == Some(&self.call) && self.events.is_empty();
        let finished = self.is_finished();
        Step { call: self.call, effects, due, events: self.events, unchanged, finished }
    }

    /// The public state follows from the stage and the legs.
    fn settle_state(&mut self) {
        let ringing = |leg: Option<&crate::engine::leg::Leg>| leg.map(|leg| leg.state());
        let state = match &self.call.stage {
            None | Some(Stage::DialA(_)) => match ringing(self.call.legs.get(A)) {
                Some(LegState::Ringing) => CallState::Ringing,
                Some(LegState::Progressing) => CallState::Progressing,
                _ => CallState::Dialing,
            },
            Some(
                Stage::DialB(_)
                | Stage::Ringback(_)
                | Stage::Prack(_)
                | Stage::Early(_)
                | Stage::OfferB(_)
                | Stage::Connect(_)
                | Stage::AskOffer(_),
            ) => match ringing(self.call.legs.get(B)) {
                _ if self.call.answer_ms != 0 => CallState::Answered,
                Some(LegState::Ringing) => CallState::Ringing,
                _ => CallState::Progressing,
            },
            Some(Stage::Anchored(_)) => match ringing(self.call.legs.get(B)) {
                Some(LegState::Ringing) => CallState::Ringing,
                Some(LegState::Progressing | LegState::Answered) => CallState::Progressing,
                _ => CallState::Dialing,
            },
            Some(Stage::Conferring(_)) if self.call.answer_ms == 0 => CallState::Dialing,
            Some(
                Stage::Talking(_)
                | Stage::Moving(_)
                | Stage::Lending(_)
                | Stage::Referring(_)
                | Stage::Gathering(_)
                | Stage::Listening(_)
                | Stage::Conferring(_),
            ) => match self.call.held {
                true => CallState::Held,
                false => CallState::Answered,
            },
            Some(Stage::Ending(_)) if self.call.end_ms != 0 => CallState::Ended,
            Some(Stage::Ending(_)) => CallState::Ending,
        };
        self.call.state = state.into();
    }
}

/// What of an event is for the other party.
fn said(what: &LegEvent) -> Vec<Header> {
    match what {
        LegEvent::Response(response) => across::of_response(response),
        LegEvent::Cancel { reason, .. } => {
            let reasons = reason.iter().filter(|value| across::is_sayable(value));
            reasons.map(|value| Header::new("Reason", value)).collect()
        }
        LegEvent::Request(_)
        | LegEvent::Failed(_)
        | LegEvent::Ack { .. }
        | LegEvent::AckMissing { .. }
        | LegEvent::PrackMissing { .. }
        | LegEvent::Incoming(_) => Vec::new(),
    }
}

impl Call {
    /// When the next timer fires.
    pub fn next_due(&self) -> Option<Moment> {
        self.timers.iter().map(|timer| timer.at_ms).min().map(Moment::from_millis)
    }
}
