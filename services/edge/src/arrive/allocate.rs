//! ALLOCATE for a gateway of ours (ALLOCATE draft 3): what the request says, and the answer of the registrar that lends the number.

use cluster_api::registrar::v1::{AllocateRequest, AllocateResponse};
use sip_endpoint::ServerKey;
use sip_message::{HeaderId, Message, NameAddr, ResponseBuilder};
use tonic::Status;

use super::out_of_dialog::Pending;
use crate::answer::pairs;
use crate::edge::{Completion, Cx, Edge, ServerUse};
use crate::reject::Reject;
use crate::report::text;

/// Steers the choice of the pool (ALLOCATE draft 3.1).
const ALLOCATE_FOR: &[u8] = b"Allocate-For";

/// An ALLOCATE that waits for its number.
pub(crate) struct Asking {
    key: ServerKey,
    request: Message,
}

impl Edge {
    /// The plan says that we lend the number ourselves.
    pub(crate) fn ask_for_number(&mut self, cx: &mut Cx<'_>, pending: Pending, identity: String) {
        let Pending { key, request, arrival, .. } = pending;
        if let Some(refused) = unusable(&request) {
            return self.reject(cx, key, &request, &refused);
        }
        let source = || arrival.source.ip().to_string();
        let from = request.from().ok().map(|from| text(from.uri));
        // Where nobody has to prove who he is, or a neighbour is trusted, From is as good as anything.
        let requester = if identity.is_empty() { from.unwrap_or_else(source) } else { identity };
        let question = question(&request, requester);
        self.servers.insert(key, ServerUse::Deciding);
        let location = self.deps.location.clone();
        let asking = Box::new(Asking { key, request: request.clone() });
        let work = async move { Completion::Lent(asking, location.borrow(question).await) };
        if cx.spawn(work).is_err() {
            self.reject(cx, key, &request, &Reject::Full);
        }
    }

    pub(crate) fn finish_asking(
        &mut self,
        cx: &mut Cx<'_>,
        asking: Asking,
        result: Result<AllocateResponse, Status>,
    ) {
        let Asking { key, request } = asking;
        if self.servers.get(&key) != Some(&ServerUse::Deciding) {
            return;
        }
        let Ok(answer) = result else {
            return self.reject(cx, key, &request, &self.decision_unavailable());
        };
        match self.allocate_response(&request, &answer) {
            Some(response) => {
                self.servers.remove(&key);
                self.respond(cx, key, response);
            }
            None => self.reject(cx, key, &request, &Reject::Internal),
        }
    }

    /// One Contact with one tel URI, in global form and without more. ALC-03
    fn allocate_response(&self, request: &Message, answer: &AllocateResponse) -> Option<Message> {
        let status = u16::try_from(answer.status).ok().filter(|status| (200..700).contains(status))?;
        let mut response = ResponseBuilder::to(request, status).to_tag(&self.tags.tag(request)).ok()?;
        if !answer.reason.is_empty() {
            response = response.reason(&answer.reason).ok()?;
        }
        if let Some(lent) = &answer.lent {
            let contact = format!("<tel:{}>;expires={}", lent.number, answer.expires);
            response = response.header(HeaderId::Contact, contact).ok()?;
        }
        for (name, value) in pairs(&answer.headers) {
            response = response.named(name, value).ok()?;
        }
        Some(response.build())
    }
}

/// What nobody can lend a number for. ALC-02
fn unusable(request: &Message) -> Option<Reject> {
    let required: Vec<String> = request.values(HeaderId::Require).map(text).collect();
    if !required.is_empty() {
        return Some(Reject::BadExtension(required));
    }
    if !request.body().is_empty() {
        return Some(Reject::UnsupportedMediaType);
    }
    let malformed = |why| Some(Reject::Proxy(sip_proxy::Refusal::Malformed(why)));
    if request.values(HeaderId::Contact).next().is_none() {
        return malformed("an ALLOCATE needs a Contact");
    }
    // a time that nobody can read is none to guess at: the borrower would take the number for its own for another time than we do
    if request.number(HeaderId::Expires).is_err() {
        return malformed("Expires has to be one number of seconds");
    }
    let is_time = |value: &[u8]| value.iter().all(u8::is_ascii_digit) && !value.is_empty();
    let mut contacts = request.values(HeaderId::Contact).filter_map(|value| NameAddr::parse(value).ok());
    if contacts.any(|contact| contact.params.bytes("expires").is_some_and(|value| !is_time(value))) {
        return malformed("expires of a Contact has to be a number of seconds");
    }
    (allocate_for(request).count() > 1).then(|| malformed("one Allocate-For chooses the pool")).flatten()
}

fn allocate_for(request: &Message) -> impl Iterator<Item = &[u8]> {
    let fields = request.fields().filter(|field| field.name.eq_ignore_ascii_case(ALLOCATE_FOR));
    fields.map(|field| field.value)
}

fn question(request: &Message, requester: String) -> AllocateRequest {
    let from = request.from().ok();
    let tag = from.as_ref().and_then(|from| from.tag()).unwrap_or_default();
    let call_id = request.call_id().map_or(String::new(), text);
    let cseq = request.cseq().map_or(0, |cseq| cseq.number);
    AllocateRequest {
        requester,
        ask: format!("{call_id} {cseq} {tag}"),
        request_id: String::new(),
        contacts: request.values(HeaderId::Contact).map(text).collect(),
        allocate_for: allocate_for(request).next().map_or(String::new(), text),
        expires: request.expires(),
    }
}
