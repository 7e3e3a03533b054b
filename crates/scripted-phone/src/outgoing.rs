//! What the phone asks of others: registration, calls, hanging up.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sip_message::{HeaderId, Message, Method, RequestBuilder};

use crate::call::{Call, Dialog, Stage, address, contact, route_set, text};
use crate::happening::Happening;
use crate::incoming::{refresh_time, sdp_of};
use crate::phone::Phone;
use crate::retransmit::{T1, Until};
use crate::sdp::{self, Description};

/// The registration of the phone.
#[derive(Debug, Default)]
pub struct Registration {
    pub call_id: String,
    pub tag: String,
    pub cseq: u32,
    pub refresh_at: Option<Instant>,
    /// Whether the request in flight carries credentials.
    authorised: bool,
    /// Asked for zero seconds.
    leaving: bool,
}

impl Phone {
    /// Registers, or refreshes.
    pub fn register(&mut self, now: Instant) {
        self.registration.leaving = false;
        self.registration.authorised = false;
        self.send_register(now, None);
    }

    /// Takes the registration back.
    pub fn unregister(&mut self, now: Instant) {
        self.registration.leaving = true;
        self.registration.authorised = false;
        self.send_register(now, None);
    }

    fn send_register(&mut self, now: Instant, authorization: Option<String>) {
        self.registration.refresh_at = None;
        self.registration.cseq += 1;
        let expires = if self.registration.leaving { 0 } else { self.script.expires.as_secs() };
        let aor = self.identity.aor();
        let via = self.via();
        let mut headers = vec![
            (HeaderId::Via, via),
            (HeaderId::MaxForwards, "70".into()),
            (HeaderId::From, format!("<{aor}>;tag={}", self.registration.tag)),
            (HeaderId::To, format!("<{aor}>")),
            (HeaderId::CallId, self.registration.call_id.clone()),
            (HeaderId::CSeq, format!("{} REGISTER", self.registration.cseq)),
            (HeaderId::Contact, format!("{};expires={expires}", self.contact())),
        ];
        headers.extend(authorization.map(|value| (HeaderId::Authorization, value)));
        let message = request(&Method::Register, &format!("sip:{}", self.identity.domain), headers, None);
        self.stop(Until::Registered);
        self.send_repeated(now, Until::Registered, &message, self.server);
    }

    /// Calls somebody.
    pub fn dial(&mut self, now: Instant, uri: &str) {
        self.dial_saying(now, uri, Vec::new());
    }

    /// Calls the other side of a dialog to take the place of the phone that has it (`Replaces`), or to join it (`Join`). The tags are told
    /// as that other side knows them. RFC 3891 3, RFC 3911 4
    pub fn claim(&mut self, now: Instant, uri: &str, join: bool, dialog: &Dialog) {
        let Dialog { call_id, local_tag, remote_tag } = dialog;
        let header = if join { HeaderId::Join } else { HeaderId::Replaces };
        self.dial_saying(
            now,
            uri,
            vec![(header, format!("{call_id};to-tag={remote_tag};from-tag={local_tag}"))],
        );
    }

    fn dial_saying(&mut self, now: Instant, uri: &str, says: Vec<(HeaderId, String)>) {
        if self.call.is_some() {
            return;
        }
        let call_id = self.mint("call");
        let tag = self.mint("t");
        let mut sdp = Description::new(self.local.ip().to_string());
        let offer = sdp.offer();
        let invite = self.invite(uri, &call_id, &tag, 1, says.clone(), offer);
        self.call = Some(Call {
            stage: Stage::Calling,
            call_id,
            local_uri: self.identity.aor(),
            local_tag: tag,
            remote_uri: uri.into(),
            remote_tag: String::new(),
            remote_target: uri.into(),
            route: Vec::new(),
            cseq: 1,
            invite: invite.clone(),
            rseq: 0,
            awaits_prack: false,
            settled: false,
            sdp,
            answer_at: None,
            hangup_at: None,
            authorised: false,
            says,
            changing: false,
        });
        self.send_repeated(now, Until::Ringing, &invite, self.server);
    }

    /// Asks the other side, by REFER in the dialog, to call somebody instead. RFC 3515, RFC 5589 6.1
    pub fn refer(&mut self, now: Instant, uri: &str) {
        if !self.is_up() {
            return;
        }
        let aor = self.identity.aor();
        let says = vec![(HeaderId::ReferTo, format!("<{uri}>")), (HeaderId::ReferredBy, format!("<{aor}>"))];
        let (message, to) = self.in_dialog(&Method::Refer, says, None);
        self.send_repeated(now, Until::Referred, &message, to);
    }

    /// The dialog that it has, as it knows it.
    pub fn dialog(&self) -> Option<Dialog> {
        let call = self.call.as_ref().filter(|call| !call.remote_tag.is_empty())?;
        let (local_tag, remote_tag) = (call.local_tag.clone(), call.remote_tag.clone());
        Some(Dialog { call_id: call.call_id.clone(), local_tag, remote_tag })
    }

    fn invite(
        &mut self,
        uri: &str,
        call_id: &str,
        tag: &str,
        cseq: u32,
        says: Vec<(HeaderId, String)>,
        offer: String,
    ) -> Message {
        let mut headers = vec![
            (HeaderId::Via, self.via()),
            (HeaderId::MaxForwards, "70".into()),
            (HeaderId::From, format!("<{}>;tag={tag}", self.identity.aor())),
            (HeaderId::To, format!("<{uri}>")),
            (HeaderId::CallId, call_id.into()),
            (HeaderId::CSeq, format!("{cseq} INVITE")),
            (HeaderId::Contact, self.contact()),
            (HeaderId::Allow, self.script.allow().into()),
        ];
        headers.extend(says);
        request(&Method::Invite, uri, headers, Some(offer))
    }

    /// Ends the call, however far it is: CANCEL, BYE, or a refusal.
    pub fn hangup(&mut self, now: Instant) {
        let Some(call) = &mut self.call else { return };
        let is_due = call.hangup_at.take().is_some_and(|at| at <= now);
        match call.stage {
            Stage::Ringing { .. } => self.refuse(now, 603),
            Stage::Calling => self.cancel(now),
            Stage::Answered | Stage::Connected => {
                call.stage = Stage::Ending;
                let (message, to) = self.in_dialog(&Method::Bye, Vec::new(), None);
                self.stop(Until::Acked);
                self.send_repeated(now, Until::HungUp, &message, to);
            }
            Stage::Ending if is_due => self.end(false, "no answer"),
            Stage::Ending => {}
        }
    }

    /// Holds the call, or takes it back (RFC 3264 8.4). Nothing happens before it is up, nor while another change waits for its answer.
    pub fn hold(&mut self, now: Instant, held: bool) {
        let Some(call) = self.call.as_mut().filter(|call| call.stage == Stage::Connected && !call.changing)
        else {
            return;
        };
        call.changing = true;
        let offer = call.sdp.offer_of(if held { "sendonly" } else { "sendrecv" });
        let (invite, to) = self.in_dialog(&Method::Invite, Vec::new(), Some(offer));
        if let Some(call) = &mut self.call {
            call.invite = invite.clone();
        }
        self.send_repeated(now, Until::Ringing, &invite, to);
    }

    fn cancel(&mut self, now: Instant) {
        let Some(call) = &mut self.call else { return };
        call.stage = Stage::Ending;
        let invite = call.invite.clone();
        let same = |id| (id, invite.first(id).map(text).unwrap_or_default());
        let cseq = call.cseq;
        let headers = vec![
            same(HeaderId::Via),
            (HeaderId::MaxForwards, "70".into()),
            same(HeaderId::From),
            same(HeaderId::To),
            same(HeaderId::CallId),
            (HeaderId::CSeq, format!("{cseq} CANCEL")),
        ];
        let uri = text(invite.request_uri().unwrap_or_default());
        let message = request(&Method::Cancel, &uri, headers, None);
        self.stop(Until::Ringing);
        self.send_repeated(now, Until::HungUp, &message, self.server);
    }

    /// A request inside the dialog, and where it goes.
    fn in_dialog(
        &mut self,
        method: &Method,
        says: Vec<(HeaderId, String)>,
        offer: Option<String>,
    ) -> (Message, SocketAddr) {
        let via = self.via();
        let contact = self.contact();
        let server = self.server;
        let Some(call) = &mut self.call else { unreachable!("callers hold a call") };
        // RFC 3261 13.2.2.4: an ACK has the number of its INVITE
        let cseq = match method {
            Method::Ack => call.invite.cseq().map_or(call.cseq, |cseq| cseq.number),
            _ => {
                call.cseq += 1;
                call.cseq
            }
        };
        let mut headers = vec![
            (HeaderId::Via, via),
            (HeaderId::MaxForwards, "70".into()),
            (HeaderId::From, format!("<{}>;tag={}", call.local_uri, call.local_tag)),
            (HeaderId::To, format!("<{}>;tag={}", call.remote_uri, call.remote_tag)),
            (HeaderId::CallId, call.call_id.clone()),
            (HeaderId::CSeq, format!("{cseq} {}", method.as_str())),
            (HeaderId::Contact, contact),
        ];
        headers.extend(says);
        headers.extend(call.route.iter().map(|r| (HeaderId::Route, r.clone())));
        let next = call.route.first().unwrap_or(&call.remote_target);
        let to = address(next).unwrap_or(server);
        let uri = call.remote_target.clone();
        (request(method, &uri, headers, offer), to)
    }

    pub(crate) fn handle_response(&mut self, now: Instant, response: &Message, from: SocketAddr) {
        let Some(status) = response.status() else { return };
        match response.method() {
            Method::Register => self.handle_registered(now, response, status),
            Method::Invite => self.handle_invited(now, response, status, from),
            Method::Message => self.handle_messaged(now, response, status),
            Method::Bye if status >= 200 => self.end(false, "hung up"),
            Method::Refer if status >= 200 => {
                self.stop(Until::Referred);
                self.tell(Happening::Referred { status });
            }
            Method::Cancel if status >= 200 => {
                self.stop(Until::HungUp);
                // RFC 3261 9.1: the final response of the INVITE is waited for as long as any other
                if let Some(call) = &mut self.call {
                    call.hangup_at = Some(now + T1 * 64);
                }
            }
            _ => {}
        }
    }

    fn handle_registered(&mut self, now: Instant, response: &Message, status: u16) {
        let ours = response.cseq().is_ok_and(|c| c.number == self.registration.cseq)
            && response.call_id().is_ok_and(|id| id == self.registration.call_id.as_bytes());
        if status < 200 || !ours {
            return;
        }
        self.stop(Until::Registered);
        if status == 401 && !self.registration.authorised {
            self.registration.authorised = true;
            let uri = format!("sip:{}", self.identity.domain);
            let credentials = self.credentials(response, HeaderId::WwwAuthenticate, "REGISTER", &uri);
            if credentials.is_some() {
                return self.send_register(now, credentials);
            }
        }
        if status == 200 {
            let granted = if self.registration.leaving { Duration::ZERO } else { self.granted(response) };
            if !granted.is_zero() {
                self.registration.refresh_at = Some(now + refresh_time(granted));
            }
            self.tell(Happening::Registered(granted));
        } else {
            self.take_register_failure(now, response, status);
        }
    }

    fn take_register_failure(&mut self, now: Instant, response: &Message, status: u16) {
        let reason = text(response.reason());
        match retry_after(response).filter(|_| self.script.registers_again && !self.registration.leaving) {
            Some(again_in) => {
                self.registration.refresh_at = Some(now + again_in);
                self.tell(Happening::RegisterPostponed { status, reason, again_in });
            }
            None => self.tell(Happening::RegisterFailed { status, reason }),
        }
    }

    /// The expires of our own Contact in a 200.
    fn granted(&self, response: &Message) -> Duration {
        let own = format!("{}", self.local);
        let seconds = response.values(HeaderId::Contact).map(text).find(|c| c.contains(&own)).and_then(|c| {
            let (_, rest) = c.split_once("expires=")?;
            rest.split([';', ',']).next()?.trim().parse().ok()
        });
        seconds.map_or(self.script.expires, Duration::from_secs)
    }

    fn handle_invited(&mut self, now: Instant, response: &Message, status: u16, from: SocketAddr) {
        let Some(call) = &mut self.call else { return };
        let current = response.cseq().is_ok_and(|c| c.number == call.invite.cseq().map_or(0, |c| c.number))
            && response.call_id().is_ok_and(|id| id == call.call_id.as_bytes());
        if !current {
            return;
        }
        self.stop(Until::Ringing);
        match status {
            100..200 => {
                if status > 100 {
                    self.tell(Happening::Progress { status });
                }
            }
            200..300 => self.handle_answered(now, response),
            _ => {
                self.ack_refusal(response, from);
                self.handle_refused(now, response, status);
            }
        }
    }

    fn handle_answered(&mut self, now: Instant, response: &Message) {
        let hangup_after = self.script.hangup_after;
        let Some(call) = &mut self.call else { return };
        let first = matches!(call.stage, Stage::Calling);
        if first || call.remote_tag.is_empty() {
            call.remote_tag = response.to().ok().and_then(|to| to.tag().map(text)).unwrap_or_default();
            call.route = route_set(response, true);
            if let Some(target) = contact(response) {
                call.remote_target = target;
            }
        }
        let (ack, to) = self.in_dialog(&Method::Ack, Vec::new(), None);
        self.transmit(to, ack.bytes().clone());
        let Some(call) = &mut self.call else { return };
        if std::mem::take(&mut call.changing) {
            if let Some(target) = contact(response) {
                call.remote_target = target;
            }
            let asked = sdp_of(&call.invite).0.map_or("sendrecv", |offer| sdp::direction(&offer));
            self.tell(Happening::Agreed { direction: asked });
        } else if first {
            call.stage = Stage::Connected;
            call.hangup_at = hangup_after.map(|after| now + after);
            self.tell(Happening::Connected);
        } else if call.stage == Stage::Ending {
            // The 200 crossed our CANCEL (RFC 3261 9.1): the call is up, so end it.
            call.stage = Stage::Connected;
            self.stop(Until::HungUp);
            self.hangup(now);
        }
    }

    fn handle_refused(&mut self, now: Instant, response: &Message, status: u16) {
        let Some(call) = &mut self.call else { return };
        if status == 407 && !call.authorised {
            call.authorised = true;
            let uri = call.remote_uri.clone();
            if let Some(value) = self.credentials(response, HeaderId::ProxyAuthenticate, "INVITE", &uri) {
                let Some(call) = &mut self.call else { return };
                call.cseq += 1;
                let (call_id, tag, cseq) = (call.call_id.clone(), call.local_tag.clone(), call.cseq);
                let (offer, mut says) = (call.sdp.offer(), call.says.clone());
                says.push((HeaderId::ProxyAuthorization, value));
                let invite = self.invite(&uri, &call_id, &tag, cseq, says, offer);
                if let Some(call) = &mut self.call {
                    call.invite = invite.clone();
                }
                return self.send_repeated(now, Until::Ringing, &invite, self.server);
            }
        }
        let reason = text(response.reason());
        self.tell(Happening::Refused { status, reason: reason.clone() });
        // The session stays as it was, unless the dialog is gone. RFC 3261 14.1
        let Some(call) = &mut self.call else { return };
        if std::mem::take(&mut call.changing) && !matches!(status, 408 | 481) {
            return;
        }
        self.end(true, &reason);
    }

    /// ACK for a final failure, as the transaction makes it (RFC 3261 17.1.1.3).
    fn ack_refusal(&mut self, response: &Message, to: SocketAddr) {
        let Some(call) = &self.call else { return };
        let invite = call.invite.clone();
        let same = |id| (id, invite.first(id).map(text).unwrap_or_default());
        let number = invite.cseq().map_or(0, |c| c.number);
        let headers = vec![
            same(HeaderId::Via),
            (HeaderId::MaxForwards, "70".into()),
            same(HeaderId::From),
            (HeaderId::To, response.first(HeaderId::To).map(text).unwrap_or_default()),
            same(HeaderId::CallId),
            (HeaderId::CSeq, format!("{number} ACK")),
        ];
        let uri = text(invite.request_uri().unwrap_or_default());
        let ack = request(&Method::Ack, &uri, headers, None);
        self.transmit(to, ack.bytes().clone());
    }

    fn send_repeated(&mut self, now: Instant, until: Until, message: &Message, to: SocketAddr) {
        let bytes = message.bytes().clone();
        self.transmit(to, bytes.clone());
        self.repeat(now, until, bytes, to);
    }
}

/// When a 500 or 503 says that it may be tried again: `18000;duration=3600` or `120 (I'm in a meeting)`. RFC 3261 20.33
fn retry_after(response: &Message) -> Option<Duration> {
    let value =
        text(response.first(HeaderId::RetryAfter).filter(|_| matches!(response.status(), Some(500 | 503)))?);
    let seconds: u64 = value.split([' ', ';', '(']).next()?.parse().ok()?;
    // At once would be a storm, and nobody waits for a phone that comes back tomorrow.
    Some(Duration::from_secs(seconds.clamp(1, 300)))
}

/// A request of values this phone made or took from a parsed message.
fn request(method: &Method, uri: &str, headers: Vec<(HeaderId, String)>, offer: Option<String>) -> Message {
    let mut builder =
        RequestBuilder::new(method.clone(), uri).expect("the phone dials URIs that were parsed");
    for (id, value) in headers {
        builder = builder.header(id, &value).expect("the phone's own header values have no line breaks");
    }
    match offer {
        Some(sdp) => builder.body("application/sdp", sdp).expect("the type is short").build(),
        None => builder.build(),
    }
}
