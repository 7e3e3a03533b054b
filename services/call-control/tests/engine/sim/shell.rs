//! The shell of the simulation: it carries effects and delivers events, and crashes, repeats and forgets while it does.

use std::collections::BTreeSet;

use call_control::engine::effect::Effect;
use call_control::engine::event::{Carried, Command, EdgeEvent, Event, LegEvent};
use call_control::engine::{DueChange, Step, StepError, step};
use call_control::record;

use super::phone::lines_of;
use super::walk::Interruption;
use super::world::{LEASE_MS, START_MS, Todo, World};

impl World {
    pub fn carry(&mut self) {
        let outbox = self.call.outbox.clone();
        let mut blocked: BTreeSet<String> = BTreeSet::new();
        for effect in outbox {
            if blocked.contains(&effect.leg_id)
                || !self.call.outbox.iter().any(|now| now.number == effect.number)
            {
                continue;
            }
            let effect =
                self.call.outbox.iter().find(|now| now.number == effect.number).cloned().unwrap_or(effect);
            if self.chance.percent(8) {
                blocked.insert(effect.leg_id.clone()); // the replica crashes, another one takes over later
                continue;
            }
            let Some(edge) = self.edge_for(&effect) else {
                blocked.insert(effect.leg_id.clone());
                continue;
            };
            let is_new = !self.edges[edge].known.contains(&effect.number);
            if is_new && !effect.is_bound_to_edge() && self.chance.percent(1) {
                self.log(format!("no edge takes effect {}", effect.number));
                self.take(&Event::NotCarried { effect: effect.number });
                blocked.insert(effect.leg_id.clone()); // what follows on the leg keeps its place
                continue;
            }
            self.take_on(edge, &effect);
            if self.is_dying {
                continue; // nothing that edges say is committed
            }
            if self.chance.percent(8) {
                blocked.insert(effect.leg_id.clone()); // the confirmation is lost, it is carried again later
                continue;
            }
            let (edge_id, edge_epoch) = (self.edges[edge].id.clone(), self.edges[edge].epoch);
            self.take(&Event::Carried(Carried { effect: effect.number, edge_id, edge_epoch }));
        }
        if std::mem::take(&mut self.is_dying) {
            self.die_for_a_while();
        }
        if !self.call.outbox.is_empty() {
            self.after(300, Todo::Carry);
        }
    }

    fn die_for_a_while(&mut self) {
        self.log("the replica dies".into());
        self.dead_until = self.now + LEASE_MS;
    }

    fn interrupt(&mut self, interruption: Interruption) {
        let hang_up = || Todo::Command(Command::Hangup { reason: String::new() });
        match interruption {
            Interruption::HangUp => self.after(0, hang_up()),
            Interruption::HangUpLater => self.after(2, hang_up()),
            Interruption::Dies => self.die_for_a_while(),
            Interruption::DiesLater => self.is_dying = true,
        }
    }

    /// The edge that the effect names, when it lives.
    pub fn edge_for(&self, effect: &Effect) -> Option<usize> {
        self.edges
            .iter()
            .position(|edge| edge.is_alive && edge.id == effect.edge_id && edge.epoch == effect.edge_epoch)
    }

    pub fn deliver(&mut self, edge: usize) {
        let Some(event) = self.edges[edge].events.front().cloned() else { return };
        if !self.edges[edge].is_alive {
            return;
        }
        let is_new = |event: &EdgeEvent| {
            let seen = self.call.seen.iter().find(|seen| seen.edge_id == event.edge_id);
            event.number > 1 + seen.map_or(0, |seen| seen.number)
        };
        if let Some(second) = self.edges[edge].events.get(1).filter(|second| is_new(second)) {
            let early = step(&self.call, &Event::Leg(second.clone()), self.moment(), &self.context);
            assert!(matches!(early, Err(StepError::OutOfOrder { .. })), "an event out of order was taken");
        }
        if self.chance.percent(8) {
            return self.after(200, Todo::Deliver(edge)); // the replica dies before its commit
        }
        self.log(format!("{} {} #{} {}", event.edge_id, event.leg_id, event.number, sketch(&event.what)));
        if let LegEvent::Response(response) = &event.what {
            self.heard.insert(response.to_tag.clone());
        }
        self.take(&Event::Leg(event));
        if self.chance.percent(8) {
            self.after(200, Todo::Deliver(edge)); // the acknowledgement is lost
        } else {
            self.edges[edge].events.pop_front();
            self.after(1, Todo::Deliver(edge));
        }
    }

    pub fn take(&mut self, event: &Event) {
        let taken = step(&self.call, event, self.moment(), &self.context).expect("the event is taken");
        self.commit(taken);
    }

    pub fn commit(&mut self, taken: Step) {
        if taken.unchanged {
            assert!(taken.effects.is_empty() && taken.events.is_empty());
        }
        let stored = record::encode(&taken.call);
        self.call = record::decode(&stored).expect("a record is readable");
        assert_eq!(self.call, taken.call);
        self.is_finished = taken.finished;
        match taken.due {
            DueChange::Keep => {}
            DueChange::Clear => self.due = None,
            DueChange::At(at) => {
                let at = at.millis() - START_MS;
                self.due = Some(at);
                self.at(at.max(self.now), Todo::Due);
            }
        }
        for event in &taken.events {
            let leg = event.leg_id.as_deref().map(|leg| format!(" {leg}")).unwrap_or_default();
            let by = if event.by.is_empty() { String::new() } else { format!(" by {}", event.by) };
            self.log(format!("! {:?}{leg} /{}{by}", event.kind, event.sip_status));
        }
        if !taken.effects.is_empty() {
            self.after(1, Todo::Carry);
        }
        self.commits += 1;
        if let Some((_, interruption)) = self.interruption.filter(|(step, _)| *step == self.commits) {
            self.interrupt(interruption);
        }
    }
}

fn sketch(event: &LegEvent) -> String {
    match event {
        LegEvent::Response(response) => {
            let body = response.body.as_ref().map(|body| format!(" sdp[{}]", lines_of(body).unwrap_or(0)));
            let rseq = response.rseq.map(|rseq| format!(" RSeq {rseq}"));
            format!(
                "{} {} {} ({}){}{}",
                response.status,
                response.method,
                response.cseq,
                response.to_tag,
                body.unwrap_or_default(),
                rseq.unwrap_or_default()
            )
        }
        LegEvent::Request(request) => {
            format!(
                "{} {} ({}) sdp: {}",
                request.method,
                request.transaction,
                request.from_tag,
                request.body.is_some()
            )
        }
        other => format!("{other:?}"),
    }
}
