//! The server's time of day, between the moments when it tells it.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

/// An estimate of the server's clock that is behind it by at most one round trip and never ahead of it (but for drift
/// within the second between two readings), so that what is due "now" can be claimed at once.
pub(super) struct ServerClock {
    reading: Mutex<Option<(Instant, Duration)>>,
}

impl ServerClock {
    pub(super) fn new() -> ServerClock {
        ServerClock { reading: Mutex::new(None) }
    }

    /// The server said this just now.
    pub(super) fn set(&self, micros: u64) {
        *self.reading.lock() = Some((Instant::now(), Duration::from_micros(micros)));
    }

    /// Falls back to the local clock until the server was heard for the first time.
    pub(super) fn now(&self) -> SystemTime {
        match *self.reading.lock() {
            Some((at, time)) => UNIX_EPOCH + time + at.elapsed(),
            None => SystemTime::now(),
        }
    }
}
