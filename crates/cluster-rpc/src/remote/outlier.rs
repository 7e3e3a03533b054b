//! When a replica is left alone: after failures in a row, for a time that doubles until it answers again.

use std::time::{Duration, Instant};

use super::Config;

/// The record of one replica.
#[derive(Debug, Default)]
pub(super) struct Outlier {
    failures: u32,
    ejections: u32,
    until: Option<Instant>,
}

impl Outlier {
    /// Notes an answer.
    pub(super) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// Notes a failure; returns whether the replica is left alone from now on.
    pub(super) fn failed(&mut self, now: Instant, config: &Config) -> bool {
        if !self.available(now) {
            return false; // a call that began before the ejection
        }
        self.failures += 1;
        // After the first ejection one failure is enough: the replica is on probation.
        if self.failures < config.eject_after && self.ejections == 0 {
            return false;
        }
        let doubled = config.eject_for.saturating_mul(1_u32 << self.ejections.min(16));
        self.until = Some(now + doubled.min(config.eject_at_most));
        self.ejections += 1;
        self.failures = 0;
        true
    }

    /// Whether calls may go to it.
    pub(super) fn available(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| now >= until)
    }

    /// How long it is still left alone.
    pub(super) fn remaining(&self, now: Instant) -> Duration {
        self.until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_in_a_row_eject_and_an_answer_forgives() {
        let (config, now) = (Config::default(), Instant::now());
        let mut replica = Outlier::default();
        assert!(!replica.failed(now, &config));
        assert!(!replica.failed(now, &config));
        replica.succeeded();
        assert!(!replica.failed(now, &config));
        assert!(!replica.failed(now, &config));
        assert!(replica.failed(now, &config));
        assert!(!replica.available(now));
        assert!(replica.available(now + config.eject_for));
    }

    #[test]
    fn on_probation_one_failure_ejects_for_twice_as_long_up_to_a_limit() {
        let (config, mut now) = (Config { eject_after: 1, ..Config::default() }, Instant::now());
        let mut replica = Outlier::default();
        for seconds in [1, 2, 4, 8, 16, 30, 30] {
            assert!(replica.failed(now, &config));
            assert_eq!(replica.remaining(now), Duration::from_secs(seconds));
            assert!(!replica.failed(now, &config), "late failures do not count twice");
            now += Duration::from_secs(seconds);
            assert!(replica.available(now));
        }
    }
}
