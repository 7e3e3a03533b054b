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
//! | no NOTIFY until the subscription is over  | -                      | failed                                 |
//! | the phone hangs up                        | BYE leave              | failed: what became of it is not known |

use std::time::Duration;

use sip_body::sipfrag;
use sip_message::{Event, SubscriptionState};

use crate::engine::call::{OutcomeKind, Party, SCHEMA, TimerKind};
use crate::engine::effect::Header;
use crate::engine::event::RequestReceived;
use crate::engine::leg::{Pending, Purpose};
use crate::engine::outcome::{BY_API, Cause};
use crate::engine::report::CallEventType;
use crate::engine::send::Ask;
use crate::engine::signal::{LegIndex, Reply, Signal};
use crate::engine::stage::{Stage, Talking};
use crate::engine::transfer::record::Referring;
use crate::engine::work::Work;

/// How long a phone that was asked may say nothing: longer than it rings anywhere.
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
    pub fn refer(&mut self, stay: LegIndex, target: Party, auto: bool) {
        self.call.schema = SCHEMA;
        self.report_on(stay, CallEventType::TransferStarted, 0, "");
        let leave = self.other(stay);
        let by = self.leg(leave).party.uri.clone();
        let mut headers = vec![Header::new("Refer-To", format!("<{}>", target.uri))];
        headers.push(Header::new("Referred-By", format!("<{by}>")));
        let referring =
            Referring { stay: stay as u32, leave: leave as u32, auto, target, ..Referring::default() };
        self.call.stage = Some(Stage::Referring(referring));
        self.start_timer(TimerKind::Operation, stay, PATIENCE);
        self.ask(stay, Ask { method: "REFER", headers, purpose: Purpose::Refer, ..Ask::default() });
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

    fn on_referred(&mut self, mut referring: Referring, leg: LegIndex, request: Box<Pending>, reply: Reply) {
        if reply.is_ok() {
            referring.cseq = request.request.cseq;
            self.call.stage = Some(Stage::Referring(referring));
        } else if reply.is_gone() {
            self.gone(leg, &reply);
        } else if referring.auto {
            self.stop_timer(TimerKind::Operation, leg);
            self.call.stage = Some(Stage::Talking(Talking {}));
            self.move_to(leg, referring.target, None);
        } else {
            self.referring_failed(reply.status, &reply.reason);
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
        let referring = match &self.call.stage {
            Some(Stage::Referring(referring)) if referring.stay() == leg => Some(referring.clone()),
            _ => None,
        };
        let (Some(event), Some(referring)) = (event, referring) else {
            return self.respond(leg, transaction, 481, Vec::new(), None);
        };
        // RFC 3515 2.4.6
        let is_ours = event.id.is_none_or(|id| referring.cseq == 0 || id == referring.cseq.to_string());
        if !is_ours {
            return self.respond(leg, transaction, 481, Vec::new(), None);
        }
        self.respond(leg, transaction, 200, Vec::new(), None);
        let state =
            value("Subscription-State").and_then(|state| SubscriptionState::parse(state.as_bytes()).ok());
        let fragment = request.body.as_ref().and_then(|body| sipfrag::parse(&body.content));
        let is_over = state.as_ref().is_some_and(SubscriptionState::is_terminated);
        match fragment {
            Some((200..300, reason)) => self.referring_succeeded(&reason),
            Some((status @ 300.., reason)) => self.referring_failed(status.into(), &reason),
            _ if is_over => self.referring_failed(500, "No outcome"),
            _ => {
                let left =
                    state.and_then(|state| state.expires()).map(|left| Duration::from_secs(left.into()));
                self.start_timer(TimerKind::Operation, leg, left.unwrap_or(PATIENCE).min(PATIENCE));
            }
        }
    }

    /// The phone has its own call with the target: this one is over.
    fn referring_succeeded(&mut self, reason: &str) {
        let Some(Stage::Referring(referring)) = self.call.stage.clone() else { return };
        self.call.stage = Some(Stage::Talking(Talking {}));
        self.report_on(referring.stay(), CallEventType::TransferSucceeded, 200, reason);
        let (kind, by) = (OutcomeKind::Completed, BY_API.into());
        self.end(Cause { kind, by, header: String::new(), ..Cause::failed(200, "OK") });
    }

    /// Nothing came of it: the two go on as before.
    pub fn referring_failed(&mut self, status: u32, reason: &str) {
        let Some(Stage::Referring(referring)) = self.call.stage.clone() else { return };
        self.stop_timer(TimerKind::Operation, referring.stay());
        self.call.stage = Some(Stage::Talking(Talking {}));
        self.report_on(referring.stay(), CallEventType::TransferFailed, status, reason);
        self.go_on_without(referring.leave());
    }
}
