//! Change notification: a hint to look again, never the news itself.

use std::time::Duration;

use tokio::sync::watch;

/// Wakes a reader when something it watches may have changed.
///
/// Wakeups are merged, may be false, and come at least every [`Wakeups::FALLBACK`] even when the notification path is
/// broken: what the reader finds in the store is the only truth.
pub struct Wakeups {
    changes: watch::Receiver<u64>,
}

impl Wakeups {
    /// The longest time without a wakeup.
    pub const FALLBACK: Duration = Duration::from_secs(1);

    pub(crate) fn new(mut changes: watch::Receiver<u64>) -> Wakeups {
        changes.mark_unchanged();
        Wakeups { changes }
    }

    /// Waits for the next wakeup. Changes since the last one (or since the watch began) wake at once.
    /// Cancelling loses nothing. Returns whether a change was announced; `false` is the fallback.
    pub async fn recv(&mut self) -> bool {
        match tokio::time::timeout(Wakeups::FALLBACK, self.changes.changed()).await {
            Ok(Ok(())) => true,
            Err(_) => false,
            // The engine is gone; keep the rhythm instead of spinning.
            Ok(Err(_)) => {
                tokio::time::sleep(Wakeups::FALLBACK).await;
                false
            }
        }
    }
}
