//! When the operator's service is not asked: after it did not answer a few times in a row, for a time that doubles until it answers.
//!
//! | state   | a question                 | an answer | no answer                             | its time is over  |
//! |---------|----------------------------|-----------|---------------------------------------|-------------------|
//! | closed  | is asked                   | closed    | the third in a row: open              |                   |
//! | open    | is not                     | closed    | open: it was asked before             | the next is asked |
//! | probing | is not, but for that one   | closed    | of that one: open, for twice as long  |                   |

use std::time::{Duration, Instant};

/// Answers in a row that did not come.
const MISSED: u32 = 3;
/// How long nothing is asked the first time.
const FIRST: Duration = Duration::from_secs(1);
/// How long at most.
const LONGEST: Duration = Duration::from_secs(30);

/// Whether the service is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Closed { missed: u32 },
    Open { until: Instant, span: Duration },
    Probing { question: u64, span: Duration },
}

/// The state, and the number of questions so far.
#[derive(Debug)]
pub(super) struct Circuit {
    state: State,
    asked: u64,
}

impl Default for Circuit {
    fn default() -> Self {
        Self { state: State::Closed { missed: 0 }, asked: 0 }
    }
}

impl Circuit {
    /// The number of a question that may be asked now; `None` when none may.
    pub(super) fn ask(&mut self, now: Instant) -> Option<u64> {
        let question = self.asked + 1;
        match self.state {
            State::Closed { .. } => {}
            State::Open { until, span } if now >= until => self.state = State::Probing { question, span },
            State::Open { .. } | State::Probing { .. } => return None,
        }
        self.asked = question;
        Some(question)
    }

    /// Notes whether a question was answered.
    pub(super) fn heard(&mut self, question: u64, is_there: bool, now: Instant) {
        self.state = match self.state {
            _ if is_there => State::Closed { missed: 0 },
            State::Closed { missed } if missed + 1 < MISSED => State::Closed { missed: missed + 1 },
            State::Closed { .. } => State::Open { until: now + FIRST, span: FIRST },
            State::Probing { question: probe, span } if probe == question => {
                let span = span.saturating_mul(2).min(LONGEST);
                State::Open { until: now + span, span }
            }
            // it was asked before
            State::Open { until, span } => State::Open { until, span },
            State::Probing { question, span } => State::Probing { question, span },
        };
    }

    /// Whether every question is asked.
    pub(super) fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missed(circuit: &mut Circuit, now: Instant) {
        let question = circuit.ask(now).expect("it is asked");
        circuit.heard(question, false, now);
    }

    #[test]
    fn three_answers_that_do_not_come_in_a_row_open_it_and_one_that_comes_closes_it() {
        let (mut circuit, now) = (Circuit::default(), Instant::now());
        missed(&mut circuit, now);
        missed(&mut circuit, now);
        let question = circuit.ask(now).unwrap();
        circuit.heard(question, true, now);
        missed(&mut circuit, now);
        missed(&mut circuit, now);
        assert!(circuit.is_closed(), "not in a row");
        missed(&mut circuit, now);
        assert!(!circuit.is_closed());
        assert_eq!(circuit.ask(now + FIRST - Duration::from_millis(1)), None);
        let probe = circuit.ask(now + FIRST).expect("one is asked");
        assert_eq!(circuit.ask(now + FIRST), None, "and no other before it is answered");
        circuit.heard(probe, true, now + FIRST);
        assert!(circuit.is_closed() && circuit.ask(now + FIRST).is_some());
    }

    #[test]
    fn the_time_doubles_up_to_a_bound_and_late_losses_do_not_count_twice() {
        let (mut circuit, mut now) = (Circuit::default(), Instant::now());
        let early = circuit.ask(now).unwrap();
        for _ in 0..MISSED {
            missed(&mut circuit, now);
        }
        circuit.heard(early, false, now);
        for seconds in [1, 2, 4, 8, 16, 30, 30] {
            now += Duration::from_secs(seconds);
            assert_eq!(circuit.ask(now - Duration::from_millis(1)), None, "{seconds}");
            let probe = circuit.ask(now).expect("its time is over");
            circuit.heard(early, false, now);
            assert_eq!(circuit.ask(now), None, "the probe is what counts");
            circuit.heard(probe, false, now);
        }
        circuit.heard(early, true, now);
        assert!(circuit.is_closed(), "an answer, however late, says that it is there");
    }
}
