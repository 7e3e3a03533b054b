//! Final responses to requests inside a dialog: what every flow would do about them, before the flow hears of it.
//!
//! | response           | done here                                                                         |
//! |--------------------|-----------------------------------------------------------------------------------|
//! | 1xx                | ignored                                                                           |
//! | 401, 407           | sent again once with credentials (UAC-13, AUT-13)                                 |
//! | 2xx to INVITE      | waits for ACK; target refreshed; acknowledged at once when the dialog is over     |
//! | 2xx to UPDATE      | target refreshed                                                                  |
//! | 491, 500 (retry)   | left to the flow, see `glare`                                                     |
//! | 405, 501, refresh  | the refresh again by re-INVITE, see `session_timer`                               |
//! | 408, 481, silence  | the dialog is over: BYE, whatever the phone still knows of it (RFC 3261 12.2.1.2) |
//! | 408, silence, to INFO or MESSAGE | nothing: what a phone does not know it may well ignore              |
//! | any, to PRACK or NOTIFY | left to the flow, and to the subscription (RFC 5057 5)                       |

use sip_dialog::target;
use sip_message::Method;

use crate::engine::anchor::across::is_sayable;
use crate::engine::effect::Header;
use crate::engine::event::{FailureCause, RequestFailed, ResponseReceived, standard_phrase};
use crate::engine::leg::{DialogState, OpenOffer, Pending, Purpose};
use crate::engine::offer_answer::{Fate, session_of};
use crate::engine::session_timer::{Role, min_se};
use crate::engine::signal::{B, LegIndex, Reply, Signal};
use crate::engine::work::Work;

impl Work<'_> {
    /// A response to a request inside a dialog.
    pub fn on_dialog_response(&mut self, leg: LegIndex, response: &ResponseReceived) {
        if response.status < 200 {
            return;
        }
        let on = self.leg_mut(leg);
        let Some(at) = on.pending.iter().position(|pending| pending.effect == response.effect) else {
            return self.on_late_success(leg, response);
        };
        let request = on.pending.remove(at);
        self.stop_waiting(leg, &request);
        if matches!(response.status, 401 | 407) && self.adapt_request(leg, &request, response) {
            return;
        }
        let reply = Reply {
            status: response.status,
            reason: response.phrase().to_owned(),
            sdp: session_of(response.body.as_ref()),
            body: response.body.clone(),
            retry_after: response.retry_after,
            explanation: explanation(response),
            min_se: min_se(response),
            ..Reply::default()
        };
        if reply.is_ok() && matches!(request.request.method.as_str(), "INVITE" | "UPDATE") {
            self.on_target_refresh(leg, &request, response);
        }
        self.finish_request(leg, request, reply);
    }

    /// A request inside a dialog ended without a response.
    pub fn on_dialog_silence(&mut self, leg: LegIndex, failed: &RequestFailed) {
        let on = self.leg_mut(leg);
        let Some(at) = on.pending.iter().position(|pending| pending.effect == failed.effect) else { return };
        let request = on.pending.remove(at);
        self.stop_waiting(leg, &request);
        let status = failed.cause.status();
        let silent = failed.cause == FailureCause::Timeout;
        let reason = standard_phrase(status).to_owned();
        self.finish_request(
            leg,
            request,
            Reply { status, reason, silent, unsent: !silent, ..Reply::default() },
        );
    }

    /// The request is over, with this reply.
    pub fn finish_request(&mut self, leg: LegIndex, request: Pending, reply: Reply) {
        let tag = request.request.to_tag.clone();
        // Outside the dialogs of the leg, what is asked has nothing of them
        let is_aside =
            request.purpose() == Purpose::Refer && request.request.sip_call_id != self.leg(leg).sip_call_id;
        let is_over =
            !is_aside && self.leg(leg).dialog(&tag).is_none_or(|dialog| dialog.state() == DialogState::Ended);
        let is_invite = request.request.method == "INVITE";
        if request.purpose() == Purpose::Info {
            self.informed(leg, &request, &reply);
        }
        if matches!(request.request.method.as_str(), "INVITE" | "UPDATE") {
            self.settle_offer(leg, &request, &reply);
        }
        if is_over {
            if is_invite && reply.is_ok() {
                let answer = self.reject_answer(leg, &tag);
                self.ack(leg, &tag, answer);
            }
            return;
        }
        match request.purpose() {
            Purpose::None | Purpose::Bye => {}
            Purpose::PrackPlain => {
                if leg == B && (reply.is_gone() || reply.unsent) {
                    self.waiting_fork_gone(&tag, &reply);
                }
            }
            _ => {
                if reply.ends_dialog_of(&request) {
                    self.end_lost_dialog(leg, &tag);
                }
                if !self.refresh_by_invite(leg, &request, &reply) {
                    self.signals.push_back(Signal::Reply { leg, request: Box::new(request), reply });
                }
            }
        }
    }

    /// The phone no longer knows the dialog, or says nothing in it. It may have lost the answer alone, and be left in the call else: BYE.
    fn end_lost_dialog(&mut self, leg: LegIndex, tag: &str) {
        let state = self.leg(leg).dialog(tag).map(|dialog| dialog.state());
        match state {
            Some(DialogState::Confirmed) => {
                let answer = self.reject_answer(leg, tag);
                self.ack(leg, tag, answer);
                self.bye(leg, tag);
            }
            // It ends with its INVITE
            Some(DialogState::Early) => {
                if let Some(dialog) = self.leg_mut(leg).dialog_mut(tag) {
                    dialog.state = DialogState::Ended.into();
                }
            }
            Some(DialogState::Ended) | None => {}
        }
    }

    /// Closes our offer, or opens the peer's when its 2xx answers an INVITE without SDP.
    fn settle_offer(&mut self, leg: LegIndex, request: &Pending, reply: &Reply) {
        let tag = &request.request.to_tag;
        if request.request.body.is_some() {
            if request.purpose() != Purpose::Tone {
                let answer = reply.sdp.as_deref().filter(|_| reply.is_ok());
                let fate = match answer {
                    Some(answer) => Fate::Answered(answer),
                    None if reply.silent || reply.lost => Fate::Unknown,
                    None => Fate::Refused,
                };
                self.offer_settled(leg, tag, fate);
            }
        } else if request.request.method == "INVITE"
            && reply.is_ok()
            && let (Some(offer), Some(dialog)) = (&reply.sdp, self.leg_mut(leg).dialog_mut(tag))
        {
            dialog.open_offer = OpenOffer::Theirs.into();
            dialog.remote_sdp = offer.clone();
        }
    }

    fn on_target_refresh(&mut self, leg: LegIndex, request: &Pending, response: &ResponseReceived) {
        let Some(dialog) = self.leg_mut(leg).dialog_mut(&request.request.to_tag) else { return };
        let method = Method::from(request.request.method.as_str());
        if target::is_moved_by_response(&method, response.status, false) && !response.contact.is_empty() {
            dialog.remote_target = response.contact.clone();
            dialog.is_focus = response.is_focus();
        }
        dialog.learn(&response.allow, &response.accept, &response.supported);
        dialog.hear_packages(&response.headers);
        if request.request.method == "INVITE" {
            dialog.unacked = response.cseq;
            dialog.credentials = request.credentials.clone();
        }
        self.note_session(leg, &request.request.to_tag, &response.headers, Role::Client);
    }
}

/// What a refusal says beyond its status: why (RFC 3261 20.43), and of 415 which bodies would do (RFC 3261 21.4.13).
fn explanation(response: &ResponseReceived) -> Vec<Header> {
    let names: &[&str] = match response.status {
        415 => &["Warning", "Accept-Encoding", "Accept-Language"],
        300.. => &["Warning"],
        _ => &[],
    };
    let is_kept = |header: &&Header| names.iter().any(|name| header.name.eq_ignore_ascii_case(name));
    let mut kept: Vec<Header> = response.headers.iter().filter(is_kept).cloned().collect();
    if response.status == 415 && !response.accept.is_empty() {
        kept.insert(0, Header { name: "Accept".into(), value: response.accept.join(", ") });
    }
    kept.retain(|header| is_sayable(&header.value));
    kept
}
