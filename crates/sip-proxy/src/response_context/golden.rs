//! Every state of a branch against everything that can happen, as text to read beside RFC 3261 16.7.
//!
//! A row says what becomes of the first branch, of the others, which timers run then, and what is to be done.

use std::fmt::Write;
use std::time::Duration;

use super::branch::State;
use super::tests::{Call, INVITE, Phone, forwarding, plan};
use super::{BranchFailure, Group, Nature, Settings};

/// What leads the first branch into a state.
type Reach = fn(&mut Call);
/// What happens then.
type Input = fn(&mut Call) -> Vec<String>;

const RING: Duration = Duration::from_secs(60);
/// Longer than Timer C, which would not be seen otherwise.
const LONG_RING: Duration = Duration::from_secs(1000);

const ALONE: [(&str, Reach); 9] = [
    ("Calling", |_| {}),
    ("Calling, CANCEL held", |call| drop(call.cancels())),
    ("Proceeding", |call| drop(call.says(0, 180))),
    ("Cancelling for the caller", |call| {
        call.says(0, 180);
        call.cancels();
    }),
    ("Cancelling for no answer", |call| {
        call.says(0, 180);
        ring(call);
    }),
    ("Redirecting", |call| drop(call.says(0, 302))),
    ("Ended by a response", |call| drop(call.says(0, 404))),
    ("Ended in silence", |call| ring(call)),
    ("Answered", |call| drop(call.says(0, 200))),
];

const BESIDE_ANOTHER: [(&str, Reach); 4] = [
    ("Calling, another one answered", |call| drop(call.says(1, 200))),
    ("Cancelling, another one answered", |call| {
        call.says(0, 180);
        call.says(1, 200);
    }),
    ("Calling, another one declined", |call| drop(call.says(1, 603))),
    ("Cancelling, another one declined", |call| {
        call.says(0, 180);
        call.says(1, 603);
    }),
];

const INPUTS: [(&str, Duration, Input); 19] = [
    ("100", RING, |call| call.says(0, 100)),
    ("180", RING, |call| call.says(0, 180)),
    ("200", RING, |call| call.says(0, 200)),
    ("302", RING, |call| call.says(0, 302)),
    ("404", RING, |call| call.says(0, 404)),
    ("408", RING, |call| call.says(0, 408)),
    ("486", RING, |call| call.says(0, 486)),
    ("487", RING, |call| call.says(0, 487)),
    ("600", RING, |call| call.says(0, 600)),
    ("603", RING, |call| call.says(0, 603)),
    ("timeout", RING, |call| call.fails(0, BranchFailure::Timeout)),
    ("transport error", RING, |call| call.fails(0, BranchFailure::Transport)),
    ("flow failed", RING, |call| call.fails(0, BranchFailure::FlowFailed)),
    ("refused with 482", RING, |call| call.fails(0, BranchFailure::Refused(482))),
    ("CANCEL", RING, Call::cancels),
    ("new target", RING, |call| call.redirects(0, &["d"])),
    ("no new target", RING, |call| call.redirects(0, &[])),
    ("ring time", RING, |call| passes(call, RING)),
    ("Timer C", LONG_RING, |call| passes(call, Settings::default().timer_c)),
];

/// PXY-15, PXY-16, PXY-18, PXY-21, PXY-22, PXY-23, LAD-10 R15
#[test]
fn every_state_beside_another_branch_meets_everything() {
    let groups = || plan(&[&["a", "b"], &["c"]]);
    let states = [&ALONE[..], &BESIDE_ANOTHER].concat();
    insta::assert_snapshot!(table(INVITE, groups, &states));
}

/// FWD-03, FWD-04, FWD-05, PXY-17
#[test]
fn every_state_of_an_only_branch_meets_everything() {
    insta::assert_snapshot!(table(INVITE, forwarding, &ALONE));
}

/// TXN-12
#[test]
fn every_state_of_what_is_no_invite_meets_everything() {
    let nature = Nature { invite: false, ..INVITE };
    let groups = || plan(&[&["a", "b"], &["c"]]);
    let reached = |(state, _): &&(&str, Reach)| {
        ["Calling", "Proceeding", "Redirecting", "Ended by a response", "Answered"].contains(state)
    };
    let states: Vec<(&str, Reach)> = ALONE.iter().filter(reached).copied().collect();
    insta::assert_snapshot!(table(nature, groups, &states));
}

/// Runs everything in every state, 10 s after the state was entered.
fn table(nature: Nature, groups: impl Fn() -> Vec<Group<Phone>>, states: &[(&str, Reach)]) -> String {
    let mut text = String::new();
    for (state, reach) in states {
        writeln!(text, "{state}").unwrap();
        for (name, ring_time, input) in INPUTS {
            let settings = Settings { ring_time, ..Settings::default() };
            let mut call = Call::with(settings, nature, groups());
            call.takes();
            reach(&mut call);
            call.takes();
            call.wait(10);
            call.takes();
            let outputs = input(&mut call);
            let outputs = if outputs.is_empty() { "-".to_owned() } else { outputs.join(", ") };
            writeln!(text, "  {name:<16} -> {:<54} {outputs}", print(&call)).unwrap();
        }
    }
    text
}

/// Every branch with its state and its Timer C, and the ring time.
fn print(call: &Call) -> String {
    let left = |at: std::time::Instant| at.saturating_duration_since(call.now).as_secs();
    let mut words: Vec<String> = Vec::new();
    for branch in &call.context.branches {
        let state = match branch.state {
            State::Calling { cancel: None, .. } => "calling",
            State::Calling { cancel: Some(_), .. } => "held",
            State::Proceeding { .. } => "ringing",
            State::Cancelling { .. } => "cancelling",
            State::Redirecting { .. } => "redirecting",
            State::Ended { silent: false, .. } => "ended",
            State::Ended { silent: true, .. } => "silent",
            State::Answered => "answered",
        };
        let timer = branch.timer_c().map_or(String::new(), |at| format!(" {}", left(at)));
        words.push(format!("{} {state}{timer}", branch.target.uri));
    }
    match call.context.ringing.over {
        _ if call.context.is_finished() => words.push("finished".to_owned()),
        Some(at) => words.push(format!("ring {}", left(at))),
        None => {}
    }
    words.join("; ")
}

fn ring(call: &mut Call) {
    let ring_time = call.context.settings.ring_time;
    passes(call, ring_time);
}

fn passes(call: &mut Call, time: Duration) -> Vec<String> {
    call.wait(time.as_secs());
    call.takes()
}
