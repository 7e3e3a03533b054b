//! Relaying between connected parties (RFC 3725 7, TPC-07): offers in both directions, INFO, MESSAGE.
//!
//! | input                               | effects on the other leg                 | answer to the sender                        |
//! |-------------------------------------|------------------------------------------|---------------------------------------------|
//! | re-INVITE with offer                | re-INVITE (early: UPDATE), offer'        | 200 with answer', or the refusal            |
//! | re-INVITE without SDP               | re-INVITE without SDP                    | 200 with offer'; its ACK carries the answer |
//! | UPDATE with offer                   | UPDATE, offer'; not allowed there: -     | 200 with answer', or the refusal; 504       |
//! | offer while the other leg is busy   | -                                        | 491 (TPC-06)                                |
//! | offer, or re-INVITE without SDP, while the application's hold stands | - | 200, inactive: see `hold::phones`  |
//! | CANCEL of the re-INVITE             | CANCEL                                   | what then comes: 487, or 200 (LAD-10 R9)    |
//! | INFO, MESSAGE                       | the same                                 | what then comes                             |
//!
//! A refusal changes nothing (UAC-22); 408, 481 and silence end the call.

use std::time::Duration;

use crate::engine::call::TimerKind;
use crate::engine::effect::{Body, CancelInvite, What};
use crate::engine::leg::{Pending, Purpose};
use crate::engine::offer_answer::Fate;
use crate::engine::outcome::Cause;
use crate::engine::report::CallEventType;
use crate::engine::send::Ask;
use crate::engine::signal::{LegIndex, Message, Reply, Signal};
use crate::engine::work::Work;

impl Work<'_> {
    /// Stages Talking and Early: whatever is not about answering the call.
    pub fn on_relayed(&mut self, signal: Signal) {
        match signal {
            Signal::PeerOffer { leg, transaction, method, sdp } => {
                self.relay_offer(leg, &transaction, &method, sdp)
            }
            Signal::PeerAck { leg, transaction, sdp } => self.relay_ack(leg, &transaction, sdp),
            Signal::PeerCancel { leg, transaction } => self.relay_cancel(leg, &transaction),
            Signal::PeerMessage { leg, transaction, message } => {
                self.relay_message(leg, transaction, message)
            }
            Signal::Reply { leg, request, reply } if request.purpose() == Purpose::Relay => {
                self.relay_reply(leg, &request, &reply);
            }
            other => self.on_any_stage(other),
        }
    }

    fn relay_offer(&mut self, from: LegIndex, transaction: &str, method: &str, sdp: Option<Vec<u8>>) {
        if self.is_session_on_hold(from) {
            return self.answer_on_hold(from, transaction, sdp);
        }
        let to = self.facing_now(from);
        let tag = self.leg(to).remote_tag.clone();
        if !self.is_alive(to) || self.leg(to).is_busy(&tag) || self.leg(to).retry.is_some() {
            return self.respond(from, transaction, 491, Vec::new(), None);
        }
        let is_up = self.leg(to).is_up();
        let may_update = self.allows(to, "UPDATE", !is_up);
        let method = match (method, is_up) {
            ("INVITE", true) => "INVITE",
            _ if may_update => "UPDATE",
            // RFC 3311 5.2: a re-INVITE there may have to ask its user
            _ => return self.respond(from, transaction, 504, Vec::new(), None),
        };
        let relay = Some((from, transaction.to_owned()));
        let headers = self.session_headers();
        let base = Ask { method, headers, purpose: Purpose::Relay, relay, ..Ask::default() };
        match sdp {
            None if method == "INVITE" => {
                self.ask(to, base);
            }
            None => self.respond(from, transaction, 491, Vec::new(), None),
            Some(offer) => {
                if !self.ask(to, Ask { offer, ..base }) {
                    self.respond(from, transaction, 488, Vec::new(), None);
                }
            }
        }
    }

    fn relay_reply(&mut self, to: LegIndex, request: &Pending, reply: &Reply) {
        let from = request.relay_leg as LegIndex;
        let transaction = request.relay_transaction.clone();
        let is_open = self.is_served(from, &transaction);
        let tag = self.leg(to).remote_tag.clone();
        let is_session = matches!(request.request.method.as_str(), "INVITE" | "UPDATE");
        if !is_session {
            if is_open {
                let (status, headers) = (relayed_status(reply.status), reply.explanation.clone());
                self.respond(from, &transaction, status, headers, reply.body.clone());
            }
        } else if !reply.is_ok() {
            if is_open {
                // UAC-11, UAC-03: what of the offer the other party could not use, and what it could
                let status = relayed_status(reply.status);
                self.respond(from, &transaction, status, reply.explanation.clone(), None);
            }
        } else if request.request.body.is_some() {
            self.ack(to, &tag, None);
            self.answer_relayed(from, &transaction, request, reply);
        } else {
            self.offer_relayed(from, to, &transaction, reply);
        }
        if reply.ends_dialog_of(request) {
            self.gone(to, reply);
        }
    }

    /// The answer to a relayed offer goes back.
    fn answer_relayed(&mut self, from: LegIndex, transaction: &str, request: &Pending, reply: &Reply) {
        if !self.is_served(from, transaction) {
            return;
        }
        let tag = self.leg(from).remote_tag.clone();
        let answer = reply.sdp.as_ref();
        let fitted =
            answer.and_then(|answer| self.fit_answer(from, &tag, &request.offer, answer, &request.lines));
        match fitted {
            Some(sdp) => {
                let headers = self.answer_headers(from, &tag);
                self.respond(from, transaction, 200, headers, Some(Body::sdp(sdp)));
                self.note_hold(from, &request.offer, answer.map_or(&[], Vec::as_slice));
            }
            None => self.respond(from, transaction, 500, Vec::new(), None),
        }
    }

    /// The offer that the other party made on request goes to the asker; its ACK will carry the answer.
    fn offer_relayed(&mut self, from: LegIndex, to: LegIndex, transaction: &str, reply: &Reply) {
        let tag = self.leg(to).remote_tag.clone();
        let offer = reply.sdp.clone().filter(|_| self.is_served(from, transaction));
        let fitted = offer.as_ref().and_then(|offer| self.fit_offer(from, offer));
        let (Some(offer), Some(fitted)) = (offer, fitted) else {
            let refusal = self.reject_answer(to, &tag);
            self.ack(to, &tag, refusal);
            if self.is_served(from, transaction) {
                self.respond(from, transaction, 500, Vec::new(), None);
            }
            return;
        };
        let own = self.leg(from).remote_tag.clone();
        let headers = self.answer_headers(from, &own);
        self.respond(from, transaction, 200, headers, Some(Body::sdp(fitted.sdp)));
        let served = self.leg_mut(from).served.iter_mut().find(|served| served.transaction == transaction);
        if let Some(served) = served {
            served.relayed_offer = offer;
            served.lines = fitted.lines;
        }
        self.start_timer(TimerKind::Guard, to, Duration::from_millis(self.call.policy.guard_ms));
    }

    fn relay_ack(&mut self, from: LegIndex, transaction: &str, sdp: Option<Vec<u8>>) {
        let on = self.leg_mut(from);
        let Some(at) = on.served.iter().position(|served| served.transaction == transaction) else { return };
        let served = on.served.remove(at);
        if served.relayed_offer.is_empty() {
            return self.own_offer_answered(from, sdp.as_deref());
        }
        let to = self.facing_now(from);
        let (own, tag) = (self.leg(from).remote_tag.clone(), self.leg(to).remote_tag.clone());
        self.stop_timer(TimerKind::Guard, to);
        self.offer_settled(from, &own, sdp.as_deref().map_or(Fate::Refused, Fate::Answered));
        let fitted =
            sdp.and_then(|answer| self.fit_answer(to, &tag, &served.relayed_offer, &answer, &served.lines));
        match fitted {
            Some(answer) => self.ack(to, &tag, Some(answer)),
            None => {
                let by = self.leg(from).leg_id.clone();
                self.lose_party(from, Cause::failed_by(&by, 488, "No answer in ACK"));
            }
        }
    }

    fn relay_cancel(&mut self, from: LegIndex, transaction: &str) {
        let to = self.facing_now(from);
        let on = self.leg(to);
        let pending = on.pending.iter().find(|pending| pending.relay_transaction == transaction);
        match pending.filter(|pending| pending.request.method == "INVITE") {
            Some(pending) => {
                let cancel = CancelInvite { invite_effect: pending.effect, headers: Vec::new() };
                let (edge_id, edge_epoch) = (pending.edge_id.clone(), pending.edge_epoch);
                self.put_at(to, edge_id, edge_epoch, What::Cancel(cancel));
            }
            None => self.respond(from, transaction, 487, Vec::new(), None),
        }
    }

    fn relay_message(&mut self, from: LegIndex, transaction: String, message: Message) {
        let Message { method, headers, body } = message;
        let method = if method == "INFO" { "INFO" } else { "MESSAGE" };
        if method == "INFO" {
            self.note_info(from, body.clone());
        }
        let relay = Some((from, transaction.clone()));
        let headers = headers.into_iter().filter(|header| is_end_to_end(&header.name)).collect();
        let ask = Ask { method, headers, body, purpose: Purpose::Relay, relay, ..Ask::default() };
        if !self.ask(self.facing_now(from), ask) {
            // The other party has no dialog yet
            self.respond(from, &transaction, 480, Vec::new(), None);
        }
    }

    /// Reports INFO to the application.
    pub fn note_info(&mut self, from: LegIndex, body: Option<Body>) {
        let leg_id = Some(self.leg(from).leg_id.clone());
        self.report_again(leg_id, CallEventType::InfoReceived, 0, "", body);
    }
}

/// A refusal as the other party may see it: nothing about our own credentials.
pub fn relayed_status(status: u32) -> u32 {
    match status {
        401 | 407 => 403,
        408 => 504,
        481 => 480, // the asker's own dialog is known
        other => other,
    }
}

/// Headers that mean something to the other party.
fn is_end_to_end(name: &str) -> bool {
    ["Subject", "Date", "Expires", "Call-Info", "In-Reply-To", "Content-Language"]
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known))
}
