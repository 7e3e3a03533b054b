//! Follows where users are registered, for those who watch it.
//!
//! One replica at a time reads the registrar's stream, under a lease whose record says how far it is; another one goes on from there.
//! An event is a hint alone: what is kept is what the registrar lists afterwards, so that reading one twice does no harm. A
//! user whom nobody watches costs one read.

use std::sync::Arc;
use std::time::Duration;

use cluster_api::registrar::v1::BindingEvent;
use cluster_api::registrar::v1::binding_event::Type;
use futures_util::StreamExt as _;
use prost::Message as _;
use store::{Batch, Expect, StoreError};
use tokio::time::{Instant, sleep, timeout_at};
use tonic::{Code, Status};

use super::{Origin, Runner};
use crate::engine::Package;
use crate::mail;
use crate::repository::{corrupt, names};
use crate::topics::Bindings;

/// How long a replica has the stream to itself after it last said so.
const LEASE: Duration = Duration::from_secs(5);
/// How often it says so, and how often others look.
const RENEW: Duration = Duration::from_millis(1_500);
/// Tries to learn one user's bindings while the registrar or the store is away.
const ATTEMPTS: u32 = 5;
const RECORD: &str = "feed/bindings";

/// Who reads the stream, and how far.
#[derive(Clone, PartialEq, prost::Message)]
struct Lease {
    #[prost(string, tag = "1")]
    life: String,
    /// In milliseconds since 1970.
    #[prost(uint64, tag = "2")]
    end_ms: u64,
    #[prost(string, optional, tag = "3")]
    cursor: Option<String>,
}

/// Why the stream is not read any more.
enum End {
    /// Another replica has the lease.
    Lost,
    Store(StoreError),
    Registrar(Status),
}

impl From<StoreError> for End {
    fn from(error: StoreError) -> End {
        match error {
            StoreError::Conflict => End::Lost,
            error => End::Store(error),
        }
    }
}

impl Runner {
    /// Works until it is stopped.
    pub(super) async fn follow_registrations(self: Arc<Self>) {
        loop {
            match self.lead().await {
                Ok(()) | Err(End::Lost) => {}
                Err(End::Store(error)) => tracing::debug!(%error, "the bindings are not followed"),
                Err(End::Registrar(status)) => {
                    tracing::debug!(error = status.message(), "the bindings are not followed");
                }
            }
            sleep(RENEW).await;
        }
    }

    /// Takes the lease when it is free, and reads the stream while it is ours.
    async fn lead(self: &Arc<Self>) -> Result<(), End> {
        let (lease, expect) = self.lease().await?;
        if lease.life != self.life && lease.end_ms > self.repository.now_ms() {
            return Err(End::Lost);
        }
        let mut expect = self.renew(lease.cursor.clone(), expect).await?;
        let mut cursor = lease.cursor;
        let mut events = match self.registrations.watch(cursor.clone()).await {
            Err(status) if status.code() == Code::OutOfRange && cursor.is_some() => {
                // What was missed is in what there is.
                cursor = None;
                self.registrations.watch(None).await
            }
            events => events,
        }
        .map_err(End::Registrar)?;
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
                    self.renew(cursor, expect).await?;
                    return Err(End::Registrar(status));
                }
                Ok(None) => return self.renew(cursor, expect).await.map(drop),
                Err(_) => {}
            }
            if Instant::now() >= next {
                expect = self.renew(cursor.clone(), expect).await?;
                next = Instant::now() + RENEW;
            }
        }
    }

    async fn lease(&self) -> Result<(Lease, Expect), StoreError> {
        let found = self.repository.store().get(&self.repository.partitions()[0].key(RECORD)).await?;
        Ok(match found {
            Some(found) => (Lease::decode(found.value).map_err(corrupt)?, Expect::Version(found.version)),
            None => (Lease::default(), Expect::Absent),
        })
    }

    async fn renew(&self, cursor: Option<String>, expect: Expect) -> Result<Expect, End> {
        let end_ms = self.repository.now_ms() + LEASE.as_millis() as u64;
        let lease = Lease { life: self.life.clone(), end_ms, cursor };
        let mut batch = Batch::new(&self.repository.partitions()[0]);
        batch.put(RECORD, lease.encode_to_vec(), expect);
        Ok(Expect::Version(self.repository.store().commit(batch).await?.version))
    }

    async fn take(self: &Arc<Self>, event: &BindingEvent) {
        if event.aor.is_empty() {
            return;
        }
        let packages: Vec<Package> = Package::ALL.into_iter().filter(|p| p.is_of_bindings()).collect();
        let heads = packages.iter().map(|package| names::head(*package, &event.aor));
        let records: Vec<String> = heads.chain([mail::record_name(&event.aor)]).collect();
        let partition = self.repository.partition(&event.aor);
        let Ok(found) = self.repository.store().get_many(partition, &records).await else {
            // Those that cannot be told from nobody are looked at.
            for package in packages {
                self.learn(package, &event.aor, Some(event.r#type())).await;
            }
            return self.deliver(&event.aor, true);
        };
        for (package, _) in packages.into_iter().zip(&found).filter(|(_, head)| head.is_some()) {
            self.learn(package, &event.aor, Some(event.r#type())).await;
        }
        let has_come = matches!(event.r#type(), Type::Registered | Type::Refreshed | Type::Snapshot);
        if has_come && found.last().is_some_and(Option::is_some) {
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

    async fn learn(self: &Arc<Self>, package: Package, aor: &str, change: Option<Type>) {
        let mut pause = Duration::from_millis(50);
        for _ in 0..ATTEMPTS {
            match self.try_learn(package, aor, change).await {
                Ok(()) => return,
                Err(End::Lost) => {}
                Err(End::Store(error)) => tracing::debug!(%error, "bindings are not learnt yet"),
                Err(End::Registrar(status)) => {
                    tracing::debug!(error = status.message(), "bindings are not learnt yet");
                }
            }
            sleep(pause).await;
            pause *= 3;
        }
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
        let listed = self.registrations.list(aor).await.map_err(End::Registrar)?;
        let after = before.next(package, listed, change);
        if after.contacts == before.contacts {
            return Ok(());
        }
        let mut batch = Batch::new(self.repository.partition(aor));
        batch.put(&name, after.write(), expect);
        let outcome = self.repository.commit_telling(batch, aor, &[package]).await?;
        self.fan_out(package, aor, Origin::Commit(name, outcome.version));
        Ok(())
    }
}
