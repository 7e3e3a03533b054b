//! The machine: datagrams and deadlines in, datagrams and happenings out.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sip_message::{HeaderId, Limits, Message};

use crate::call::{Call, Stage, text};
use crate::happening::Happening;
use crate::message::Outgoing;
use crate::outgoing::Registration;
use crate::retransmit::{Repeat, Until};
use crate::script::{Identity, Script};
use crate::wire::Wire;

/// What the shell does for the phone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send this datagram.
    Send { to: SocketAddr, bytes: Bytes },
    /// Tell the holder.
    Happened(Happening),
}

/// How many answers are kept for repeated requests.
const ANSWERS_KEPT: usize = 64;

/// A scripted phone.
#[derive(Debug)]
pub struct Phone {
    pub(crate) identity: Identity,
    pub(crate) script: Script,
    pub(crate) local: SocketAddr,
    wire: Wire,
    /// What it calls itself in Via and Contact.
    sent_by: String,
    pub(crate) server: SocketAddr,
    pub(crate) registration: Registration,
    pub(crate) call: Option<Call>,
    pub(crate) message: Option<Outgoing>,
    pub(crate) repeats: Vec<Repeat>,
    seed: u64,
    minted: u64,
    answers: VecDeque<(Vec<u8>, Bytes, SocketAddr)>,
    outputs: VecDeque<Output>,
    sent: u32,
}

impl Phone {
    /// A phone at `local` that talks to `server`; `seed` makes its identifiers.
    pub fn new(identity: Identity, script: Script, local: SocketAddr, server: SocketAddr, seed: u64) -> Self {
        let mut phone = Self {
            identity,
            script,
            local,
            wire: Wire::Udp,
            sent_by: local.to_string(),
            server,
            registration: Registration::default(),
            call: None,
            message: None,
            repeats: Vec::new(),
            seed,
            minted: 0,
            answers: VecDeque::new(),
            outputs: VecDeque::new(),
            sent: 0,
        };
        phone.registration.call_id = phone.mint("reg");
        phone.registration.tag = phone.mint("t");
        phone
    }

    /// The same phone on something else than datagrams.
    pub fn on(mut self, wire: Wire) -> Self {
        let minted = self.mint("w");
        self.sent_by = wire.sent_by(self.local, &minted);
        self.wire = wire;
        self
    }

    /// Changes what the phone does with the next call.
    pub fn set_script(&mut self, script: Script) {
        self.script = script;
    }

    /// A datagram came.
    pub fn handle_datagram(&mut self, now: Instant, datagram: Bytes, from: SocketAddr) {
        let Ok(message) = Message::parse(datagram, &Limits::default()) else { return };
        self.tell(Happening::Received(first_line(message.bytes())));
        if message.is_request() {
            let key = transaction(&message);
            if message.method().as_str() != "ACK"
                && let Some((_, bytes, to)) = self.answers.iter().find(|(k, _, _)| *k == key).cloned()
            {
                return self.transmit(to, bytes);
            }
            // RFC 3261 18.2.1: an answer that is given later goes back the way the request came.
            let mut marked = message.edit();
            marked.mark_received(from.ip(), from.port());
            let Ok(message) = marked.finish() else { return };
            self.handle_request(now, &message, from);
        } else {
            self.handle_response(now, &message, from);
        }
    }

    /// When to call [`Self::handle_deadline`].
    pub fn next_deadline(&self) -> Option<Instant> {
        let call = self.call.as_ref();
        self.repeats
            .iter()
            .map(Repeat::deadline)
            .chain(self.registration.refresh_at)
            .chain(call.and_then(|c| c.answer_at))
            .chain(call.and_then(|c| c.hangup_at))
            .min()
    }

    /// A deadline passed.
    pub fn handle_deadline(&mut self, now: Instant) {
        let mut again = Vec::new();
        for repeat in &mut self.repeats {
            // A reliable wire repeats what was lost; only a user agent's own repetitions go on. RFC 3261 13.3.1.4, RFC 3262 3
            let by_itself = matches!(repeat.until, Until::Acked | Until::Pracked);
            if repeat.due(now) && (by_itself || !self.wire.is_reliable()) {
                again.push((repeat.to, repeat.bytes.clone()));
            }
        }
        for (to, bytes) in again {
            self.transmit(to, bytes);
        }
        let over: Vec<Until> = self.repeats.iter().filter(|r| r.is_over(now)).map(|r| r.until).collect();
        self.repeats.retain(|r| !r.is_over(now));
        for until in over {
            self.nobody_answered(now, until);
        }
        if self.registration.refresh_at.is_some_and(|at| at <= now) {
            self.register(now);
        }
        if self.call.as_ref().is_some_and(|c| c.answer_at.is_some_and(|at| at <= now)) {
            self.answer(now);
        }
        if self.call.as_ref().is_some_and(|c| c.hangup_at.is_some_and(|at| at <= now)) {
            self.hangup(now);
        }
    }

    /// What to do; ask until `None` after every call.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn nobody_answered(&mut self, now: Instant, until: Until) {
        match until {
            Until::Registered => {
                self.registration.refresh_at = Some(now + Duration::from_secs(5));
                self.tell(Happening::RegisterFailed { status: 408, reason: "no answer".into() });
            }
            Until::Referred => self.tell(Happening::Referred { status: 408 }),
            Until::Messaged => {
                self.message = None;
                self.tell(Happening::Messaged { status: 408 });
            }
            Until::Ringing | Until::HungUp | Until::RefusalAcked => self.end(false, "no answer"),
            Until::Pracked => self.refuse(now, 504),
            // RFC 3261 13.3.1.4: no ACK for the 2xx, so hang up.
            Until::Acked => self.hangup(now),
        }
    }

    pub(crate) fn transmit(&mut self, to: SocketAddr, bytes: Bytes) {
        self.tell(Happening::Sent(first_line(&bytes)));
        self.sent += 1;
        let every = self.script.loses_every;
        if every == 0 || !self.sent.is_multiple_of(every) {
            self.outputs.push_back(Output::Send { to, bytes });
        }
    }

    /// Sends an answer and keeps it for repeats of the request.
    pub(crate) fn reply(&mut self, to: SocketAddr, request: &Message, response: &Message) {
        let key = transaction(request);
        self.answers.retain(|(k, _, _)| *k != key);
        if self.answers.len() == ANSWERS_KEPT {
            self.answers.pop_front();
        }
        self.answers.push_back((key, response.bytes().clone(), to));
        self.transmit(to, response.bytes().clone());
    }

    pub(crate) fn repeat(&mut self, now: Instant, until: Until, bytes: Bytes, to: SocketAddr) {
        self.repeats.push(Repeat::new(now, until, bytes, to));
    }

    pub(crate) fn stop(&mut self, until: Until) {
        self.repeats.retain(|r| r.until != until);
    }

    pub(crate) fn tell(&mut self, what: Happening) {
        self.outputs.push_back(Output::Happened(what));
    }

    pub(crate) fn end(&mut self, by_peer: bool, reason: &str) {
        self.repeats.retain(|r| matches!(r.until, Until::Registered | Until::RefusalAcked | Until::Messaged));
        if self.call.take().is_some() {
            self.tell(Happening::Ended { by_peer, reason: reason.into() });
        }
    }

    /// A fresh identifier.
    pub(crate) fn mint(&mut self, prefix: &str) -> String {
        self.minted += 1;
        // SplitMix64, so that identifiers of phones with neighbouring seeds do not resemble each other.
        let mut z = self.seed.wrapping_add(self.minted.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        format!("{prefix}{:016x}", z ^ (z >> 31))
    }

    pub(crate) fn contact(&self) -> String {
        format!("<sip:{}@{}{}>", self.identity.user, self.sent_by, self.wire.contact_parameter())
    }

    pub(crate) fn via(&mut self) -> String {
        let branch = self.mint("z9hG4bK");
        let (name, parameter) = (self.wire.name(), self.wire.via_parameter());
        format!("SIP/2.0/{name} {};branch={branch}{parameter}", self.sent_by)
    }

    /// The Call-ID of every REGISTER of this phone.
    pub fn registration_call_id(&self) -> &str {
        &self.registration.call_id
    }

    /// Whether it rings, is in a call, or waits for the end of one.
    pub fn has_call(&self) -> bool {
        self.call.is_some()
    }

    /// Whether it calls somebody, and nobody has answered for good.
    pub fn is_calling(&self) -> bool {
        self.call.as_ref().is_some_and(|call| call.stage == Stage::Calling)
    }

    pub(crate) fn is_up(&self) -> bool {
        self.call.as_ref().is_some_and(|c| c.stage == Stage::Connected)
    }
}

/// Branch, sent-by, method and CSeq: what makes a repeated request the same (RFC 3261 17.2.3), wherever it came from.
fn transaction(request: &Message) -> Vec<u8> {
    let via = request.top_via().ok();
    let name =
        via.map(|via| format!("{} {} {} ", via.branch.unwrap_or_default(), via.host, via.port_or_default()));
    let mut key = name.unwrap_or_default().into_bytes();
    key.extend_from_slice(request.method().as_str().as_bytes());
    key.extend_from_slice(request.first(HeaderId::CSeq).unwrap_or_default());
    key
}

fn first_line(bytes: &[u8]) -> String {
    text(bytes.split(|b| *b == b'\r').next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_request_gets_the_same_answer_again() {
        let local = SocketAddr::from(([192, 0, 2, 1], 5060));
        let server = SocketAddr::from(([192, 0, 2, 2], 5060));
        let identity = Identity::new("sip:bob@example.com", "zanzibar").unwrap();
        let mut phone = Phone::new(identity, Script::plain(), local, server, 1);
        let invite = Bytes::from_static(
            b"INVITE sip:bob@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.7;branch=z9hG4bK1;rport\r\n\
              Max-Forwards: 70\r\nFrom: <sip:alice@example.com>;tag=1\r\nTo: <sip:bob@example.com>\r\n\
              Call-ID: c\r\nCSeq: 1 INVITE\r\nContact: <sip:alice@198.51.100.7>\r\nContent-Length: 0\r\n\r\n",
        );
        let now = Instant::now();
        let mut sent = || {
            phone.handle_datagram(now, invite.clone(), server);
            let outputs = std::iter::from_fn(|| phone.poll_output());
            outputs.filter(|output| matches!(output, Output::Send { .. })).collect::<Vec<_>>()
        };
        let first = sent();
        assert_eq!(first.len(), 1);
        assert_eq!(sent(), first);
    }

    #[test]
    fn a_phone_that_is_told_when_to_come_back_does() {
        let local = SocketAddr::from(([192, 0, 2, 1], 5060));
        let server = SocketAddr::from(([192, 0, 2, 2], 5060));
        let identity = Identity::new("sip:bob@example.com", "zanzibar").unwrap();
        let script = Script { registers_again: true, ..Script::plain() };
        let mut phone = Phone::new(identity, script, local, server, 1);
        let now = Instant::now();
        phone.register(now);
        let sent = |phone: &mut Phone| {
            let outputs = std::iter::from_fn(|| phone.poll_output());
            outputs
                .filter_map(|output| match output {
                    Output::Send { bytes, .. } => Some(bytes),
                    Output::Happened(_) => None,
                })
                .next()
        };
        let register = Message::parse(sent(&mut phone).unwrap(), &Limits::default()).unwrap();
        let refused = sip_message::ResponseBuilder::to(&register, 503)
            .header(HeaderId::RetryAfter, "7 (starting);duration=60")
            .unwrap()
            .build();
        phone.handle_datagram(now, refused.bytes().clone(), server);
        let told: Vec<Output> = std::iter::from_fn(|| phone.poll_output()).collect();
        let postponed = |output: &Output| {
            matches!(output, Output::Happened(Happening::RegisterPostponed { status: 503, .. }))
        };
        assert!(told.iter().any(postponed), "{told:?}");
        let later = now + Duration::from_secs(7);
        assert_eq!(phone.next_deadline(), Some(later));
        phone.handle_deadline(later);
        assert!(sent(&mut phone).unwrap().starts_with(b"REGISTER "));
    }
}
