//! Requests of the peer inside a leg's dialog: what every flow would do about them, before the flow hears of it.
//!
//! | request                            | answer                                                                   |
//! |------------------------------------|--------------------------------------------------------------------------|
//! | REFER outside the dialog, NOTIFY beside it | see `transfer::aside`                                            |
//! | any, no such dialog                | 481 (UAC-09)                                                             |
//! | any, CSeq not above the last       | 500 (UAC-09)                                                             |
//! | any, unknown tag in Require        | 420 with Unsupported (UAC-02)                                            |
//! | any, Replaces or Join              | 400: they are for the INVITE that begins a dialog (CCL-09, CCL-13)       |
//! | BYE                                | 200, pending requests 487 (UAC-18); the call ends                        |
//! | INVITE, ours is under way          | 491 (UAC-21)                                                             |
//! | INVITE, theirs runs too            | 500 with Retry-After 0-10 (UAC-21)                                       |
//! | UPDATE, their earlier UPDATE runs  | the same (UPD-03)                                                        |
//! | UPDATE with SDP, their INVITE runs | the same; 491 once our 2xx to it has made an offer (UPD-03)              |
//! | INVITE or UPDATE with SDP          | open offer of ours: 491, of theirs: 500; else to the flow                |
//! | INVITE or UPDATE, unknown body     | 415 with what is accepted (UAC-03); SDP that cannot be read: 488 with Warning |
//! | INVITE or UPDATE with SDP, of a fork that is not the leg | 488: the others have their session with another one        |
//! | UPDATE without SDP                 | 200 (UPD-02)                                                             |
//! | INFO, MESSAGE                      | to the other party; INFO of an unknown package: 469 (IMI-04)             |
//! | OPTIONS                            | 200                                                                      |
//! | PRACK                              | 481, but for a caller that was told something reliably: see `anchor::prack` (PRK-04) |
//! | NOTIFY                             | of a REFER of ours: see `transfer::refer`; else 481                      |
//! | REFER                              | see `transfer::referred`                                                 |
//! | SUBSCRIBE to the event refer       | 403                                                                      |
//! | SUBSCRIBE, PUBLISH, REGISTER       | 405 with Allow: known, and not served on a leg (UAC-01)                  |
//! | other                              | 501                                                                      |

use sip_dialog::{sequence, target};
use sip_message::{Event, Method, Warning};

use crate::engine::anchor::across::is_sayable;
use crate::engine::call::OutcomeKind;
use crate::engine::effect::{Body, Header};
use crate::engine::event::RequestReceived;
use crate::engine::leg::{DialogState, OpenOffer, Served};
use crate::engine::offer_answer::{is_readable, session_of, session_of_request};
use crate::engine::outcome::Cause;
use crate::engine::send::{ALLOW, OF_REFER, SUPPORTED};
use crate::engine::session_timer::{Role, too_short};
use crate::engine::signal::{A, LegIndex, Message, Signal};
use crate::engine::text::lists;
use crate::engine::work::Work;

const ACCEPT: &str = "application/sdp, multipart/mixed";

impl Work<'_> {
    /// A request of the peer.
    pub fn on_request(&mut self, leg: LegIndex, edge: (&str, u64), request: &RequestReceived) {
        let on = self.leg_mut(leg);
        on.served.push(Served {
            transaction: request.transaction.clone(),
            method: request.method.clone(),
            cseq: request.cseq,
            remote_tag: request.from_tag.clone(),
            edge_id: edge.0.to_owned(),
            edge_epoch: edge.1,
            ..Served::default()
        });
        let transaction = request.transaction.as_str();
        let is_ours = request.sip_call_id == on.sip_call_id && request.to_tag == on.local_tag;
        let flow = on.flow.clone();
        if !is_ours && self.on_aside_request(leg, &flow, request) {
            return;
        }
        let on = self.leg_mut(leg);
        let Some(dialog) = on.dialog_mut(&request.from_tag).filter(|_| is_ours) else {
            return self.respond(leg, transaction, 481, Vec::new(), None);
        };
        if dialog.state() == DialogState::Ended {
            let status = if request.method == "BYE" { 200 } else { 481 }; // crossing or repeated BYEs are all answered
            return self.respond(leg, transaction, status, Vec::new(), None);
        }
        if !sequence::is_in_order(dialog.remote_cseq, request.cseq) {
            return self.respond(leg, transaction, 500, Vec::new(), None);
        }
        dialog.remote_cseq = Some(request.cseq);
        if on.lent.is_some() {
            return self.on_lent_request(leg, request);
        }
        let Some(dialog) = on.dialog_mut(&request.from_tag) else { return };
        dialog.learn(&request.allow, &[], &request.supported);
        if self.refuse_extensions(leg, request) {
            return;
        }
        // RFC 3891 3, RFC 3911 4: they are about the dialog that an INVITE begins
        let is_claim =
            |header: &Header| ["Replaces", "Join"].iter().any(|name| header.name.eq_ignore_ascii_case(name));
        if request.headers.iter().any(is_claim) {
            return self.respond(leg, transaction, 400, Vec::new(), None);
        }
        match request.method.as_str() {
            "BYE" => self.on_bye(leg, request),
            "INVITE" | "UPDATE" => self.on_offer(leg, request),
            "INFO" | "MESSAGE" => self.on_message(leg, request),
            "OPTIONS" => {
                let mut headers = vec![Header::new("Allow", ALLOW), Header::new("Supported", SUPPORTED)];
                headers.push(Header::new("Allow-Events", self.allow_events(leg)));
                headers.extend(accepted());
                self.respond(leg, transaction, 200, headers, None);
            }
            "PRACK" => self.on_caller_prack(leg, request),
            "NOTIFY" => self.on_notify(leg, request),
            "REFER" => self.on_refer(leg, request, None),
            // RFC 3515 2.4.4: such a subscription comes of a REFER alone
            "SUBSCRIBE" if is_of_refer(request) => self.respond(leg, transaction, 403, Vec::new(), None),
            "SUBSCRIBE" | "PUBLISH" | "REGISTER" => {
                self.respond(leg, transaction, 405, vec![Header::new("Allow", ALLOW)], None);
            }
            _ => self.respond(leg, transaction, 501, vec![Header::new("Allow", ALLOW)], None),
        }
    }

    /// Refuses a request that requires what Carillon does not have. UAC-02
    pub fn refuse_extensions(&mut self, leg: LegIndex, request: &RequestReceived) -> bool {
        let unknown = unknown_extensions(&request.method, &request.require);
        if !unknown.is_empty() {
            let headers = vec![Header::new("Unsupported", unknown.join(", "))];
            self.respond(leg, &request.transaction, 420, headers, None);
        }
        !unknown.is_empty()
    }

    fn on_bye(&mut self, leg: LegIndex, request: &RequestReceived) {
        self.respond(leg, &request.transaction, 200, Vec::new(), None);
        let tag = &request.from_tag;
        self.refuse_served(leg, tag);
        // A 2xx that still waits is acknowledged all the same, so that it is not repeated
        let answer = self.reject_answer(leg, tag);
        self.ack(leg, tag, answer);
        let on = self.leg_mut(leg);
        if let Some(dialog) = on.dialog_mut(tag) {
            dialog.state = DialogState::Ended.into();
            dialog.open_offer = OpenOffer::None.into();
        }
        if *tag != on.remote_tag {
            return; // a fork that is not the leg
        }
        let by = on.leg_id.clone();
        let is_reason =
            |header: &&Header| header.name.eq_ignore_ascii_case("Reason") && is_sayable(&header.value);
        let header = request.headers.iter().find(is_reason);
        let header = header.map(|header| header.value.clone()).unwrap_or_default();
        let was_connected = self.call.answer_ms != 0;
        let mut cause = match leg {
            _ if was_connected => {
                let (kind, header) = (OutcomeKind::Completed, String::new());
                Cause { kind, header, ..Cause::failed_by(&by, 200, "OK") }
            }
            A => Cause { kind: OutcomeKind::Cancelled, ..Cause::failed_by(&by, 487, "Request Terminated") },
            _ => Cause::failed_by(&by, 487, "Request Terminated"),
        };
        if !header.is_empty() {
            cause.header = header;
        }
        self.lose_party(leg, cause);
    }

    fn on_offer(&mut self, leg: LegIndex, request: &RequestReceived) {
        let transaction = request.transaction.as_str();
        let tag = request.from_tag.as_str();
        let sdp = session_of_request(request.body.as_ref());
        let Some(sdp) = sdp.ok().filter(|_| !is_encoded(request)) else {
            return self.respond(leg, transaction, 415, accepted().to_vec(), None);
        };
        if sdp.as_ref().is_some_and(|sdp| !is_readable(sdp)) {
            return self.respond(leg, transaction, 488, vec![not_acceptable(&self.call.policy.host)], None);
        }
        if let Some(least) = too_short(request) {
            return self.respond(leg, transaction, 422, vec![least], None);
        }
        let is_invite = request.method == "INVITE";
        let on = self.leg(leg);
        let Some(dialog) = on.dialog(tag) else { return };
        let is_exchange = is_invite || sdp.is_some();
        let earlier = |served: &&Served| served.transaction != transaction && served.remote_tag == tag;
        // RFC 3311 5.2: without SDP an UPDATE meets nothing but another UPDATE
        let theirs_runs = on.served.iter().filter(earlier).any(|served| match served.method.as_str() {
            "UPDATE" => true,
            // Before it is answered, whether it may be changed is for its offer and answer to say (RFC 3311 5.2)
            "INVITE" if served.initial && !is_invite => false,
            "INVITE" => is_exchange,
            _ => false,
        });
        let is_ours_open = dialog.open_offer() == OpenOffer::Ours
            || on.served.iter().filter(earlier).any(|served| !served.relayed_offer.is_empty());
        let ours_runs = dialog.unacked != 0
            || on.pending.iter().any(|pending| {
                pending.request.to_tag == tag
                    && matches!(pending.request.method.as_str(), "INVITE" | "UPDATE")
            });
        let is_glare = (is_invite && ours_runs) || (is_exchange && is_ours_open);
        if is_glare {
            return self.respond(leg, transaction, 491, Vec::new(), None);
        }
        if theirs_runs || (is_exchange && dialog.open_offer() == OpenOffer::Theirs) {
            return self.respond_retry(leg, transaction);
        }
        let on = self.leg_mut(leg);
        if target::is_moved_by_request(&Method::from(request.method.as_str()))
            && !request.contact.is_empty()
            && let Some(dialog) = on.dialog_mut(tag)
        {
            dialog.remote_target = request.contact.clone();
            dialog.is_focus = request.is_focus;
        }
        self.note_session(leg, tag, &request.headers, Role::Server);
        if !is_exchange {
            let headers = self.answer_headers(leg, tag);
            return self.respond(leg, transaction, 200, headers, None);
        }
        let on = self.leg_mut(leg);
        if sdp.is_some() && !on.remote_tag.is_empty() && tag != on.remote_tag {
            // A fork whose session was refused for that of another one has none to change
            return self.respond(leg, transaction, 488, Vec::new(), None);
        }
        if let Some(sdp) = &sdp {
            if let Some(dialog) = on.dialog_mut(tag) {
                dialog.open_offer = OpenOffer::Theirs.into();
                dialog.remote_sdp = sdp.clone();
            }
            if let Some(served) = on.served.iter_mut().find(|served| served.transaction == transaction) {
                served.offer = true;
            }
        }
        let (transaction, method) = (transaction.to_owned(), request.method.clone());
        self.signals.push_back(Signal::PeerOffer { leg, transaction, method, sdp });
    }

    fn on_message(&mut self, leg: LegIndex, request: &RequestReceived) {
        let transaction = request.transaction.as_str();
        let is_package =
            request.headers.iter().any(|header| header.name.eq_ignore_ascii_case("Info-Package"));
        if request.method == "INFO" && is_package {
            return self.respond(leg, transaction, 469, vec![Header::new("Recv-Info", "")], None);
        }
        let message = Message {
            method: request.method.clone(),
            headers: request.headers.clone(),
            body: request.body.clone(),
        };
        self.signals.push_back(Signal::PeerMessage { leg, transaction: transaction.to_owned(), message });
    }

    /// ACK for a 2xx of ours.
    pub fn on_ack(&mut self, leg: LegIndex, transaction: &str, body: Option<&Body>) {
        if self.is_answered(leg, transaction) {
            let sdp = session_of(body);
            self.signals.push_back(Signal::PeerAck { leg, transaction: transaction.to_owned(), sdp });
        }
    }

    /// The peer never acknowledged a 2xx of ours: the session is to end (RFC 3261 13.3.1.4).
    pub fn on_ack_missing(&mut self, leg: LegIndex, transaction: &str) {
        if !self.is_answered(leg, transaction) {
            return;
        }
        self.leg_mut(leg).served.retain(|served| served.transaction != transaction);
        let leg_id = self.leg(leg).leg_id.clone();
        self.lose_party(leg, Cause { leg: leg_id, ..Cause::failed(408, "No ACK") });
        self.end_caller_if_waiting(leg);
    }

    /// The peer cancelled its INVITE.
    pub fn on_cancel(&mut self, leg: LegIndex, transaction: &str) {
        let is_open = |served: &Served| served.transaction == transaction && !served.answered;
        if self.leg(leg).served.iter().any(is_open) {
            self.signals.push_back(Signal::PeerCancel { leg, transaction: transaction.to_owned() });
        }
    }

    /// Answers 500 with a Retry-After between 0 and 10 s (RFC 3261 14.2, RFC 3311 5.2).
    pub fn respond_retry(&mut self, leg: LegIndex, transaction: &str) {
        let wait = self.draw(11);
        self.respond(leg, transaction, 500, vec![Header::new("Retry-After", wait.to_string())], None);
    }

    /// Answers 487 to what the peer still waits for in a dialog that ends (RFC 3261 15.1.2).
    pub fn refuse_served(&mut self, leg: LegIndex, tag: &str) {
        let waiting: Vec<String> = self
            .leg(leg)
            .served
            .iter()
            .filter(|served| served.remote_tag == tag && !served.answered)
            .map(|served| served.transaction.clone())
            .collect();
        for transaction in waiting {
            self.respond(leg, &transaction, 487, Vec::new(), None);
        }
    }

    /// Whether our 2xx to it waits for its ACK.
    fn is_answered(&self, leg: LegIndex, transaction: &str) -> bool {
        let mut served = self.leg(leg).served.iter();
        served.any(|served| served.transaction == transaction && served.answered)
    }

    /// Whether the server transaction is still open.
    pub fn is_served(&self, leg: LegIndex, transaction: &str) -> bool {
        self.leg(leg).served.iter().any(|served| served.transaction == transaction)
    }

    /// Whether the peer of the leg allows a method; unknown counts as `unknown`.
    pub fn allows(&self, leg: LegIndex, method: &str, unknown: bool) -> bool {
        self.leg(leg).chosen().map_or(unknown, |dialog| {
            if dialog.allow.is_empty() { unknown } else { lists(&dialog.allow, method) }
        })
    }
}

fn is_of_refer(request: &RequestReceived) -> bool {
    let mut headers = request.headers.iter();
    let event =
        headers.find(|header| ["Event", "o"].iter().any(|name| header.name.eq_ignore_ascii_case(name)));
    let event = event.and_then(|event| Event::parse(event.value.as_bytes()).ok());
    event.is_some_and(|event| event.package.eq_ignore_ascii_case("refer"))
}

/// What a body may be (RFC 3261 11.2, 21.4.13).
pub fn accepted() -> [Header; 3] {
    [("Accept", ACCEPT), ("Accept-Encoding", "identity"), ("Accept-Language", "en")]
        .map(|(name, value)| Header::new(name, value))
}

/// Whether the body is packed in a way that only Content-Encoding tells.
pub fn is_encoded(request: &RequestReceived) -> bool {
    let coding = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case("Content-Encoding"));
    request.body.is_some()
        && coding.is_some_and(|coding| !coding.value.trim().eq_ignore_ascii_case("identity"))
}

/// Why a session description is refused (RFC 3261 20.43; UAC-11).
pub fn not_acceptable(host: &str) -> Header {
    Header::new("Warning", Warning::print(399, host, "The session description cannot be read"))
}

/// Option tags of Require that Carillon does not have, for a request of this method. RFC 3261 8.2.2.3
pub fn unknown_extensions(method: &str, require: &[String]) -> Vec<String> {
    let of_method: &[&str] = if method == "REFER" { &OF_REFER } else { &[] };
    let is_unknown = |tag: &&String| {
        let mut known = SUPPORTED.split(", ").chain(of_method.iter().copied());
        !known.any(|known| tag.eq_ignore_ascii_case(known))
    };
    require.iter().filter(is_unknown).cloned().collect()
}
