//! Edges that are gone: found in the member list, told to every call that depends on them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use store::Partition;
use tokio::time::{MissedTickBehavior, interval};

use super::{ApplyError, How, Runner};
use crate::edges::EdgeLife;
use crate::engine::event::Event;

impl Runner {
    /// Compares until it is stopped.
    pub(super) async fn watch_edges(self: Arc<Self>) {
        let mut ticks = interval(self.config.edge_lost_grace / 3);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // When an edge was first missing from a complete list.
        let mut missing: HashMap<EdgeLife, Instant> = HashMap::new();
        loop {
            ticks.tick().await;
            let mut seen = Vec::new();
            for partition in self.repository.partitions() {
                match self.repository.edges(partition).await {
                    Ok(edges) => {
                        for edge in edges {
                            if self.is_lost(&edge, &mut missing) {
                                self.declare_lost(partition, &edge).await;
                            }
                            seen.push(edge);
                        }
                    }
                    Err(error) => tracing::debug!(%error, %partition, "cannot look for lost edges"),
                }
            }
            missing.retain(|edge, _| seen.contains(edge));
        }
    }

    /// A later life of the same edge ends this one at once; otherwise it must be absent from two complete lists that are the
    /// grace apart, because one list may be older than the edge's first lease.
    fn is_lost(&self, edge: &EdgeLife, missing: &mut HashMap<EdgeLife, Instant>) -> bool {
        let view = self.edges.view();
        if view.has_successor(edge) {
            return true;
        }
        let Some(complete_at) = view.complete_at else { return false };
        if view.has(edge) {
            missing.remove(edge);
            return false;
        }
        let first = *missing.entry(edge.clone()).or_insert(complete_at);
        complete_at.saturating_duration_since(first) >= self.config.edge_lost_grace
    }

    async fn declare_lost(&self, partition: &Partition, edge: &EdgeLife) {
        if let Err(error) = self.repository.edge_is_lost(partition, edge).await {
            tracing::debug!(%error, edge = %edge.id, "the loss of an edge is not recorded yet");
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
        let event = Event::EdgeLost { edge_id: edge.id.clone(), edge_epoch: edge.epoch };
        // Judged by the record as it is, not as this replica remembers it.
        let how = How { acknowledged: true, ..How::default() };
        let mut after: Option<String> = None;
        loop {
            let (calls, next) = self.repository.calls_of_edge(partition, edge, after.as_deref()).await?;
            for call_id in calls {
                match self.apply(&call_id, std::slice::from_ref(&event), how).await {
                    Ok(_) | Err(ApplyError::Refused(_)) => {}
                    Err(ApplyError::Unknown | ApplyError::NotControlled | ApplyError::Over(_)) => {
                        self.repository.leave_edge(partition, edge, &call_id).await?;
                    }
                    Err(error) => return Err(error),
                }
            }
            match next {
                Some(_) => after = next,
                None => break,
            }
        }
        Ok(self.repository.edge_is_done(partition, edge).await?)
    }
}
