use std::time::Duration;

use super::*;
use crate::config::Timing;
use crate::golden::{self, request, response};

impl golden::Machine for NonInviteServer {
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

fn bytes(status: u16) -> Bytes {
    response(&request("REGISTER"), status).bytes().clone()
}

fn inputs() -> Vec<(&'static str, Input)> {
    vec![
        ("request again", Input::Again),
        ("100 from user", Input::Trying(bytes(100))),
        ("other 1xx", Input::Provisional),
        ("408 from user", Input::Timeout),
        ("other final", Input::Final(bytes(200))),
        ("transport error", Input::TransportError),
        ("Timer Trying", Input::Timer(Timer::Trying)),
        ("Timer Useless", Input::Timer(Timer::Useless)),
        ("Timer J", Input::Timer(Timer::J)),
    ]
}

fn states(start: Instant, reliable: bool) -> Vec<NonInviteServer> {
    let timing = Timing::default();
    let terms = Terms { timing: &timing, reliable };
    let after = |state: &NonInviteServer, input| state.clone().step(start, input, terms, &mut Effects::new());
    let trying = NonInviteServer::start(start, request("REGISTER"), terms);
    let proceeding = after(&trying, Input::Timer(Timer::Trying));
    let completed = after(&trying, Input::Final(bytes(404)));
    vec![trying, proceeding, completed]
}

/// TXN-09, TXN-12, TXN-13
#[test]
fn every_state_meets_every_input_over_datagrams() {
    let start = Instant::now();
    let table = golden::table(start, Duration::from_millis(500), &states(start, false), &inputs(), false);
    insta::assert_snapshot!(table);
}

/// TXN-09, TXN-12, TXN-13
#[test]
fn every_state_meets_every_input_over_a_reliable_transport() {
    let start = Instant::now();
    let table = golden::table(start, Duration::from_millis(500), &states(start, true), &inputs(), true);
    insta::assert_snapshot!(table);
}

/// TXN-12, TXN-13: with a T2 beyond 64*T1 the sender gives up before a 100 is due, and what it hears then is of no use.
#[test]
fn no_100_comes_after_the_sender_has_given_up() {
    let start = Instant::now();
    for (t2, expected) in [(4, Timer::Trying), (4_000, Timer::Useless)] {
        let timing = Timing { t2: Duration::from_secs(t2), ..Timing::default() };
        let terms = Terms { timing: &timing, reliable: false };
        let (at, timer) =
            NonInviteServer::start(start, request("REGISTER"), terms).timer().expect("one is set");
        assert_eq!(timer, expected, "T2 of {t2} s");
        assert!(at <= start + timing.timeout());
    }
}
