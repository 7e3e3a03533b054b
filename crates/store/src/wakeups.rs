//! Change notification: a hint to look again, never the news itself.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

/// Below so many names nobody looks for those that are not watched.
const SMALL: usize = 16;

/// Wakes a reader when something it watches may have changed.
///
/// Wakeups are merged, may be false, and come at least every [`Wakeups::FALLBACK`] even when the notification path is
/// broken: what the reader finds in the store is the only truth.
pub struct Wakeups {
    changes: Arc<Shared>,
    seen: u64,
}

/// What is watched. Readers are woken in the order in which they began to wait: a watch channel wakes them in an order of chance,
/// and no run of a simulation could be repeated.
#[derive(Default)]
pub(crate) struct Changes(Arc<Shared>);

#[derive(Default)]
struct Shared {
    count: AtomicU64,
    changed: Notify,
}

impl Changes {
    /// Wakes who waits. Who begins to watch meanwhile looks at what is there then: nothing is done for nobody.
    pub(crate) fn announce(&self) {
        if !self.is_watched() {
            return;
        }
        self.0.count.fetch_add(1, Ordering::Release);
        self.0.changed.notify_waiters();
    }

    /// Wakeups for what is announced from now on.
    pub(crate) fn watch(&self) -> Wakeups {
        Wakeups { changes: Arc::clone(&self.0), seen: self.0.count.load(Ordering::Acquire) }
    }

    fn is_watched(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }
}

impl Wakeups {
    /// The longest time without a wakeup.
    pub const FALLBACK: Duration = Duration::from_secs(1);

    /// Waits for the next wakeup. Changes since the last one (or since the watch began) wake at once.
    /// Cancelling loses nothing. Returns whether a change was announced; `false` is the fallback, also when the engine is gone.
    pub async fn recv(&mut self) -> bool {
        tokio::time::timeout(Wakeups::FALLBACK, self.changed()).await.is_ok()
    }

    async fn changed(&mut self) {
        loop {
            let mut changed = pin!(self.changes.changed.notified());
            // What is announced after the look at the number wakes, too.
            changed.as_mut().enable();
            let count = self.changes.count.load(Ordering::Acquire);
            if std::mem::replace(&mut self.seen, count) != count {
                return;
            }
            changed.await;
        }
    }
}

/// Who waits for entries of which log, whether it ever had one or not.
#[derive(Default)]
pub(crate) struct Watched {
    logs: HashMap<String, Changes>,
    /// So many were left when it was last looked for those that nobody watches any more.
    left: usize,
}

impl Watched {
    /// Asking leaves nothing behind for long: names without a watcher go whenever the table has doubled.
    pub(crate) fn watch(&mut self, log: &str) -> Wakeups {
        if self.logs.len() > 2 * self.left + SMALL {
            self.logs.retain(|_, changes| changes.is_watched());
            self.left = self.logs.len();
        }
        match self.logs.get(log) {
            Some(changes) => changes.watch(),
            None => self.logs.entry(log.to_owned()).or_default().watch(),
        }
    }

    /// Wakes who waits for this log.
    pub(crate) fn announce(&self, log: &str) {
        if let Some(changes) = self.logs.get(log) {
            changes.announce();
        }
    }

    /// Wakes everybody.
    pub(crate) fn announce_all(&self) {
        self.logs.values().for_each(Changes::announce);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watched_name_is_forgotten_after_its_last_watcher_and_not_before() {
        let mut watched = Watched::default();
        let kept: Vec<_> = (0..100).map(|n| watched.watch(&format!("heard-{n}"))).collect();
        for n in 0..10_000 {
            drop(watched.watch(&format!("unheard-{n}")));
        }
        assert!(watched.logs.len() <= 2 * kept.len() + SMALL + 1, "{} names are left", watched.logs.len());
        assert!((0..100).all(|n| watched.logs.contains_key(&format!("heard-{n}"))));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_announced_between_two_looks_wakes_once_and_nothing_else_does() {
        let changes = Changes::default();
        let mut wakeups = changes.watch();
        changes.announce();
        changes.announce();
        assert!(wakeups.recv().await, "it was announced before anybody waited");
        assert!(!wakeups.recv().await, "the second look comes by itself");
        let mut late = changes.watch();
        assert!(!late.recv().await, "what was before the watch began is no news");
    }

    #[tokio::test(start_paused = true)]
    async fn readers_are_woken_in_the_order_of_waiting() {
        let changes = Changes::default();
        let (told, mut order) = tokio::sync::mpsc::unbounded_channel();
        for reader in 0..50 {
            let (mut wakeups, told) = (changes.watch(), told.clone());
            tokio::spawn(async move {
                wakeups.recv().await;
                let _ = told.send(reader);
            });
        }
        drop(told);
        tokio::task::yield_now().await;
        changes.announce();
        let mut woken = Vec::new();
        while let Some(reader) = order.recv().await {
            woken.push(reader);
        }
        assert_eq!(woken, (0..50).collect::<Vec<_>>());
    }
}
