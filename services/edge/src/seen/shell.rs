//! What forwarding tells of a call, on its way to call-control.

use std::sync::Arc;

use cluster_api::callcontrol::v1::{ProxiedCallEvent, proxied_call_event::Type};
use cluster_api::edge::v1::{CancelProxiedRequest, CancelProxiedResponse, SendRequest};
use sip_message::{HeaderId, Message, Reason};
use sip_proxy::Best;
use tonic::Status;

use super::what::{Party, Seen, What, call_id_of, is_first_of_phone};
use super::{Reported, event};
use crate::edge::{Completion, Cx, Edge, Timer};
use crate::forward::fork::{Fork, ForkId};
use crate::forward::obstacle::{reason as local_reason, status as local_status};
use crate::refusal::{bad_field, not_here};

impl Edge {
    /// Whether a further call is told: not while call-control is far behind, so that calls are told whole or not at all.
    pub(crate) fn has_room_for_report(&self) -> bool {
        let has_room = self.seen.reports.has_room_for_calls();
        if !has_room {
            self.meters.call_reports.with_label_values(&["call_left_out"]).inc();
        }
        has_room
    }

    /// The INVITE of a call is being forwarded.
    pub(crate) fn see_start(&mut self, cx: &mut Cx<'_>, id: ForkId, fork: &Fork) {
        let Some(Seen { call_id, what: What::Begins { .. } }) = fork.seen.as_deref() else { return };
        let call_id = call_id.clone();
        let mut event = event::of_request(&fork.request, Party::Caller, Type::Started);
        event::moved(&mut event, &fork.request, Party::Caller);
        self.seen.waiting.insert(call_id.clone(), id);
        self.tell(cx, &call_id, event);
    }

    /// A response goes to the sender of the request.
    pub(crate) fn see_response(&mut self, cx: &mut Cx<'_>, fork: &mut Fork, response: &Message) {
        let Some(seen) = fork.seen.as_deref_mut() else { return };
        let status = response.status().unwrap_or_default();
        let (kind, party) = match &mut seen.what {
            What::Begins { rang, .. } if (180..190).contains(&status) => {
                if !is_first_of_phone(rang, response) {
                    return;
                }
                (Type::Ringing, Party::Caller)
            }
            What::Begins { ended_by: None, .. } if (200..300).contains(&status) => {
                (Type::Answered, Party::Caller)
            }
            What::Refreshes(party) if (200..300).contains(&status) => (Type::Refreshed, *party),
            What::Ends(party) if status >= 200 => (Type::Ended, *party),
            What::Begins { .. } | What::Refreshes(_) | What::Ends(_) => return,
        };
        let call_id = seen.call_id.clone();
        let mut told = event::of_request(&fork.request, party, kind);
        event::answered(&mut told, response, party);
        if matches!(kind, Type::Ringing | Type::Answered) {
            let target = fork.heard.and_then(|branch| fork.context.target(branch));
            told.to_aor = target.map_or(String::new(), |target| target.aor.to_string());
            event::routes(&mut told, response, |uri| {
                self.own.is_ours(uri) || self.is_marked(&fork.request, uri)
            });
        }
        match kind {
            Type::Answered => {
                event::moved(&mut told, &fork.request, party);
                told.target.clone_from(&told.to_contact);
            }
            Type::Refreshed => {
                event::moved(&mut told, &fork.request, party);
                let dialog = (call_id.clone(), told.to_tag.as_str().into());
                self.seen.moves.note(cx.now(), dialog, &told.from_contact, &told.to_contact);
            }
            Type::Ended => end_by(&mut told, party, &fork.request),
            Type::Unspecified | Type::Started | Type::Ringing => {}
        }
        self.tell(cx, &call_id, told);
    }

    /// The request failed.
    pub(crate) fn see_failure(&mut self, cx: &mut Cx<'_>, fork: &Fork, best: &Best<Message>) {
        let Some(seen) = fork.seen.as_deref() else { return };
        let (status, reason, local) = match best {
            Best::Received(response) => {
                (response.status().unwrap_or_default(), crate::report::text(response.reason()), false)
            }
            Best::Local(status) => {
                let obstacle = fork.obstacle.as_ref();
                let status = local_status(best, obstacle).unwrap_or(*status);
                (status, local_reason(obstacle, status).to_owned(), true)
            }
        };
        let told = match &seen.what {
            // Also after a 2xx that was told: the call goes only forward.
            What::Begins { ended_by, .. } => {
                let mut told = event::of_request(&fork.request, Party::Caller, Type::Ended);
                told.sip_status = status.into();
                let cancel = fork.cancel_reasons.first().and_then(|value| reason_text(value));
                told.sip_reason = cancel.filter(|_| ended_by.is_some()).unwrap_or(reason);
                let by = if local { "carillon" } else { Party::Callee.leg() };
                told.ended_by = ended_by.unwrap_or(by).to_owned();
                told
            }
            // The sender considers the dialog ended whatever the answer is. RFC 3261 15.1.1
            What::Ends(party) if status != 401 && status != 407 => {
                let mut told = event::of_request(&fork.request, *party, Type::Ended);
                end_by(&mut told, *party, &fork.request);
                told
            }
            What::Ends(_) | What::Refreshes(_) => return,
        };
        let call_id = seen.call_id.clone();
        self.tell(cx, &call_id, told);
    }

    /// The caller, or an application, gives the call up.
    pub(crate) fn see_cancel(fork: &mut Fork, by: &'static str) {
        if let Some(Seen { what: What::Begins { ended_by, .. }, .. }) = fork.seen.as_deref_mut() {
            ended_by.get_or_insert(by);
        }
    }

    /// Where the party is that a request of ours into a forwarded dialog goes to, if it said so lately and call-control may not know yet.
    pub(crate) fn seen_target(&mut self, cx: &Cx<'_>, request: &SendRequest) -> Option<&str> {
        let SendRequest { sip_call_id, from_tag, to_tag, .. } = request;
        let now = cx.now();
        let toward = |caller_tag: &str, callee_tag: &str| {
            (call_id_of(sip_call_id.as_bytes(), caller_tag), callee_tag.into())
        };
        let to_callee = toward(from_tag, to_tag);
        match self.seen.moves.target(now, &to_callee, Party::Callee).is_some() {
            true => self.seen.moves.target(now, &to_callee, Party::Callee),
            false => self.seen.moves.target(now, &toward(to_tag, from_tag), Party::Caller),
        }
    }

    /// The request has its final response.
    pub(crate) fn see_no_more(&mut self, fork: &Fork) {
        if let Some(Seen { call_id, what: What::Begins { .. } }) = fork.seen.as_deref() {
            self.seen.waiting.remove(call_id);
        }
    }

    fn tell(&mut self, cx: &mut Cx<'_>, call_id: &Arc<str>, mut event: ProxiedCallEvent) {
        event.call_id = call_id.to_string();
        event.time = Some(self.deps.clock.now().into());
        if !self.seen.reports.push(event) {
            // Call-control gives up by itself a call of whose end nobody tells.
            return self.meters.call_reports.with_label_values(&["lost"]).inc();
        }
        self.arm_report(cx);
    }

    fn arm_report(&mut self, cx: &mut Cx<'_>) {
        if let Some(after) = self.seen.reports.waiting().arm() {
            cx.set_timer(after, Timer::Report);
        }
    }

    /// It is time for the next report.
    pub(crate) fn report_calls(&mut self, cx: &mut Cx<'_>) {
        let events = self.seen.reports.waiting().take_batch();
        self.report_batch(cx, events);
    }

    fn report_batch(&mut self, cx: &mut Cx<'_>, events: Vec<Arc<ProxiedCallEvent>>) {
        if events.is_empty() {
            return;
        }
        let (edge_id, epoch) = (self.config.id.clone(), self.config.epoch);
        let link = self.deps.proxied_calls.clone();
        let work = async move { Completion::Reported(Reported(link.report(&edge_id, epoch, &events).await)) };
        if cx.spawn(work).is_err() {
            self.report_later(cx);
        }
    }

    pub(crate) fn take_report(&mut self, cx: &mut Cx<'_>, Reported(result): Reported) {
        match result {
            Ok(_) => {
                self.meters.call_reports.with_label_values(&["delivered"]).inc();
                let next = self.seen.reports.waiting().acknowledge();
                self.report_batch(cx, next);
                self.arm_report(cx);
            }
            Err(Status { .. }) => {
                self.meters.call_reports.with_label_values(&["failed"]).inc();
                self.report_later(cx);
            }
        }
    }

    fn report_later(&mut self, cx: &mut Cx<'_>) {
        let pause = self.seen.reports.waiting().fail();
        cx.set_timer(pause, Timer::Report);
    }

    /// Ends an INVITE that is being proxied.
    ///
    /// # Errors
    /// When none of this call waits here.
    pub(crate) fn cancel_proxied(
        &mut self,
        cx: &mut Cx<'_>,
        asked: CancelProxiedRequest,
    ) -> Result<CancelProxiedResponse, Status> {
        if asked.reason.bytes().any(|octet| octet.is_ascii_control()) {
            return Err(bad_field("reason", "a Reason value in one line"));
        }
        let fork = self.seen.waiting.get(asked.call_id.as_str()).copied();
        let fork = fork.ok_or_else(|| not_here("no INVITE of this call waits on this edge"))?;
        self.with_fork(cx, fork, |_, cx, fork| {
            Self::see_cancel(fork, "api");
            if !asked.reason.is_empty() {
                fork.cancel_reasons = vec![asked.reason.into_bytes().into()];
            }
            fork.context.cancel(cx.now());
        });
        Ok(CancelProxiedResponse {})
    }
}

fn end_by(told: &mut ProxiedCallEvent, party: Party, request: &Message) {
    told.ended_by = party.leg().to_owned();
    if request.has(HeaderId::Reason) {
        told.sip_reason = event::reason(request);
    }
}

fn reason_text(value: &[u8]) -> Option<String> {
    let reason = Reason::parse(value).ok()?;
    reason.text().map(|text| crate::report::text(&text))
}
