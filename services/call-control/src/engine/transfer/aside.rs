//! REFER outside the dialog of a leg, by Target-Dialog (RFC 4538, RFC 7647 4): a dialog beside that of the leg, in which nothing but the
//! NOTIFYs of that REFER goes.
//!
//! | the REFER                                        | what is done                                                   |
//! |--------------------------------------------------|----------------------------------------------------------------|
//! | ours, the phone has a GRUU and lists `tdialog`   | sent outside, with Target-Dialog (CCL-04)                      |
//! | ours, to any other phone                         | sent in the dialog of the leg                                  |
//! | a phone's, Target-Dialog is the dialog of the leg | as in that dialog                                              |
//! | a phone's, another Target-Dialog, or none        | 403: who has not seen the dialog leads nobody in it            |
//! | of another user than that of the leg, whom the operator does not let (`takers`) | 403: to have seen the dialog is not enough (RFC 4538 5) |

use sip_dialog::{RouteSet, Side};
use sip_message::{NameAddr, TargetDialog, Uri};

use crate::engine::claim::takers::address_of_record;
use crate::engine::derive;
use crate::engine::effect::{Body, Header, SendRequest, What};
use crate::engine::event::RequestReceived;
use crate::engine::leg::{DialogState, Leg, Pending, Purpose};
use crate::engine::signal::LegIndex;
use crate::engine::text::lists;
use crate::engine::transfer::record::Aside;
use crate::engine::transfer::referred::header;
use crate::engine::work::Work;

impl Leg {
    /// Whether requests that belong to the leg may be sent to its phone outside the dialog: only a GRUU leads to that one phone.
    fn takes_asides(&self) -> bool {
        self.chosen()
            .is_some_and(|dialog| lists(&dialog.supported, "tdialog") && is_gruu(&dialog.remote_target))
    }

    /// Whether a Target-Dialog is the dialog of the leg, seen from this side.
    fn is_target_dialog(&self, value: &str) -> bool {
        let named = TargetDialog::parse(value.as_bytes());
        let is_confirmed = self.chosen().is_some_and(|dialog| dialog.state() == DialogState::Confirmed);
        is_confirmed
            && named.is_ok_and(|named| {
                named.call_id == self.sip_call_id.as_bytes()
                    && named.local_tag == self.local_tag
                    && named.remote_tag == self.remote_tag
            })
    }
}

/// Whether a URI names one phone wherever it is asked from (RFC 5627).
pub fn is_gruu(uri: &str) -> bool {
    Uri::parse(uri.as_bytes()).is_ok_and(|uri| uri.has_param("gr"))
}

impl Work<'_> {
    /// The dialog that a REFER of ours to this leg makes, when it is to be sent outside that of the leg.
    pub fn new_aside(&mut self, leg: LegIndex) -> Option<Box<Aside>> {
        if !self.leg(leg).takes_asides() {
            return None;
        }
        let label = format!("{}.aside.{}", self.leg(leg).leg_id, self.call.last_effect);
        let on = self.leg(leg);
        Some(Box::new(Aside {
            sip_call_id: derive::sip_call_id(&self.call, &label),
            local_tag: derive::tag(&self.call, &label),
            local_uri: on.from_uri.clone(),
            remote_uri: on.called().to_owned(),
            remote_target: on.chosen()?.remote_target.clone(),
            ..Aside::default()
        }))
    }

    /// What authorises a request outside the dialog of a leg (RFC 4538 4).
    pub fn target_dialog(&self, leg: LegIndex) -> Vec<Header> {
        let on = self.leg(leg);
        let value = format!("{};local-tag={};remote-tag={}", on.sip_call_id, on.remote_tag, on.local_tag);
        vec![Header::new("Target-Dialog", value), Header::new("Require", "tdialog")]
    }

    /// Sends a request in a dialog beside that of the leg.
    pub fn ask_aside(
        &mut self,
        leg: LegIndex,
        aside: &Aside,
        method: &str,
        headers: Vec<Header>,
        body: Option<Body>,
        purpose: Purpose,
    ) {
        let on = self.leg_mut(leg);
        on.last_cseq += 1;
        let mut request = SendRequest {
            method: method.to_owned(),
            request_uri: aside.remote_target.clone(),
            route: aside.route.clone(),
            from_uri: aside.local_uri.clone(),
            from_display: on.from_display.clone(),
            from_tag: aside.local_tag.clone(),
            to_uri: aside.remote_uri.clone(),
            to_tag: aside.remote_tag.clone(),
            sip_call_id: aside.sip_call_id.clone(),
            cseq: on.last_cseq,
            headers,
            body,
            flow: aside.flow.clone(),
            trunk: on.party.trunk.clone(),
            ..SendRequest::default()
        };
        let base = request.clone();
        let credentials = self.credentials(leg, &request);
        request.headers.extend(credentials.iter().cloned());
        let effect = self.put(leg, What::Send(request));
        let pending =
            Pending { purpose: purpose.into(), request: base, credentials, effect, ..Pending::default() };
        self.leg_mut(leg).pending.push(pending);
    }

    /// A request outside the dialog of a leg, or in one beside it. `false` when it is neither.
    pub fn on_aside_request(&mut self, leg: LegIndex, flow: &str, request: &RequestReceived) -> bool {
        match request.method.as_str() {
            "REFER" if request.to_tag.is_empty() => self.on_refer_aside(leg, flow, request),
            "NOTIFY" => return self.on_notify_aside(leg, request),
            _ => return false,
        }
        true
    }

    fn on_refer_aside(&mut self, leg: LegIndex, flow: &str, request: &RequestReceived) {
        let transaction = request.transaction.as_str();
        // RFC 3261 8.2.6.2: each request outside a dialog is answered with a tag of its own
        let label = format!("{}.aside.{}.{}", self.leg(leg).leg_id, request.sip_call_id, request.from_tag);
        let local_tag = derive::tag(&self.call, &label);
        if let Some(served) = self.leg_mut(leg).served.last_mut() {
            served.to_tag = local_tag.clone();
        }
        let mut named = header(request, &["Target-Dialog"]);
        let is_ours = match (named.next(), named.next()) {
            (Some(value), None) => self.leg(leg).is_target_dialog(value),
            _ => false,
        };
        if !is_ours || !self.may_lead_from(leg, request) {
            return self.respond(leg, transaction, 403, Vec::new(), None);
        }
        if self.leg(leg).lent.is_some() {
            return self.respond(leg, transaction, 480, Vec::new(), None);
        }
        if self.refuse_extensions(leg, request) {
            return;
        }
        let aside = Box::new(Aside {
            sip_call_id: request.sip_call_id.clone(),
            local_tag,
            remote_tag: request.from_tag.clone(),
            local_uri: request.to_uri.clone(),
            remote_uri: request.from_uri.clone(),
            remote_target: request.contact.clone(),
            route: RouteSet::of(request.record_route.iter().cloned(), Side::Callee).into_values(),
            flow: flow.to_owned(),
            remote_cseq: Some(request.cseq),
        });
        self.on_refer(leg, request, Some(aside));
    }

    /// Whether the sender of a request outside the dialog is the user of the leg, or somebody whom the operator lets. Where nobody has to
    /// prove anything, who it says to be counts, as it does there for every other request.
    fn may_lead_from(&self, leg: LegIndex, request: &RequestReceived) -> bool {
        let on = self.leg(leg);
        let mut sender = request.identity.clone();
        if sender.is_empty() && request.is_trusted {
            let asserted = header(request, &["P-Asserted-Identity"]).next();
            let asserted = asserted.and_then(|value| NameAddr::parse(value.as_bytes()).ok());
            let uri = asserted.and_then(|asserted| std::str::from_utf8(asserted.uri).ok());
            sender = uri.map(address_of_record).unwrap_or_default();
        }
        if self.context.takers.list(&sender) {
            return true;
        }
        if sender.is_empty() {
            sender = address_of_record(&request.from_uri);
        }
        let proved = on.incoming.as_ref().map(|caller| caller.identity.as_str()).unwrap_or_default();
        // RFC 5627 3.1: a public GRUU is the address of record, with the phone
        let target = on.chosen().map(|dialog| dialog.remote_target.as_str()).filter(|target| is_gruu(target));
        let names = [Some(on.party.uri.as_str()), Some(proved), target];
        names.into_iter().flatten().any(|name| address_of_record(name) == sender)
    }

    /// NOTIFY of a phone that was sent REFER outside the dialog: the first one makes that dialog, and there is one alone (RFC 3515 2.4.6).
    fn on_notify_aside(&mut self, leg: LegIndex, request: &RequestReceived) -> bool {
        let Some(mut referring) = self.referring().cloned() else { return false };
        let Some(aside) = referring.aside.as_mut().filter(|_| referring.stay as LegIndex == leg) else {
            return false;
        };
        let is_it = aside.sip_call_id == request.sip_call_id
            && aside.local_tag == request.to_tag
            && (aside.remote_tag.is_empty() || aside.remote_tag == request.from_tag);
        if !is_it {
            return false;
        }
        if !sip_dialog::sequence::is_in_order(aside.remote_cseq, request.cseq) {
            self.respond(leg, &request.transaction, 500, Vec::new(), None);
            return true;
        }
        aside.remote_cseq = Some(request.cseq);
        aside.remote_tag = request.from_tag.clone();
        self.keep_referring(referring);
        self.on_notify(leg, request);
        true
    }
}
