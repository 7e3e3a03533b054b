//! One effect of a call onto the wire.

use std::sync::Arc;
use std::time::Duration;

use cluster_api::callcontrol::v1::{RequestFailed, ResponseReceived, leg_event::What, request_failed::Cause};
use cluster_api::edge::v1::{CancelInvite, CarryRequest, SendRequest, SendResponse, carry_request};
use cluster_api::sip::v1::Header;
use cluster_rpc::{Reason, Refusal};
use sip_endpoint::ServerKey;
use sip_message::{HeaderId, Message, Method};
use sip_proxy::Best;
use tonic::Status;

use super::address::is_id;
use super::call::{KeptAck, Seen, Unconfirmed};
use super::{Address, Request};
use crate::answer::pairs;
use crate::capture::why;
use crate::compose;
use crate::edge::{Cx, Edge};
use crate::forward::fork::NewFork;
use crate::forward::obstacle::{self, Obstacle};
use crate::forward::plan::only;
use crate::forward::secure::is_sips;
use crate::forward::upstream::Upstream;
use crate::refusal::{bad_field, not_here, overloaded};
use crate::report;

/// Ring time of an INVITE that names none: call-control's own timer ends it, and Timer C what call-control forgot.
const UNLIMITED: Duration = Duration::from_secs(24 * 3600);

impl Edge {
    /// Takes an effect on. A known one is confirmed and does nothing more.
    ///
    /// # Errors
    /// When nothing was taken on: the effect cannot be carried here, or makes no message.
    pub(crate) fn carry(&mut self, cx: &mut Cx<'_>, carry: CarryRequest) -> Result<(), Status> {
        if !is_id(&carry.call_id) || !is_id(&carry.leg_id) {
            return Err(Status::invalid_argument(
                "call_id and leg_id are 1 to 128 letters, digits, '-' or '_'",
            ));
        }
        let what = carry.what.ok_or_else(|| bad_field("what", "send, cancel, respond or release"))?;
        let call_id: Arc<str> = carry.call_id.into();
        let leg_id: Arc<str> = carry.leg_id.into();
        let most = self.config.limits.effects_per_call;
        let call = self.call(&call_id).ok_or_else(|| overloaded("too many calls on this edge"))?;
        if call.effects.contains(&carry.effect) {
            return Ok(());
        }
        if call.effects.len() >= most {
            return Err(overloaded("too many effects of this call"));
        }
        let is_new = !call.legs.contains_key(&leg_id);
        call.legs.entry(leg_id.clone()).or_insert(false);
        let address = Address { call_id, leg_id };
        if let Err(refused) = self.carry_out(cx, &address, carry.effect, what) {
            if is_new {
                self.forget_leg(&address);
            }
            return Err(refused);
        }
        if let Some(call) = self.legs.calls.get_mut(&address.call_id) {
            call.effects.insert(carry.effect);
        }
        Ok(())
    }

    fn carry_out(
        &mut self,
        cx: &mut Cx<'_>,
        address: &Address,
        effect: u64,
        what: carry_request::What,
    ) -> Result<(), Status> {
        match what {
            carry_request::What::Send(send) if send.method == "ACK" => {
                self.send_ack(cx, address, effect, &send)
            }
            carry_request::What::Send(send) => self.send(cx, address, effect, &send),
            carry_request::What::Cancel(cancel) => self.cancel_invite(cx, &address.call_id, &cancel),
            carry_request::What::Respond(respond) => self.respond_on_leg(cx, address, &respond),
            carry_request::What::Release(_) => {
                self.release(cx, address);
                Ok(())
            }
        }
    }

    /// Nothing was done for a leg that nobody will release here.
    fn forget_leg(&mut self, address: &Address) {
        let Some(call) = self.legs.calls.get_mut(&address.call_id) else { return };
        call.legs.remove(&address.leg_id);
        if call.legs.is_empty() {
            self.legs.calls.remove(&address.call_id);
            self.meters.calls.set(self.legs.len() as i64);
        }
    }

    fn send(
        &mut self,
        cx: &mut Cx<'_>,
        address: &Address,
        effect: u64,
        send: &SendRequest,
    ) -> Result<(), Status> {
        let initial = send.to_tag.is_empty();
        self.early.check(cx.now(), initial)?;
        // A further leg of a call that is being carried here belongs to what a drain finishes.
        let is_new = self.legs.calls.get(&address.call_id).is_none_or(|call| {
            call.legs.iter().all(|(leg_id, released)| *leg_id == address.leg_id || *released)
        });
        if initial && is_new && self.deps.drain.is_draining() {
            return Err(Refusal::new(Reason::Draining, "this edge drains").into());
        }
        if !self.has_room() {
            return Err(overloaded("too many requests are being forwarded"));
        }
        let request = compose::request(send).map_err(|error| bad_field("send", error.to_string()))?;
        let arrived = self.read_route(&request).map_err(|error| bad_field("send", error.to_string()))?;
        let target = self.own_target(cx, &send.flow, &arrived, initial);
        let upstream = Upstream::Leg(Request {
            call_id: address.call_id.clone(),
            leg_id: address.leg_id.clone(),
            effect,
            trunk: send.trunk.as_str().into(),
            referred_by: send.referred_by.as_str().into(),
            in_conference: send.in_conference,
            flow: String::new(),
            is_focus: send.is_focus,
        });
        self.ring.note(&request, || why::asked_to_send(address, effect, &send.method));
        let ring_limit = send.ring_limit.and_then(|limit| Duration::try_from(limit).ok());
        let max_breadth = match send.max_breadth {
            0 => sip_proxy::MAX_BREADTH,
            given => given.min(sip_proxy::MAX_BREADTH),
        };
        let new = NewFork {
            ring_time: Some(ring_limit.unwrap_or(UNLIMITED)),
            max_breadth,
            ..NewFork::of_ours(upstream, request, arrived)
        };
        let invite = send.method == "INVITE";
        let fork = self.open_fork(cx, new, vec![only(target)]);
        if invite
            && self.forks.contains_key(&fork)
            && let Some(call) = self.legs.calls.get_mut(&address.call_id)
        {
            call.invites.insert(effect, fork);
        }
        Ok(())
    }

    fn send_ack(
        &mut self,
        cx: &mut Cx<'_>,
        address: &Address,
        effect: u64,
        send: &SendRequest,
    ) -> Result<(), Status> {
        self.early.check(cx.now(), false)?;
        let call_id = &address.call_id;
        let message = compose::request(send).map_err(|error| bad_field("send", error.to_string()))?;
        let arrived = self.read_route(&message).map_err(|error| bad_field("send", error.to_string()))?;
        let target = self.own_target(cx, &send.flow, &arrived, false);
        let ack = KeptAck { effect, cseq: send.cseq, to_tag: send.to_tag.clone(), message, arrived, target };
        self.ring.note(&ack.message, || why::asked_to_send(address, effect, "ACK"));
        self.send_kept(cx, call_id, &ack);
        if let Some(call) = self.legs.calls.get_mut(call_id) {
            call.unconfirmed.retain(|answer| answer.cseq != ack.cseq || answer.to_tag != ack.to_tag);
            call.acks.push(ack);
        }
        Ok(())
    }

    fn cancel_invite(
        &mut self,
        cx: &mut Cx<'_>,
        call_id: &Arc<str>,
        cancel: &CancelInvite,
    ) -> Result<(), Status> {
        let call = self.legs.calls.get(call_id);
        let fork = call.and_then(|call| call.invites.get(&cancel.invite_effect)).copied();
        let Some(fork) = fork else {
            // It has its final response, which was reported; or another edge has the INVITE.
            let known = call.is_some_and(|call| call.effects.contains(&cancel.invite_effect));
            return if known { Ok(()) } else { Err(not_here("this edge did not send that INVITE")) };
        };
        let reasons = cancel.headers.iter().filter(|header| header.name.eq_ignore_ascii_case("Reason"));
        let reasons = reasons.map(|header| header.value.clone().into_bytes().into()).collect();
        self.with_fork(cx, fork, |edge, cx, fork| {
            edge.ring.note(&fork.request, || why::asked_to_cancel(call_id, cancel));
            fork.cancel_reasons = reasons;
            fork.context.cancel(cx.now());
        });
        Ok(())
    }

    fn respond_on_leg(
        &mut self,
        cx: &mut Cx<'_>,
        address: &Address,
        respond: &SendResponse,
    ) -> Result<(), Status> {
        let unknown = || not_here("no such transaction on this edge");
        let key: ServerKey = respond.transaction.parse().map_err(|_| unknown())?;
        let served = self
            .legs
            .calls
            .get(&address.call_id)
            .and_then(|call| call.served.get(&key))
            .ok_or_else(unknown)?;
        let response = self.leg_response(cx, address, &served.request, served.flow, respond)?;
        let invite = served.request.method() == Method::Invite;
        let is_taken = (200..300).contains(&respond.status);
        let prack = (is_taken && served.request.method() == Method::Prack).then(|| served.request.clone());
        self.ring.note(&served.request, || why::asked_to_respond(address, respond));
        cx.respond(key, response.clone())
            .map_err(|error| Status::from(Refusal::new(Reason::WrongState, error.to_string())))?;
        if let Some(prack) = prack {
            self.end_provisional(&address.call_id, &prack);
        }
        if respond.status >= 200 {
            let repeat = invite && respond.status < 300;
            self.note_answer(cx, &address.call_id, key, repeat.then_some(response));
        } else {
            self.note_provisional(cx, &address.call_id, key, response);
        }
        Ok(())
    }

    fn leg_response(
        &self,
        cx: &Cx<'_>,
        address: &Address,
        request: &Message,
        flow: sip_endpoint::Hop,
        respond: &SendResponse,
    ) -> Result<Message, Status> {
        let invalid = |error: sip_message::BuildError| bad_field("send", error.to_string());
        let status = u16::try_from(respond.status).ok().filter(|status| (101..700).contains(status));
        let status = status.ok_or_else(|| bad_field("respond.status", "101 to 699"))?;
        let mut response = sip_message::ResponseBuilder::to(request, status);
        if !respond.to_tag.is_empty() {
            response = response.to_tag(&respond.to_tag).map_err(invalid)?;
        }
        if !respond.reason.is_empty() {
            response = response.reason(&respond.reason).map_err(invalid)?;
        }
        // RFC 4579 4.2: a focus says what it is to who only asks, too
        let is_asked = respond.in_conference && request.method() == Method::Options;
        if status < 300
            && (request.method().forms_dialog() || request.method() == Method::Update || is_asked)
            && let (Some(transport), Some(sent_by)) = (cx.transport(flow), cx.sent_by(flow))
        {
            let tls = self.tls_form(request.request_uri().is_some_and(is_sips));
            let mark = self.mark(request);
            let contact = match respond.in_conference {
                true => address.focus_contact(transport, tls, sent_by, &mark),
                false => address.contact(transport, tls, sent_by, &mark, respond.is_focus),
            };
            response = response.header(HeaderId::Contact, contact).map_err(invalid)?;
        }
        for (name, value) in pairs(&respond.headers) {
            response = response.named(name, value).map_err(invalid)?;
        }
        if let Some(body) = &respond.body {
            if !body.content_disposition.is_empty() {
                response = response
                    .header(HeaderId::ContentDisposition, &body.content_disposition)
                    .map_err(invalid)?;
            }
            response = response.body(&body.content_type, body.content.clone()).map_err(invalid)?;
        }
        Ok(response.build())
    }

    fn release(&mut self, cx: &mut Cx<'_>, address: &Address) {
        if let Some(call) = self.legs.calls.get_mut(&address.call_id) {
            call.legs.insert(address.leg_id.clone(), true);
            for served in call.served.values_mut().filter(|served| served.leg_id == address.leg_id) {
                served.unacknowledged = None;
                served.unpracked = None;
            }
        }
        self.forget_if_released(cx, &address.call_id);
    }

    /// A response to a request of a leg.
    pub(crate) fn take_leg_response(&mut self, cx: &mut Cx<'_>, request: &Request, response: &Message) {
        let status = response.status().unwrap_or(500);
        let success = (200..300).contains(&status) && response.method() == Method::Invite;
        let Some(call) = self.legs.calls.get_mut(&request.call_id) else {
            if success {
                self.end_orphan(cx, response);
            }
            return;
        };
        let rseq = response.rseq().ok().flatten();
        let to_tag = response.to().ok().and_then(|to| to.tag()).unwrap_or_default().to_owned();
        let cseq = response.cseq().map_or(0, |cseq| cseq.number);
        if success || rseq.is_some() {
            let seen = Seen { effect: request.effect, status, to_tag: to_tag.clone(), rseq };
            if call.is_repeated(seen) {
                if success {
                    self.repeat_ack(cx, &request.call_id, cseq, &to_tag);
                }
                return;
            }
        }
        if success {
            call.await_ack(Unconfirmed { cseq, to_tag, response: response.clone() });
        }
        let event = What::Response(report::response(request.effect, response, &[]));
        self.emit(cx, &request.call_id, &request.leg_id, request.flow.clone(), event);
    }

    /// A request of a leg failed: by a response, or without one.
    pub(crate) fn take_leg_failure(
        &mut self,
        cx: &mut Cx<'_>,
        leg: &Request,
        request: &Message,
        best: Best<Message>,
        challenges: &[Message],
        obstacle: Option<&Obstacle>,
    ) {
        let failed = |cause: Cause| {
            let method = request.method_str().to_owned();
            What::Failed(RequestFailed { effect: leg.effect, method, cause: cause.into() })
        };
        let in_the_way = obstacle::status(&best, obstacle);
        let answered = |status: u16| {
            let reason = obstacle::reason(obstacle, status).to_owned();
            let warning = obstacle.and_then(|obstacle| obstacle.warning(status));
            let warning = warning.map(|value| Header { name: HeaderId::Warning.as_str().to_owned(), value });
            let answer = report::local_response(leg.effect, status, request);
            What::Response(ResponseReceived { reason, headers: warning.into_iter().collect(), ..answer })
        };
        let event = match (best, in_the_way) {
            (Best::Local(_), _) if let Some(Obstacle::Lent(callee)) = obstacle => {
                let answer = report::local_response(leg.effect, 302, request);
                What::Response(ResponseReceived { callee: callee.to_string(), ..answer })
            }
            (Best::Received(response), _) => {
                What::Response(report::response(leg.effect, &response, challenges))
            }
            (Best::Local(_), Some(status)) => answered(status),
            (Best::Local(408), None) => failed(Cause::Timeout),
            (Best::Local(430 | 503), None) => failed(Cause::Transport),
            (Best::Local(status), None) => answered(status),
        };
        self.emit(cx, &leg.call_id, &leg.leg_id, leg.flow.clone(), event);
    }
}
