//! How a party comes to listen to a media server.

use std::time::Duration;

use crate::engine::StepError;
use crate::engine::call::{Party, SCHEMA, TimerKind};
use crate::engine::conference::MAX_LEGS;
use crate::engine::leg::{Pending, Purpose};
use crate::engine::media::record::{ListenStep, Listener, Listening, Playing};
use crate::engine::offer_answer::refuses_all;
use crate::engine::outcome::BY_CARILLON;
use crate::engine::report::CallEventType;
use crate::engine::send::Ask;
use crate::engine::signal::{LegIndex, Reply, Signal};
use crate::engine::stage::Stage;
use crate::engine::work::Work;

/// How long a server may say nothing: machines answer at once, and somebody waits for it on the phone.
const PATIENCE: Duration = Duration::from_secs(4);
/// How much longer than it was to last an announcement is let go on: the server ends it, and Carillon only when it does not.
const MARGIN_MS: u64 = 5_000;

impl Work<'_> {
    /// A party listens to an announcement, and the other one is on hold meanwhile.
    pub fn play(&mut self, leg_id: &str, uri: &str, limit_ms: u64) -> Result<(), StepError> {
        let party = self.leg_named(leg_id)?;
        self.must_be_talking()?;
        if self.call.held || !self.pair().contains(&party) {
            return Err(self.wrong_state());
        }
        let (uri, of_leg) = (uri.to_owned(), true);
        let limit_ms = if limit_ms > 0 { limit_ms + MARGIN_MS } else { 0 };
        let what = Playing::Announcement.into();
        self.listen(&[party], Listening { what, uri, limit_ms, of_leg, ..Listening::default() })
    }

    /// Those who are put on hold hear music.
    pub fn hold_with_music(&mut self, legs: &[LegIndex], of_leg: bool, uri: &str) -> Result<(), StepError> {
        let (what, uri) = (Playing::Music.into(), uri.to_owned());
        self.listen(legs, Listening { what, uri, of_leg, ..Listening::default() })
    }

    fn listen(&mut self, legs: &[LegIndex], listening: Listening) -> Result<(), StepError> {
        let pair = self.pair();
        self.must_be_free(&pair)?;
        if self.call.legs.len() + legs.len() > MAX_LEGS {
            return Err(StepError::Full(MAX_LEGS));
        }
        self.call.schema = SCHEMA;
        let listener = |&leg: &LegIndex| Listener { party: leg as u32, ..Listener::default() };
        let listeners = legs.iter().map(listener).collect();
        self.call.stage = Some(Stage::Listening(Listening { listeners, ..listening }));
        let other = pair.into_iter().find(|leg| !legs.contains(leg) && !self.is_held(*leg));
        match other {
            Some(other) => {
                let (headers, purpose) = (self.session_headers(), Purpose::HoldLeg);
                self.ask(other, Ask { method: "INVITE", headers, purpose, ..Ask::default() });
            }
            None => self.ask_all_to_listen(),
        }
        Ok(())
    }

    /// The other party was asked to be on hold meanwhile.
    pub(super) fn on_other_held(&mut self, other: LegIndex, request: Box<Pending>, reply: Reply) {
        let tag = request.request.to_tag.clone();
        self.ack(other, &tag, None);
        if reply.is_ok() {
            self.keep_on_hold(other);
            let leg_id = Some(self.leg(other).leg_id.clone());
            self.report_by(leg_id, CallEventType::Held, (0, ""), BY_CARILLON);
            return self.ask_all_to_listen();
        }
        if self.retry_later(other, &request, &reply) {
            return;
        }
        match reply.is_gone() {
            true => self.on_any_stage(Signal::Reply { leg: other, request, reply }),
            // UAC-22: it stays as it was, and so does everybody
            false => {
                let refusal = self.refusal(other, &reply);
                self.listeners_failed(&refusal);
            }
        }
    }

    fn ask_all_to_listen(&mut self) {
        let Some(Stage::Listening(listening)) = &mut self.call.stage else { return };
        let mut parties = Vec::new();
        for on in &mut listening.listeners {
            on.step = ListenStep::Asking.into();
            parties.push(on.party());
        }
        for party in parties {
            let (headers, purpose) = (self.session_headers(), Purpose::MoveAsk);
            self.ask(party, Ask { method: "INVITE", headers, purpose, ..Ask::default() });
        }
    }

    /// The party was asked for the offer that goes to the server.
    pub(super) fn on_asked_to_listen(&mut self, at: usize, request: Box<Pending>, reply: Reply) {
        let Some((uri, party)) =
            self.call.listening().map(|listening| (listening.uri.clone(), listening.listeners[at].party()))
        else {
            return;
        };
        if self.retry_later(party, &request, &reply) {
            return;
        }
        if !reply.is_ok() {
            return match reply.is_gone() {
                true => self.gone(party, &reply),
                false => self.listener_failed(at, reply.status, &reply.reason),
            };
        }
        let Some(offer) = reply.sdp else {
            self.ack(party, &request.request.to_tag, None);
            return self.listener_failed(at, 488, "No offer");
        };
        let server = self.add_leg(Party { uri, ..Party::default() });
        self.introduce(server, party);
        self.leg_mut(server).serves = true;
        let fitted = self.fit_first_offer(server, &offer);
        self.start_timer(TimerKind::Guard, party, Duration::from_millis(self.call.policy.guard_ms));
        if let Some(Stage::Listening(listening)) = &mut self.call.stage {
            let on = &mut listening.listeners[at];
            (on.server, on.step) = (server as u32, ListenStep::Calling.into());
            on.lines = fitted.as_ref().map(|fitted| fitted.lines.clone()).unwrap_or_default();
        }
        let Some(fitted) = fitted else { return self.listener_failed(at, 488, "No offer") };
        self.dial(server, Some(fitted.sdp), "application/sdp");
        self.start_timer(TimerKind::Ring, server, PATIENCE);
    }

    /// The server answered: so is the party.
    pub(super) fn on_server_answered(&mut self, server: LegIndex, answer: Option<Vec<u8>>) {
        let tag = self.leg(server).remote_tag.clone();
        self.ack(server, &tag, None);
        let Some(on) = self.call.listener_of(server).cloned() else { return };
        let party = on.party();
        let own = self.leg(party).remote_tag.clone();
        let offer = self.leg(party).chosen().map(|dialog| dialog.remote_sdp.clone()).unwrap_or_default();
        let answer = answer.filter(|answer| !refuses_all(&offer, answer));
        let fitted = answer.and_then(|answer| self.fit_answer(party, &own, &offer, &answer, &on.lines));
        let Some(fitted) = fitted else {
            return self.listener_over(server, 488, "No session with the media server");
        };
        self.ack(party, &own, Some(fitted));
        self.stop_timer(TimerKind::Guard, party);
        let Some(Stage::Listening(listening)) = &mut self.call.stage else { return };
        let limit_ms = listening.limit_ms;
        for on in listening.listeners.iter_mut().filter(|on| on.party() == party) {
            on.step = ListenStep::Listening.into();
        }
        if limit_ms > 0 {
            self.start_timer(TimerKind::Operation, server, Duration::from_millis(limit_ms));
        }
        self.report_on(party, CallEventType::PlayStarted, 200, "OK");
        self.settle_listeners(Some(party));
    }
}
