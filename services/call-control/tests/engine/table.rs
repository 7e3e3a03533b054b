//! Every stage against every input, as one golden text: review the change to `table.txt` first.
//!
//! `CARILLON_BLESS=1` writes the file anew.

use std::time::Duration;

use call_control::engine::call::{Flow, Timer, TimerKind};
use call_control::engine::event::{Command, Event, FailureCause, LegEvent};

use crate::ends::stages;
use crate::ladder::{Answer, Ladder, sdp};

const GOLDEN: &str = include_str!("table.txt");

type Input = (&'static str, fn(&mut Ladder) -> Option<()>);

/// LAD-1 … LAD-4: nothing is undefined.
#[test]
fn every_stage_knows_every_input() {
    let mut table = String::new();
    for (stage, start) in stages().into_iter().chain(more_stages()) {
        table.push_str(&format!("== {stage}\n"));
        let mut impossible = Vec::new();
        for (name, input) in INPUTS {
            let mut t = start.clone();
            if input(&mut t).is_none() {
                impossible.push(name);
                continue;
            }
            let effect = if t.lines.len() < 2 { ": nothing" } else { "" };
            table.push_str(&format!("  -- {name}{effect}\n"));
            table.extend(t.lines.iter().skip(1).map(|line| format!("     {line}\n")));
        }
        table.push_str("  -- these cannot come\n");
        for names in impossible.chunks(6) {
            table.push_str(&format!("     {}\n", names.join("; ")));
        }
    }
    if std::env::var_os("CARILLON_BLESS").is_some() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/engine/table.txt");
        std::fs::write(path, &table).expect("the golden file can be written");
        return;
    }
    for (number, (seen, golden)) in table.lines().zip(GOLDEN.lines()).enumerate() {
        assert_eq!(seen, golden, "line {} of table.txt", number + 1);
    }
    assert_eq!(table.lines().count(), GOLDEN.lines().count());
}

const INPUTS: [Input; 62] = [
    ("INVITE a 180", |t| answer(t, "a", "INVITE", 180.into())),
    ("INVITE a 183 reliable, answer", |t| {
        answer(t, "a", "INVITE", Answer::new(183).reliable(1).sdp(&sdp(&[])))
    }),
    ("INVITE a 200, answer", |t| answer(t, "a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000"])))),
    ("INVITE a 200 of another fork", |t| {
        answer(t, "a", "INVITE", Answer::new(200).tag("a9").sdp(&sdp(&["audio 1"])))
    }),
    ("INVITE a 486", |t| answer(t, "a", "INVITE", 486.into())),
    ("INVITE a 488", |t| answer(t, "a", "INVITE", 488.into())),
    ("INVITE a 491", |t| answer(t, "a", "INVITE", 491.into())),
    ("INVITE a 481", |t| answer(t, "a", "INVITE", 481.into())),
    ("UPDATE a 200, answer", |t| answer(t, "a", "UPDATE", Answer::new(200).sdp(&sdp(&["audio 4000"])))),
    ("UPDATE a 405", |t| answer(t, "a", "UPDATE", 405.into())),
    ("UPDATE a 415", |t| answer(t, "a", "UPDATE", 415.into())),
    ("UPDATE a 488", |t| answer(t, "a", "UPDATE", 488.into())),
    ("UPDATE a 500", |t| answer(t, "a", "UPDATE", Answer::new(500).retry_after(3))),
    ("INVITE b 180", |t| answer(t, "b", "INVITE", 180.into())),
    ("INVITE b 183 reliable, offer", |t| {
        answer(t, "b", "INVITE", Answer::new(183).reliable(2).sdp(&sdp(&["audio 5000"])))
    }),
    ("INVITE b 183 reliable of another fork, offer", |t| {
        answer(t, "b", "INVITE", Answer::new(183).tag("b9").reliable(1).sdp(&sdp(&["audio 5009"])))
    }),
    ("INVITE b 200, offer", |t| answer(t, "b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000"])))),
    ("INVITE b 200", |t| answer(t, "b", "INVITE", 200.into())),
    ("INVITE b 486", |t| answer(t, "b", "INVITE", 486.into())),
    ("PRACK b 200", |t| answer(t, "b", "PRACK", 200.into())),
    ("PRACK b 481", |t| answer(t, "b", "PRACK", 481.into())),
    ("offer of a by INVITE", |t| request(t, "a", "INVITE", Some(&sdp(&["audio 4000 sendonly"])))),
    ("offer of b by UPDATE", |t| request(t, "b", "UPDATE", Some(&sdp(&["audio 5001"])))),
    ("INFO of a", |t| request(t, "a", "INFO", None)),
    ("INVITE a is not answered", |t| silence(t, "a", "INVITE", FailureCause::Timeout)),
    ("INVITE a finds no way", |t| silence(t, "a", "INVITE", FailureCause::Transport)),
    ("UPDATE a 481", |t| answer(t, "a", "UPDATE", 481.into())),
    ("UPDATE a 491", |t| answer(t, "a", "UPDATE", 491.into())),
    ("UPDATE a is not answered", |t| silence(t, "a", "UPDATE", FailureCause::Timeout)),
    ("BYE a 200", |t| answer(t, "a", "BYE", 200.into())),
    ("BYE a is not answered", |t| silence(t, "a", "BYE", FailureCause::Timeout)),
    ("INVITE b 481", |t| answer(t, "b", "INVITE", 481.into())),
    ("INVITE b 487", |t| answer(t, "b", "INVITE", 487.into())),
    ("INVITE b is not answered", |t| silence(t, "b", "INVITE", FailureCause::Timeout)),
    ("INVITE b finds no way", |t| silence(t, "b", "INVITE", FailureCause::Transport)),
    ("PRACK b is not answered", |t| silence(t, "b", "PRACK", FailureCause::Timeout)),
    ("UPDATE b 200, answer", |t| answer(t, "b", "UPDATE", Answer::new(200).sdp(&sdp(&["audio 5000"])))),
    ("BYE b 200", |t| answer(t, "b", "BYE", 200.into())),
    ("BYE of a", |t| request(t, "a", "BYE", None)),
    ("BYE of b", |t| request(t, "b", "BYE", None)),
    ("INVITE of a without offer", |t| request(t, "a", "INVITE", None)),
    ("CANCEL of a", |t| {
        of_served(t, "a", |transaction| LegEvent::Cancel { transaction, reason: Vec::new() })
    }),
    ("CANCEL of b", |t| {
        of_served(t, "b", |transaction| LegEvent::Cancel { transaction, reason: Vec::new() })
    }),
    ("ACK of a", |t| of_served(t, "a", |transaction| LegEvent::Ack { transaction, cseq: 0, body: None })),
    ("no ACK of a", |t| of_served(t, "a", |transaction| LegEvent::AckMissing { transaction })),
    ("MESSAGE of b", |t| request(t, "b", "MESSAGE", None)),
    ("OPTIONS of a", |t| request(t, "a", "OPTIONS", None)),
    ("PRACK of b", |t| request(t, "b", "PRACK", None)),
    ("REFER of a", |t| request(t, "a", "REFER", None)),
    ("RING of a", |t| timer(t, TimerKind::Ring, "a")),
    ("RING of b", |t| timer(t, TimerKind::Ring, "b")),
    ("GUARD of a", |t| timer(t, TimerKind::Guard, "a")),
    ("GUARD of b", |t| timer(t, TimerKind::Guard, "b")),
    ("wait of a is over", |t| timer(t, TimerKind::Retry, "a")),
    ("wait of b is over", |t| timer(t, TimerKind::Retry, "b")),
    ("longest duration", |t| timer(t, TimerKind::MaxDuration, "a")),
    ("closing time of a", |t| timer(t, TimerKind::Closing, "a")),
    ("closing time of b", |t| timer(t, TimerKind::Closing, "b")),
    ("time for forks of a is over", |t| timer(t, TimerKind::Accepted, "a")),
    ("Hangup", |t| command(t, Command::Hangup { reason: String::new() })),
    ("Hold", |t| command(t, Command::Hold { leg_id: None, music: String::new() })),
    ("Unhold", |t| command(t, Command::Unhold { leg_id: None })),
];

/// What `ends` does not need: sessions that go other ways, and calls that end.
fn more_stages() -> Vec<(&'static str, Ladder)> {
    let ok = |lines: &[&str]| Answer::new(200).sdp(&sdp(lines));
    let early = |status| Answer::new(status).reliable(1).sdp(&sdp(&["audio 5000"]));
    let hang_up = |t: &mut Ladder| {
        t.command(Command::Hangup { reason: String::new() }).expect("a hang-up is always taken");
    };
    let mut stages = Vec::new();
    let mut keep = |name, t: &Ladder| {
        let mut t = t.clone();
        t.lines.clear();
        stages.push((name, t));
    };
    let mut t = Ladder::dial(Flow::Iii);
    t.reply("a", "INVITE", ok(&["audio 4000"]));
    keep("III: bob is dialled", &t);
    t.reply("b", "INVITE", ok(&["audio 5000"]));
    keep("III: alice is asked", &t);

    let mut t = Ladder::dial(Flow::Ringback);
    t.reply("a", "INVITE", ok(&[]));
    t.reply("b", "INVITE", early(180));
    t.reply("b", "INVITE", 200);
    keep("ringback: alice is updated, bob has answered", &t);
    let mut t = Ladder::dial(Flow::Ringback);
    t.reply("a", "INVITE", ok(&[]));
    t.reply("b", "INVITE", early(180));
    t.reply("a", "UPDATE", 405);
    keep("ringback: alice is invited again", &t);
    let mut t = Ladder::dial_with(Flow::Ringback, |policy| policy.parallel = true);
    t.reply("a", "INVITE", Answer::new(183).reliable(1).sdp(&sdp(&[])));
    t.reply("a", "PRACK", 200);
    keep("ringback: both are dialled at once", &t);

    let mut t = Ladder::dial_with(Flow::Iv, |policy| policy.max_duration_ms = 3_600_000);
    t.reply("a", "INVITE", ok(&[]));
    t.reply("b", "INVITE", 180);
    let mut cancelled = t.clone();
    hang_up(&mut cancelled);
    keep("ending: bob is cancelled, alice has BYE", &cancelled);
    t.reply("b", "INVITE", ok(&["audio 5000"]));
    t.reply("a", "INVITE", ok(&["audio 4000"]));
    keep("connected for a limited time, just now", &t);
    let mut held = t.clone();
    held.command(Command::Hold { leg_id: None, music: String::new() }).expect("connected calls can be held");
    keep("held: both are asked", &held);
    hang_up(&mut t);
    keep("ending: both have BYE", &t);
    t.reply("a", "BYE", 200);
    t.reply("b", "BYE", 200);
    t.wait(Duration::from_secs(40));
    keep("ended", &t);
    stages
}

fn answer(t: &mut Ladder, leg: &str, method: &str, answer: Answer) -> Option<()> {
    t.sent
        .iter()
        .any(|(on, _, request)| on == leg && request.method == method)
        .then(|| t.reply(leg, method, answer))
}

fn silence(t: &mut Ladder, leg: &str, method: &str, cause: FailureCause) -> Option<()> {
    t.sent
        .iter()
        .any(|(on, _, request)| on == leg && request.method == method)
        .then(|| t.silence(leg, method, cause))
}

/// Something about the last INVITE of the phone that has no final answer, or no ACK.
fn of_served(t: &mut Ladder, leg: &str, what: impl Fn(String) -> LegEvent) -> Option<()> {
    let on = t.call.legs.iter().find(|on| on.leg_id == leg)?;
    let served = on.served.iter().rev().find(|served| served.method == "INVITE")?;
    let what = what(served.transaction.clone());
    t.lines.push(String::new());
    t.event(leg, what);
    Some(())
}

/// This timer fires, and no other.
fn timer(t: &mut Ladder, kind: TimerKind, leg: &str) -> Option<()> {
    let leg = t.call.legs.iter().position(|on| on.leg_id == leg)?;
    let now_ms = t.now.millis();
    let is_it = |timer: &&mut Timer| timer.kind() == kind && timer.leg as usize == leg;
    t.call.timers.iter_mut().find(is_it)?.at_ms = now_ms;
    t.lines.push(String::new());
    t.take(&Event::Due).expect("a due event is always taken");
    Some(())
}

fn command(t: &mut Ladder, command: Command) -> Option<()> {
    if let Err(refused) = t.command(command) {
        t.lines.push(format!("refused: {refused}"));
    }
    Some(())
}

fn request(t: &mut Ladder, leg: &str, method: &str, sdp: Option<&str>) -> Option<()> {
    let has_dialog = t.call.legs.iter().any(|on| on.leg_id == leg && !on.remote_tag.is_empty());
    has_dialog.then(|| drop(t.request(leg, method, sdp)))
}
