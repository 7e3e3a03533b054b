//! When to speak of something that is away: at once, then ever more rarely, and once when it is back.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Pause before the second word; it doubles from word to word.
const FIRST_PAUSE: Duration = Duration::from_secs(60);
/// Longest pause: whoever looks at a log of the last hour sees it.
const LONGEST_PAUSE: Duration = Duration::from_secs(1800);

/// Something that several need and miss together, such as the links to one server. They speak as one.
#[derive(Debug, Default)]
pub struct Outage(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Who misses it: as many as there are names for users of it in the code.
    missing: BTreeSet<String>,
    said: Option<Said>,
}

#[derive(Debug)]
struct Said {
    next: Instant,
    pause: Duration,
}

impl Outage {
    /// `who` misses it. Returns whether that is to be said now.
    pub fn missed(&self, who: &str, now: Instant) -> bool {
        let mut state = self.0.lock();
        if !state.missing.contains(who) {
            state.missing.insert(who.to_owned());
        }
        let pause = match &state.said {
            None => FIRST_PAUSE,
            Some(said) if now >= said.next => (said.pause * 2).min(LONGEST_PAUSE),
            Some(_) => return false,
        };
        state.said = Some(Said { next: now + pause, pause });
        true
    }

    /// `who` has it. Returns whether it is to be said that it is back: when the last of those who missed it has it.
    pub fn found(&self, who: &str) -> bool {
        let mut state = self.0.lock();
        state.missing.remove(who) && state.missing.is_empty() && state.said.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_said_at_once_then_more_and_more_rarely() {
        let (outage, start) = (Outage::default(), Instant::now());
        let mut said = Vec::new();
        for second in 0..4 * 3600 {
            let now = start + Duration::from_secs(second);
            // Three who miss it speak as one.
            for who in ["reads", "commits-0", "commits-1"] {
                said.extend(outage.missed(who, now).then_some(second));
            }
        }
        assert_eq!(said, [0, 60, 180, 420, 900, 1860, 3660, 5460, 7260, 9060, 10860, 12660]);
    }

    #[test]
    fn its_end_is_said_once_when_everybody_has_it_again() {
        let (outage, now) = (Outage::default(), Instant::now());
        assert!(!outage.found("a"), "there was no outage");
        assert!(outage.missed("a", now));
        assert!(!outage.missed("b", now));
        assert!(!outage.found("a"), "b still misses it");
        assert!(!outage.missed("a", now), "and it is the same outage");
        assert!(!outage.found("a"));
        assert!(outage.found("b"));
        assert!(!outage.found("b"));
        assert!(outage.missed("b", now), "the next one");
    }
}
