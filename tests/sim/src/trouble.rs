//! What comes between one process and the others: it is stopped for a while, its links break, the store is away.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tonic::Status;

use crate::chance::Chance;

/// The troubles of one process. Clones are the same.
#[derive(Clone)]
pub struct Trouble {
    shared: Arc<Shared>,
}

struct Shared {
    frozen: AtomicBool,
    /// Wakes who waits in the order of waiting; a watch channel wakes in one of chance, and no run could be repeated.
    thawed: Notify,
    is_cut: AtomicBool,
    store_away: AtomicBool,
    chance: Mutex<Chance>,
}

impl Trouble {
    /// None yet.
    pub fn new(chance: Chance) -> Self {
        let (is_cut, store_away) = (AtomicBool::new(false), AtomicBool::new(false));
        let (frozen, thawed) = (AtomicBool::new(false), Notify::new());
        let shared = Shared { frozen, thawed, is_cut, store_away, chance: Mutex::new(chance) };
        Self { shared: Arc::new(shared) }
    }

    /// Stops the process, as SIGSTOP does, or lets it go on where it was: nothing passes between it and the others.
    pub fn freeze(&self, frozen: bool) {
        self.shared.frozen.store(frozen, Ordering::Relaxed);
        self.shared.thawed.notify_waiters();
    }

    /// Breaks or mends the links of the process to those of other roles.
    pub fn cut(&self, is_cut: bool) {
        self.shared.is_cut.store(is_cut, Ordering::Relaxed);
    }

    /// Takes the store away from the process, or gives it back.
    pub fn take_store(&self, away: bool) {
        self.shared.store_away.store(away, Ordering::Relaxed);
    }

    /// Whether it has no store now.
    pub fn has_no_store(&self) -> bool {
        self.shared.store_away.load(Ordering::Relaxed)
    }

    /// True half of the time: whether what was under way when a way broke still arrived.
    pub fn still_arrives(&self) -> bool {
        self.shared.chance.lock().percent(50)
    }

    /// Returns while the process is not stopped.
    pub async fn thawed(&self) {
        loop {
            let thawed = self.shared.thawed.notified();
            if !self.shared.frozen.load(Ordering::Relaxed) {
                return;
            }
            thawed.await;
        }
    }

    /// Takes a question over a link of this process, and its answer back.
    ///
    /// # Errors
    /// What the other side answered; `UNAVAILABLE` or `DEADLINE_EXCEEDED` when the link is broken, and then the question may have
    /// arrived.
    pub async fn over<T>(&self, question: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
        self.thawed().await;
        if !self.is_cut() {
            let answer = question.await;
            self.thawed().await;
            return if self.is_cut() { Err(lost()) } else { answer };
        }
        if self.still_arrives() {
            let _ = question.await;
            return Err(lost());
        }
        Err(Status::unavailable("the link is down"))
    }

    fn is_cut(&self) -> bool {
        self.shared.is_cut.load(Ordering::Relaxed)
    }
}

fn lost() -> Status {
    Status::deadline_exceeded("the answer did not come")
}
