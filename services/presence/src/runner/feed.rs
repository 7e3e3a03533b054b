//! Follows where users are registered, for those who watch it.
//!
//! One replica at a time reads the registrar's stream, under a lease whose record says how far it is; another one goes on from there.
//! An event is a hint alone: what is kept is what the registrar lists afterwards, so that reading one twice does no harm. A
//! user whom nobody watches costs one read.

use std::sync::Arc;
use std::time::Duration;

use cluster_api::registrar::v1::binding_event::Type;
use cluster_api::registrar::v1::{Binding, BindingEvent};
use futures_util::StreamExt as _;
use store::{Batch, StoreError};
use tokio::time::{Instant, sleep, timeout_at};
use tonic::{Code, Status};

use super::lease::{End, RENEW};
use super::{Origin, Runner};
use crate::engine::Package;
use crate::mail;
use crate::repository::{Read, names};
use crate::topics::Bindings;
use crate::topics::followed::followed_record;

/// Tries to learn one user's bindings while the registrar or the store is away.
const ATTEMPTS: u32 = 5;
/// The lease on the stream.
const LEASE: &str = "feed/bindings";

impl Runner {
    /// Works until it is stopped.
    pub(super) async fn follow_registrations(self: Arc<Self>) {
        loop {
            match self.lead().await {
                Ok(()) | Err(End::Lost) => {}
                Err(End::Store(error)) => tracing::debug!(%error, "the bindings are not followed"),
                Err(End::Service(status)) => {
                    tracing::debug!(error = status.message(), "the bindings are not followed");
                }
            }
            sleep(RENEW).await;
        }
    }

    /// Takes the lease when it is free, and reads the stream while it is ours.
    async fn lead(self: &Arc<Self>) -> Result<(), End> {
        let (lease, expect) = self.lease(LEASE).await?;
        if self.is_of_another(&lease) {
            return Err(End::Lost);
        }
        let mut expect = self.renew(LEASE, lease.cursor.clone(), expect).await?;
        let mut cursor = lease.cursor;
        let mut events = match self.registrations.watch(cursor.clone()).await {
            Err(status) if status.code() == Code::OutOfRange && cursor.is_some() => {
                // What was missed is in what there is.
                cursor = None;
                self.registrations.watch(None).await
            }
            events => events,
        }
        .map_err(End::Service)?;
        let mut next = Instant::now() + RENEW;
        loop {
            match timeout_at(next, events.next()).await {
                Ok(Some(Ok(event))) => {
                    self.take(&event).await;
                    cursor = Some(event.cursor);
                }
                Ok(Some(Err(status))) => {
                    if status.code() == Code::OutOfRange {
                        cursor = None;
                    }
                    self.renew(LEASE, cursor, expect).await?;
                    return Err(End::Service(status));
                }
                Ok(None) => return self.renew(LEASE, cursor, expect).await.map(drop),
                Err(_) => {}
            }
            if Instant::now() >= next {
                expect = self.renew(LEASE, cursor.clone(), expect).await?;
                next = Instant::now() + RENEW;
            }
        }
    }

    async fn take(self: &Arc<Self>, event: &BindingEvent) {
        if event.aor.is_empty() {
            return;
        }
        if event.r#type() == Type::Deactivated && event.binding.is_none() {
            self.account_has_gone(event).await;
        }
        let packages: Vec<Package> = Package::ALL.into_iter().filter(|p| p.is_of_bindings()).collect();
        let heads = packages.iter().map(|package| names::head(*package, &event.aor));
        let others = [mail::record_name(&event.aor), followed_record(&event.aor), names::listed(&event.aor)];
        let records: Vec<String> = heads.chain(others).collect();
        let partition = self.repository.partition(&event.aor);
        let Ok(found) = self.repository.store().get_many(partition, &records).await else {
            // Those that cannot be told from nobody are looked at.
            for package in packages {
                self.learn(package, &event.aor, Some(event.r#type())).await;
            }
            self.learn_followed(&event.aor);
            return self.deliver(&event.aor, true);
        };
        let (heads, others) = found.split_at(packages.len());
        let [has_mail, is_followed, is_listed] =
            [0, 1, 2].map(|at| others.get(at).is_some_and(Option::is_some));
        let is_watched = |package, head: bool| head || (package == Package::Presence && is_listed);
        let watched =
            packages.into_iter().zip(heads).filter(|(package, head)| is_watched(*package, head.is_some()));
        for (package, _) in watched {
            self.learn(package, &event.aor, Some(event.r#type())).await;
        }
        let has_come = matches!(event.r#type(), Type::Registered | Type::Refreshed | Type::Snapshot);
        if is_followed {
            self.learn_followed(&event.aor);
        }
        if has_come && has_mail {
            self.deliver(&event.aor, true);
        }
    }

    /// Learns where a resource is registered that somebody has begun to watch, in the background.
    pub fn learn_bindings(self: &Arc<Self>, package: Package, aor: &str) {
        if !package.is_of_bindings() {
            return;
        }
        let (runner, aor) = (Arc::clone(self), aor.to_owned());
        let work = async move { runner.learn(package, &aor, None).await };
        if self.tasks.spawn("bindings", work).is_err() {
            self.counts.limits.with_label_values(&["tasks"]).inc();
        }
    }

    pub(super) async fn learn(self: &Arc<Self>, package: Package, aor: &str, change: Option<Type>) {
        let mut pause = Duration::from_millis(50);
        for _ in 0..ATTEMPTS {
            match self.try_learn(package, aor, change).await {
                Ok(()) => return,
                Err(End::Lost) => {}
                Err(End::Store(error)) => tracing::debug!(%error, "bindings are not learnt yet"),
                Err(End::Service(status)) => {
                    tracing::debug!(error = status.message(), "bindings are not learnt yet");
                }
            }
            sleep(pause).await;
            pause *= 3;
        }
    }

    /// What the registrar lists now; `None` when nobody has the address of record.
    pub(super) async fn listed(&self, aor: &str) -> Result<Option<Vec<Binding>>, Status> {
        match self.registrations.list(aor).await {
            Ok(listed) => Ok(Some(listed)),
            Err(status) if status.code() == Code::NotFound => Ok(None),
            Err(status) => Err(status),
        }
    }

    /// A topic with where its resource is registered at this moment: the registrar's log comes later. Where the registrar cannot be
    /// asked, what was heard last has to do.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn topic_now(&self, package: Package, resource: &str) -> Result<Read, StoreError> {
        let listed = async {
            match self.listed(resource).await {
                Ok(listed) => Some(listed),
                Err(status) => {
                    tracing::debug!(error = status.message(), "bindings are told as they were heard of last");
                    None
                }
            }
        };
        self.repository.topic_with(package, resource, listed).await
    }

    /// Keeps what the registrar lists, and tells who watches.
    async fn try_learn(
        self: &Arc<Self>,
        package: Package,
        aor: &str,
        change: Option<Type>,
    ) -> Result<(), End> {
        let name = names::bindings(package, aor);
        let (value, expect) = self.repository.record(aor, &name).await?;
        // Read before the list is asked for: whoever writes between the two makes this one try again with a newer list.
        let before = Bindings::read(value.as_ref())?;
        let listed = self.listed(aor).await.map_err(End::Service)?;
        let after = before.after(package, listed, change);
        if after.is_as(&before) {
            return Ok(());
        }
        let mut batch = Batch::new(self.repository.partition(aor));
        batch.put(&name, after.write(), expect);
        if package == Package::Reg {
            self.plan_look(&mut batch, aor, &after);
        }
        let outcome = self.repository.commit_telling(batch, aor, &[package]).await?;
        self.fan_out(package, aor, Origin::Commit(name, outcome.version));
        Ok(())
    }
}
