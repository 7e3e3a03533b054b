//! A request outside a dialog whose plan hands it to call-control: the first event of a call whose id is made here, or of a leg of the
//! call that is a conference.
//!
//! The id is random, or given by the registrar that counts the call: a repetition of the request is absorbed by its transaction, one
//! that comes by another way is refused (`arrive/merged.rs`), and so each request that comes here begins one call.

use std::sync::Arc;

use cluster_api::callcontrol::v1::{CallReceived, leg_event::What};
use cluster_api::registrar::v1::HandToCallControl;
use cluster_api::sip::v1::Header;
use sip_message::{HeaderId, Message, Method, NameAddr};

use super::Address;
use crate::arrive::out_of_dialog::Pending;
use crate::capture::why;
use crate::edge::{Cx, Edge};
use crate::reject::Reject;
use crate::report::{self, text};

/// The leg that began a call.
const CALLER: &str = "a";
/// What the ids begin with of calls, and of legs and requests that came to a conference; those of call-control's legs are one letter, and a
/// number.
const OF_OTHERS: &str = "in-";

impl Edge {
    /// Hands a new call to call-control, which answers it.
    pub(crate) fn begin_call(&mut self, cx: &mut Cx<'_>, pending: Pending, begun: Begun) {
        let Begun { identity, counted_as, handed } = begun;
        let call_id: Arc<str> = match counted_as.is_empty() {
            true => format!("{OF_OTHERS}{}", self.deps.entropy.token(12)).into(),
            false => counted_as.into(),
        };
        let method = pending.request.method();
        let uri = sip_message::Uri::parse(pending.arrived.request_uri(&pending.request)).ok();
        let conference = match handed.conference.as_str() {
            "" if pending.is_to_leg => uri.as_ref().and_then(Address::conference_of),
            "" => None,
            call_id => Some(call_id.into()),
        };
        let is_asked = conference.is_some() && matches!(method, Method::Options | Method::Refer);
        let address = match conference {
            // What was named for a call is as good for a leg
            Some(conference) => Address { call_id: conference, leg_id: call_id },
            None => Address { call_id, leg_id: CALLER.into() },
        };
        if method != Method::Invite && !is_asked {
            // Only INVITE begins a call. UAC-01
            return self.reject(cx, pending.key, &pending.request, &Reject::NotImplemented);
        }
        if method != Method::Options && !has_one_contact(&pending.request) {
            let refused =
                Reject::Proxy(sip_proxy::Refusal::Malformed("an INVITE or REFER needs one Contact"));
            return self.reject(cx, pending.key, &pending.request, &refused);
        }
        self.ring.note(&pending.request, || why::call_began(&address, &identity));
        let event = What::Incoming(self.call_received(&pending, identity, handed.callee));
        let (key, arrival) = (pending.key, pending.arrival);
        match self.serve(cx, key, pending.request, &arrival, &address, event) {
            Ok(()) if is_asked => {}
            Ok(()) => self.watch_leg_caller(cx, key, arrival.hop, address.call_id),
            Err(refused) => self.reject(cx, key, &refused.request, &refused.reject),
        }
    }

    fn call_received(&self, pending: &Pending, identity: String, callee: String) -> CallReceived {
        let request = &pending.request;
        let said = report::request(pending.key.to_string(), request);
        let (from, to) = (request.from(), request.to());
        // Who calls a number that is lent is led to somebody who is not to see it.
        let is_hidden = !callee.is_empty();
        let (request_uri, to_display) = match is_hidden {
            true => (callee, String::new()),
            false => {
                let uri = text(pending.arrived.request_uri(request));
                (uri, to.as_ref().map_or(String::new(), display))
            }
        };
        let headers = accept(request).chain(said.headers);
        CallReceived {
            transaction: said.transaction,
            request_uri,
            from_uri: from.as_ref().map_or(String::new(), |from| text(from.uri)),
            from_display: from.as_ref().map_or(String::new(), display),
            from_tag: said.from_tag,
            to_uri: to.as_ref().map_or(String::new(), |to| text(to.uri)),
            to_display,
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
            headers: headers.filter(|header| !(is_hidden && says_callee(header))).collect(),
            body: said.body,
            source: Some(self.source(&pending.arrival)),
            max_breadth: pending.max_breadth,
            method: request.method_str().to_owned(),
        }
    }
}

/// What the registrar said of a call that begins.
pub(crate) struct Begun {
    /// The address of record that was proved; empty for none.
    pub(crate) identity: String,
    /// The id that it is counted by; empty when it is not.
    pub(crate) counted_as: String,
    /// Whom it calls.
    pub(crate) handed: HandToCallControl,
}

/// Headers that name whom a call was for.
fn says_callee(header: &Header) -> bool {
    ["History-Info", "Diversion"].iter().any(|name| header.name.eq_ignore_ascii_case(name))
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
