//! Requests that come to the phone, and the answers it gives as the script says.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sip_message::{HeaderId, Message, Method, ResponseBuilder, Rport};

use crate::call::{Call, Stage, contact, route_set, text};
use crate::happening::Happening;
use crate::phone::Phone;
use crate::retransmit::Until;
use crate::script::Answer;
use crate::sdp::{self, Description};

impl Phone {
    pub(crate) fn handle_request(&mut self, now: Instant, request: &Message, from: SocketAddr) {
        let in_dialog = self.call.as_ref().is_some_and(|c| c.matches(request));
        match request.method() {
            Method::Invite if in_dialog => self.handle_reinvite(now, request, from),
            Method::Invite => self.handle_invite(now, request, from),
            Method::Ack if in_dialog => self.handle_ack(now, request),
            Method::Ack => self.stop(Until::RefusalAcked),
            Method::Cancel => self.handle_cancel(now, request, from),
            Method::Bye if in_dialog => {
                self.answer_plainly(request, from, 200);
                self.end(true, &reason(request, "hung up"));
            }
            Method::Prack if in_dialog => self.handle_prack(now, request, from),
            Method::Update if in_dialog && self.script.update => self.handle_update(request, from),
            Method::Update if in_dialog => self.answer_plainly(request, from, 405),
            Method::Info if in_dialog => self.answer_plainly(request, from, 200),
            Method::Notify if in_dialog => self.take_notify(request, from),
            Method::Message => self.take_message(request, from),
            Method::Options => {
                self.answer_plainly(request, from, if self.call.is_some() { 486 } else { 200 })
            }
            Method::Bye | Method::Prack | Method::Update | Method::Info | Method::Notify => {
                self.answer_plainly(request, from, 481)
            }
            _ => self.answer_plainly(request, from, 501),
        }
    }

    fn handle_invite(&mut self, now: Instant, request: &Message, from: SocketAddr) {
        if self.script.answer == Answer::Silent {
            return;
        }
        if request.to().ok().and_then(|to| to.tag().map(text)).is_some() {
            return self.answer_plainly(request, from, 481);
        }
        if self.call.is_some() {
            return self.answer_plainly(request, from, 486);
        }
        let offer = sdp_of(request).0;
        if self.script.refuses_empty_offer && offer.as_deref().is_some_and(sdp::is_empty) {
            return self.answer_plainly(request, from, 488);
        }
        let (Some(target), Ok(peer)) = (contact(request), request.from()) else {
            return self.answer_plainly(request, from, 400);
        };
        let call = Call {
            stage: Stage::Ringing { held_back: false },
            call_id: text(request.call_id().unwrap_or_default()),
            local_uri: request.to().map(|to| text(to.uri)).unwrap_or_default(),
            local_tag: self.mint("t"),
            remote_uri: text(peer.uri),
            remote_tag: peer.tag().map(text).unwrap_or_default(),
            remote_target: target,
            route: route_set(request, false),
            cseq: 0,
            invite: request.clone(),
            rseq: 0,
            awaits_prack: false,
            settled: false,
            sdp: Description::new(self.local.ip().to_string()),
            answer_at: match self.script.answer {
                Answer::After(time) | Answer::Refuse(time, _) => Some(now + time),
                Answer::Never | Answer::Silent => None,
            },
            hangup_at: None,
            authorised: false,
            says: Vec::new(),
            changing: false,
        };
        self.tell(Happening::Incoming { from: call.remote_uri.clone(), call_id: call.call_id.clone() });
        self.call = Some(call);
        if self.script.rings {
            self.ring(now, from);
        } else {
            let trying = ResponseBuilder::to(request, 100).build();
            self.reply(from, request, &trying);
        }
    }

    /// 180 (or 183), reliable when both sides know how; then it carries the offer if the INVITE had none.
    fn ring(&mut self, now: Instant, to: SocketAddr) {
        let Some(call) = &mut self.call else { return };
        let request = call.invite.clone();
        let status = if self.script.progress_only { 183 } else { 180 };
        let reliable = self.script.reliable && request.values(HeaderId::Supported).any(|t| t == b"100rel");
        let mut draft = self.draft(&request, status);
        let Some(call) = &mut self.call else { return };
        if reliable {
            call.rseq += 1;
            call.awaits_prack = true;
            draft.headers.push((HeaderId::Require, "100rel".into()));
            draft.headers.push((HeaderId::RSeq, call.rseq.to_string()));
            if sdp_of(&request).0.is_none() {
                call.settled = true;
                draft.sdp = Some(call.sdp.offer());
            }
        }
        let message = draft.answer(&request);
        self.reply(to, &request, &message);
        if reliable {
            self.repeat(now, Until::Pracked, message.bytes().clone(), to);
        }
    }

    /// The script says that it is time for the final answer.
    pub(crate) fn answer(&mut self, now: Instant) {
        let Some(call) = &mut self.call else { return };
        call.answer_at = None;
        if let Answer::Refuse(_, status) = self.script.answer {
            return self.refuse(now, status);
        }
        if call.awaits_prack {
            // RFC 3262 3: the 2xx waits for the PRACK of a provisional response with SDP.
            call.stage = Stage::Ringing { held_back: true };
            return;
        }
        let request = call.invite.clone();
        self.accept(now, &request);
    }

    fn accept(&mut self, now: Instant, request: &Message) {
        let mut draft = self.draft(request, 200);
        let Some(call) = &mut self.call else { return };
        if !call.settled {
            draft.sdp = Some(match sdp_of(request).0 {
                Some(offer) => call.sdp.answer(&offer),
                None => call.sdp.offer(),
            });
        }
        call.stage = Stage::Answered;
        let to = self.reply_address(request);
        let message = draft.answer(request);
        self.reply(to, request, &message);
        self.repeat(now, Until::Acked, message.bytes().clone(), to);
    }

    pub(crate) fn refuse(&mut self, now: Instant, status: u16) {
        let Some(call) = &self.call else { return };
        let request = call.invite.clone();
        let to = self.reply_address(&request);
        let message = self.draft(&request, status).answer(&request);
        self.reply(to, &request, &message);
        self.end(false, "refused");
        self.repeat(now, Until::RefusalAcked, message.bytes().clone(), to);
    }

    fn handle_ack(&mut self, now: Instant, _ack: &Message) {
        self.stop(Until::Acked);
        self.stop(Until::RefusalAcked);
        let hangup_after = self.script.hangup_after;
        let Some(call) = &mut self.call else { return };
        if call.stage == Stage::Answered {
            call.stage = Stage::Connected;
            call.settled = false;
            call.hangup_at = hangup_after.map(|after| now + after);
            self.tell(Happening::Connected);
        }
    }

    fn handle_cancel(&mut self, now: Instant, request: &Message, from: SocketAddr) {
        let ours = self.call.as_ref().is_some_and(|c| {
            matches!(c.stage, Stage::Ringing { .. })
                && request.call_id().is_ok_and(|id| id == c.call_id.as_bytes())
        });
        if !ours {
            let status = if self.call.is_some() { 200 } else { 481 };
            return self.answer_plainly(request, from, status);
        }
        self.answer_plainly(request, from, 200);
        let Some(call) = &self.call else { return };
        let invite = call.invite.clone();
        let message = self.draft(&invite, 487).answer(&invite);
        self.reply(from, &invite, &message);
        self.end(true, &reason(request, "cancelled"));
        self.repeat(now, Until::RefusalAcked, message.bytes().clone(), from);
    }

    fn handle_prack(&mut self, now: Instant, request: &Message, from: SocketAddr) {
        let Some(call) = &mut self.call else { return };
        let matches = request
            .first(HeaderId::RAck)
            .map(text)
            .is_some_and(|rack| rack.split_whitespace().next() == Some(call.rseq.to_string().as_str()));
        if !call.awaits_prack || !matches {
            return self.answer_plainly(request, from, 481);
        }
        call.awaits_prack = false;
        let held_back = call.stage == Stage::Ringing { held_back: true };
        let invite = call.invite.clone();
        self.stop(Until::Pracked);
        self.answer_plainly(request, from, 200);
        if held_back {
            self.accept(now, &invite);
        }
    }

    /// What became of our REFER. RFC 3515 2.4.4
    fn take_notify(&mut self, request: &Message, from: SocketAddr) {
        self.answer_plainly(request, from, 200);
        let line = text(request.body()).lines().next().unwrap_or_default().to_owned();
        self.tell(Happening::Notified(line));
    }

    fn handle_update(&mut self, request: &Message, from: SocketAddr) {
        let (offer, tone) = sdp_of(request);
        let mut draft = self.draft(request, 200);
        if let (Some(offer), Some(call)) = (&offer, &mut self.call) {
            call.refresh_target(request);
            draft.sdp = Some(call.sdp.answer(offer));
        }
        let message = draft.answer(request);
        self.reply(from, request, &message);
        self.changed(offer.as_deref(), tone);
    }

    fn handle_reinvite(&mut self, now: Instant, request: &Message, from: SocketAddr) {
        // RFC 3261 14.2
        if !self.is_up() || self.call.as_ref().is_some_and(|call| call.changing) {
            return self.answer_plainly(request, from, 491);
        }
        let (offer, tone) = sdp_of(request);
        let mut draft = self.draft(request, 200);
        if let Some(call) = &mut self.call {
            call.refresh_target(request);
            draft.sdp = Some(match &offer {
                Some(offer) => call.sdp.answer(offer),
                None => call.sdp.offer(),
            });
        }
        let message = draft.answer(request);
        self.reply(from, request, &message);
        self.repeat(now, Until::Acked, message.bytes().clone(), from);
        self.changed(offer.as_deref(), tone);
    }

    fn changed(&mut self, offer: Option<&str>, tone: bool) {
        if tone {
            self.tell(Happening::Tone);
        }
        if let Some(offer) = offer {
            self.tell(Happening::Changed { direction: sdp::direction(offer) });
        }
    }

    pub(crate) fn answer_plainly(&mut self, request: &Message, from: SocketAddr, status: u16) {
        let message = self.draft(request, status).answer(request);
        self.reply(from, request, &message);
    }

    /// An answer with the headers every answer of this phone has.
    fn draft(&mut self, request: &Message, status: u16) -> Draft {
        let tag = match &self.call {
            Some(call) if request.call_id().is_ok_and(|id| id == call.call_id.as_bytes()) => {
                call.local_tag.clone()
            }
            _ => self.mint("t"),
        };
        let accept = if self.script.update {
            "application/sdp, multipart/mixed, audio/tone-info+xml"
        } else {
            "application/sdp"
        };
        let mut headers = vec![
            (HeaderId::Contact, self.contact()),
            (HeaderId::Allow, self.script.allow().to_string()),
            (HeaderId::Accept, accept.to_string()),
        ];
        match (self.script.reliable, self.script.joins) {
            (true, true) => headers.push((HeaderId::Supported, "100rel, join".into())),
            (true, false) => headers.push((HeaderId::Supported, "100rel".into())),
            (false, true) => headers.push((HeaderId::Supported, "join".into())),
            (false, false) => {}
        }
        Draft { status, tag, headers, sdp: None }
    }

    /// Where answers to a request go that is answered later: the address its top Via shows.
    fn reply_address(&self, request: &Message) -> SocketAddr {
        let shown = request.top_via().ok().and_then(|via| {
            let address = via.received_ip().or(via.host_ip())?;
            let port = match via.rport {
                Rport::Port(port) => port,
                Rport::Absent | Rport::Requested => via.port_or_default(),
            };
            Some(SocketAddr::new(address, port))
        });
        shown.unwrap_or(self.server)
    }
}

/// The session description of a message, and whether a tone came with it.
pub fn sdp_of(message: &Message) -> (Option<String>, bool) {
    let kind = message.first(HeaderId::ContentType).map(text).unwrap_or_default();
    sdp::find(&kind, &text(message.body()))
}

fn reason(request: &Message, otherwise: &str) -> String {
    request.named("Reason").next().map_or_else(|| otherwise.to_string(), text)
}

/// How long a phone waits before it refreshes: well before the registration ends.
pub fn refresh_time(expires: Duration) -> Duration {
    expires.mul_f32(0.8)
}

/// A response in the making.
struct Draft {
    status: u16,
    tag: String,
    headers: Vec<(HeaderId, String)>,
    sdp: Option<String>,
}

impl Draft {
    fn answer(self, request: &Message) -> Message {
        let build = || {
            let mut response = ResponseBuilder::to(request, self.status).to_tag(&self.tag)?;
            for (id, value) in &self.headers {
                response = response.header(*id, value)?;
            }
            match self.sdp {
                Some(sdp) => response.body("application/sdp", sdp),
                None => Ok(response),
            }
        };
        build().expect("the phone's own header values are short and have no line breaks").build()
    }
}
