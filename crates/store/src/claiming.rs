//! Claiming the work that is due, over all partitions.

use std::time::Duration;

use futures_util::future::join_all;

use crate::{Due, Partition, Store};

/// Entries claimed at once in one partition.
const CLAIM: usize = 64;

/// Claims everything in a queue of these partitions whose time has come, and hands it over, a claim at a time: `work` begins with it, or
/// does it before more of that partition is claimed. What is not done, and what is in a partition that cannot be looked at, comes again
/// with a later call.
pub async fn claim_all_due<W: Future<Output = ()>>(
    store: &dyn Store,
    partitions: &[Partition],
    queue: &str,
    lease: Duration,
    work: impl Fn(Partition, Vec<Due>) -> W,
) {
    let work = &work;
    // A partition that gave a full load has more to give.
    let mut busy: Vec<&Partition> = partitions.iter().collect();
    while !busy.is_empty() {
        let claims = busy.iter().copied().map(|partition| async move {
            match store.due_claim(partition, queue, lease, CLAIM).await {
                Ok(claimed) => {
                    let is_full = claimed.len() == CLAIM;
                    work(partition.clone(), claimed).await;
                    is_full
                }
                Err(error) => {
                    tracing::debug!(%error, %partition, "cannot look for due work");
                    false
                }
            }
        });
        let claimed = join_all(claims).await;
        busy = busy
            .into_iter()
            .zip(claimed)
            .filter_map(|(partition, is_full)| is_full.then_some(partition))
            .collect();
    }
}
