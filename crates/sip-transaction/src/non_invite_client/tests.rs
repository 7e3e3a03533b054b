use std::time::Duration;

use super::*;
use crate::config::Timing;
use crate::golden::{self, request};

impl golden::Machine for NonInviteClient {
    type Input = Input;
    type Timer = Timer;

    fn name(&self) -> &'static str {
        match self {
            Self::Trying(_) => "Trying",
            Self::Proceeding(_) => "Proceeding",
            Self::Completed(_) => "Completed",
            Self::Terminated => "Terminated",
        }
    }

    fn timer(&self) -> Option<(Instant, Timer)> {
        self.timer()
    }

    fn step(self, now: Instant, input: Input, terms: Terms<'_>, effects: &mut Effects) -> Self {
        self.step(now, input, terms, effects)
    }
}

const INPUTS: [(&str, Input); 6] = [
    ("1xx", Input::Provisional),
    ("200-699", Input::Final),
    ("transport error", Input::TransportError),
    ("Timer E", Input::Timer(Timer::E)),
    ("Timer F", Input::Timer(Timer::F)),
    ("Timer K", Input::Timer(Timer::K)),
];

fn states(start: Instant, reliable: bool) -> Vec<NonInviteClient> {
    let timing = Timing::default();
    let terms = Terms { timing: &timing, reliable };
    let trying = NonInviteClient::start(start, &request("BYE"), terms, &mut Effects::new());
    let proceeding = trying.clone().step(start, Input::Provisional, terms, &mut Effects::new());
    let completed = trying.clone().step(start, Input::Final, terms, &mut Effects::new());
    vec![trying, proceeding, completed]
}

/// TXN-08
#[test]
fn every_state_meets_every_input_over_datagrams() {
    let start = Instant::now();
    let table = golden::table(start, Duration::from_millis(500), &states(start, false), &INPUTS, false);
    insta::assert_snapshot!(table);
}

/// TXN-08
#[test]
fn every_state_meets_every_input_over_a_reliable_transport() {
    let start = Instant::now();
    let table = golden::table(start, Duration::from_millis(500), &states(start, true), &INPUTS, true);
    insta::assert_snapshot!(table);
}
