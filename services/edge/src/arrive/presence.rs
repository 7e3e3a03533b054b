//! Requests for presence: SUBSCRIBE, PUBLISH, stored MESSAGE, and what follows inside subscriptions.

use cluster_api::presence::v1::{HandleRequest, HandleResponse};
use cluster_api::sip::v1::{Body, Header};
use sip_endpoint::{Arrival, ServerKey};
use sip_message::{HeaderId, Message, NameAddr, ResponseBuilder, Uri};
use sip_proxy::Refusal;
use tonic::Status;

use super::out_of_dialog::Pending;
use crate::answer::{is_framing, pairs};
use crate::compose::{PRESENCE, presence_contact};
use crate::edge::{Completion, Cx, Edge, ServerUse};
use crate::reject::Reject;
use crate::report::text;

/// A request that waits for presence.
pub(crate) struct Handing {
    key: ServerKey,
    request: Message,
    arrival: Arrival,
}

/// Does the URI name the presence service itself?
pub(crate) fn is_addressed(uri: &Uri<'_>) -> bool {
    uri.user == Some(PRESENCE.as_bytes())
}

impl Edge {
    /// The plan gives the request to presence.
    pub(crate) fn hand_to_presence(
        &mut self,
        cx: &mut Cx<'_>,
        pending: Pending,
        identity: String,
        is_nobody: bool,
    ) {
        let question = self.handing(&pending.request, &pending.arrival, identity);
        let question = HandleRequest { nobody: is_nobody, ..question };
        self.ask(cx, pending.key, pending.request, &pending.arrival, question);
    }

    pub(crate) fn ask_presence(
        &mut self,
        cx: &mut Cx<'_>,
        key: ServerKey,
        request: Message,
        arrival: &Arrival,
        identity: String,
    ) {
        let question = self.handing(&request, arrival, identity);
        self.ask(cx, key, request, arrival, question);
    }

    pub(super) fn ask(
        &mut self,
        cx: &mut Cx<'_>,
        key: ServerKey,
        request: Message,
        arrival: &Arrival,
        question: HandleRequest,
    ) {
        if request.method().forms_dialog() && request.contacts().count() > 1 {
            // RFC 3261 8.1.1.8: which of them a NOTIFY is to go to is not said
            let reject = Reject::Proxy(Refusal::Malformed("More Than One Contact"));
            return self.reject(cx, key, &request, &reject);
        }
        self.servers.insert(key, ServerUse::Deciding);
        let intake = self.deps.intake.clone();
        let handing = Box::new(Handing { key, request: request.clone(), arrival: *arrival });
        let work = async move { Completion::Handled(handing, intake.handle(question).await) };
        if cx.spawn(work).is_err() {
            self.reject(cx, key, &request, &Reject::Full);
        }
    }

    pub(crate) fn finish_handing(
        &mut self,
        cx: &mut Cx<'_>,
        handing: Handing,
        result: Result<HandleResponse, Status>,
    ) {
        let Handing { key, request, arrival } = handing;
        if self.servers.get(&key) != Some(&ServerUse::Deciding) {
            return;
        }
        let Ok(decision) = result else {
            return self.reject(cx, key, &request, &self.decision_unavailable());
        };
        match self.presence_response(cx, &request, &arrival, &decision) {
            Some(response) => {
                self.servers.remove(&key);
                self.respond(cx, key, response);
            }
            None => self.reject(cx, key, &request, &Reject::Internal),
        }
    }

    pub(super) fn handing(&self, request: &Message, arrival: &Arrival, identity: String) -> HandleRequest {
        let from = request.from().ok();
        let uri_of =
            |address: &Option<NameAddr<'_>>| address.map_or(String::new(), |address| text(address.uri));
        let tag_of = |address: &Option<NameAddr<'_>>| {
            address.and_then(|address| address.tag()).unwrap_or_default().to_owned()
        };
        let to = request.to().ok();
        let contact = request.contacts().next().and_then(Result::ok);
        let others = request.fields().filter(|field| !has_field(field.id));
        HandleRequest {
            method: request.method_str().to_owned(),
            request_uri: request.request_uri().map_or(String::new(), text),
            from_uri: uri_of(&from),
            from_display: from.map_or(String::new(), |from| text(&from.display_name())),
            from_tag: tag_of(&from),
            to_uri: uri_of(&to),
            to_tag: tag_of(&to),
            sip_call_id: request.call_id().map_or(String::new(), text),
            cseq: request.cseq().map_or(0, |cseq| cseq.number),
            contact: uri_of(&contact),
            record_route: request.values(HeaderId::RecordRoute).map(text).collect(),
            identity,
            expires: request.expires(),
            headers: others
                .map(|field| Header { name: text(field.name), value: text(field.value) })
                .collect(),
            body: (!request.body().is_empty()).then(|| Body {
                content_type: request.first(HeaderId::ContentType).map_or(String::new(), text),
                content_disposition: request.first(HeaderId::ContentDisposition).map_or(String::new(), text),
                content: request.body_bytes(),
            }),
            source: Some(self.source(arrival)),
            flow: self.flow_to_sender(request, arrival),
            nobody: false,
        }
    }

    fn presence_response(
        &self,
        cx: &Cx<'_>,
        request: &Message,
        arrival: &Arrival,
        decision: &HandleResponse,
    ) -> Option<Message> {
        let status = u16::try_from(decision.status).ok().filter(|status| (200..700).contains(status))?;
        let mut response = ResponseBuilder::to(request, status);
        let tag = if decision.to_tag.is_empty() { self.tags.tag(request) } else { decision.to_tag.clone() };
        response = response.to_tag(&tag).ok()?;
        if !decision.reason.is_empty() {
            response = response.reason(&decision.reason).ok()?;
        }
        if status < 300 && request.method().forms_dialog() {
            let contact = presence_contact(arrival.transport, cx.sent_by(arrival.flow)?, &self.mark(request));
            response = response.header(HeaderId::Contact, contact).ok()?;
        }
        for (name, value) in pairs(&decision.headers) {
            response = response.named(name, value).ok()?;
        }
        if let Some(body) = &decision.body {
            response = response.body(&body.content_type, body.content.clone()).ok()?;
        }
        Some(response.build())
    }
}

/// Headers that the question says in a field of its own.
fn has_field(id: HeaderId) -> bool {
    is_framing(id)
        || matches!(
            id,
            HeaderId::Contact
                | HeaderId::Route
                | HeaderId::Expires
                | HeaderId::ContentType
                | HeaderId::ContentDisposition
                | HeaderId::Authorization
                | HeaderId::ProxyAuthorization
                | HeaderId::MaxBreadth
        )
}
