//! Ringback by UPDATE and PRACK (LAD-4): leg b's reliable 18x brings its offer, leg a answers it and plays the tone itself.
//!
//! | stage    | input                        | effects                                        | next           | ladder |
//! |----------|------------------------------|------------------------------------------------|----------------|--------|
//! | DialB    | EarlyOffer b                 | UPDATE a: tone, offer2', Reason 180            | Ringback       | 5-6    |
//! | DialB    | Progress b                   | UPDATE a: tone alone, if a takes it            | DialB          | a, m   |
//! | DialB    | EarlyOffer b, a lacks UPDATE | re-INVITE a instead                            | Ringback       | b      |
//! | DialB    | EarlyOffer b, Flow III       | re-INVITE a, offer2', no tone                  | Ringback       | LAD-2 6 |
//! | Ringback | Reply a 2xx, answer2'        | (ACK a); PRACK b answer2                       | Prack          | 7-8    |
//! | Ringback | Reply a 405, 501, 504        | re-INVITE a with the same body                 | Ringback       | b, c   |
//! | Ringback | Reply a 415, 2xx without SDP | the same without the tone                      | Ringback       | e      |
//! | Ringback | Reply a 491, 500             | again after a wait                             | Ringback       | e, f   |
//! | Ringback | Reply a 488, 606, other      | PRACK b refusing and CANCEL b; BYE a           | Ending         | d      |
//! | Ringback | Reply a 481, 408, silence    | CANCEL b                                       | Ending         | g      |
//! | Ringback | Refused b                    | when a's answer came: BYE a, Reason            | Ending         | h      |
//! | Ringback | GUARD                        | as d                                           | Ending         | o      |
//! | Ringback | EarlyOffer b, other fork     | PRACK b refusing on that fork                  | Ringback       | l      |
//! | Prack    | Reply b 2xx                  | -                                              | Early, Talking | 9      |
//! | Prack    | Reply b other, silence, no way | CANCEL b, or BYE once b answered; BYE a, cause 500 | Ending     | n      |
//! | Prack    | the same, another fork lives | -: that fork alone is given up                 | DialB          | l, n   |
//! | DialB    | Answered b, its offer refused | ACK b; re-INVITE b without SDP                | AskOffer       | l, n   |
//! | Early    | Answered b                   | ACK b                                          | Talking        | 10-12  |
//! | Early    | Answered b, other fork       | ACK b; re-INVITE b without SDP                 | AskOffer       | l      |
//! | Early    | PeerOffer                    | relayed by UPDATE                              | Early          | f, k   |
//! | AskOffer | Reply b 2xx, offer           | re-INVITE a, offer2'                           | Connect        | l      |
//!
//! RING and hang-up (i, j) are the same in every stage, see `hangup`; k before step 8 is answered in `peer`.

use std::time::Duration;

use crate::engine::call::{Flow, TimerKind};
use crate::engine::effect::Header;
use crate::engine::leg::{DialogState, Pending, Purpose};
use crate::engine::offer_answer::{can_talk, refuses_all, tone_body};
use crate::engine::outcome::{Cause, reason_value};
use crate::engine::report::CallEventType;
use crate::engine::send::{ALLOW, Ask, SUPPORTED};
use crate::engine::signal::{A, B, Reply, Signal};
use crate::engine::stage::{AskOffer, DialB, Early, Prack, Ringback, RingbackForm, Stage};
use crate::engine::text::lists;
use crate::engine::work::Work;

impl Work<'_> {
    /// Leg b rings without an offer: leg a gets the tone alone, when it can play it (LAD-4 a).
    pub fn on_plain_ringing(&mut self, stage: DialB, status: u32) {
        let takes_tone = self.leg(A).chosen().is_some_and(|dialog| {
            lists(&dialog.allow, "UPDATE") && lists(&dialog.accept, sip_body::tone::CONTENT_TYPE)
        });
        if !self.wants_tone() || stage.tone || !takes_tone {
            return;
        }
        self.call.stage = Some(Stage::DialB(DialB { tone: true }));
        let mut headers = vec![Header::new("Reason", ringing_reason(status))];
        headers.extend(self.session_headers());
        let body = Some(tone_body(&self.call.policy.ringback_tone, None));
        self.ask(A, Ask { method: "UPDATE", headers, body, purpose: Purpose::Tone, ..Ask::default() });
    }

    /// Leg b rings with an offer: leg a is asked for the answer.
    pub fn begin_ringback(&mut self, tag: String, status: u32, offer: Vec<u8>) {
        self.leg_mut(B).remote_tag = tag.clone();
        self.start_timer(TimerKind::Guard, B, Duration::from_millis(self.call.policy.guard_ms));
        let own = self.leg(A).chosen().map(|dialog| dialog.remote_sdp.clone()).unwrap_or_default();
        let has_offered = self.leg(A).invite.as_ref().is_some_and(|invite| invite.body.is_none());
        if has_offered && !can_talk(&own, &offer) {
            return self.ringback_impossible();
        }
        // LAD-2 step 6: RFC 3311 5.1 prefers re-INVITE on a confirmed dialog
        let may_update = self.may_update() && !(self.call.flow() == Flow::Iii && self.leg(A).is_up());
        let form = match (may_update, self.wants_tone()) {
            (true, true) => RingbackForm::UpdateTone,
            (true, false) => RingbackForm::UpdatePlain,
            (false, true) => RingbackForm::InviteTone,
            (false, false) => RingbackForm::InvitePlain,
        };
        let stage = Ringback { tag, offer, status, form: form.into(), ..Ringback::default() };
        self.tell_first(stage);
    }

    /// Sends leg b's offer to leg a in the stage's form.
    fn tell_first(&mut self, stage: Ringback) {
        let method = match stage.form() {
            RingbackForm::UpdateTone | RingbackForm::UpdatePlain => "UPDATE",
            RingbackForm::InviteTone | RingbackForm::InvitePlain => "INVITE",
        };
        let mut headers = vec![Header::new("Reason", ringing_reason(stage.status))];
        headers.extend(self.session_headers());
        let (offer, tone) = (stage.offer.clone(), has_tone(stage.form()));
        self.call.stage = Some(Stage::Ringback(stage));
        if !self.ask(A, Ask { method, headers, purpose: Purpose::Ringback, offer, tone, ..Ask::default() }) {
            self.ringback_impossible();
        }
    }

    /// Stage Ringback.
    pub fn on_ringback(&mut self, mut stage: Ringback, signal: Signal) {
        match signal {
            Signal::Reply { leg: A, request, reply } if request.purpose() == Purpose::Ringback => {
                if reply.is_ok() {
                    self.ack_first();
                }
                if stage.refused != 0 {
                    return self.refused(B, stage.refused, &stage.refused_reason, stage.silent);
                }
                let answer =
                    reply.sdp.as_ref().filter(|answer| reply.is_ok() && !refuses_all(&request.offer, answer));
                let tag = stage.tag.clone();
                match answer {
                    Some(answer) => {
                        let answer = self.fit_answer(B, &tag, &request.offer, answer, &request.lines);
                        self.answer_early_offer(B, &tag, answer, Purpose::Prack);
                        self.stop_timer(TimerKind::Guard, B);
                        if has_tone(stage.form()) {
                            self.report_call(CallEventType::RingbackStarted, stage.status, "");
                        }
                        self.call.stage = Some(Stage::Prack(Prack { tag: tag.clone() }));
                        if stage.answered {
                            self.ack(B, &tag, None);
                        }
                    }
                    // linphone 5.1 does not find the description among parts, and takes the request for one without
                    None if reply.is_ok() && reply.sdp.is_none() && has_tone(stage.form()) => {
                        stage.form = without_tone(stage.form()).into();
                        self.tell_first(stage);
                    }
                    None if reply.is_ok() => self.ringback_failed(&reply),
                    None => self.on_ringback_refused(stage, &request, &reply),
                }
            }
            Signal::Answered { leg: B, sdp } => {
                if self.leg(B).remote_tag == stage.tag {
                    stage.answered = true; // against RFC 3262 3, but the answer still goes into PRACK
                    self.call.stage = Some(Stage::Ringback(stage));
                } else {
                    self.other_fork_answered(sdp);
                }
            }
            Signal::Refused { leg: B, status, reason, silent } => {
                let is_open =
                    self.leg(A).pending.iter().any(|pending| pending.purpose() == Purpose::Ringback);
                if is_open {
                    (stage.refused, stage.refused_reason, stage.silent) = (status, reason, silent);
                    self.call.stage = Some(Stage::Ringback(stage));
                } else {
                    self.refused(B, status, &reason, silent);
                }
            }
            other => self.on_any_stage(other),
        }
    }

    fn on_ringback_refused(&mut self, mut stage: Ringback, request: &Pending, reply: &Reply) {
        let is_update = request.request.method == "UPDATE";
        let may_invite = is_update && self.leg(A).is_up(); // LAD-4 p: never re-INVITE an early dialog
        let has_tone = has_tone(stage.form());
        if reply.is_gone() {
            return self.gone(A, reply);
        }
        let form = match reply.status {
            405 | 501 | 504 if may_invite && has_tone => RingbackForm::InviteTone,
            405 | 501 | 504 if may_invite => RingbackForm::InvitePlain,
            415 if has_tone => without_tone(stage.form()),
            488 | 606 if self.call.policy.patient && !stage.repeated => {
                stage.repeated = true;
                if is_update { RingbackForm::UpdatePlain } else { RingbackForm::InvitePlain }
            }
            _ if self.retry_later(A, request, reply) => return,
            _ => return self.ringback_failed(reply),
        };
        stage.form = form.into();
        self.tell_first(stage);
    }

    /// Leg a cannot take the session: leg b's offer is refused, then its INVITE is cancelled (LAD-4 d).
    fn ringback_failed(&mut self, reply: &Reply) {
        let cause = Cause { leg: String::new(), refuse_early: true, ..self.session_cause(reply) };
        self.end(cause);
    }

    /// The same, known before leg a is asked.
    fn ringback_impossible(&mut self) {
        self.end(Cause { refuse_early: true, ..Cause::failed(488, "Not Acceptable Here") });
    }

    /// Stage Prack.
    pub fn on_prack(&mut self, stage: Prack, signal: Signal) {
        match signal {
            Signal::Reply { leg: B, request, reply } if request.purpose() == Purpose::Prack => {
                if reply.is_ok() {
                    self.agreed(stage.tag);
                } else if !self.leg(B).is_up() && self.has_other_fork(&stage.tag) {
                    self.give_up_fork(&stage.tag, &reply);
                } else {
                    self.prack_failed(reply);
                }
            }
            Signal::Answered { leg: B, sdp } => {
                if self.leg(B).remote_tag == stage.tag {
                    self.ack(B, &stage.tag, None); // connected once PRACK is answered
                } else {
                    self.other_fork_answered(sdp);
                }
            }
            Signal::PeerOffer { leg: B, transaction, .. } => self.respond_retry(B, &transaction), // OFA-02
            other => self.on_any_stage(other),
        }
    }

    /// Whether leg b's INVITE has made another dialog that is not over.
    fn has_other_fork(&self, tag: &str) -> bool {
        let dialogs = &self.leg(B).dialogs;
        dialogs.iter().any(|dialog| dialog.remote_tag != tag && dialog.state() != DialogState::Ended)
    }

    /// The fork that rang first cannot have its session; others ring still, and one of them may answer, or all refuse (RFC 3261 16.7).
    fn give_up_fork(&mut self, tag: &str, reply: &Reply) {
        let on = self.leg_mut(B);
        if let Some(dialog) = on.dialog_mut(tag).filter(|_| reply.is_gone() || reply.unsent) {
            dialog.state = DialogState::Ended.into();
        }
        on.remote_tag.clear();
        self.call.stage = Some(Stage::DialB(DialB { tone: true }));
    }

    /// Another fork than the one whose session is agreed upon, and PRACK did not reach it either: it rings no more. The last one ends
    /// the call (LAD-4 l, n).
    pub fn waiting_fork_gone(&mut self, tag: &str, reply: &Reply) {
        let rings = match &self.call.stage {
            Some(Stage::Prack(stage)) => stage.tag != tag,
            Some(Stage::DialB(stage)) => stage.tone,
            _ => false,
        };
        if !rings || self.leg(B).is_up() {
            return;
        }
        if let Some(dialog) = self.leg_mut(B).dialog_mut(tag) {
            dialog.state = DialogState::Ended.into();
        }
        if matches!(self.call.stage, Some(Stage::DialB(_))) && !self.has_other_fork(tag) {
            self.prack_failed(reply.clone());
        }
    }

    fn prack_failed(&mut self, reply: Reply) {
        let told = Reply { status: 500, reason: "PRACK failed".into(), ..reply };
        let cause = self.failed_reply(B, &told);
        self.end(Cause { leg: String::new(), ..cause });
    }

    /// Stage Early.
    pub fn on_early(&mut self, stage: Early, signal: Signal) {
        match signal {
            Signal::Answered { leg: A, .. } => {
                self.ack_first();
                self.agreed(stage.tag);
            }
            Signal::Answered { leg: B, sdp } => {
                if self.leg(B).remote_tag == stage.tag {
                    self.ack(B, &stage.tag, None);
                    self.agreed(stage.tag);
                } else {
                    self.other_fork_answered(sdp);
                }
            }
            other => self.on_relayed(other),
        }
    }

    /// Another fork than the one that rang answered: its offer replaces the agreed session (LAD-4 l).
    pub fn other_fork_answered(&mut self, offer: Option<Vec<u8>>) {
        if let Some(offer) = offer {
            return self.connect(&offer);
        }
        let tag = self.leg(B).remote_tag.clone();
        self.ack(B, &tag, None);
        self.call.stage = Some(Stage::AskOffer(AskOffer {}));
        let headers = self.session_headers();
        self.ask(B, Ask { method: "INVITE", headers, purpose: Purpose::AskOffer, ..Ask::default() });
    }

    /// Stage AskOffer.
    pub fn on_ask_offer(&mut self, signal: Signal) {
        let (request, reply) = match signal {
            Signal::Reply { leg: B, request, reply } if request.purpose() == Purpose::AskOffer => {
                (request, reply)
            }
            other => return self.on_any_stage(other),
        };
        match &reply.sdp {
            Some(offer) if reply.is_ok() => self.connect(offer),
            _ if reply.is_ok() => self.end_by(B, 488, "No offer"),
            _ if self.retry_later(B, &request, &reply) => {}
            _ => self.refused(B, reply.status, &reply.reason, reply.is_unheard()),
        }
    }

    /// Whether leg a is to hear a tone while leg b rings.
    fn wants_tone(&self) -> bool {
        self.call.flow() == Flow::Ringback && self.call.policy.ringback_tone != "none"
    }

    /// Whether leg a may be asked by UPDATE: always while it is early, else unless its Allow leaves UPDATE out.
    fn may_update(&self) -> bool {
        !self.leg(A).is_up() || self.allows(A, "UPDATE", true)
    }

    /// Headers of every request that changes the session.
    pub fn session_headers(&self) -> Vec<Header> {
        vec![Header::new("Allow", ALLOW), Header::new("Supported", SUPPORTED)]
    }
}

fn has_tone(form: RingbackForm) -> bool {
    matches!(form, RingbackForm::UpdateTone | RingbackForm::InviteTone)
}

fn without_tone(form: RingbackForm) -> RingbackForm {
    match form {
        RingbackForm::UpdateTone | RingbackForm::UpdatePlain => RingbackForm::UpdatePlain,
        RingbackForm::InviteTone | RingbackForm::InvitePlain => RingbackForm::InvitePlain,
    }
}

/// Reason of the ringback request: what leg b answered.
fn ringing_reason(status: u32) -> String {
    reason_value(if status == 180 { 180 } else { 183 }, "")
}
