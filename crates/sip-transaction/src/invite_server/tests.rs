use std::time::Duration;

use super::*;
use crate::config::Timing;
use crate::golden::{self, request, response};

impl golden::Machine for InviteServer {
    type Input = Input;
    type Timer = Timer;

    fn name(&self) -> &'static str {
        match self {
            Self::Unanswered(_) => "Unanswered",
            Self::Proceeding(_) => "Proceeding",
            Self::Accepted(_) => "Accepted",
            Self::Completed(_) => "Completed",
            Self::Confirmed(_) => "Confirmed",
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

fn bytes(status: u16) -> Bytes {
    response(&request("INVITE"), status).bytes().clone()
}

fn inputs() -> Vec<(&'static str, Input)> {
    vec![
        ("INVITE again", Input::Again),
        ("ACK", Input::Ack),
        ("1xx from user", Input::Provisional(bytes(180))),
        ("2xx from user", Input::Success(bytes(200))),
        ("300-699 from user", Input::Failure(bytes(486))),
        ("transport error", Input::TransportError),
        ("Timer Trying", Input::Timer(Timer::Trying)),
        ("Timer G", Input::Timer(Timer::G)),
        ("Timer H", Input::Timer(Timer::H)),
        ("Timer I", Input::Timer(Timer::I)),
        ("Timer L", Input::Timer(Timer::L)),
    ]
}

fn states(start: Instant, reliable: bool) -> Vec<InviteServer> {
    let timing = Timing::default();
    let terms = Terms { timing: &timing, reliable };
    let after = |state: &InviteServer, input| state.clone().step(start, input, terms, &mut Effects::new());
    let unanswered = InviteServer::start(start, request("INVITE"), terms);
    let completed = after(&unanswered, Input::Failure(bytes(404)));
    let proceeding = after(&unanswered, Input::Provisional(bytes(183)));
    let accepted = after(&unanswered, Input::Success(bytes(200)));
    let confirmed = after(&completed, Input::Ack);
    vec![unanswered, proceeding, accepted, completed, confirmed]
}

/// TXN-04, TXN-05, TXN-06, TXN-07, TXN-15
#[test]
fn every_state_meets_every_input_over_datagrams() {
    let start = Instant::now();
    let table = golden::table(start, Duration::from_millis(500), &states(start, false), &inputs(), false);
    insta::assert_snapshot!(table);
}

/// TXN-04, TXN-05, TXN-06, TXN-07, TXN-15
#[test]
fn every_state_meets_every_input_over_a_reliable_transport() {
    let start = Instant::now();
    let table = golden::table(start, Duration::from_millis(500), &states(start, true), &inputs(), true);
    insta::assert_snapshot!(table);
}
