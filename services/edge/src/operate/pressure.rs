//! When the delay of the driver loop is overload: not when one round was long, but when no round was short for a while.
//!
//! A burst, a page fault or another process on the core makes a single round long; refusing for that would turn good requests
//! away from a server that has room. RFC 8289 4.2 draws the same line between a good queue and a bad one.

use std::time::{Duration, Instant};

/// The delay of the last rounds.
#[derive(Debug, Default)]
pub(crate) struct Pressure {
    /// Since when no round was short, and the shortest delay since then.
    above: Option<(Instant, Duration)>,
}

impl Pressure {
    /// Notes the delay of a round.
    pub(crate) fn note(&mut self, now: Instant, lag: Duration, target: Duration) {
        self.above = match self.above {
            _ if lag <= target => None,
            Some((since, least)) => Some((since, least.min(lag))),
            None => Some((now, lag)),
        };
    }

    /// The delay, when it stayed above the target for this long.
    pub(crate) fn lasting(&self, now: Instant, interval: Duration) -> Option<Duration> {
        let (since, least) = self.above?;
        (now.saturating_duration_since(since) >= interval).then_some(least)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: Duration = Duration::from_millis(10);
    const INTERVAL: Duration = Duration::from_millis(100);
    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn one_long_round_is_no_overload() {
        let (mut pressure, now) = (Pressure::default(), Instant::now());
        pressure.note(now, MS * 90, TARGET);
        assert_eq!(pressure.lasting(now + MS * 90, INTERVAL), None);
        pressure.note(now + MS * 91, MS, TARGET);
        assert_eq!(pressure.lasting(now + MS * 500, INTERVAL), None);
    }

    #[test]
    fn rounds_that_stay_long_are_overload_as_bad_as_the_shortest_of_them() {
        let (mut pressure, now) = (Pressure::default(), Instant::now());
        for (at, lag) in [(0, 40), (40, 25), (65, 60), (125, 30)] {
            pressure.note(now + MS * at, MS * lag, TARGET);
        }
        assert_eq!(pressure.lasting(now + MS * 125, INTERVAL), Some(MS * 25));
        pressure.note(now + MS * 126, MS * 10, TARGET);
        assert_eq!(pressure.lasting(now + MS * 127, INTERVAL), None);
    }
}
