//! However a call that came in is interrupted, it ends once and completely.

use std::time::Duration;

use call_control::engine::call::CallState;
use call_control::engine::event::{Command, Event, LegEvent};
use call_control::engine::leg::{InvitePhase, LegState};
use call_control::engine::report::CallEventType;

use super::table::stages;
use crate::ladder::Ladder;

type Interruption = (&'static str, fn(&mut Ladder));

const INTERRUPTIONS: [Interruption; 6] = [
    ("Hangup", |t| t.command(Command::Hangup { reason: String::new() }).expect("always taken")),
    ("CANCEL", |t| {
        t.event("a", LegEvent::Cancel { transaction: "a-invite".into(), reason: Vec::new() });
        hang_up(t);
    }),
    ("BYE of a", |t| drop(t.request("a", "BYE", None))),
    ("BYE of b", |t| {
        t.request("b", "BYE", None);
        hang_up(t);
    }),
    ("the edge is lost", |t| {
        t.edge = ("e2".into(), 8);
        t.lose_edge("e1", 7);
        hang_up(t);
    }),
    ("all timers", |t| {
        while t.call.outcome.is_none() && t.due.is_some() {
            t.now = t.due.expect("something is due");
            t.take(&Event::Due).expect("a due event is always taken");
        }
        hang_up(t);
    }),
];

/// TPC-09, TPC-15, UAC-18: from every stage, by whatever ends it, both legs are over, ENDED is told once, and nothing is left.
#[test]
fn every_call_of_a_caller_ends_once_and_completely() {
    for (stage, start) in stages() {
        for (name, interrupt) in INTERRUPTIONS {
            let mut t = start.clone();
            interrupt(&mut t);
            for _ in 0..4 {
                settle(&mut t);
            }
            assert_eq!(t.call.state(), CallState::Ended, "{stage}, {name}: {:#?}", t.lines);
            assert!(t.call.legs.iter().all(|leg| leg.state() == LegState::Ended), "{stage}, {name}");
            assert!(t.finished, "{stage}, {name}: {:#?}", t.call);
            let ended = t.told.iter().filter(|event| event.kind == CallEventType::Ended).count();
            assert_eq!(ended, 1, "{stage}, {name}");
            let answers = t.lines.iter().filter(|line| is_final_answer(line)).count();
            assert!(answers <= 1, "{stage}, {name}: the caller gets one final answer: {:#?}", t.lines);
        }
    }
}

fn hang_up(t: &mut Ladder) {
    t.command(Command::Hangup { reason: String::new() }).expect("always taken");
}

/// The phones and the edge do what they owe, and time passes.
fn settle(t: &mut Ladder) {
    for leg in ["a", "b"] {
        let Some(on) = t.call.legs.iter().find(|on| on.leg_id == leg) else { continue };
        let is_cancelled = on.invite.as_ref().is_some_and(|invite| invite.phase() == InvitePhase::Cancelling);
        let waits = on.served.iter().any(|served| served.initial && served.answered);
        let asked: Vec<u64> = on.pending.iter().map(|pending| pending.effect).collect();
        if is_cancelled {
            t.reply(leg, "INVITE", 487);
        }
        if waits {
            t.event(leg, LegEvent::AckMissing { transaction: "a-invite".into() });
        }
        for effect in asked {
            t.answer_to(leg, effect, 200);
        }
    }
    t.wait(Duration::from_secs(80));
}

fn is_final_answer(line: &str) -> bool {
    let status = line.strip_prefix("C>A ").and_then(|rest| rest.strip_suffix(" INVITE").or(Some(rest)));
    let status =
        status.filter(|_| line.contains(" INVITE")).and_then(|rest| rest.get(..3)?.parse::<u32>().ok());
    status.is_some_and(|status| status >= 200)
}
