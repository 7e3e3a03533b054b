//! Flow IV (RFC 3725 4.4, LAD-1), and the two steps that it shares with the other flows: dial leg b without SDP, and connect
//! leg a to the offer in leg b's 2xx.
//!
//! | stage   | input                     | effects                                   | next                  | ladder |
//! |---------|---------------------------|-------------------------------------------|-----------------------|--------|
//! | DialA   | Answered a, answer0       | ACK a; INVITE b                           | DialB                 | 3-5    |
//! | DialA   | Answered a, no answer0    | ACK a; BYE a                              | Ending                | RFC 3261 13.2.1 |
//! | DialA   | EarlyAnswer a, "parallel" | INVITE b                                  | DialB                 | LAD-4 p |
//! | DialA   | Refused a 488             | INVITE a with the next form of offer      | DialA                 | a      |
//! | DialA   | Refused a                 | -                                         | Ending                | a      |
//! | DialB   | Answered b, offer2        | re-INVITE (early: UPDATE) a, offer2'      | Connect               | 7-8    |
//! | DialB   | EarlyOffer b              | see `flow_ringback`                       | Ringback              | 6      |
//! | DialB   | Refused b                 | BYE a, Reason                             | Ending                | c      |
//! | Connect | Reply a 2xx, answer2'     | ACK b answer2; ACK a                      | Talking               | 9-11   |
//! | Connect | the same, refuses all     | ACK b answer2; ACK a; BYE both            | Ending                | h      |
//! | Connect | Reply a 491, 500          | again after a wait                        | Connect               | g      |
//! | Connect | Reply a other             | ACK b refusing; BYE both                  | Ending                | g      |
//! | Connect | Reply a 481, 408, silence | ACK b refusing; BYE b                     | Ending                | g      |
//! | Connect | GUARD                     | ACK b refusing; BYE both                  | Ending                | g      |
//!
//! RING (b, d), BYE of a party (e, j), forks (i) and offers that come too early (f: 491) are the same in every stage; see
//! `hangup`, `receive` and `peer`.

use std::time::Duration;

use crate::engine::call::{Flow, TimerKind};
use crate::engine::effect::Body;
use crate::engine::leg::{DialogState, InvitePhase, Purpose};
use crate::engine::offer_answer::{can_talk, is_readable, refuses_all};
use crate::engine::outcome::{Cause, reason_value};
use crate::engine::report::CallEventType;
use crate::engine::send::Ask;
use crate::engine::signal::{A, B, Reply, Signal};
use crate::engine::stage::{Connect, DialA, DialB, Early, FirstOffer, Stage, Talking};
use crate::engine::work::Work;

impl Work<'_> {
    /// Dials leg a.
    pub fn begin(&mut self) {
        self.report_call(CallEventType::Created, 0, "");
        self.add_leg(self.call.from.clone());
        let offer = match self.call.flow() {
            Flow::I | Flow::Iii => FirstOffer::Nothing,
            Flow::Iv | Flow::Ringback | Flow::Auto if self.call.policy.inactive_first => FirstOffer::Inactive,
            Flow::Iv | Flow::Ringback | Flow::Auto => FirstOffer::NoLines,
        };
        self.call.stage = Some(Stage::DialA(DialA { offer: offer.into() }));
        let sdp = self.make_first_offer(offer);
        let accept = match self.call.flow() {
            Flow::Ringback | Flow::Auto => "application/sdp, multipart/mixed",
            Flow::I | Flow::Iii | Flow::Iv => "application/sdp",
        };
        self.dial(A, sdp, accept);
    }

    /// Stage DialA.
    pub fn on_dial_a(&mut self, stage: DialA, signal: Signal) {
        match signal {
            Signal::Answered { sdp, .. } if stage.offer() == FirstOffer::Nothing => self.on_first_offer(sdp),
            // RFC 3261 13.2.1: an INVITE that offers is answered by SDP; leg b is not rung for a session that leg a does not have
            Signal::Answered { .. } if !self.has_session(A) => self.end_by(A, 488, "No answer in 2xx"),
            Signal::Answered { .. } => {
                self.ack_first();
                self.choose_flow();
                self.dial_b();
            }
            Signal::EarlyAnswer { .. } if self.call.policy.parallel && self.has_session(A) => {
                self.choose_flow();
                self.dial_b();
            }
            Signal::EarlyOffer { tag, sdp, .. } => self.on_first_early_offer(&tag, &sdp),
            Signal::Refused { leg, status, reason, silent } => {
                let next = match stage.offer() {
                    FirstOffer::NoLines => Some(FirstOffer::Inactive),
                    FirstOffer::Inactive => Some(FirstOffer::Nothing),
                    FirstOffer::Nothing => None,
                };
                match next.filter(|_| status == 488) {
                    Some(next) => {
                        self.call.stage = Some(Stage::DialA(DialA { offer: next.into() }));
                        let sdp = self.make_first_offer(next);
                        self.redial(leg, sdp);
                    }
                    None => self.refused(leg, status, &reason, silent),
                }
            }
            other => self.on_any_stage(other),
        }
    }

    /// Dials leg b without SDP, so that it makes the offer.
    pub fn dial_b(&mut self) {
        self.call.stage = Some(Stage::DialB(DialB { tone: false }));
        let leg = self.add_leg_as(self.call.to.clone(), true);
        if leg != B {
            // Somebody picked the first party up, whose leg is not over yet
            self.swap_legs(B, leg);
        }
        self.dial(B, None, "application/sdp");
    }

    /// Stage DialB.
    pub fn on_dial_b(&mut self, stage: DialB, signal: Signal) {
        match signal {
            Signal::Progress { leg: B, status, .. } => self.on_plain_ringing(stage, status),
            Signal::EarlyOffer { leg: B, tag, status, sdp } => self.begin_ringback(tag, status, sdp),
            Signal::Answered { leg: B, sdp: Some(offer) } => self.connect(&offer),
            // The offer of its reliable 18x was refused for that of a fork that is over (LAD-4 l)
            Signal::Answered { leg: B, sdp: None } if self.leg(B).chosen().is_some_and(|on| on.agreed) => {
                self.other_fork_answered(None);
            }
            Signal::Answered { leg: B, sdp: None } => self.end_by(B, 488, "No offer"),
            other => self.on_any_stage(other),
        }
    }

    /// Asks leg a to answer the offer with which leg b's 2xx waits.
    pub fn connect(&mut self, offer: &[u8]) {
        self.call.stage = Some(Stage::Connect(Connect {}));
        self.start_timer(TimerKind::Guard, B, Duration::from_millis(self.call.policy.guard_ms));
        // LAD-2 k: known before leg a is asked
        let own = self.leg(A).chosen().map(|dialog| dialog.remote_sdp.clone()).unwrap_or_default();
        let has_offered = self.leg(A).invite.as_ref().is_some_and(|invite| invite.body.is_none());
        if has_offered && !can_talk(&own, offer) {
            return self.end(Cause::failed(488, "Not Acceptable Here"));
        }
        let method = if self.leg(A).is_up() { "INVITE" } else { "UPDATE" };
        let headers = self.session_headers();
        let purpose = Purpose::Connect;
        if !self.ask(A, Ask { method, headers, purpose, offer: offer.to_vec(), ..Ask::default() }) {
            self.end(Cause::failed(488, "Not Acceptable Here"));
        }
    }

    /// Stage Connect.
    pub fn on_connect(&mut self, signal: Signal) {
        let (request, reply) = match signal {
            Signal::Reply { leg: A, request, reply } if request.purpose() == Purpose::Connect => {
                (request, reply)
            }
            other => return self.on_any_stage(other),
        };
        if let (true, Some(answer)) = (reply.is_ok(), &reply.sdp) {
            let tag = self.leg(B).remote_tag.clone();
            let fitted = self.fit_answer(B, &tag, &request.offer, answer, &request.lines);
            self.ack(B, &tag, fitted);
            self.ack_first();
            if refuses_all(&request.offer, answer) {
                return self.end_by(A, 488, "Not Acceptable Here");
            }
            return self.agreed(tag);
        }
        if !self.retry_later(A, &request, &reply) {
            self.session_refused(&reply);
        }
    }

    /// Leg a did not take the session.
    pub fn session_refused(&mut self, reply: &Reply) {
        if reply.is_gone() {
            return self.gone(A, reply);
        }
        let cause = self.session_cause(reply);
        self.end(cause);
    }

    /// Why the call ends when leg a did not take the session. The application learns what leg a said; to the parties, every
    /// refusal of a session is 488 (LAD-1 g, LAD-4 d).
    pub fn session_cause(&self, reply: &Reply) -> Cause {
        let mut cause = self.failed_reply(A, reply);
        if reply.is_ok() {
            (cause.status, cause.reason) = (488, "Not Acceptable Here".into());
        }
        if matches!(cause.status, 415 | 488 | 606) {
            cause.header = reason_value(488, "");
        }
        cause
    }

    /// Both descriptions are agreed: the parties are connected as soon as both have answered.
    pub fn agreed(&mut self, tag: String) {
        self.stop_timer(TimerKind::Guard, B);
        if self.leg(A).is_up() && self.leg(B).is_up() {
            self.connected();
        } else {
            self.call.stage = Some(Stage::Early(Early { tag }));
        }
    }

    /// The parties are connected.
    pub fn connected(&mut self) {
        self.tell_owed();
        if self.call.conference.is_none() {
            self.call.stage = Some(Stage::Talking(Talking {}));
        }
        self.call.answer_ms = if self.call.answer_ms == 0 { self.now.millis() } else { self.call.answer_ms };
        let longest = self.call.policy.max_duration_ms;
        if longest > 0 && !self.has_timer(TimerKind::MaxDuration, A) {
            self.start_timer(TimerKind::MaxDuration, A, Duration::from_millis(longest));
        }
        self.report_call(CallEventType::Connected, 200, "OK");
    }

    /// A leg was refused for good, or never reached.
    pub fn refused(&mut self, leg: usize, status: u32, reason: &str, silent: bool) {
        let (leg_id, rang) = (&self.leg(leg).leg_id, self.has_rung(leg));
        let cause = match silent {
            true => Cause::unreached(leg_id, status, reason, rang),
            false => Cause::refused(leg_id, status, reason, rang),
        };
        self.end(Cause { told: self.said.clone(), ..cause });
    }

    /// The phone of a leg that was up no longer knows the dialog, or no longer answers.
    pub fn gone(&mut self, leg: usize, reply: &Reply) {
        let leg_id = &self.leg(leg).leg_id;
        let cause = match reply.is_unheard() {
            true => Cause::unreached(leg_id, reply.status, &reply.reason, false),
            false => Cause::refused(leg_id, reply.status, &reply.reason, false),
        };
        self.lose_party(leg, cause);
    }

    /// A leg did not do what the call needs.
    pub fn failed_reply(&self, leg: usize, reply: &Reply) -> Cause {
        match reply.is_unheard() {
            true => Cause { leg: self.leg(leg).leg_id.clone(), ..Cause::failed(reply.status, &reply.reason) },
            false => Cause::failed_by(&self.leg(leg).leg_id, reply.status, &reply.reason),
        }
    }

    /// The engine gives up because of what a leg said.
    pub fn end_by(&mut self, leg: usize, status: u32, reason: &str) {
        let by = self.leg(leg).leg_id.clone();
        self.end(Cause::failed_by(&by, status, reason));
    }

    /// Acknowledges whatever 2xx leg a waits with.
    pub fn ack_first(&mut self) {
        let tag = self.leg(A).remote_tag.clone();
        self.ack(A, &tag, None);
    }

    /// AUTO: ringback where leg a's Allow lists UPDATE, else Flow IV.
    pub fn choose_flow(&mut self) {
        if self.call.flow() == Flow::Auto {
            let flow = if self.allows(A, "UPDATE", false) { Flow::Ringback } else { Flow::Iv };
            self.call.flow = flow.into();
        }
    }

    fn make_first_offer(&mut self, form: FirstOffer) -> Option<Vec<u8>> {
        match form {
            FirstOffer::NoLines => Some(self.first_offer(A, false)),
            FirstOffer::Inactive => Some(self.first_offer(A, true)),
            FirstOffer::Nothing => None,
        }
    }

    fn redial(&mut self, leg: usize, sdp: Option<Vec<u8>>) {
        if let Some(invite) = &mut self.leg_mut(leg).invite {
            invite.body = sdp.map(Body::sdp);
            invite.phase = InvitePhase::Calling.into();
        }
        self.start_timer(TimerKind::Ring, leg, Duration::from_millis(self.call.policy.ring_timeout_ms));
        self.send_invite(leg);
    }

    /// Whether the phone gave a sign of ringing or progress.
    fn has_rung(&self, leg: usize) -> bool {
        let signs = CallEventType::LegRinging.bit() | CallEventType::LegProgress.bit();
        self.leg(leg).given & signs != 0
    }

    /// Whether the leg has said what its session is.
    fn has_session(&self, leg: usize) -> bool {
        self.leg(leg).chosen().is_some_and(|dialog| is_readable(&dialog.remote_sdp))
    }

    /// Whether the leg is confirmed or at least has an early dialog.
    pub fn is_alive(&self, leg: usize) -> bool {
        self.leg(leg).chosen().is_some_and(|dialog| dialog.state() != DialogState::Ended)
    }
}
