//! The time of day, derived from the runtime's virtual time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ambient::WallClock;
use tokio::time::Instant;

/// When every run begins, in seconds since 1970.
const START: u64 = 1_800_000_000;

/// The wall clock of a run. Clones show the same time.
#[derive(Clone, Copy, Debug)]
pub struct VirtualClock {
    start: Instant,
}

impl VirtualClock {
    /// A clock that starts now.
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// How long the run lasts by now.
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }
}

impl WallClock for VirtualClock {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(START) + self.start.elapsed()
    }
}
