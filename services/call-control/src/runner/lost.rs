//! Edges that are gone: found in the member list, told to every call that depends on them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use store::Partition;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{ApplyError, How, Runner};
use crate::edges::EdgeLife;
use crate::engine::event::Event;

/// Calls of one partition that are told at the same time.
const TOLD_AT_ONCE: usize = 16;

impl Runner {
    /// Compares until it is stopped: at every change of the member list, and regularly.
    pub(super) async fn watch_edges(self: Arc<Self>) {
        let mut ticks = interval(self.config.edge_lost_grace / 3);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Since when this replica knows that calls depend on an edge.
        let mut known: HashMap<EdgeLife, Instant> = HashMap::new();
        loop {
            tokio::select! {
                // In an order, so that the same seed makes the same run.
                biased;
                _ = ticks.tick() => {}
                () = self.edges.changed() => {}
            }
            self.edges_changed.notify_waiters();
            let partitions = self.repository.partitions();
            let found = join_all(partitions.iter().map(|partition| self.repository.edges(partition))).await;
            let now = Instant::now();
            let mut seen = HashSet::new();
            for (partition, found) in partitions.iter().zip(found) {
                match found {
                    Ok(edges) => {
                        for edge in edges {
                            let since = *known.entry(edge.clone()).or_insert(now);
                            if self.is_lost(&edge, since) {
                                self.declare_lost(partition, &edge).await;
                            }
                            seen.insert(edge);
                        }
                    }
                    Err(error) => {
                        tracing::debug!(%error, %partition, "cannot look for lost edges");
                        seen.extend(known.keys().cloned());
                    }
                }
            }
            known.retain(|edge, _| seen.contains(edge));
        }
    }

    /// A later life of the same edge ends this one at once. Otherwise it must be absent from a list that was asked for after the
    /// edge was known, for a call depends on no edge before it has a lease; and lists must have come regularly, for
    /// after a gap edges may be absent that could not renew either.
    fn is_lost(&self, edge: &EdgeLife, known_since: Instant) -> bool {
        let view = self.edges.view();
        if view.has_successor(edge) {
            return true;
        }
        let Some(listed) = view.listed.filter(|_| !view.has(edge)) else { return false };
        let is_steady =
            listed.asked.saturating_duration_since(listed.steady_since) >= self.config.edge_lost_grace;
        is_steady && listed.asked >= known_since
    }

    async fn declare_lost(&self, partition: &Partition, edge: &EdgeLife) {
        match self.repository.edge_is_lost(partition, edge).await {
            Ok(()) => self.due_hurry.notify_one(),
            Err(error) => tracing::debug!(%error, edge = %edge.id, "the loss of an edge is not recorded yet"),
        }
    }

    /// Tells every call of a partition that depends on the edge. Interrupted, it is done again.
    pub(super) async fn tell_lost(
        self: &Arc<Self>,
        partition: &Partition,
        edge: &EdgeLife,
    ) -> Result<(), ApplyError> {
        self.counts.edges_lost.inc();
        tracing::warn!(edge = %edge.id, epoch = edge.epoch, %partition, "an edge is lost, its calls are told");
        let mut after: Option<String> = None;
        loop {
            let (calls, next) = self.repository.calls_of_edge(partition, edge, after.as_deref()).await?;
            let told = calls
                .into_iter()
                .map(|call_id| Arc::clone(self).tell_call(partition.clone(), edge.clone(), call_id));
            stream::iter(told).buffer_unordered(TOLD_AT_ONCE).try_collect::<()>().await?;
            match next {
                Some(_) => after = next,
                None => break,
            }
        }
        Ok(self.repository.edge_is_done(partition, edge).await?)
    }

    async fn tell_call(
        self: Arc<Self>,
        partition: Partition,
        edge: EdgeLife,
        call_id: String,
    ) -> Result<(), ApplyError> {
        let event = Event::EdgeLost { edge_id: edge.id.clone(), edge_epoch: edge.epoch };
        // Judged by the record as it is, not as this replica remembers it.
        let how = How { acknowledged: true, ..How::default() };
        match self.apply(&call_id, &[event], how).await {
            Ok(_) | Err(ApplyError::Refused(_)) => Ok(()),
            Err(ApplyError::NotControlled) => {
                self.proxied_lost_edge(&call_id, &edge).await?;
                Ok(self.repository.leave_edge(&partition, &edge, &call_id).await?)
            }
            Err(ApplyError::Unknown | ApplyError::Over(_)) => {
                Ok(self.repository.leave_edge(&partition, &edge, &call_id).await?)
            }
            Err(error) => Err(error),
        }
    }
}
