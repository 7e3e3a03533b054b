//! Follows the calls of users, for those who watch them.
//!
//! One replica at a time reads call-control's stream of events, in which each change of a call was committed with the call; another
//! one goes on where it was. What is read together is looked up together: a call of users whom nobody watches costs a share of
//! one read, and no commit. While nobody watches anybody the stream is not read at all.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use cluster_api::callcontrol::v1::{Call, CallEvent};
use futures_util::{FutureExt as _, Stream, StreamExt as _};
use store::Partition;
use tokio::time::{Instant, sleep, sleep_until};
use tonic::{Code, Status};

use super::Runner;
use super::lease::{End, RENEW};
use crate::engine::Package;
use crate::repository::names;
use crate::topics::dialogs::{revision, users};

/// The lease on the stream.
const LEASE: &str = "feed/calls";
/// Events that are looked at together.
const BATCH: usize = 256;
/// Users whose records are read together.
const PAGE: usize = 256;

impl Runner {
    /// Works until it is stopped.
    pub(super) async fn follow_calls(self: Arc<Self>) {
        loop {
            match self.lead_calls().await {
                Ok(()) | Err(End::Lost) => {}
                Err(End::Store(error)) => tracing::debug!(%error, "calls are not followed"),
                Err(End::Service(status)) => {
                    tracing::debug!(error = status.message(), "calls are not followed");
                }
            }
            sleep(RENEW).await;
        }
    }

    /// Takes the lease when it is free and somebody is watched, and reads the stream while it is ours.
    async fn lead_calls(self: &Arc<Self>) -> Result<(), End> {
        let (lease, expect) = self.lease(LEASE).await?;
        if self.is_of_another(&lease) {
            return Err(End::Lost);
        }
        let is_watched = self.is_anybody_watched().await?;
        let mut cursor = lease.cursor.clone().filter(|_| is_watched);
        if !is_watched && lease.cursor.is_none() {
            return Ok(());
        }
        let mut expect = self.renew(LEASE, cursor.clone(), expect).await?;
        if !is_watched {
            return Ok(());
        }
        let events = match self.calls.watch(cursor.clone()).await {
            Err(status) if status.code() == Code::OutOfRange && cursor.is_some() => {
                cursor = None;
                self.calls.watch(None).await
            }
            events => events,
        };
        let mut events = events.map_err(End::Service)?;
        // What happened before the stream begins is in what there is.
        let mut is_caught_up = cursor.is_some();
        let mut catching_up = std::pin::pin!(self.learn_all());
        let mut next = Instant::now() + RENEW;
        loop {
            tokio::select! {
                // The lease first: without it another replica reads too. What is missing comes before what is new.
                biased;
                () = sleep_until(next) => {
                    let reached = cursor.clone().filter(|_| is_caught_up);
                    if !self.is_anybody_watched().await? {
                        return self.renew(LEASE, None, expect).await.map(drop);
                    }
                    expect = self.renew(LEASE, reached, expect).await?;
                    next = Instant::now() + RENEW;
                }
                result = &mut catching_up, if !is_caught_up => {
                    result?;
                    is_caught_up = true;
                }
                event = events.next() => {
                    let (batch, end) = gather(event, &mut events);
                    if let Some(last) = batch.last() {
                        let reached = last.cursor.clone();
                        self.take_events(batch).await?;
                        cursor = Some(reached);
                    }
                    let Some(end) = end else { continue };
                    let is_too_old = end.as_ref().is_some_and(|status| status.code() == Code::OutOfRange);
                    let reached = cursor.filter(|_| is_caught_up && !is_too_old);
                    self.renew(LEASE, reached, expect).await?;
                    return end.map_or(Ok(()), |status| Err(End::Service(status)));
                }
            }
        }
    }

    async fn is_anybody_watched(&self) -> Result<bool, End> {
        for partition in self.repository.partitions() {
            let page = self.repository.store().index(partition, names::WATCHED, None, 1).await?;
            if !page.entries.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Learns the calls of everybody who is watched.
    async fn learn_all(self: &Arc<Self>) -> Result<(), End> {
        for partition in self.repository.partitions() {
            let mut after: Option<String> = None;
            loop {
                let store = self.repository.store();
                let page = store.index(partition, names::WATCHED, after.as_deref(), PAGE).await?;
                let aors: Vec<String> = page.entries.into_iter().map(|(aor, _)| aor).collect();
                if !aors.is_empty() {
                    self.learn_dialogs(aors).await?;
                }
                match page.next {
                    Some(next) => after = Some(next),
                    None => break,
                }
            }
        }
        Ok(())
    }

    /// Keeps what happened to calls of users who are watched.
    async fn take_events(self: &Arc<Self>, events: Vec<CallEvent>) -> Result<(), End> {
        let mut calls: HashMap<String, Call> = HashMap::new();
        for call in events.into_iter().filter_map(|event| event.call) {
            let known = calls.get(&call.call_id).map(revision);
            if known.is_none_or(|known| known <= revision(&call)) {
                calls.insert(call.call_id.clone(), call);
            }
        }
        let mut by_user: BTreeMap<String, Vec<&Call>> = BTreeMap::new();
        for call in calls.values() {
            for user in users(call) {
                by_user.entry(user).or_default().push(call);
            }
        }
        let mut by_partition: HashMap<&str, (&Partition, Vec<&String>)> = HashMap::new();
        for user in by_user.keys() {
            let partition = self.repository.partition(user);
            by_partition.entry(partition.as_str()).or_insert((partition, Vec::new())).1.push(user);
        }
        for (partition, users) in by_partition.into_values() {
            for users in users.chunks(PAGE) {
                let records: Vec<String> =
                    users.iter().map(|user| names::state(Package::Dialog, user)).collect();
                let found = self.repository.store().get_many(partition, &records).await?;
                let watched = users.iter().zip(found).filter(|(_, found)| found.is_some());
                for (user, _) in watched {
                    self.change_dialogs(user, |dialogs, now_ms| {
                        for call in &by_user[*user] {
                            self.take_call(dialogs, user, call, now_ms);
                        }
                    })
                    .await?;
                }
            }
        }
        Ok(())
    }
}

/// An event and those that are there with it; how the stream ended, if it did: with a status, or without one.
fn gather(
    first: Option<Result<CallEvent, Status>>,
    events: &mut (impl Stream<Item = Result<CallEvent, Status>> + Unpin),
) -> (Vec<CallEvent>, Option<Option<Status>>) {
    let mut batch = Vec::new();
    let mut next = first;
    loop {
        match next {
            None => return (batch, Some(None)),
            Some(Err(status)) => return (batch, Some(Some(status))),
            Some(Ok(event)) => batch.push(event),
        }
        if batch.len() >= BATCH {
            return (batch, None);
        }
        match events.next().now_or_never() {
            Some(more) => next = more,
            None => return (batch, None),
        }
    }
}
