//! A request outside a dialog whose plan hands it to call-control: the first event of a call whose id is made here.
//!
//! The id is random, or given by the registrar that counts the call: a repetition of the request is absorbed by its transaction, one
//! that comes by another way is refused (`arrive/merged.rs`), and so each request that comes here begins one call.

use std::sync::Arc;

use cluster_api::callcontrol::v1::{CallReceived, leg_event::What};
use cluster_api::sip::v1::Header;
use sip_message::{HeaderId, Message, NameAddr};

use super::Address;
use crate::arrive::out_of_dialog::Pending;
use crate::capture::why;
use crate::edge::{Cx, Edge};
use crate::reject::Reject;
use crate::report::{self, text};

/// The leg that began a call.
const CALLER: &str = "a";

impl Edge {
    /// Hands a new call to call-control, which answers it.
    pub(crate) fn begin_call(
        &mut self,
        cx: &mut Cx<'_>,
        pending: Pending,
        identity: String,
        counted_as: String,
    ) {
        let call_id: Arc<str> = match counted_as.is_empty() {
            true => format!("in-{}", self.deps.entropy.token(12)).into(),
            false => counted_as.into(),
        };
        let address = Address { call_id, leg_id: CALLER.into() };
        if pending.request.method() != sip_message::Method::Invite {
            // Only INVITE begins a call; other methods for a service of call-control are not known yet. UAC-01
            return self.reject(cx, pending.key, &pending.request, &Reject::NotImplemented);
        }
        if !has_one_contact(&pending.request) {
            let refused = Reject::Proxy(sip_proxy::Refusal::Malformed("an INVITE needs one Contact"));
            return self.reject(cx, pending.key, &pending.request, &refused);
        }
        self.ring.note(&pending.request, || why::call_began(&address, &identity));
        let event = What::Incoming(self.call_received(&pending, identity));
        let (key, arrival) = (pending.key, pending.arrival);
        match self.serve(cx, key, pending.request, &arrival, &address, event) {
            Ok(()) => self.watch_leg_caller(cx, key, arrival.hop, address.call_id),
            Err(refused) => self.reject(cx, key, &refused.request, &refused.reject),
        }
    }

    fn call_received(&self, pending: &Pending, identity: String) -> CallReceived {
        let request = &pending.request;
        let said = report::request(pending.key.to_string(), request);
        let (from, to) = (request.from(), request.to());
        CallReceived {
            transaction: said.transaction,
            request_uri: text(pending.arrived.request_uri(request)),
            from_uri: from.as_ref().map_or(String::new(), |from| text(from.uri)),
            from_display: from.as_ref().map_or(String::new(), display),
            from_tag: said.from_tag,
            to_uri: to.as_ref().map_or(String::new(), |to| text(to.uri)),
            to_display: to.as_ref().map_or(String::new(), display),
            sip_call_id: said.sip_call_id,
            cseq: said.cseq,
            contact: said.contact,
            record_route: report::texts(request, HeaderId::RecordRoute),
            // What says nothing has the number that a client begins with. RFC 3261 20.22
            max_forwards: request.max_forwards().ok().flatten().unwrap_or(70),
            identity,
            require: said.require,
            supported: said.supported,
            allow: said.allow,
            headers: accept(request).chain(said.headers).collect(),
            body: said.body,
            source: Some(self.source(&pending.arrival)),
            max_breadth: pending.max_breadth,
        }
    }
}

/// Where the caller is reached within the dialog. RFC 3261 8.1.1.8, 12.1.1
fn has_one_contact(request: &Message) -> bool {
    let mut contacts = request.contacts();
    matches!((contacts.next(), contacts.next()), (Some(Ok(_)), None))
}

/// Accept matters to who answers: it limits what the answer may be.
fn accept(request: &Message) -> impl Iterator<Item = Header> {
    let values = report::texts(request, HeaderId::Accept).into_iter();
    values.map(|value| Header { name: "Accept".to_owned(), value })
}

fn display(address: &NameAddr<'_>) -> String {
    text(&address.display_name())
}
