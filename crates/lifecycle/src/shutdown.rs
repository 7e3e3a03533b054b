//! The end of the process: asked for once, forced the second time.

use tokio::sync::watch;

use crate::tasks::{Task, Tasks, TooManyTasks};

/// How far the process is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// In service.
    #[default]
    Running,
    /// Asked to end: takes nothing new, finishes what it has.
    Ending,
    /// Told to end now.
    Forced,
}

/// Tells everybody in the process how far it is. Clones are the same.
#[derive(Clone, Debug)]
pub struct Shutdown {
    phase: watch::Sender<Phase>,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self::new()
    }
}

impl Shutdown {
    /// A process in service.
    pub fn new() -> Self {
        Self { phase: watch::Sender::new(Phase::Running) }
    }

    /// How far the process is.
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Asks the process to end; asked again, forces it. What a signal does.
    pub fn ask(&self) {
        self.phase.send_modify(|phase| {
            *phase = if *phase == Phase::Running { Phase::Ending } else { Phase::Forced };
        });
    }

    /// Ends the process without waiting for anything.
    pub fn force(&self) {
        self.phase.send_replace(Phase::Forced);
    }

    /// Returns once the process was asked to end.
    pub async fn asked(&self) {
        self.reached(Phase::Ending).await;
    }

    /// Returns once the process was told to end now.
    pub async fn forced(&self) {
        self.reached(Phase::Forced).await;
    }

    /// Starts a task that turns SIGTERM and SIGINT into [`Shutdown::ask`].
    ///
    /// # Errors
    /// When the set of tasks is full.
    pub fn ask_on_signals(&self, tasks: &Tasks) -> Result<Task<()>, TooManyTasks> {
        let shutdown = self.clone();
        tasks.spawn("signals", async move {
            if let Err(error) = shutdown.forward_signals().await {
                tracing::error!(%error, "signals are not heard: the process must be ended by SIGKILL");
            }
        })
    }

    #[cfg(unix)]
    async fn forward_signals(&self) -> std::io::Result<()> {
        use tokio::signal::unix::{SignalKind, signal};

        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        while self.phase() != Phase::Forced {
            let name = tokio::select! {
                biased; // a forced end needs no further signal
                () = self.forced() => break,
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            self.ask();
            tracing::info!(signal = name, phase = ?self.phase(), "asked to end");
        }
        Ok(())
    }

    #[cfg(not(unix))]
    async fn forward_signals(&self) -> std::io::Result<()> {
        while self.phase() != Phase::Forced {
            tokio::signal::ctrl_c().await?;
            self.ask();
        }
        Ok(())
    }

    async fn reached(&self, wanted: Phase) {
        // The sender is held by `self`, so the channel cannot close while this waits.
        let _ = self.phase.subscribe().wait_for(|phase| *phase >= wanted).await;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn the_first_request_ends_and_the_second_forces() {
        let shutdown = Shutdown::new();
        let seen_elsewhere = shutdown.clone();
        assert!(seen_elsewhere.asked().now_or_never().is_none());
        shutdown.ask();
        seen_elsewhere.asked().await;
        assert!(seen_elsewhere.forced().now_or_never().is_none());
        shutdown.ask();
        seen_elsewhere.forced().await;
        assert_eq!(shutdown.phase(), Phase::Forced);
    }

    #[tokio::test]
    async fn forcing_satisfies_those_who_wait_for_the_end() {
        let shutdown = Shutdown::new();
        shutdown.force();
        shutdown.asked().await;
    }
}
