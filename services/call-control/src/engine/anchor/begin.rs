//! An INVITE that a plan handed to call-control becomes a call, or is refused at once.
//!
//! | the INVITE                                               | answer                                           |
//! |----------------------------------------------------------|--------------------------------------------------|
//! | is for the service that calls back                       | 480 (LAD-6)                                      |
//! | has no hop left for a further leg                        | 483 (UAC-25)                                     |
//! | requires an extension that Carillon does not have        | 420 with Unsupported (UAC-02, PRK-02)            |
//! | does not know an extension that the operator demands     | 421 with Require (UAC-08)                        |
//! | asks for too short a session                             | 422 with Min-SE (TMR-01)                         |
//! | has a body that is encrypted, and must be understood     | 493 (UAC-10)                                     |
//! | has another body that must be, and is not, understood    | 415 with Accept (UAC-03)                         |
//! | has a session description that cannot be read            | 488 with Warning (UAC-11)                        |
//! | accepts no session description                           | 406 (UAC-04)                                     |
//! | calls the factory of conferences                         | see `conference::factory`                        |
//! | else                                                     | leg b is dialled with what it offers             |

use std::time::Duration;

use sip_dialog::{RouteSet, Side};

use crate::engine::anchor::across;
use crate::engine::anchor::record::Incoming;
use crate::engine::call::{Call, CallState, PLAIN_SCHEMA, Party, Policy, TimerKind};
use crate::engine::claim::ask::{call_of_leg, claim_of, passed_on};
use crate::engine::claim::record::Place;
use crate::engine::claim::whose::Named;
use crate::engine::derive;
use crate::engine::dispatch::is_duplicate;
use crate::engine::effect::{Body, Header};
use crate::engine::event::{CallReceived, EdgeEvent, LegEvent};
use crate::engine::leg::{Dialog, Leg, LegState, OpenOffer, Served};
use crate::engine::offer_answer::{fresh_history, is_readable, session_of_request};
use crate::engine::outcome::Cause;
use crate::engine::peer::{accepted, not_acceptable};
use crate::engine::report::CallEventType;
use crate::engine::session_timer::{least_interval, session_for_caller};
use crate::engine::signal::{A, B, LegIndex};
use crate::engine::stage::{Anchored, Stage};
use crate::engine::text::lists;
use crate::engine::time::Moment;
use crate::engine::work::Work;
use crate::engine::{Context, Step, StepError};

/// What a call that came in needs besides its INVITE.
#[derive(Clone, Debug, PartialEq)]
pub struct NewAnchored {
    /// Carillon's id of the call, from the edge.
    pub call_id: String,
    /// Timers and choices.
    pub policy: Policy,
    /// Fresh entropy, at least 16 octets.
    pub seed: Vec<u8>,
    /// The call that its INVITE is about, when that names a dialog.
    pub named: Named,
}

/// Media types of S/MIME (RFC 3261 23.3): without a key nothing of them can be read.
const ENCRYPTED: [&str; 2] = ["application/pkcs7-mime", "application/x-pkcs7-mime"];

/// Makes a call of the first event of a caller's leg. Commit the step before the event is acknowledged.
///
/// # Errors
/// When the event is not the first of its call, or no call begins with it.
pub fn receive(
    new: NewAnchored,
    event: &EdgeEvent,
    now: Moment,
    context: &Context,
) -> Result<Step, StepError> {
    let LegEvent::Incoming(invite) = &event.what else {
        return Err(StepError::WrongState(CallState::Unspecified));
    };
    let call = Call {
        schema: PLAIN_SCHEMA,
        call_id: new.call_id,
        from: party(&invite.from_uri, &invite.from_display),
        to: party(&invite.request_uri, &invite.to_display),
        policy: Policy {
            max_forwards: invite.max_forwards.saturating_sub(1),
            max_breadth: invite.max_breadth,
            ..new.policy
        },
        headers: across::of_invite(&invite.headers, invite.is_trusted),
        seed: new.seed,
        state: CallState::Dialing.into(),
        create_ms: now.millis(),
        ..Call::default()
    };
    let mut work = Work::new(call, now, context);
    if is_duplicate(&work.call, event)? {
        return Err(StepError::WrongState(work.call.state()));
    }
    work.note_taken(event);
    work.begin_anchored(event, invite, new.named);
    work.handle_signals();
    Ok(work.finish(None))
}

impl Work<'_> {
    fn begin_anchored(&mut self, event: &EdgeEvent, invite: &CallReceived, named: Named) {
        self.report_call(CallEventType::Created, 0, "");
        let caller = self.add_caller(event, invite);
        self.call.stage = Some(Stage::Anchored(Anchored::default()));
        let offer = match self.judge(invite) {
            Ok(offer) => offer,
            Err(refusal) => return self.end(*refusal),
        };
        self.note_offer_of(caller, offer.as_deref());
        if let Some(seconds) = expires(&invite.headers) {
            self.start_timer(TimerKind::Expires, A, Duration::from_secs(u64::from(seconds)));
        }
        let is_to_leg = call_of_leg(&invite.request_uri).is_some();
        match (claim_of(invite, &self.context.takers), named) {
            // CCL-13: a Join to a conference is ignored
            _ if self.context.mixing.is_factory(&invite.request_uri) => self.begin_conference(offer),
            (Err(status), _) => self.refuse_claim(status),
            (Ok(Some(_)), Named::Over) => self.refuse_claim(603),
            (Ok(Some(claim)), Named::Call(call_id)) => self.claim(call_id, claim, offer),
            (Ok(Some(_)), Named::Unknown) => self.refuse_claim(481),
            (Ok(Some(_)), Named::Nobody) if is_to_leg => self.refuse_claim(481),
            (Ok(None), _) if is_to_leg => self.refuse_claim(404),
            (Ok(Some(claim)), Named::AtPhone(phone)) => match phone.may_hear(&claim, &invite.request_uri) {
                Ok(()) => self.dial_named(invite, offer),
                Err(status) => self.refuse_claim(status),
            },
            (Ok(_), _) => self.dial_named(invite, offer),
        }
    }

    fn dial_named(&mut self, invite: &CallReceived, offer: Option<Vec<u8>>) {
        let headers = passed_on(invite);
        self.dial_callee(Party { headers, ..self.call.to.clone() }, offer, None);
    }

    /// What the INVITE of a caller offers waits for its answer.
    pub fn note_offer_of(&mut self, caller: LegIndex, offer: Option<&[u8]>) {
        let on = self.leg_mut(caller);
        if let (Some(offer), Some(dialog)) = (offer, on.dialogs.first_mut()) {
            dialog.open_offer = OpenOffer::Theirs.into();
            dialog.remote_sdp = offer.to_vec();
        }
        if let Some(served) = on.served.first_mut() {
            served.offer = offer.is_some();
        }
    }

    /// The leg to who calls. Its index.
    pub fn add_caller(&mut self, event: &EdgeEvent, invite: &CallReceived) -> LegIndex {
        let leg_id = event.leg_id.clone();
        let mut dialog = Dialog {
            remote_tag: invite.from_tag.clone(),
            // UAC-15: the side that is called has them as they came
            route: RouteSet::of(invite.record_route.iter().cloned(), Side::Callee).into_values(),
            remote_target: invite.contact.clone(),
            remote_cseq: Some(invite.cseq),
            allow: invite.allow.clone(),
            supported: invite.supported.clone(),
            flow: event.flow.clone(),
            ..Dialog::default()
        };
        dialog.hear_packages(&invite.headers);
        let served = Served {
            transaction: invite.transaction.clone(),
            method: "INVITE".into(),
            cseq: invite.cseq,
            remote_tag: invite.from_tag.clone(),
            edge_id: event.edge_id.clone(),
            edge_epoch: event.edge_epoch,
            initial: true,
            ..Served::default()
        };
        let knows = |tag: &str| lists(&invite.supported, tag) || lists(&invite.require, tag);
        let incoming = Incoming {
            transaction: invite.transaction.clone(),
            cseq: invite.cseq,
            takes_reliable: knows("100rel") && !self.call.policy.unreliable,
            demands_reliable: lists(&invite.require, "100rel"),
            session_expires: session_for_caller(
                &invite.headers,
                knows("timer"),
                self.call.policy.session_expires_s,
            ),
            identity: invite.identity.clone(),
            is_trusted: invite.is_trusted,
            ..Incoming::default()
        };
        let leg = Leg {
            local_tag: derive::tag(&self.call, &leg_id),
            history: Some(fresh_history(&self.call, &leg_id)),
            leg_id,
            party: party(&invite.from_uri, &invite.from_display),
            state: LegState::Dialing.into(),
            sip_call_id: invite.sip_call_id.clone(),
            from_uri: invite.to_uri.clone(),
            from_display: invite.to_display.clone(),
            dialogs: vec![dialog],
            remote_tag: invite.from_tag.clone(),
            served: vec![served],
            edge_id: event.edge_id.clone(),
            edge_epoch: event.edge_epoch,
            flow: event.flow.clone(),
            incoming: Some(incoming),
            ..Leg::default()
        };
        self.call.legs.push(leg);
        self.call.legs.len() - 1
    }

    /// Whether the INVITE can be served: with this offer, or why not. RFC 3261 8.2
    ///
    /// # Errors
    /// With the refusal.
    pub fn judge(&self, invite: &CallReceived) -> Result<Option<Vec<u8>>, Box<Cause>> {
        let refuse = |status: u32, told: Vec<Header>| {
            let cause = Cause::failed_by(&self.leg(A).leg_id, status, "");
            Err(Box::new(Cause { told, ..cause }))
        };
        if invite.is_for(&self.context.callback_user) {
            return refuse(480, Vec::new());
        }
        // What is handed on counts a hop, and who gets it must be allowed one to be reached
        if invite.max_forwards <= 1 {
            return refuse(483, Vec::new());
        }
        let known = self.supported();
        let is_unknown = |tag: &&String| !known.split(", ").any(|known| tag.eq_ignore_ascii_case(known));
        let unknown: Vec<String> = invite.require.iter().filter(is_unknown).cloned().collect();
        if !unknown.is_empty() {
            return refuse(420, vec![Header::new("Unsupported", unknown.join(", "))]);
        }
        if self.call.policy.demands_timer
            && !lists(&invite.supported, "timer")
            && !lists(&invite.require, "timer")
        {
            return refuse(421, vec![Header::new("Require", "timer")]);
        }
        if let Some(least) = least_interval(&invite.headers, &invite.supported) {
            return refuse(422, vec![least]);
        }
        let offer = match session_of_request(invite.body.as_ref()) {
            Ok(_) if is_encoded(invite) => return refuse(415, accepted().to_vec()),
            Ok(offer) => offer,
            Err(unread) if ENCRYPTED.contains(&unread.content_type.as_str()) => {
                return refuse(493, Vec::new());
            }
            Err(_) => return refuse(415, accepted().to_vec()),
        };
        if offer.as_ref().is_some_and(|offer| !is_readable(offer)) {
            return refuse(488, vec![not_acceptable(&self.call.policy.host)]);
        }
        if !takes_sessions(&invite.headers) {
            return refuse(406, Vec::new());
        }
        Ok(offer)
    }

    /// Dials a party for the caller, as the caller: by its name, or at a place that is known.
    pub fn dial_callee(&mut self, party: Party, offer: Option<Vec<u8>>, place: Option<&Place>) {
        let leg = self.add_leg(party);
        let caller = self.leg(A);
        let (edge_id, edge_epoch) = (caller.edge_id.clone(), caller.edge_epoch);
        let (from_uri, from_display) = (caller.party.uri.clone(), caller.party.display_name.clone());
        let takes_work =
            self.context.edges.iter().any(|edge| edge.edge_id == edge_id && edge.edge_epoch == edge_epoch);
        let on = self.leg_mut(leg);
        (on.from_uri, on.from_display) = (from_uri, from_display);
        if takes_work {
            // One edge that can be lost is better than two
            (on.edge_id, on.edge_epoch) = (edge_id, edge_epoch);
        }
        let Some(offer) = offer else {
            return self.dial_at(B, None, "application/sdp", place);
        };
        let Some(fitted) = self.fit_first_offer(B, &offer) else {
            return self.end(Cause::failed_by(&self.leg(A).leg_id.clone(), 488, ""));
        };
        let stage = Anchored { offer, lines: fitted.lines, ..Anchored::default() };
        self.call.stage = Some(Stage::Anchored(stage));
        self.dial_at(B, Some(fitted.sdp), "application/sdp", place);
    }
}

/// A party by its URI and display name.
pub fn party(uri: &str, display: &str) -> Party {
    Party { uri: uri.to_owned(), display_name: display.to_owned(), ..Party::default() }
}

fn values<'a>(headers: &'a [Header], name: &'a str) -> impl Iterator<Item = &'a str> {
    headers
        .iter()
        .filter(move |header| header.name.eq_ignore_ascii_case(name))
        .map(|header| header.value.as_str())
}

/// How long the caller wants to wait (RFC 3261 13.3.1.1), at least one second.
fn expires(headers: &[Header]) -> Option<u32> {
    let seconds: u32 = values(headers, "Expires").next()?.trim().parse().ok()?;
    Some(seconds.max(1))
}

fn is_encoded(invite: &CallReceived) -> bool {
    let mut codings = values(&invite.headers, "Content-Encoding");
    invite.body.as_ref().is_some_and(|body: &Body| !body.content.is_empty())
        && codings.any(|coding| !coding.trim().eq_ignore_ascii_case("identity"))
}

/// Whether the answer may be a session description (RFC 3261 20.1: without Accept it may).
fn takes_sessions(headers: &[Header]) -> bool {
    let mut ranges = values(headers, "Accept").flat_map(|value| value.split(',')).peekable();
    let takes = |range: &str| {
        let essence = range.split(';').next().unwrap_or_default().trim();
        ["application/sdp", "application/*", "*/*"].iter().any(|one| essence.eq_ignore_ascii_case(one))
    };
    ranges.peek().is_none() || ranges.any(takes)
}
