//! The call while a step works on it, and what every part of the engine needs: numbers, timers, events.

use std::collections::VecDeque;
use std::time::Duration;

use crate::engine::call::{Call, EdgeRef, Timer, TimerKind};
use crate::engine::effect::{Body, Effect, Header, SendRequest, SendResponse, What};
use crate::engine::leg::{Dialog, DialogState, Leg};
use crate::engine::report::{CallEvent, CallEventType};
use crate::engine::signal::{A, B, LegIndex, Signal};
use crate::engine::time::Moment;
use crate::engine::{Context, derive};

/// A call being worked on, with the outputs of the step so far.
pub struct Work<'a> {
    pub call: Call,
    pub now: Moment,
    pub context: &'a Context,
    pub effects: Vec<Effect>,
    pub events: Vec<CallEvent>,
    pub signals: VecDeque<Signal>,
    /// The step is about the loss of an edge: whatever ends the call in it, the edge is why.
    pub edge_lost: bool,
    /// What the response or CANCEL that the step is about says to the other party.
    pub said: Vec<Header>,
}

impl<'a> Work<'a> {
    pub fn new(call: Call, now: Moment, context: &'a Context) -> Work<'a> {
        let (effects, events, signals) = Default::default();
        Work { call, now, context, effects, events, signals, edge_lost: false, said: Vec::new() }
    }

    pub fn leg(&self, leg: LegIndex) -> &Leg {
        &self.call.legs[leg]
    }

    pub fn leg_mut(&mut self, leg: LegIndex) -> &mut Leg {
        &mut self.call.legs[leg]
    }

    /// Gives an effect its number and puts it into the outbox, for the edge that carries the leg.
    pub fn put(&mut self, leg: LegIndex, what: What) -> u64 {
        if self.call.legs[leg].edge_id.is_empty()
            && let Some(edge) = self.choose_edge("")
        {
            let on = &mut self.call.legs[leg];
            (on.edge_id, on.edge_epoch) = (edge.edge_id, edge.edge_epoch);
        }
        let on = &self.call.legs[leg];
        let (edge_id, edge_epoch) = (on.edge_id.clone(), on.edge_epoch);
        self.put_at(leg, edge_id, edge_epoch, what)
    }

    /// The two legs that are connected with each other.
    pub fn pair(&self) -> [LegIndex; 2] {
        self.call.pair()
    }

    /// The leg that is connected with this one.
    pub fn other(&self, leg: LegIndex) -> LegIndex {
        if let Some((member, mixer)) = self.call.member_of(leg).and_then(|on| Some((on, on.mixer()?))) {
            return if leg == mixer { member.party() } else { mixer };
        }
        let [first, second] = self.pair();
        if leg == first { second } else { first }
    }

    /// The leg that this one has its session with: that of a media server, while its party listens to one.
    pub fn facing_now(&self, leg: LegIndex) -> LegIndex {
        match self.call.listener_of(leg).and_then(|on| Some((on.party(), on.server()?))) {
            Some((party, server)) => {
                if leg == server {
                    party
                } else {
                    server
                }
            }
            None => self.other(leg),
        }
    }

    /// A living edge other than this one.
    pub fn choose_edge(&mut self, but: &str) -> Option<EdgeRef> {
        let is_living = |edge: &&EdgeRef| edge.edge_id != but && !self.call.lost.contains(edge);
        let living: Vec<EdgeRef> = self.context.edges.iter().filter(is_living).cloned().collect();
        if living.len() < 2 {
            return living.into_iter().next();
        }
        let drawn = self.draw(living.len() as u64);
        living.into_iter().nth(drawn as usize)
    }

    /// The same, for another edge.
    pub fn put_at(&mut self, leg: LegIndex, edge_id: String, edge_epoch: u64, what: What) -> u64 {
        self.call.last_effect += 1;
        let number = self.call.last_effect;
        let leg_id = self.call.legs[leg].leg_id.clone();
        let what = match what {
            What::Send(mut send) => {
                if send.method == "INVITE" {
                    send.headers.extend(self.focus_headers(leg));
                }
                What::Send(SendRequest { in_conference: self.call.shows_focus(&leg_id), ..send })
            }
            What::Respond(respond) => {
                What::Respond(SendResponse { in_conference: self.call.shows_focus(&leg_id), ..respond })
            }
            other => other,
        };
        let effect = Effect { number, leg_id, edge_id, edge_epoch, what: Some(what), refusals: 0 };
        self.call.outbox.push(effect.clone());
        self.effects.push(effect);
        number
    }

    /// Starts a timer, in place of the same one.
    pub fn start_timer(&mut self, kind: TimerKind, leg: LegIndex, after: Duration) {
        self.stop_timer(kind, leg);
        let at_ms = (self.now + after).millis();
        self.call.timers.push(Timer { kind: kind.into(), leg: leg as u32, at_ms });
    }

    pub fn stop_timer(&mut self, kind: TimerKind, leg: LegIndex) {
        self.call.timers.retain(|timer| timer.kind() != kind || timer.leg as usize != leg);
    }

    pub fn has_timer(&self, kind: TimerKind, leg: LegIndex) -> bool {
        self.call.timers.iter().any(|timer| timer.kind() == kind && timer.leg as usize == leg)
    }

    /// How long a timer still runs.
    pub fn time_left(&self, kind: TimerKind, leg: LegIndex) -> Option<Duration> {
        let mut timers = self.call.timers.iter();
        let timer = timers.find(|timer| timer.kind() == kind && timer.leg as usize == leg)?;
        Some(Duration::from_millis(timer.at_ms.saturating_sub(self.now.millis())))
    }

    /// 64*T1: the longest time a transaction can take.
    pub fn transaction_time(&self) -> Duration {
        Duration::from_millis(64 * self.call.policy.t1_ms)
    }

    /// A random number below `bound`.
    pub fn draw(&mut self, bound: u64) -> u64 {
        derive::draw(&mut self.call, bound)
    }

    /// Reports something about a leg, at most once for each type.
    pub fn report(&mut self, leg: LegIndex, kind: CallEventType, status: u32, reason: &str) {
        let on = &mut self.call.legs[leg];
        if on.given & kind.bit() == 0 {
            on.given |= kind.bit();
            let leg_id = Some(on.leg_id.clone());
            self.events.push(CallEvent {
                kind,
                leg_id,
                sip_status: status,
                sip_reason: reason.to_owned(),
                body: None,
                by: String::new(),
            });
        }
    }

    /// Reports something about the call, at most once for each type.
    pub fn report_call(&mut self, kind: CallEventType, status: u32, reason: &str) {
        if self.call.given & kind.bit() == 0 {
            self.call.given |= kind.bit();
            self.report_again(None, kind, status, reason, None);
        }
    }

    /// Reports something that can happen many times, each time being an operation of its own.
    pub fn report_again(
        &mut self,
        leg_id: Option<String>,
        kind: CallEventType,
        status: u32,
        reason: &str,
        body: Option<Body>,
    ) {
        let (sip_reason, by) = (reason.to_owned(), String::new());
        self.events.push(CallEvent { kind, leg_id, sip_status: status, sip_reason, body, by });
    }

    /// The same, and who is behind it.
    pub fn report_by(&mut self, leg_id: Option<String>, kind: CallEventType, why: (u32, &str), by: &str) {
        let (sip_reason, by) = (why.1.to_owned(), by.to_owned());
        self.events.push(CallEvent { kind, leg_id, sip_status: why.0, sip_reason, body: None, by });
    }
}

impl Call {
    /// The two legs that are connected with each other.
    pub fn pair(&self) -> [LegIndex; 2] {
        match (self.first, self.second) {
            (0, 0) => [A, B],
            (first, second) => [first as LegIndex, second as LegIndex],
        }
    }
}

impl Leg {
    /// The dialog with this tag.
    pub fn dialog(&self, tag: &str) -> Option<&Dialog> {
        self.dialogs.iter().find(|dialog| dialog.remote_tag == tag)
    }

    /// The dialog with this tag.
    pub fn dialog_mut(&mut self, tag: &str) -> Option<&mut Dialog> {
        self.dialogs.iter_mut().find(|dialog| dialog.remote_tag == tag)
    }

    /// The dialog that is the leg.
    pub fn chosen(&self) -> Option<&Dialog> {
        self.dialog(&self.remote_tag)
    }

    /// Whether the dialog that is the leg is confirmed and not over.
    pub fn is_up(&self) -> bool {
        self.chosen().is_some_and(|dialog| dialog.state() == DialogState::Confirmed)
    }
}
