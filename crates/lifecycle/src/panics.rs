//! Panics in the log: each one line, and not more of them than somebody can read.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::tasks::panic_message;

/// Lines in one window.
const LINES: u32 = 5;

/// After this long the count begins anew: a panic per message is then told twice a minute with the number of the others.
const WINDOW: Duration = Duration::from_secs(30);

/// Lets the first lines of a window through and counts the others.
#[derive(Debug)]
pub struct LogLimit(Mutex<Window>);

#[derive(Debug)]
struct Window {
    began: Option<Instant>,
    said: u32,
    unsaid: u64,
}

impl LogLimit {
    /// Nothing was said yet.
    pub const fn new() -> Self {
        Self(Mutex::new(Window { began: None, said: 0, unsaid: 0 }))
    }

    /// Whether a line may be written now; then with the number of lines that were left out before it.
    pub fn admit(&self, now: Instant) -> Option<u64> {
        let mut window = self.0.lock();
        if window.began.is_none_or(|began| now.saturating_duration_since(began) >= WINDOW) {
            (window.began, window.said) = (Some(now), 0);
        }
        if window.said == LINES {
            window.unsaid += 1;
            return None;
        }
        window.said += 1;
        Some(std::mem::take(&mut window.unsaid))
    }
}

impl Default for LogLimit {
    fn default() -> Self {
        Self::new()
    }
}

/// From now on a panic is an event of the log, with its place and limited in number, instead of raw text on standard error.
pub fn log_panics() {
    static PLACES: LogLimit = LogLimit::new();
    std::panic::set_hook(Box::new(|panic| {
        if let Some(unsaid) = PLACES.admit(Instant::now()) {
            let at = panic.location().map_or_else(|| "nowhere".to_owned(), ToString::to_string);
            let message = panic_message(panic.payload());
            tracing::error!(at, unsaid, "panic: {message}");
        }
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// F21
    #[test]
    fn many_panics_are_few_lines_and_a_number() {
        let (limit, start) = (LogLimit::new(), Instant::now());
        let said = (0..1000).filter(|_| limit.admit(start).is_some()).count();
        assert_eq!(said, 5);
        assert_eq!(limit.admit(start + WINDOW), Some(995));
        assert_eq!(limit.admit(start + WINDOW), Some(0));
    }
}
