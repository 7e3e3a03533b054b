//! What the engine says on a leg: INVITE, ACK, CANCEL, BYE, requests inside a dialog, responses.

use std::time::Duration;

use crate::engine::call::{Party, TimerKind};
use crate::engine::claim::record::Place;
use crate::engine::derive;
use crate::engine::effect::{Body, CancelInvite, Header, SendRequest, SendResponse, What};
use crate::engine::leg::{
    DialogState, Invite, InvitePhase, Leg, LegState, OpenOffer, Pending, Purpose, Served,
};
use crate::engine::offer_answer::{self, is_readable, tone_body};
use crate::engine::report::CallEventType;
use crate::engine::signal::{B, LegIndex};
use crate::engine::stage::Stage;
use crate::engine::work::Work;

/// The methods that Carillon understands on its legs.
pub const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE, INFO, MESSAGE, REFER, NOTIFY";
/// The extensions that Carillon supports on its legs: what Supported lists, and all that Require may name.
pub const SUPPORTED: &str = "100rel, timer, replaces, join, tdialog";
const WITHOUT_RELIABLE: &str = "timer, replaces, join, tdialog";
/// Those that Require of REFER alone may name (RFC 4488 5, RFC 7614 5).
pub const OF_REFER: [&str; 2] = ["norefersub", "nosub"];

/// How much later than the engine's own ring timer the edge cancels by itself.
const RING_MARGIN_MS: u64 = 5_000;

/// A request to be sent inside the leg's dialog.
#[derive(Clone, Debug, Default)]
pub struct Ask {
    pub method: &'static str,
    pub headers: Vec<Header>,
    pub body: Option<Body>,
    pub purpose: Purpose,
    /// The server transaction on another leg that waits for the answer.
    pub relay: Option<(LegIndex, String)>,
    /// The other party's offer, to be fitted to this leg as the body; empty for none.
    pub offer: Vec<u8>,
    /// Send the ringback tone along with it.
    pub tone: bool,
    /// It is for one leg, not for the call.
    pub of_leg: bool,
    /// By which whoever asked for it finds its answer.
    pub ticket: String,
}

impl Work<'_> {
    /// Adds a leg for this party; nothing is sent yet.
    pub fn add_leg(&mut self, party: Party) -> LegIndex {
        let is_second = self.call.legs.len() == B;
        self.add_leg_as(party, is_second)
    }

    /// The same, and whether it is for the party that is rung second.
    pub fn add_leg_as(&mut self, party: Party, is_second: bool) -> LegIndex {
        let leg = self.call.legs.len();
        let leg_id = leg_id(leg);
        let policy = &self.call.policy;
        let other = if is_second { &self.call.from } else { &self.call.to };
        // RFC 3725 12.1: the controller does not pretend to be the party for which it has no credentials
        let (from_uri, from_display) = if !policy.caller_id.is_empty() {
            let name = if policy.caller_name.is_empty() && is_second {
                &self.call.from.display_name
            } else {
                &policy.caller_name
            };
            (policy.caller_id.clone(), name.clone())
        } else {
            let of = if other.display_name.is_empty() { &other.uri } else { &other.display_name };
            (policy.controller_uri.clone(), format!("{} on behalf of {of}", policy.controller_name))
        };
        let made = Leg {
            sip_call_id: derive::sip_call_id(&self.call, &leg_id),
            local_tag: derive::tag(&self.call, &leg_id),
            history: Some(offer_answer::fresh_history(&self.call, &leg_id)),
            leg_id,
            from_uri,
            from_display,
            party,
            ..Leg::default()
        };
        self.call.legs.push(made);
        leg
    }

    /// Sends the initial INVITE of a leg.
    pub fn dial(&mut self, leg: LegIndex, offer: Option<Vec<u8>>, accept: &str) {
        self.dial_at(leg, offer, accept, None);
    }

    /// The same, to a phone at a place that is known.
    pub fn dial_at(&mut self, leg: LegIndex, offer: Option<Vec<u8>>, accept: &str, place: Option<&Place>) {
        let on = self.leg(leg);
        let mut headers = vec![
            Header::new("Allow", ALLOW),
            Header::new("Supported", self.supported_toward(leg)),
            Header::new("Accept", accept),
            // RFC 6086 5.2.1: no package is taken; of INFO without one nothing is said
            Header::new("Recv-Info", ""),
        ];
        if leg == B && self.call.policy.no_fork {
            headers.push(Header::new("Request-Disposition", "no-fork"));
        }
        if self.call.policy.session_expires_s > 0 {
            headers.push(Header::new("Session-Expires", self.call.policy.session_expires_s.to_string()));
        }
        headers.extend(self.call.headers.iter().chain(&on.party.headers).cloned());
        let invite = Invite {
            target: place.map_or(&on.party.uri, |place| &place.target).clone(),
            route: place.map(|place| place.route.clone()).unwrap_or_default(),
            flow: place.map(|place| place.flow.clone()).unwrap_or_default(),
            headers,
            body: offer.map(Body::sdp),
            ..Invite::default()
        };
        self.leg_mut(leg).invite = Some(invite);
        self.start_timer(TimerKind::Ring, leg, Duration::from_millis(self.call.policy.ring_timeout_ms));
        self.send_invite(leg);
        self.leg_mut(leg).state = LegState::Dialing.into();
        self.report(leg, CallEventType::LegDialing, 0, "");
    }

    /// The extensions that Carillon supports in this call.
    pub fn supported(&self) -> &'static str {
        if self.call.policy.unreliable { WITHOUT_RELIABLE } else { SUPPORTED }
    }

    /// The same toward the peer of a leg: an offer in a reliable 1xx must be answered in PRACK, and a caller that does not take it
    /// reliably gives no answer.
    fn supported_toward(&self, leg: LegIndex) -> &'static str {
        let caller = self.call.legs.first().and_then(|caller| caller.incoming.as_ref());
        let leaves_offer = matches!(&self.call.stage, Some(Stage::Anchored(stage)) if stage.offer.is_empty());
        match caller {
            Some(caller) if leg == B && leaves_offer && !caller.takes_reliable => WITHOUT_RELIABLE,
            // Who comes later makes its offer when it answers
            _ if leg > B => WITHOUT_RELIABLE,
            _ => self.supported(),
        }
    }

    /// Sends the initial INVITE as its record describes it: the first time, or again with CSeq + 1.
    pub fn send_invite(&mut self, leg: LegIndex) {
        let policy = &self.call.policy;
        let (ring_timeout_ms, max_forwards, max_breadth) =
            (policy.ring_timeout_ms, policy.max_forwards, policy.max_breadth);
        let Some(invite) = self.leg(leg).invite.clone() else { return };
        let on = self.leg_mut(leg);
        on.last_cseq += 1;
        let cseq = on.last_cseq;
        let mut request = SendRequest {
            method: "INVITE".into(),
            request_uri: invite.target.clone(),
            from_uri: on.from_uri.clone(),
            from_display: on.from_display.clone(),
            from_tag: on.local_tag.clone(),
            to_uri: on.called().to_owned(),
            sip_call_id: on.sip_call_id.clone(),
            cseq,
            headers: invite.headers.clone(),
            body: invite.body.clone(),
            trunk: on.party.trunk.clone(),
            max_forwards,
            max_breadth,
            ring_limit_ms: ring_timeout_ms + RING_MARGIN_MS,
            route: invite.route.clone(),
            flow: invite.flow.clone(),
            referred_by: answers_for(&on.party, &invite),
            ..SendRequest::default()
        };
        if !invite.via.is_empty() {
            request.route = vec![invite.via.clone()];
        }
        let credentials = self.credentials(leg, &request);
        request.headers.extend(credentials.iter().cloned());
        let effect = self.put(leg, What::Send(request));
        let invite = Invite {
            effect,
            cseq,
            credentials,
            edge_id: String::new(),
            edge_epoch: 0,
            phase: InvitePhase::Calling.into(),
            ..invite
        };
        self.leg_mut(leg).invite = Some(invite);
    }

    /// Asks for the INVITE to be cancelled; the edge waits for the first provisional response (RFC 3261 9.1).
    pub fn cancel(&mut self, leg: LegIndex) {
        let closing = 2 * self.transaction_time() + Duration::from_secs(8);
        let on = self.leg_mut(leg);
        let reason = on.end_reason.clone();
        let Some(invite) = &mut on.invite else { return };
        invite.phase = InvitePhase::Cancelling.into();
        let (invite_effect, edge_id, edge_epoch) = (invite.effect, invite.edge_id.clone(), invite.edge_epoch);
        on.state = LegState::Ending.into();
        self.put_at(
            leg,
            edge_id,
            edge_epoch,
            What::Cancel(CancelInvite { invite_effect, headers: reason_header(&reason) }),
        );
        self.start_timer(TimerKind::Closing, leg, closing);
    }

    /// Sends a request inside the leg's dialog, or keeps it back until an exchange that is under way has ended. Whether there is
    /// such a dialog, and the offer can be read.
    pub fn ask(&mut self, leg: LegIndex, ask: Ask) -> bool {
        let tag = self.leg(leg).remote_tag.clone();
        self.ask_in(leg, &tag, ask)
    }

    /// The same in any dialog of the leg.
    pub fn ask_in(&mut self, leg: LegIndex, tag: &str, ask: Ask) -> bool {
        if !ask.offer.is_empty() && !is_readable(&ask.offer) {
            return false;
        }
        let Some(mut request) = self.request_in(leg, tag, ask.method) else { return false };
        request.headers = ask.headers;
        request.body = ask.body;
        let (relay_leg, relay_transaction) = ask.relay.unwrap_or_default();
        let pending = Pending {
            purpose: ask.purpose.into(),
            request,
            relay_leg: relay_leg as u32,
            relay_transaction,
            offer: ask.offer,
            tone: ask.tone,
            of_leg: ask.of_leg,
            ticket: ask.ticket,
            ..Pending::default()
        };
        if is_exchange(&pending) {
            // What waited is out of date
            self.stop_timer(TimerKind::Retry, leg);
            self.leg_mut(leg).retry = None;
        }
        if is_exchange(&pending) && self.leg(leg).is_busy(tag) {
            self.leg_mut(leg).retry = Some(pending);
        } else {
            self.send_exchange(leg, pending);
        }
        true
    }

    /// Makes the body of a request as the session now is, and sends it.
    fn send_exchange(&mut self, leg: LegIndex, mut pending: Pending) {
        if !pending.offer.is_empty()
            && let Some(fitted) = match pending.purpose() {
                Purpose::Move => self.fit_new_offer(leg, &pending.offer),
                _ => self.fit_offer(leg, &pending.offer),
            }
        {
            let body = if pending.tone {
                tone_body(&self.call.policy.ringback_tone, Some(&fitted.sdp))
            } else {
                Body::sdp(fitted.sdp)
            };
            pending.request.body = Some(body);
            pending.lines = fitted.lines;
        }
        if matches!(pending.purpose(), Purpose::Hold | Purpose::HoldLeg) {
            pending.request.body = self.hold_offer(leg).map(Body::sdp);
        }
        if is_exchange(&pending) {
            let timer = self.timer_headers(leg, &pending.request.to_tag, pending.purpose());
            let is_old = |header: &Header| matches!(header.name.as_str(), "Session-Expires" | "Min-SE");
            pending.request.headers.retain(|header| !is_old(header));
            pending.request.headers.extend(timer);
        }
        self.send_pending(leg, pending);
    }

    /// Sends a request inside a dialog with the next CSeq number.
    pub fn send_pending(&mut self, leg: LegIndex, mut pending: Pending) {
        let now_ms = self.now.millis();
        let on = self.leg_mut(leg);
        on.last_cseq += 1;
        pending.first_ms = if pending.first_ms == 0 { now_ms } else { pending.first_ms };
        pending.request.cseq = on.last_cseq;
        pending.request.flow = on.flow_to(&pending.request.to_tag);
        pending.edge_id.clear();
        pending.edge_epoch = 0;
        if is_exchange(&pending) && pending.request.body.is_some() && pending.purpose() != Purpose::Tone {
            let tag = pending.request.to_tag.clone();
            if let Some(dialog) = on.dialog_mut(&tag) {
                dialog.open_offer = OpenOffer::Ours.into();
            }
        }
        let credentials = self.credentials(leg, &pending.request);
        let mut request = pending.request.clone();
        request.headers.extend(credentials.iter().cloned());
        pending.credentials = credentials;
        pending.effect = self.put(leg, What::Send(request));
        pending.given_up = false;
        self.wait_for_answer(leg, &pending);
        self.leg_mut(leg).pending.push(pending);
    }

    /// Sends the request that waited for its turn, if there is one without a timer and its dialog is free.
    pub fn send_waiting(&mut self, leg: LegIndex) {
        if self.has_timer(TimerKind::Retry, leg) {
            return;
        }
        let on = self.leg(leg);
        let is_free = on.retry.as_ref().is_some_and(|waiting| !on.is_busy(&waiting.request.to_tag));
        if is_free && let Some(waiting) = self.leg_mut(leg).retry.take() {
            self.send_exchange(leg, waiting);
        }
    }

    /// Acknowledges the 2xx that the dialog waits with.
    pub fn ack(&mut self, leg: LegIndex, tag: &str, answer: Option<Vec<u8>>) {
        let Some(request) = self.request_in(leg, tag, "ACK") else { return };
        let on = self.leg_mut(leg);
        let flow = on.flow_to(tag);
        let Some(dialog) = on.dialog_mut(tag) else { return };
        if dialog.unacked == 0 {
            return;
        }
        let headers = std::mem::take(&mut dialog.credentials);
        let cseq = std::mem::take(&mut dialog.unacked);
        if dialog.open_offer() == OpenOffer::Theirs {
            dialog.open_offer = OpenOffer::None.into();
        }
        dialog.agreed = true;
        let request = SendRequest { cseq, headers, body: answer.map(Body::sdp), flow, ..request };
        let now_ms = self.now.millis();
        if let Some(dialog) = self.leg_mut(leg).dialog_mut(tag) {
            dialog.last_ack = Some(request.clone());
            dialog.last_ack_ms = now_ms;
        }
        self.put(leg, What::Send(request));
    }

    /// Acknowledges a reliable provisional response.
    pub fn prack(&mut self, leg: LegIndex, tag: &str, rseq: u32, answer: Option<Vec<u8>>, purpose: Purpose) {
        let Some(dialog) = self.leg(leg).dialog(tag) else { return };
        let headers = vec![Header::new("RAck", format!("{rseq} {} INVITE", dialog.rseq_cseq))];
        let ask = Ask { method: "PRACK", headers, body: answer.map(Body::sdp), purpose, ..Ask::default() };
        self.ask_in(leg, tag, ask);
    }

    /// Ends a dialog. What follows in it is answered, and nothing more is asked in it.
    pub fn bye(&mut self, leg: LegIndex, tag: &str) {
        let closing = self.transaction_time() + Duration::from_secs(8);
        let reason = self.leg(leg).end_reason.clone();
        let ask =
            Ask { method: "BYE", headers: reason_header(&reason), purpose: Purpose::Bye, ..Ask::default() };
        self.ask_in(leg, tag, ask);
        if let Some(dialog) = self.leg_mut(leg).dialog_mut(tag) {
            dialog.state = DialogState::Ended.into();
            dialog.open_offer = OpenOffer::None.into();
        }
        self.start_timer(TimerKind::Closing, leg, closing);
    }

    /// Answers a request of the peer.
    pub fn respond(
        &mut self,
        leg: LegIndex,
        transaction: &str,
        status: u32,
        headers: Vec<Header>,
        body: Option<Body>,
    ) {
        let on = self.leg_mut(leg);
        let (mut edge_id, mut edge_epoch) = (on.edge_id.clone(), on.edge_epoch);
        let mut to_tag = on.local_tag.clone();
        if let Some(at) = on.served.iter().position(|served| served.transaction == transaction) {
            let served = &mut on.served[at];
            if !served.to_tag.is_empty() {
                to_tag = served.to_tag.clone();
            }
            (edge_id, edge_epoch) = (served.edge_id.clone(), served.edge_epoch);
            let (tag, offer) = (served.remote_tag.clone(), served.offer);
            if served.method == "INVITE" && (200..300).contains(&status) {
                served.answered = true;
            } else {
                on.served.remove(at);
            }
            if offer
                && let Some(dialog) = on.dialog_mut(&tag)
                && dialog.open_offer() == OpenOffer::Theirs
            {
                dialog.open_offer = OpenOffer::None.into();
            }
        }
        let transaction = transaction.to_owned();
        let is_focus = (200..300).contains(&status) && self.is_focus_toward(leg);
        let (reason, in_conference) = (String::new(), false);
        let response =
            SendResponse { transaction, status, reason, to_tag, headers, body, is_focus, in_conference };
        self.put_at(leg, edge_id, edge_epoch, What::Respond(response));
    }

    fn request_in(&self, leg: LegIndex, tag: &str, method: &str) -> Option<SendRequest> {
        let on = self.leg(leg);
        let dialog = on.dialog(tag)?;
        Some(SendRequest {
            method: method.to_owned(),
            request_uri: dialog.remote_target.clone(),
            route: dialog.route.clone(),
            from_uri: on.from_uri.clone(),
            from_display: on.from_display.clone(),
            from_tag: on.local_tag.clone(),
            to_uri: on.called().to_owned(),
            to_tag: tag.to_owned(),
            sip_call_id: on.sip_call_id.clone(),
            flow: on.flow_to(tag),
            trunk: on.party.trunk.clone(),
            is_focus: self.is_focus_toward(leg),
            ..SendRequest::default()
        })
    }

    /// Whether the party on the other side of the call mixes: to this one, Carillon does (CCL-14).
    pub fn is_focus_toward(&self, leg: LegIndex) -> bool {
        let is_connected = self.pair().contains(&leg) || self.call.member_of(leg).is_some();
        let far = match self.call.focus_coming_to(leg) {
            Some(mixer) => self.call.legs.get(mixer),
            None => self.call.legs.get(self.other(leg)).filter(|_| is_connected),
        };
        far.and_then(|far| far.chosen().or_else(|| far.dialogs.first())).is_some_and(|dialog| dialog.is_focus)
    }
}

impl Leg {
    /// Flow token for requests in the dialog with this tag. What begins a dialog is for the plan to place.
    pub fn flow_to(&self, tag: &str) -> String {
        self.dialog(tag).map_or(String::new(), |dialog| dialog.flow.clone())
    }

    /// Whether an offer/answer exchange or a re-INVITE runs in the dialog, in either direction (RFC 3261 14.1, 3264 4).
    pub fn is_busy(&self, tag: &str) -> bool {
        self.dialog(tag).is_some_and(|dialog| dialog.open_offer() != OpenOffer::None || dialog.unacked != 0)
            || self.pending.iter().any(|pending| pending.request.to_tag == tag && is_exchange(pending))
            || self.served.iter().any(|served| served.remote_tag == tag && served.is_exchange())
    }

    /// The edge that holds a server transaction of the leg.
    pub fn served_at(&self, transaction: &str) -> (String, u64) {
        let served = self.served.iter().find(|served| served.transaction == transaction);
        served.map_or((self.edge_id.clone(), self.edge_epoch), |served| {
            (served.edge_id.clone(), served.edge_epoch)
        })
    }
}

impl Served {
    /// Whether it is one of which only one may run. The offer of a caller's INVITE is told by its dialog, as it may be answered
    /// long before the INVITE is.
    fn is_exchange(&self) -> bool {
        match self.initial {
            true => self.answered,
            false => self.method == "INVITE" || self.offer,
        }
    }
}

/// On whose word the party is called (T6): that of who asked by REFER, or its own where its 3xx is followed. Where the application named
/// a trunk, what that leads to is the application's own.
fn answers_for(party: &Party, invite: &Invite) -> String {
    match invite.tried.is_empty() || !party.trunk.is_empty() {
        _ if !party.referred_by.is_empty() => party.referred_by.clone(),
        true => String::new(),
        false => party.uri.clone(),
    }
}

/// Whether the request is one of which only one may run in a dialog at a time.
fn is_exchange(pending: &Pending) -> bool {
    matches!(pending.request.method.as_str(), "INVITE" | "UPDATE")
}

/// The Reason header of this value (RFC 3326), when there is one.
pub fn reason_header(value: &str) -> Vec<Header> {
    if value.is_empty() { Vec::new() } else { vec![Header::new("Reason", value)] }
}

/// "a", "b", ... "z", "a1", "b1", ...
pub fn leg_id(index: LegIndex) -> String {
    let letter = char::from(b'a' + (index % 26) as u8);
    match index / 26 {
        0 => letter.to_string(),
        round => format!("{letter}{round}"),
    }
}
