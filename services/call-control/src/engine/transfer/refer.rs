//! A party is led elsewhere by REFER: its own phone calls the target and tells how that goes (RFC 3515, RFC 5589 6.1).
//!
//! | input                                     | effects                | next                                   |
//! |-------------------------------------------|------------------------|----------------------------------------|
//! | Transfer                                  | REFER                  | Referring                              |
//! | 2xx (202 counts as 200, RFC 7647 5)       | -                      | Referring                              |
//! | a refusal, where the method is AUTO       | INVITE c, see `mod`    | Moving                                 |
//! | a refusal                                 | -                      | failed                                 |
//! | NOTIFY with a provisional status          | 200                    | Referring                              |
//! | NOTIFY with 2xx                           | 200; BYE both          | succeeded: the phone has a call of its own |
//! | NOTIFY with another final status          | 200                    | failed: the two go on as before        |
//! | NOTIFY that ends the subscription without | 200                    | failed                                 |
//! | no NOTIFY within 64*T1 of the 2xx (EVT-05), or until the subscription is over | - | failed                       |
//! | still no final status 180 s after the REFER, however long the phone says that it tries | - | failed: 408, the two go on as before |
//! | NOTIFY without a Subscription-State that can be read (RFC 6665 8.2.1) | 400 | Referring, as if it had not come              |
//! | NOTIFY with a body that is no message/sipfrag (RFC 3515 2.4.5) | 415  | Referring, as if it had not come                        |
//! | NOTIFY with 420, the target was to replace a dialog of another call (LAD-9) | 200; that call ends; REFER without Replaces | Referring |
//! | the phone hangs up                        | BYE leave              | failed: what became of it is not known |
//!
//! The same REFER leads a party to a conference that is made elsewhere, as a part of stage Gathering: see `conference::elsewhere`.

use std::time::Duration;

use sip_body::sipfrag;
use sip_message::{ContentType, Event, SubscriptionState};

use crate::engine::call::{OutcomeKind, Party, SCHEMA, TimerKind};
use crate::engine::effect::{Body, Header};
use crate::engine::event::RequestReceived;
use crate::engine::leg::{Pending, Purpose};
use crate::engine::outcome::{BY_API, Cause};
use crate::engine::peer::is_encoded;
use crate::engine::report::CallEventType;
use crate::engine::send::Ask;
use crate::engine::signal::{LegIndex, Reply, Signal};
use crate::engine::stage::{Stage, Talking};
use crate::engine::time::Moment;
use crate::engine::transfer::record::{Nothing, Referring, Word};
use crate::engine::work::Work;

/// How long a phone that was asked may take: longer than it rings anywhere. No word of its makes it longer, as the call can be led nowhere
/// else meanwhile.
const PATIENCE: Duration = Duration::from_secs(180);

impl Referring {
    fn stay(&self) -> LegIndex {
        self.stay as LegIndex
    }

    fn leave(&self) -> LegIndex {
        self.leave as LegIndex
    }
}

impl Work<'_> {
    /// Asks the phone of a party to call the target. With `auto`, Carillon does it when the phone does not.
    pub fn refer(&mut self, stay: LegIndex, target: Party, auto: bool, replaced: &str) {
        self.call.schema = SCHEMA;
        self.report_on(stay, CallEventType::TransferStarted, 0, "");
        let (leave, replaced) = (self.other(stay) as u32, replaced.to_owned());
        let stay = stay as u32;
        let referring = Referring { stay, leave, auto, target, replaced, ..Referring::default() };
        self.call.stage = Some(Stage::Referring(referring));
        self.refer_to_target();
    }

    /// The REFER of ours that is under way.
    pub fn referring(&self) -> Option<&Referring> {
        match &self.call.stage {
            Some(Stage::Referring(referring)) => Some(referring),
            Some(Stage::Gathering(gathering)) => gathering.leading.as_deref(),
            _ => None,
        }
    }

    /// Keeps what has become of it.
    pub fn keep_referring(&mut self, referring: Referring) {
        match &mut self.call.stage {
            Some(Stage::Gathering(gathering)) => gathering.leading = Some(Box::new(referring)),
            stage => *stage = Some(Stage::Referring(referring)),
        }
    }

    /// Asks the phone to call the target.
    pub fn refer_to_target(&mut self) {
        let Some(referring) = self.referring() else { return };
        let by = self.leg(referring.leave()).party.uri.clone();
        let headers = vec![
            Header::new("Refer-To", format!("<{}>", referring.target.uri)),
            Header::new("Referred-By", format!("<{by}>")),
        ];
        self.ask_to_refer(headers);
    }

    /// Sends REFER to the phone that is to call the target: outside its dialog where it can be reached so (CCL-04).
    pub fn ask_to_refer(&mut self, mut headers: Vec<Header>) {
        let Some(mut referring) = self.referring().cloned() else { return };
        let stay = referring.stay();
        (referring.cseq, referring.notified) = (0, false);
        referring.until_ms = (self.now + PATIENCE).millis();
        referring.aside = self.new_aside(stay);
        let aside = referring.aside.clone();
        self.keep_referring(referring);
        self.start_timer(TimerKind::Operation, stay, PATIENCE);
        match aside {
            Some(aside) => {
                headers.extend(self.target_dialog(stay));
                self.ask_aside(stay, &aside, "REFER", headers, None, Purpose::Refer);
            }
            None => {
                self.ask(stay, Ask { method: "REFER", headers, purpose: Purpose::Refer, ..Ask::default() });
            }
        }
    }

    /// Stage Referring.
    pub fn on_referring(&mut self, referring: Referring, signal: Signal) {
        match signal {
            Signal::Reply { leg, request, reply } if request.purpose() == Purpose::Refer => {
                self.on_referred(referring, leg, request, reply);
            }
            Signal::PeerOffer { .. } | Signal::PeerMessage { .. } | Signal::PeerCancel { .. }
                if !self.is_alive(referring.leave()) =>
            {
                self.on_any_stage(signal);
            }
            other => self.on_talking(other),
        }
    }

    /// The answer to it.
    pub fn on_referred(
        &mut self,
        mut referring: Referring,
        leg: LegIndex,
        request: Box<Pending>,
        reply: Reply,
    ) {
        let is_aside = referring.aside.is_some();
        if reply.is_ok() {
            referring.cseq = request.request.cseq;
            self.answer_passed(&mut referring, &reply);
            if !referring.notified {
                // RFC 6665 4.1.2.4: Timer N
                let patience = self.transaction_time();
                self.start_timer(TimerKind::Operation, leg, patience);
            }
            self.keep_referring(referring);
        } else if reply.is_gone() && !is_aside {
            self.gone(leg, &reply);
        } else if referring.auto {
            self.stop_timer(TimerKind::Operation, leg);
            self.call.stage = Some(Stage::Talking(Talking {}));
            self.move_to(leg, referring.target, None);
        } else {
            self.referring_refused(&reply);
        }
    }

    /// NOTIFY of the peer: of the subscription that a REFER of ours made, or of none.
    pub fn on_notify(&mut self, leg: LegIndex, request: &RequestReceived) {
        let transaction = request.transaction.as_str();
        let value = |name: &str| {
            let header = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
            header.map(|header| header.value.as_str())
        };
        // RFC 6665: compact `o`
        let event =
            value("Event").or_else(|| value("o")).and_then(|event| Event::parse(event.as_bytes()).ok());
        let event = event.filter(|event| event.package.eq_ignore_ascii_case("refer"));
        let referring = self.referring().filter(|referring| referring.stay() == leg).cloned();
        let (Some(event), Some(mut referring)) = (event, referring.filter(|on| !on.seeks())) else {
            return self.respond(leg, transaction, 481, Vec::new(), None);
        };
        let of_aside = referring.aside.as_ref().is_some_and(|aside| aside.sip_call_id == request.sip_call_id);
        if referring.aside.is_some() != of_aside {
            return self.respond(leg, transaction, 481, Vec::new(), None);
        }
        // RFC 3515 2.4.6
        let is_ours = event.id.is_none_or(|id| referring.cseq == 0 || id == referring.cseq.to_string());
        if !is_ours {
            return self.respond(leg, transaction, 481, Vec::new(), None);
        }
        let state = value("Subscription-State").map(|state| SubscriptionState::parse(state.as_bytes()));
        let Some(Ok(state)) = state else {
            return self.respond(leg, transaction, 400, Vec::new(), None);
        };
        if request.body.as_ref().is_some_and(|body| !is_fragment(body)) || is_encoded(request) {
            let accepted = Header::new("Accept", sipfrag::CONTENT_TYPE);
            return self.respond(leg, transaction, 415, vec![accepted], None);
        }
        self.respond(leg, transaction, 200, Vec::new(), None);
        referring.notified = true;
        // A NOTIFY that beats the 2xx says the same (RFC 6665 4.1.2.4)
        self.answer_passed(&mut referring, &Reply { status: 200, ..Reply::default() });
        self.keep_referring(referring.clone());
        let fragment = request.body.as_ref().and_then(|body| sipfrag::parse(&body.content));
        match fragment {
            Some((200..300, reason)) => self.referring_succeeded(&reason),
            // LAD-9: the target knows no Replaces
            Some((420, _)) if !referring.replaced.is_empty() => self.refer_without_replaces(referring),
            Some((status @ 300.., reason)) => self.referring_failed(status.into(), &reason),
            _ if state.is_terminated() => self.referring_failed(500, "No outcome"),
            provisional => {
                if let Some((status, reason)) = provisional {
                    self.pass_notify(&referring, status.into(), &reason, false);
                }
                let told = state.expires().map(|left| Duration::from_secs(left.into()));
                let left = self.patience_left(&referring);
                self.start_timer(TimerKind::Operation, leg, told.map_or(left, |told| told.min(left)));
            }
        }
    }

    /// How long the phone may still try.
    fn patience_left(&mut self, referring: &Referring) -> Duration {
        match referring.until_ms {
            0 => {
                let until_ms = (self.now + PATIENCE).millis();
                self.keep_referring(Referring { until_ms, ..referring.clone() });
                PATIENCE
            }
            until_ms => Moment::from_millis(until_ms) - self.now,
        }
    }

    /// The phone has its own call with the target: this one is over.
    fn referring_succeeded(&mut self, reason: &str) {
        if let Some(Stage::Gathering(_)) = self.call.stage {
            return self.led_to_conference(reason);
        }
        let Some(Stage::Referring(referring)) = self.call.stage.clone() else { return };
        if referring.passed.is_some() {
            self.pass_notify(&referring, 200, reason, true);
            return self.passing_succeeded(&referring, reason);
        }
        self.call.stage = Some(Stage::Talking(Talking {}));
        self.report_on(referring.stay(), CallEventType::TransferSucceeded, 200, reason);
        let (kind, by) = (OutcomeKind::Completed, BY_API.into());
        self.end(Cause { kind, by, header: String::new(), ..Cause::failed(200, "OK") });
    }

    /// The target would take the call, but not another one's place: the call whose party it is ends, and it is called anew.
    fn refer_without_replaces(&mut self, mut referring: Referring) {
        let replaced = std::mem::take(&mut referring.replaced);
        if let Some((plain, _)) = referring.target.uri.split_once('?') {
            referring.target.uri.truncate(plain.len());
        }
        self.call.stage = Some(Stage::Referring(referring));
        self.call.operations += 1;
        let operation = self.call.operations;
        self.tell(&replaced, operation, Word::GiveWay(Nothing {}));
        self.refer_to_target();
    }

    /// A party of this call is called anew by somebody else.
    pub fn give_way(&mut self) {
        if self.call.outcome.is_none() {
            self.hang_up("");
        }
    }

    /// Nothing came of it: the two go on as before.
    pub fn referring_failed(&mut self, status: u32, reason: &str) {
        self.referring_refused(&Reply { status, reason: reason.to_owned(), ..Reply::default() });
    }

    fn referring_refused(&mut self, reply: &Reply) {
        if let Some(Stage::Gathering(_)) = self.call.stage {
            return self.not_led_to_conference(reply.status, &reply.reason);
        }
        let Some(Stage::Referring(mut referring)) = self.call.stage.clone() else { return };
        self.passing_failed(&mut referring, reply);
        let (status, reason) = (reply.status, reply.reason.as_str());
        self.stop_timer(TimerKind::Operation, referring.stay());
        self.call.stage = Some(Stage::Talking(Talking {}));
        self.report_on(referring.stay(), CallEventType::TransferFailed, status, reason);
        self.go_on_without(referring.leave(), status, reason);
    }
}

/// Whether a body is a fragment of the version that there is: 2.0, also without a word about it (RFC 3420 3.1).
fn is_fragment(body: &Body) -> bool {
    ContentType::parse(body.content_type.as_bytes()).is_ok_and(|declared| {
        let version = declared.params.unquoted("version");
        declared.is("message/sipfrag") && version.is_none_or(|version| *version == *b"2.0")
    })
}
