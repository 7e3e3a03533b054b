use std::time::Duration;

use super::*;
use crate::config::Timing;
use crate::golden::{self, request, response};

impl golden::Machine for InviteClient {
    type Input = Owned;
    type Timer = Timer;

    fn name(&self) -> &'static str {
        match self {
            Self::Calling(_) => "Calling",
            Self::Unwanted(..) => "Unwanted",
            Self::Proceeding(_) => "Proceeding",
            Self::Cancelling(_) => "Cancelling",
            Self::Completed(_) => "Completed",
            Self::Accepted(_) => "Accepted",
            Self::Terminated => "Terminated",
        }
    }

    fn timer(&self) -> Option<(Instant, Timer)> {
        self.timer()
    }

    fn step(self, now: Instant, input: Owned, terms: Terms<'_>, effects: &mut Effects) -> Self {
        let failure;
        let input = match input {
            Owned::Provisional => Input::Provisional,
            Owned::Success => Input::Success,
            Owned::Failure => {
                failure = response(&request("INVITE"), 486);
                Input::Failure(&failure)
            }
            Owned::Cancel => Input::Cancel(Box::new(request("CANCEL"))),
            Owned::TransportError => Input::TransportError,
            Owned::Disconnected => Input::Disconnected,
            Owned::Timer(timer) => Input::Timer(timer),
        };
        self.step(now, input, terms, effects)
    }
}

/// An input that borrows nothing.
#[derive(Clone)]
pub(crate) enum Owned {
    Provisional,
    Success,
    Failure,
    Cancel,
    TransportError,
    Disconnected,
    Timer(Timer),
}

const INPUTS: [(&str, Owned); 11] = [
    ("1xx", Owned::Provisional),
    ("2xx", Owned::Success),
    ("300-699", Owned::Failure),
    ("CANCEL from user", Owned::Cancel),
    ("transport error", Owned::TransportError),
    ("end of connection", Owned::Disconnected),
    ("Timer A", Owned::Timer(Timer::A)),
    ("Timer B", Owned::Timer(Timer::B)),
    ("Timer Cancelled", Owned::Timer(Timer::Cancelled)),
    ("Timer D", Owned::Timer(Timer::D)),
    ("Timer M", Owned::Timer(Timer::M)),
];

fn states(start: Instant, reliable: bool) -> Vec<InviteClient> {
    let timing = Timing::default();
    let terms = Terms { timing: &timing, reliable };
    let after = |state: &InviteClient, input: Owned| {
        golden::Machine::step(state.clone(), start, input, terms, &mut Effects::new())
    };
    let calling = InviteClient::start(start, request("INVITE"), terms, &mut Effects::new());
    let proceeding = after(&calling, Owned::Provisional);
    let mut states = vec![after(&calling, Owned::Cancel), after(&proceeding, Owned::Cancel)];
    states.insert(0, calling.clone());
    states.insert(2, proceeding);
    if !reliable {
        // Over a reliable transport nothing is left to absorb, so that the state is never entered.
        states.push(after(&calling, Owned::Failure));
    }
    states.push(after(&calling, Owned::Success));
    states.push(InviteClient::Terminated);
    states
}

/// TXN-01, TXN-02, TXN-03
#[test]
fn every_state_meets_every_input_over_datagrams() {
    let start = Instant::now();
    let table = golden::table(start, Duration::from_millis(500), &states(start, false), &INPUTS, false);
    insta::assert_snapshot!(table);
}

/// TXN-01, TXN-02, TXN-03
#[test]
fn every_state_meets_every_input_over_a_reliable_transport() {
    let start = Instant::now();
    let table = golden::table(start, Duration::from_millis(500), &states(start, true), &INPUTS, true);
    insta::assert_snapshot!(table);
}
