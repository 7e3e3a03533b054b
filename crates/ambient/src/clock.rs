//! The time of day.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Tells the time of day. It may jump: nothing that measures a duration uses it.
pub trait WallClock: Send + Sync + 'static {
    /// The time of day.
    fn now(&self) -> SystemTime;

    /// Milliseconds since 1970, zero before that.
    fn unix_millis(&self) -> u64 {
        let since = self.now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

impl<C: WallClock + ?Sized> WallClock for Arc<C> {
    fn now(&self) -> SystemTime {
        (**self).now()
    }
}

/// The clock of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl WallClock for SystemClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}

/// A clock that stands still until it is moved. Clones show the same time.
#[derive(Clone, Debug)]
pub struct FixedClock {
    now: Arc<Mutex<SystemTime>>,
}

impl FixedClock {
    /// A clock that shows `now`.
    pub fn at(now: SystemTime) -> Self {
        Self { now: Arc::new(Mutex::new(now)) }
    }

    /// A clock that shows a time given in seconds since 1970.
    pub fn at_unix_seconds(seconds: u64) -> Self {
        Self::at(UNIX_EPOCH + Duration::from_secs(seconds))
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) += by;
    }

    /// Makes the clock jump, backwards too.
    pub fn set(&self, now: SystemTime) {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }
}

impl WallClock for FixedClock {
    fn now(&self) -> SystemTime {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_of_a_fixed_clock_show_the_same_time() {
        let clock = FixedClock::at_unix_seconds(100);
        let shared: Arc<dyn WallClock> = Arc::new(clock.clone());
        clock.advance(Duration::from_millis(1500));
        assert_eq!(shared.unix_millis(), 101_500);
    }

    #[test]
    fn a_time_before_1970_counts_as_zero() {
        let clock = FixedClock::at(UNIX_EPOCH - Duration::from_secs(5));
        assert_eq!(clock.unix_millis(), 0);
    }
}
