//! NOTIFYs for the subscriptions that callbacks have with phones: `sip:cb.CALLBACK@edge`. Call-control answers them.

use cluster_api::callcontrol::v1::{NotifyRequest, NotifyResponse};
use sip_endpoint::{Arrival, ServerKey};
use sip_message::{HeaderId, Message, Method, Uri};
use tonic::Status;

use crate::edge::{Completion, Cx, Edge, ServerUse};
use crate::legs::is_id;
use crate::reject::{Refused, Reject};
use crate::report;

/// A NOTIFY that waits for call-control.
pub(crate) struct Notified {
    key: ServerKey,
    request: Message,
}

/// The callback that a URI names.
pub(crate) fn callback_of(uri: &Uri<'_>) -> Option<String> {
    let user = std::str::from_utf8(uri.user?).ok()?;
    user.strip_prefix("cb.").filter(|id| is_id(id)).map(str::to_owned)
}

impl Edge {
    /// A request for a callback.
    ///
    /// # Errors
    /// When it is none that a callback answers. RFC 6665 4.1.3
    pub(crate) fn take_notify(
        &mut self,
        cx: &mut Cx<'_>,
        key: ServerKey,
        request: Message,
        arrival: &Arrival,
        callback_id: String,
    ) -> Result<(), Box<Refused>> {
        if request.method() != Method::Notify {
            return Err(Refused::new(request, Reject::DoesNotExist));
        }
        let said = report::request(String::new(), &request);
        let question = NotifyRequest {
            callback_id,
            sip_call_id: said.sip_call_id,
            from_tag: said.from_tag,
            to_tag: said.to_tag,
            cseq: said.cseq,
            contact: said.contact,
            record_route: report::texts(&request, HeaderId::RecordRoute),
            flow: self.flow_to_sender(&request, arrival),
            headers: said.headers,
            body: said.body,
        };
        self.servers.insert(key, ServerUse::Deciding);
        let leg_events = self.deps.leg_events.clone();
        let notified = Box::new(Notified { key, request: request.clone() });
        let work = async move { Completion::Notified(notified, leg_events.notify(question).await) };
        if cx.spawn(work).is_err() {
            return Err(Refused::new(request, Reject::Full));
        }
        Ok(())
    }

    /// Call-control has answered.
    pub(crate) fn finish_notify(
        &mut self,
        cx: &mut Cx<'_>,
        notified: Notified,
        result: Result<NotifyResponse, Status>,
    ) {
        let Notified { key, request } = notified;
        if self.servers.get(&key) != Some(&ServerUse::Deciding) {
            return;
        }
        self.servers.remove(&key);
        let Ok(answer) = result else {
            return self.reject(cx, key, &request, &self.decision_unavailable());
        };
        let status = u16::try_from(answer.status).ok().filter(|status| (200..700).contains(status));
        let status = status.unwrap_or(500);
        // RFC 6665 7.2.1: a package that nobody subscribed to
        let events: &[_] = if status == 489 { &[("Allow-Events", "dialog")] } else { &[] };
        match self.answer_within(Self::room(cx, key, &request), &request, (status, ""), events) {
            Ok(Some(response)) => self.respond(cx, key, response),
            Ok(None) => self.stay_silent(cx, key),
            Err(_) => self.reject(cx, key, &request, &Reject::Internal),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callback_is_found_by_the_contact_of_its_subscription() {
        let of = |uri: &str| callback_of(&Uri::parse(uri.as_bytes()).expect("a URI"));
        assert_eq!(of("sip:cb.0190-a@edge:5060;gr;d=m"), Some("0190-a".to_owned()));
        for other in ["sip:cb.@h", "sip:cb@h", "sip:cb.%20@h", "sip:bob@h", "sip:h", "sip:cc.c.a@h"] {
            assert_eq!(of(other), None, "{other}");
        }
    }
}
