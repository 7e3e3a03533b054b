//! Work whose time has come: timers of calls, effects that their replica did not carry, lost edges, ended calls to be forgotten.

use std::sync::Arc;

use store::{Due, Partition, claim_all_due};
use tokio::time::{MissedTickBehavior, interval};

use super::{ApplyError, How, Runner};
use crate::engine::event::Event;
use crate::repository::{DUE, DueWork, Known};

impl Runner {
    /// Works until it is stopped.
    pub(super) async fn watch_due(self: Arc<Self>) {
        let mut ticks = interval(self.config.due_interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                // In an order, so that the same seed makes the same run.
                biased;
                _ = ticks.tick() => {}
                () = self.due_hurry.notified() => {}
            }
            let repository = &self.repository;
            let begin = |partition, claimed| {
                self.begin(&partition, claimed);
                std::future::ready(())
            };
            claim_all_due(&**repository.store(), repository.partitions(), DUE, self.config.lease, begin)
                .await;
        }
    }

    /// Starts to work on what was claimed.
    fn begin(self: &Arc<Self>, partition: &Partition, claimed: Vec<Due>) {
        let is_forgetting =
            |due: &Due| matches!(DueWork::parse(&due.id), Some(DueWork::Forget(_) | DueWork::ForgetAll));
        let (forgotten, others): (Vec<_>, Vec<_>) = claimed.into_iter().partition(is_forgetting);
        if !forgotten.is_empty() {
            let (runner, partition) = (Arc::clone(self), partition.clone());
            // What is not begun is claimed again after the lease.
            let _ = self.tasks.spawn("due", async move { runner.forget(&partition, &forgotten).await });
        }
        for due in others {
            let (runner, partition) = (Arc::clone(self), partition.clone());
            let work = async move { runner.work_on(&partition, &due.id).await };
            if self.tasks.spawn("due", work).is_err() {
                break;
            }
        }
    }

    /// Drops ended calls from the index: all that one claim found at once.
    async fn forget(&self, partition: &Partition, claimed: &[Due]) {
        match self.repository.forget_ended(partition, claimed).await {
            Ok(count) => self.counts.due.with_label_values(&["forget"]).inc_by(count as u64),
            Err(error) => tracing::debug!(%error, "ended calls are left to the next claim"),
        }
    }

    async fn work_on(self: Arc<Self>, partition: &Partition, due_id: &str) {
        let result = match DueWork::parse(due_id) {
            Some(DueWork::Timer(call_id)) => self.timer_fired(partition, due_id, call_id).await,
            Some(DueWork::Effects(call_id)) => self.take_effects_over(partition, due_id, call_id).await,
            Some(DueWork::Callback(id)) => self.callback_is_due(partition, due_id, id).await,
            Some(DueWork::LostEdge(edge)) => {
                self.counts.due.with_label_values(&["lost_edge"]).inc();
                self.tell_lost(partition, &edge).await
            }
            // Of a later version: its replicas will claim it. Ended calls are forgotten together.
            None | Some(DueWork::Forget(_) | DueWork::ForgetAll) => Ok(()),
        };
        if let Err(error) = result {
            tracing::debug!(%error, due_id, "due work is left to the next claim");
        }
    }

    async fn timer_fired(
        self: &Arc<Self>,
        partition: &Partition,
        due_id: &str,
        call_id: &str,
    ) -> Result<(), ApplyError> {
        self.counts.due.with_label_values(&["timer"]).inc();
        let how = How { timer_claimed: true, ..How::default() };
        match self.apply(call_id, &[Event::Due], how).await {
            Err(ApplyError::Unknown | ApplyError::Over(_)) => {
                Ok(self.repository.due_done(partition, due_id).await?)
            }
            Err(ApplyError::NotControlled) => self.proxied_is_due(call_id).await,
            result => result.map(drop),
        }
    }

    /// The lease of a commit ended and its effects are not all carried: its replica is dead, slow, or still trying.
    async fn take_effects_over(
        self: &Arc<Self>,
        partition: &Partition,
        due_id: &str,
        call_id: &str,
    ) -> Result<(), ApplyError> {
        self.counts.due.with_label_values(&["effects"]).inc();
        match self.look(call_id).await {
            Ok(loaded) => match &loaded.known {
                Known::Live(call) if !call.outbox.is_empty() => {
                    let slot = self.slots.get(call_id);
                    slot.set_wanted(&call.outbox);
                    self.start_carrying(call_id, &slot, call.outbox.iter().cloned(), true);
                    Ok(())
                }
                Known::Live(_) | Known::Proxied(_) | Known::Over(_) => {
                    Ok(self.repository.due_done(partition, due_id).await?)
                }
            },
            Err(ApplyError::Unknown) => Ok(self.repository.due_done(partition, due_id).await?),
            Err(error) => Err(error),
        }
    }
}
