//! Every stage of a call that came in against every input, as one golden text: review the change to `table.txt` first.
//!
//! `CARILLON_BLESS=1` writes the file anew.

use call_control::engine::call::TimerKind;
use call_control::engine::event::{CallReceived, Command, Event, FailureCause, LegEvent};

use super::{called, connected, invite, rack, reliable_invite};
use crate::ladder::{Answer, Ladder, sdp};

const GOLDEN: &str = include_str!("table.txt");

type Input = (&'static str, fn(&mut Ladder));

/// SCN-10, PRK-01 … PRK-06, UAC-18, UAC-20, UAC-26: nothing is undefined.
#[test]
fn every_stage_of_a_caller_knows_every_input() {
    let mut table = String::new();
    for (stage, start) in stages() {
        table.push_str(&format!("== {stage}\n"));
        for (name, input) in INPUTS {
            let mut t = start.clone();
            input(&mut t);
            let lines: Vec<String> = t.lines.iter().map(|line| format!("     {line}\n")).collect();
            table.push_str(&format!("  -- {name}{}\n", if lines.is_empty() { ": nothing" } else { "" }));
            table.extend(lines);
        }
    }
    if std::env::var_os("CARILLON_BLESS").is_some() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/engine/anchored/table.txt");
        std::fs::write(path, &table).expect("the golden file can be written");
        return;
    }
    for (number, (seen, golden)) in table.lines().zip(GOLDEN.lines()).enumerate() {
        assert_eq!(seen, golden, "line {} of anchored/table.txt", number + 1);
    }
    assert_eq!(table.lines().count(), GOLDEN.lines().count());
}

pub fn stages() -> Vec<(&'static str, Ladder)> {
    let early = |tag: &str| Answer::new(183).tag(tag).reliable(1).sdp(&sdp(&["audio 5000"]));
    let mut stages = Vec::new();
    let mut keep = |name, t: &Ladder| {
        let mut t = t.clone();
        t.lines.clear();
        stages.push((name, t));
    };
    let mut t = called(invite());
    keep("bob is dialled", &t);
    t.reply("b", "INVITE", 180);
    keep("bob rings", &t);
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000"])));
    keep("the ACK is awaited", &t);
    t.request("b", "BYE", None);
    keep("ending: the ACK is awaited", &t);
    keep("connected", &connected());
    let mut t = called(reliable_invite());
    t.reply("b", "INVITE", early("b1"));
    keep("reliable: the PRACK is awaited", &t);
    let mut held = t.clone();
    held.reply("b", "INVITE", 200);
    keep("reliable: the PRACK is awaited, bob has answered", &held);
    t.prack("a", &rack(&t), None);
    keep("reliable: the session is early", &t);
    let mut t = called(CallReceived { body: None, ..reliable_invite() });
    keep("without offer: bob is dialled", &t);
    t.reply("b", "INVITE", early("b1"));
    keep("without offer: alice is asked in a reliable 183", &t);
    let mut t = called(CallReceived { body: None, ..invite() });
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000"])));
    keep("without offer: alice is asked in the 200", &t);
    let mut t = called(invite());
    t.event("a", LegEvent::Cancel { transaction: "a-invite".into(), reason: Vec::new() });
    keep("ending: bob is cancelled", &t);
    stages
}

const INPUTS: [Input; 27] = [
    ("INVITE b 180", |t| t.reply("b", "INVITE", 180)),
    ("INVITE b 183, preview", |t| t.reply("b", "INVITE", Answer::new(183).sdp(&sdp(&["audio 5000"])))),
    ("INVITE b 183 reliable, session", |t| {
        t.reply("b", "INVITE", Answer::new(183).reliable(2).sdp(&sdp(&["audio 5000"])))
    }),
    ("INVITE b 183 reliable of another fork, session", |t| {
        t.reply("b", "INVITE", Answer::new(183).tag("b9").reliable(1).sdp(&sdp(&["audio 5009"])))
    }),
    ("INVITE b 200, session", |t| t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000"])))),
    ("INVITE b 200 of another fork, session", |t| {
        t.reply("b", "INVITE", Answer::new(200).tag("b9").sdp(&sdp(&["audio 5009"])))
    }),
    ("INVITE b 200", |t| t.reply("b", "INVITE", 200)),
    ("INVITE b 486", |t| t.reply("b", "INVITE", 486)),
    ("INVITE b 503", |t| t.reply("b", "INVITE", 503)),
    ("INVITE b: silence", |t| t.silence("b", "INVITE", FailureCause::Timeout)),
    ("INVITE b: no way", |t| t.silence("b", "INVITE", FailureCause::Transport)),
    ("CANCEL of a", |t| cancel(t)),
    ("ACK of a", |t| t.ack("a", "a-invite", None)),
    ("ACK of a, answer", |t| t.ack("a", "a-invite", Some(&sdp(&["audio 4000"])))),
    ("no ACK of a", |t| t.event("a", LegEvent::AckMissing { transaction: "a-invite".into() })),
    ("PRACK of a", |t| drop(t.prack("a", &right_rack(t), None))),
    ("PRACK of a, session", |t| drop(t.prack("a", &right_rack(t), Some(&sdp(&["audio 4000"]))))),
    ("PRACK of a for another", |t| drop(t.prack("a", "1 1 INVITE", None))),
    ("no PRACK of a", |t| {
        let rseq = t.call.legs[0].incoming.as_ref().map_or(0, |incoming| incoming.rseq);
        t.event("a", LegEvent::PrackMissing { transaction: "a-invite".into(), rseq });
    }),
    ("UPDATE of a, offer", |t| drop(t.request("a", "UPDATE", Some(&sdp(&["audio 4002"]))))),
    ("UPDATE of b, offer", |t| drop(t.request("b", "UPDATE", Some(&sdp(&["audio 5002"]))))),
    ("INFO of a", |t| drop(t.request("a", "INFO", None))),
    ("BYE of a", |t| drop(t.request("a", "BYE", None))),
    ("timers, one after the other", |t| timers(t)),
    ("Hangup", |t| {
        t.command(Command::Hangup { reason: String::new() }).expect("a hang-up is always taken");
    }),
    ("Hold", |t| drop(t.command(Command::Hold { leg_id: None, music: String::new() }))),
    ("the edge of both is lost", |t| {
        t.edge = ("e2".into(), 8);
        t.lose_edge("e1", 7);
    }),
];

fn cancel(t: &mut Ladder) {
    t.event("a", LegEvent::Cancel { transaction: "a-invite".into(), reason: Vec::new() });
}

/// What a phone that does as it should would acknowledge.
fn right_rack(t: &Ladder) -> String {
    let incoming = t.call.legs[0].incoming.as_ref().expect("alice called");
    format!("{} 1 INVITE", incoming.rseq)
}

/// Each timer that runs, by itself.
fn timers(t: &mut Ladder) {
    let running = t.call.timers.clone();
    let mut lines = Vec::new();
    for timer in running {
        let mut one = t.clone();
        one.call.timers.retain(|other| *other == timer);
        one.now = call_control::engine::time::Moment::from_millis(timer.at_ms);
        let leg = if timer.leg == 0 { "a" } else { "b" };
        let kind = TimerKind::try_from(timer.kind).expect("a kind that is known");
        one.lines.push(format!("{kind:?} {leg}:"));
        one.take(&Event::Due).expect("a due event is always taken");
        lines.append(&mut one.lines);
    }
    t.lines = lines;
}
