//! A call that came in and is carried on by Carillon as a back-to-back user agent (RFC 7092 3.1.3): leg a is the caller, whose
//! INVITE an edge holds, leg b is dialled with what the caller offers. Once both have answered it is a connected call like any
//! other, see `talking`.
//!
//! | stage    | input                                  | effects                                          | next     |
//! |----------|----------------------------------------|--------------------------------------------------|----------|
//! | -        | INVITE, see `begin`                    | INVITE b with offer1' (or none), or a refusal    | Anchored |
//! | Anchored | 1xx b                                  | the same 1xx to a; unknown ones as 183           | Anchored |
//! | Anchored | 1xx b, preview of answer1              | the same to a, not reliably                      | Anchored |
//! | Anchored | 1xx b, answer1 (reliable: PRACK b)     | the same to a with answer1'                      | Anchored |
//! | Anchored | reliable 1xx b, offer1                 | reliable 1xx to a with offer1'                   | Anchored |
//! | Anchored | PRACK a, answer1                       | PRACK b, answer1'                                | Anchored |
//! | Anchored | 2xx b, answer1 (or given before)       | ACK b; 200 to a with answer1' (unless given)     | Talking  |
//! | Anchored | 2xx b, offer1                          | 200 to a with offer1'                            | Anchored |
//! | Anchored | ACK a, answer1                         | ACK b, answer1'                                  | Talking  |
//! | Anchored | refusal b, or BYE of it                | the same to a (480 for 487), see `caller`        | Ending   |
//! | Anchored | CANCEL or BYE a                        | 487 to a; CANCEL b with the caller's Reason      | Ending   |
//! | Anchored | RING, Expires, Hangup                  | 480, 487, 480 to a; CANCEL b                     | Ending   |
//! | Anchored | UPDATE, INFO of either                 | see `talking`                                    | Anchored |
//!
//! Leg b may fork. The caller is shown the session of one fork; when another one answers, the 2xx has another tag and so is, to the
//! caller, another fork of its own INVITE (RFC 3261 13.2.2.4): nothing that it was told before has to be taken back.

pub mod across;
pub mod begin;
mod caller;
mod prack;
pub mod record;

use std::time::Duration;

use crate::engine::anchor::record::Said;
use crate::engine::call::{OutcomeKind, TimerKind};
use crate::engine::claim::record::ClaimStep;
use crate::engine::derive;
use crate::engine::leg::{OpenOffer, Purpose};
use crate::engine::outcome::Cause;
use crate::engine::signal::{A, B, LegIndex, Signal};
use crate::engine::stage::{Anchored, Stage};
use crate::engine::work::Work;

impl Anchored {
    /// The caller was answered without a session, and its leg goes to another call.
    pub fn is_picking_up(&self) -> bool {
        self.claiming.as_ref().is_some_and(|claiming| claiming.step() == ClaimStep::PickedUp)
    }
}

impl Work<'_> {
    /// Stage Anchored.
    pub fn on_anchored(&mut self, stage: Anchored, signal: Signal) {
        match signal {
            Signal::Reply { leg: B, request, reply }
                if matches!(request.purpose(), Purpose::Move | Purpose::MoveAsk) =>
            {
                self.on_caller_offered(stage, &request, &reply);
            }
            Signal::PeerAck { leg: A, transaction, .. } if stage.is_picking_up() => {
                if let Some(claiming) = stage.claiming.clone() {
                    self.lend_caller(&stage, &claiming, &transaction);
                }
            }
            Signal::PeerCancel { leg: A, transaction } if self.is_invite_of_caller(&transaction) => {
                self.caller_cancelled();
            }
            // Nobody to relay to
            other if stage.claiming.is_some() || !self.pair().contains(&other.leg()) => {
                self.on_any_stage(other);
            }
            Signal::Progress { leg: B, status, tag, sdp } => {
                self.pass_progress(stage, status, &tag, sdp, true);
            }
            Signal::EarlyAnswer { leg: B, status, tag, sdp } => {
                self.pass_progress(stage, status, &tag, Some(sdp), false);
            }
            Signal::EarlyOffer { leg: B, tag, status, sdp } => self.pass_early_offer(stage, tag, status, sdp),
            Signal::CallerAnswered { leg: A, offer, lines, sdp } => {
                self.pass_early_answer(stage, &offer, &lines, &sdp);
            }
            Signal::Answered { leg: B, sdp: Some(offer) } if stage.offer.is_empty() => {
                self.pass_late_offer(&stage, offer);
            }
            Signal::Answered { leg: B, sdp } => self.pass_success(stage, sdp),
            Signal::PeerAck { leg: A, transaction, sdp } => {
                self.on_relayed(Signal::PeerAck { leg: A, transaction, sdp });
                if self.call.outcome.is_none() {
                    self.connected();
                }
            }
            other => self.on_relayed(other),
        }
    }

    fn is_invite_of_caller(&self, transaction: &str) -> bool {
        self.leg(A).incoming.as_ref().is_some_and(|incoming| incoming.transaction == transaction)
    }

    /// Leg b rings, or says something else that is no end. A preview of its session may still change: the answer is what comes
    /// reliably, in a 1xx or in the 2xx (RFC 3261 13.2.1).
    fn pass_progress(
        &mut self,
        mut stage: Anchored,
        status: u32,
        tag: &str,
        sdp: Option<Vec<u8>>,
        is_preview: bool,
    ) {
        let status = match status {
            199 => return, // about one fork alone (RFC 6228), of which the caller was told nothing
            180..=183 => status,
            _ => 183, // UAC-14
        };
        let headers = self.said.clone();
        let mut given = Vec::new();
        let is_shown = stage.fork.is_empty() || stage.fork == tag;
        if let Some(sdp) = sdp.filter(|_| !stage.offer.is_empty() && is_shown) {
            let own = self.leg(A).remote_tag.clone();
            let is_known = is_preview && self.leg(B).dialog(tag).is_some_and(|dialog| dialog.agreed);
            if is_known {
                let is_said = self.open_caller(A).is_some_and(|caller| caller.takes_reliable);
                given = if is_said { Vec::new() } else { stage.answer.clone() };
            } else if let Some(fitted) = self.fit_answer(A, &own, &stage.offer, &sdp, &stage.lines) {
                stage.fork = tag.to_owned();
                stage.answer = fitted.clone();
                given = fitted;
            }
            self.call.stage = Some(Stage::Anchored(stage));
        }
        let preview = is_preview && !given.is_empty();
        self.tell_caller(Said { status, headers, sdp: given, preview, ..Said::default() });
    }

    /// Leg b makes its offer in a reliable 1xx: the caller answers it in PRACK.
    fn pass_early_offer(&mut self, mut stage: Anchored, tag: String, status: u32, offer: Vec<u8>) {
        let takes_reliable = self.open_caller(A).is_some_and(|caller| caller.takes_reliable);
        let fitted = match takes_reliable && stage.fork.is_empty() {
            true => self.fit_offer(A, &offer),
            false => None,
        };
        let Some(fitted) = fitted else {
            return self.refuse_early_offer(B, &tag, Purpose::PrackPlain);
        };
        stage.fork = tag;
        self.call.stage = Some(Stage::Anchored(stage));
        self.start_timer(TimerKind::Guard, B, Duration::from_millis(self.call.policy.guard_ms));
        let headers = self.said.clone();
        let (sdp, lines) = (fitted.sdp, fitted.lines);
        self.tell_caller(Said { status, headers, sdp, offer, lines, ..Said::default() });
    }

    /// The caller's answer to the offer in leg b's reliable 1xx.
    fn pass_early_answer(&mut self, mut stage: Anchored, offer: &[u8], lines: &[i32], answer: &[u8]) {
        self.stop_timer(TimerKind::Guard, B);
        let fork = stage.fork.clone();
        let Some(answer) = self.fit_answer(B, &fork, offer, answer, lines) else {
            return self.end_by(A, 488, "Not Acceptable Here");
        };
        self.answer_early_offer(B, &fork, Some(answer), Purpose::PrackPlain);
        if self.leg(B).remote_tag.is_empty() {
            self.leg_mut(B).remote_tag = fork;
        }
        stage.settled = true;
        self.call.stage = Some(Stage::Anchored(stage));
    }

    /// Leg b answered, and its session is agreed or in this 2xx.
    pub fn pass_success(&mut self, mut stage: Anchored, sdp: Option<Vec<u8>>) {
        let tag = self.leg(B).remote_tag.clone();
        self.ack(B, &tag, None);
        let headers = self.said.clone();
        let is_other = !stage.fork.is_empty() && stage.fork != tag;
        if is_other {
            self.turn_to_other_fork();
            stage = Anchored { offer: stage.offer, lines: stage.lines, ..Anchored::default() };
        }
        if !stage.offer.is_empty() && !stage.settled {
            let own = self.leg(A).remote_tag.clone();
            let answer = sdp.or_else(|| is_other.then(|| self.agreed_with(&tag)).flatten());
            // Without one, what it said before stands
            let fitted = answer.map_or_else(
                || Some(stage.answer.clone()).filter(|known| !known.is_empty()),
                |answer| self.fit_answer(A, &own, &stage.offer, &answer, &stage.lines),
            );
            let Some(fitted) = fitted else { return self.end_by(B, 488, "No answer in 2xx") };
            stage.answer = fitted;
        } else if stage.offer.is_empty() && !stage.settled && !self.waits_for_prack() {
            return self.end_by(B, 488, "No offer");
        }
        let sdp = if stage.settled { Vec::new() } else { stage.answer.clone() };
        self.call.stage = Some(Stage::Anchored(stage));
        self.answer_caller(Said { status: 200, headers, sdp, ..Said::default() });
    }

    /// Leg b answered with its offer: the caller's ACK will bring the answer.
    pub fn pass_late_offer(&mut self, stage: &Anchored, offer: Vec<u8>) {
        if !stage.fork.is_empty() {
            self.turn_to_other_fork();
            self.stop_timer(TimerKind::Guard, B);
        }
        let headers = self.said.clone();
        match self.fit_offer(A, &offer) {
            Some(fitted) => {
                self.answer_caller(Said {
                    status: 200,
                    headers,
                    sdp: fitted.sdp,
                    offer,
                    lines: fitted.lines,
                    ..Said::default()
                });
            }
            None => self.end_by(B, 488, "Not Acceptable Here"),
        }
    }

    /// The caller was shown the session of a fork that did not answer: what follows is, to it, another fork.
    fn turn_to_other_fork(&mut self) {
        let Some(incoming) = self.open_caller(A) else { return };
        incoming.turns += 1;
        let turn = incoming.turns.to_string();
        (incoming.unpracked, incoming.held) = (None, None);
        incoming.waiting.clear();
        let leg_id = self.leg(A).leg_id.clone();
        let local_tag = derive::tag(&self.call, &format!("{leg_id}.{turn}"));
        let on = self.leg_mut(A);
        on.local_tag = local_tag;
        for dialog in &mut on.dialogs {
            dialog.history = None;
            dialog.agreed = false;
            let is_offer = on.served.iter().any(|served| served.initial && served.offer);
            dialog.open_offer = if is_offer { OpenOffer::Theirs } else { OpenOffer::None }.into();
        }
        self.call.lines.clear();
    }

    /// What a fork of leg b said of its session before it answered.
    fn agreed_with(&self, tag: &str) -> Option<Vec<u8>> {
        self.leg(B).dialog(tag).map(|dialog| dialog.remote_sdp.clone()).filter(|sdp| !sdp.is_empty())
    }

    fn waits_for_prack(&mut self) -> bool {
        let is_offer = |said: &Said| !said.offer.is_empty();
        self.open_caller(A).is_some_and(|caller| caller.unpracked.as_ref().is_some_and(is_offer))
    }

    pub fn caller_cancelled(&mut self) {
        let by = self.leg(A).leg_id.clone();
        let mut cause =
            Cause { kind: OutcomeKind::Cancelled, ..Cause::failed_by(&by, 487, "Request Terminated") };
        // UAC-24: the caller's own reason goes on
        let told = self.said.iter().map(|header| header.value.clone()).collect::<Vec<_>>();
        cause.header = told.join(", ");
        self.end(cause);
    }

    /// The caller does not want to wait any longer (UAC-20).
    pub fn invite_expired(&mut self) {
        if self.open_caller(A).is_some() {
            let leg = self.leg(A).leg_id.clone();
            let cause = Cause::failed(487, "Request Terminated");
            self.end(Cause { kind: OutcomeKind::NoAnswer, leg, ..cause });
        }
    }

    /// The edge that held the caller's INVITE is gone before the ACK came.
    pub fn caller_lost(&mut self, leg: LegIndex) {
        self.edge_lost = true;
        let cause = Cause { leg: self.leg(leg).leg_id.clone(), ..Cause::edge_lost() };
        // A conference goes on without who was about to come in
        if !self.lose_member(leg, &cause) {
            self.end(cause);
        }
        self.end_caller_if_waiting(leg);
    }
}
