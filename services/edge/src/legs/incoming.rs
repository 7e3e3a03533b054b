//! Requests of the peer inside a leg's dialog: reported to call-control, which answers them.

use std::sync::Arc;

use cluster_api::callcontrol::v1::{AckReceived, CancelReceived, RequestReceived, leg_event::What};
use sip_endpoint::{Arrival, ServerKey};
use sip_message::{HeaderId, Message, Method, Uri};

use super::Address;
use super::call::{Call, Served};
use crate::arrive::out_of_dialog::Pending;
use crate::edge::{Cx, Edge, ServerUse};
use crate::reject::{Refused, Reject};
use crate::report;
use crate::report::text;

impl Edge {
    /// A request for a leg.
    ///
    /// # Errors
    /// When it is refused here.
    pub(crate) fn take_leg_request(
        &mut self,
        cx: &mut Cx<'_>,
        key: ServerKey,
        request: Message,
        arrival: &Arrival,
        address: Address,
    ) -> Result<(), Box<Refused>> {
        if let Method::Other(_) = request.method() {
            return Err(Refused::new(request, Reject::NotImplemented));
        }
        let event = What::Request(report::request(key.to_string(), &request));
        let prack = (request.method() == Method::Prack).then(|| request.clone());
        self.serve(cx, key, request, arrival, &address, event)?;
        if let Some(prack) = prack {
            self.pause_provisional(&address.call_id, &prack);
        }
        Ok(())
    }

    /// A REFER outside the dialog of a leg, whose sender was asked who it is (RFC 4538 5): call-control says what it may do.
    pub(crate) fn take_refer_aside(&mut self, cx: &mut Cx<'_>, pending: Pending, identity: String) {
        let uri = Uri::parse(pending.arrived.request_uri(&pending.request)).ok();
        let Some(address) = uri.as_ref().and_then(Address::of) else {
            return self.reject(cx, pending.key, &pending.request, &Reject::Internal);
        };
        let (key, arrival) = (pending.key, pending.arrival);
        let event = What::Request(RequestReceived {
            identity,
            is_trusted: self.is_trusted(&arrival),
            ..report::request(key.to_string(), &pending.request)
        });
        if let Err(refused) = self.serve(cx, key, pending.request, &arrival, &address, event) {
            self.reject(cx, key, &refused.request, &refused.reject);
        }
    }

    /// Keeps a request of the peer for its answer, and tells call-control of it.
    pub(super) fn serve(
        &mut self,
        cx: &mut Cx<'_>,
        key: ServerKey,
        request: Message,
        arrival: &Arrival,
        address: &Address,
        event: What,
    ) -> Result<(), Box<Refused>> {
        let flow = self.flow_to_sender(&request, arrival);
        let most = self.config.limits.events_per_call;
        let has_room = |call: &&mut Call| !call.outbox.is_full() && call.served.len() < most;
        let Some(call) = self.call(&address.call_id).filter(has_room) else {
            return Err(Refused::new(request, Reject::Full));
        };
        call.legs.entry(address.leg_id.clone()).or_insert(false);
        let served = Served {
            leg_id: address.leg_id.clone(),
            request,
            flow: arrival.flow,
            answered: false,
            unacknowledged: None,
            unpracked: None,
        };
        call.served.insert(key, served);
        self.servers.insert(key, ServerUse::Leg(address.call_id.clone()));
        self.emit(cx, &address.call_id, &address.leg_id, flow, event);
        Ok(())
    }

    /// An ACK for a 2xx of a leg. Its first arrival ends the repetition and is reported.
    pub(crate) fn take_leg_ack(
        &mut self,
        cx: &mut Cx<'_>,
        call_id: &Arc<str>,
        key: Option<ServerKey>,
        ack: &Message,
    ) {
        let cseq = ack.cseq().map_or(0, |cseq| cseq.number);
        let Some(call) = self.legs.calls.get_mut(call_id) else { return self.drop_stray() };
        let same_dialog = |served: &Served| {
            served.request.call_id().ok() == ack.call_id().ok()
                && served.request.cseq().is_ok_and(|invite| invite.number == cseq)
        };
        let mut waiting = call.served.iter_mut().filter(|(_, served)| served.unacknowledged.is_some());
        let found = waiting.find(|(at, served)| Some(**at) == key || (key.is_none() && same_dialog(served)));
        // A repetition of an ACK that ended its 2xx before.
        let Some((key, served)) = found else { return };
        served.unacknowledged = None;
        let event = AckReceived { transaction: key.to_string(), cseq, body: report::body(ack) };
        let leg_id = served.leg_id.clone();
        self.emit(cx, call_id, &leg_id, String::new(), What::Ack(event));
    }

    /// The peer cancelled an INVITE that call-control has not answered.
    pub(crate) fn take_leg_cancel(
        &mut self,
        cx: &mut Cx<'_>,
        call_id: &Arc<str>,
        invite: ServerKey,
        cancel: &Message,
    ) {
        let served = self.legs.calls.get(call_id).and_then(|call| call.served.get(&invite));
        let Some(served) = served.filter(|served| !served.answered) else { return };
        let leg_id = served.leg_id.clone();
        let reason = cancel.all(HeaderId::Reason).map(text).collect();
        let event = CancelReceived { transaction: invite.to_string(), reason };
        self.emit(cx, call_id, &leg_id, String::new(), What::Cancel(event));
    }
}
