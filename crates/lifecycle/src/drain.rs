//! Draining: nothing new is taken, what exists is finished, and everybody can see how far it is.

use std::collections::BTreeMap;

use tokio::sync::watch;

/// The drain of one service. Clones are the same. Unlike the end of the process it can be taken back.
#[derive(Clone, Debug, Default)]
pub struct Drain {
    state: watch::Sender<DrainState>,
}

/// How far a drain is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DrainState {
    /// Whether nothing new is taken.
    pub draining: bool,
    /// What is left, by name ("transactions", "calls", "connections").
    pub left: BTreeMap<&'static str, u64>,
}

impl DrainState {
    /// Draining, and nothing is left.
    pub fn is_complete(&self) -> bool {
        self.draining && self.left.values().all(|count| *count == 0)
    }
}

impl Drain {
    /// A service that takes everything.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes nothing new from now on. Returns whether that is a change.
    pub fn begin(&self) -> bool {
        self.set(true)
    }

    /// Takes everything again. Returns whether that is a change.
    pub fn take_back(&self) -> bool {
        self.set(false)
    }

    /// Whether nothing new is taken.
    pub fn is_draining(&self) -> bool {
        self.state.borrow().draining
    }

    /// Says how many of something are left.
    pub fn left(&self, what: &'static str, count: u64) {
        self.state.send_if_modified(|state| state.left.insert(what, count) != Some(count));
    }

    /// How far it is.
    pub fn state(&self) -> DrainState {
        self.state.borrow().clone()
    }

    /// Every change of the state.
    pub fn watch(&self) -> watch::Receiver<DrainState> {
        self.state.subscribe()
    }

    /// Returns once the drain began.
    pub async fn begun(&self) {
        // The sender is held by `self`, so the channel cannot close while this waits.
        let _ = self.state.subscribe().wait_for(|state| state.draining).await;
    }

    /// Returns once the drain began and nothing is left.
    pub async fn complete(&self) {
        let _ = self.state.subscribe().wait_for(DrainState::is_complete).await;
    }

    fn set(&self, draining: bool) -> bool {
        self.state.send_if_modified(|state| std::mem::replace(&mut state.draining, draining) != draining)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_drain_is_complete_when_it_began_and_nothing_is_left() {
        let drain = Drain::new();
        drain.left("calls", 2);
        assert!(drain.begin());
        assert!(!drain.begin(), "a second begin changes nothing");
        assert!(drain.complete().now_or_never().is_none());
        drain.left("calls", 0);
        drain.complete().await;
    }

    #[test]
    fn a_drain_can_be_taken_back() {
        let drain = Drain::new();
        drain.begin();
        assert!(drain.take_back());
        assert!(!drain.is_draining());
        assert!(!drain.state().is_complete());
    }
}
