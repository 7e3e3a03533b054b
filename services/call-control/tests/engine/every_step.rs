//! Scenarios of a ladder, walked so that every step is once the last of the application and once that of the replica.

use std::time::Duration;

use call_control::engine::call::CallState;
use call_control::engine::event::{Carried, Command, Event};
use call_control::engine::leg::InvitePhase;

use crate::ladder::Ladder;

/// One thing that happens.
pub type StepOf = fn(&mut Ladder);

/// Runs the scenario to its end; at each of its steps once with the application hanging up after it, and once with the replica dying before
/// what it has committed has left. A call that is hung up ends once, with every operation; a replica that dies changes nothing of what
/// happens.
#[track_caller]
pub fn walk(name: &str, begin: impl Fn() -> Ladder, steps: &[StepOf]) {
    let mut whole = begin();
    steps.iter().for_each(|step| step(&mut whole));
    for at in 0..steps.len() {
        let mut t = begin();
        steps[..=at].iter().for_each(|step| step(&mut t));
        if t.call.outcome.is_none() {
            t.command(Command::Hangup { reason: String::new() }).expect("it can always be ended");
        }
        t.settle();
        assert_eq!(t.call.state(), CallState::Ended, "{name}: step {at}, hung up: {:#?}", t.lines);
        assert!(t.finished, "{name}: step {at}, hung up: {:#?}", t.lines);
        ended_once(name, at, &t);

        let mut t = begin();
        steps[..at].iter().for_each(|step| step(&mut t));
        t.edges_away = true;
        steps[at](&mut t);
        t.take_over();
        steps[at + 1..].iter().for_each(|step| step(&mut t));
        assert_eq!(events(&t), events(&whole), "{name}: step {at}, the replica died: {:#?}", t.lines);
    }
}

impl Ladder {
    /// Another replica takes over what one has committed and not carried out.
    pub fn take_over(&mut self) {
        self.edges_away = false;
        let (edge_id, edge_epoch) = self.edge.clone();
        for effect in self.call.outbox.clone() {
            let (edge_id, effect) = (edge_id.clone(), effect.number);
            self.take(&Event::Carried(Carried { effect, edge_id, edge_epoch })).expect("it is always taken");
        }
    }

    /// Everybody answers what is open with 200, an INVITE with 487, and then time passes.
    pub fn settle(&mut self) {
        for _ in 0..50 {
            let open = self.call.legs.iter().find_map(|leg| {
                let invite = leg.invite.as_ref().filter(|invite| {
                    matches!(
                        invite.phase(),
                        InvitePhase::Calling | InvitePhase::Proceeding | InvitePhase::Cancelling
                    )
                });
                let invite = invite.map(|invite| (leg.leg_id.clone(), invite.effect, 487));
                let pending = leg.pending.first().map(|pending| (leg.leg_id.clone(), pending.effect, 200));
                invite.or(pending)
            });
            match open {
                Some((leg, effect, status)) => self.answer_to(&leg, effect, status),
                None if self.call.state() == CallState::Ended => break,
                None => self.wait(Duration::from_secs(200)),
            }
        }
        self.wait(Duration::from_secs(200));
    }
}

fn events(t: &Ladder) -> Vec<(String, Option<String>, u32)> {
    t.told.iter().map(|event| (format!("{:?}", event.kind), event.leg_id.clone(), event.sip_status)).collect()
}

fn ended_once(name: &str, at: usize, t: &Ladder) {
    let count = |kind: &str| events(t).iter().filter(|(told, ..)| told == kind).count();
    assert_eq!(count("Ended"), 1, "{name}: step {at}: {:#?}", t.lines);
    let ended = count("TransferSucceeded") + count("TransferFailed");
    assert_eq!(count("TransferStarted"), ended, "{name}: step {at}: {:#?}", t.lines);
}
