//! Work whose time has come: subscriptions that lapse or owe something, NOTIFYs and fan-outs that a replica left behind.

use std::sync::Arc;

use store::{Batch, Due, Partition, claim_all_due};
use tokio::time::{MissedTickBehavior, interval};

use super::fan_out::Origin;
use super::{ApplyError, Runner};
use crate::engine::Event;
use crate::repository::names::{DUE, DueWork};

impl Runner {
    /// Works until it is stopped.
    pub(super) async fn watch_due(self: Arc<Self>) {
        let mut ticks = interval(self.config.due_interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
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
        for due in claimed {
            let (runner, partition) = (Arc::clone(self), partition.clone());
            let work = async move { runner.work_on(&partition, due).await };
            if self.tasks.spawn("due", work).is_err() {
                // What is not begun is claimed again after the lease.
                self.counts.limits.with_label_values(&["tasks"]).inc();
                break;
            }
        }
    }

    async fn work_on(self: Arc<Self>, partition: &Partition, due: Due) {
        let result = match DueWork::parse(&due.id) {
            Some(DueWork::Timer(id)) => {
                self.counts.due.with_label_values(&["timer"]).inc();
                match self.apply(id, &Event::Look, true).await {
                    Err(ApplyError::Unknown) => self.is_done(partition, &due).await,
                    result => result.map(drop),
                }
            }
            Some(DueWork::Notify(id)) => {
                self.counts.due.with_label_values(&["notify"]).inc();
                self.ask_after(partition, id, &due).await
            }
            Some(DueWork::Forget(id)) => {
                self.counts.due.with_label_values(&["forget"]).inc();
                self.repository.forget_watcher(partition, id, &due).await.map_err(ApplyError::from)
            }
            Some(DueWork::Mail(aor)) => {
                self.counts.due.with_label_values(&["mail"]).inc();
                self.look_at_mail(partition, aor, &due).await
            }
            Some(DueWork::Publications(aor)) => {
                self.counts.due.with_label_values(&["publications"]).inc();
                self.lapse_publications(partition, aor, &due).await
            }
            Some(DueWork::Bindings(aor)) => {
                self.counts.due.with_label_values(&["bindings"]).inc();
                self.look_at_bindings(partition, aor, &due).await
            }
            Some(DueWork::Dialogs(aor)) => {
                self.counts.due.with_label_values(&["dialogs"]).inc();
                self.look_at_dialogs(partition, aor, &due).await
            }
            Some(DueWork::List(uri)) => {
                self.counts.due.with_label_values(&["list"]).inc();
                self.settle_list(uri).await
            }
            Some(DueWork::Member(uri)) => {
                self.counts.due.with_label_values(&["member"]).inc();
                self.fan_out_list(uri, Origin::Claim(due.clone()));
                Ok(())
            }
            Some(DueWork::Sought(id)) => {
                self.counts.due.with_label_values(&["sought"]).inc();
                match self.look_at_sought(id).await {
                    Err(ApplyError::Unknown) => self.is_done(partition, &due).await,
                    result => result,
                }
            }
            Some(DueWork::SoughtTold(id)) => {
                self.counts.due.with_label_values(&["sought_told"]).inc();
                match self.sought(id).await {
                    Ok(Some(sought)) => {
                        self.tell_seekers(sought, Origin::Claim(due.clone()));
                        Ok(())
                    }
                    Ok(None) => self.is_done(partition, &due).await,
                    Err(error) => Err(error.into()),
                }
            }
            Some(DueWork::Waiting(aor)) => {
                self.counts.due.with_label_values(&["waiting"]).inc();
                self.give_up_waiting(partition, aor, &due).await
            }
            Some(DueWork::Gone(aor)) => {
                self.counts.due.with_label_values(&["gone"]).inc();
                self.end_of_account(partition, aor, &due).await
            }
            Some(DueWork::FanOut(package, resource)) => {
                self.counts.due.with_label_values(&["fan_out"]).inc();
                self.fan_out(package, resource, Origin::Claim(due.clone()));
                Ok(())
            }
            // Of a later version: its replicas will claim it.
            None => Ok(()),
        };
        if let Err(error) = result {
            tracing::debug!(%error, due.id, "due work is left to the next claim");
        }
    }

    /// The lease of a NOTIFY has ended without an answer: its replica is dead, or its watcher slow.
    async fn ask_after(
        self: &Arc<Self>,
        partition: &Partition,
        id: &str,
        due: &Due,
    ) -> Result<(), ApplyError> {
        match self.repository.load(id).await? {
            Some(loaded) if loaded.subscription.notify.is_some() => {
                self.send(loaded.subscription);
                Ok(())
            }
            Some(_) | None => self.is_done(partition, due).await,
        }
    }

    pub(crate) async fn is_done(&self, partition: &Partition, due: &Due) -> Result<(), ApplyError> {
        let mut batch = Batch::new(partition);
        batch.due_done(DUE, due);
        match self.repository.store().commit(batch).await {
            Ok(_) | Err(store::StoreError::Conflict) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
