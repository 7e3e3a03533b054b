//! What trunks need done by time: registrations are kept up, and peers are asked how they are. Each is one entry of due work, which one
//! replica claims at a time; when that replica dies, another one has the entry after the lease.
//!
//! | in partition `trunks` | what |
//! |---|---|
//! | record `all` | every trunk, and its secrets |
//! | record `r/TRUNK` | the registration there |
//! | record `p/TRUNK` | how its peers answered |
//! | index `standing` | what every replica needs of `r/…` and `p/…` |
//! | queue `work` | `r/TRUNK` and `p/TRUNK`, each when it is next due |

use std::time::{Duration, SystemTime};

use cluster_api::registrar::v1::Trunk;
use cluster_rpc::RequestsLink;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use lifecycle::Shutdown;
use store::{Batch, Due, Op, StoreError};
use tokio::time::{MissedTickBehavior, interval};

use super::MOST_TRUNKS;
use super::standing::{INDEX, of_health, of_registration};
use crate::{Registrar, Shared};

/// The queue.
pub(super) const QUEUE: &str = "work";
/// How long an entry is its claimer's. Whatever is done for it takes less.
pub(super) const LEASE: Duration = Duration::from_secs(45);
/// How often is looked for what is due.
const RHYTHM: Duration = Duration::from_millis(500);
/// Under way at a time: both kinds for every trunk, so that a silent one never delays another.
const AT_ONCE: usize = 2 * MOST_TRUNKS;

impl Registrar {
    /// Keeps registrations at trunks up and asks peers how they are, through edges, until asked to stop. What is under way then is taken
    /// over by another replica. From its beginning on, gateways elsewhere are asked for numbers through the same edges.
    pub async fn keep_trunks(self, requests: RequestsLink, shutdown: Shutdown) {
        let shared = &*self.shared;
        shared.numbers.ask_through(requests.clone());
        let mut rhythm = interval(RHYTHM);
        rhythm.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut changes = shared.trunks.changes();
        let mut under_way = FuturesUnordered::new();
        loop {
            tokio::select! {
                // the end comes first, then what makes room
                biased;
                () = shutdown.asked() => return,
                Some(()) = under_way.next(), if !under_way.is_empty() => continue,
                _ = changes.recv() => {}
                _ = rhythm.tick() => {}
            }
            if let Err(error) = shared.move_from_lost_edges().await {
                tracing::debug!(%error, "edges that registrations lead to are not looked for while the store is away");
            }
            let room = AT_ONCE.saturating_sub(under_way.len());
            let (store, partition) = (shared.aors.store(), shared.trunks.partition());
            match store.due_claim(partition, QUEUE, LEASE, room).await {
                Ok(claimed) => {
                    under_way.extend(claimed.into_iter().map(|due| shared.work_on_trunk(&requests, due)));
                }
                Err(error) => tracing::debug!(%error, "work for trunks waits for the store"),
            }
        }
    }
}

impl Shared {
    async fn work_on_trunk(&self, requests: &RequestsLink, due: Due) {
        let done = match due.id.split_once('/') {
            Some(("r", trunk)) => self.keep_registration(requests, &due, trunk).await,
            Some(("p", trunk)) => self.probe_peers(requests, &due, trunk).await,
            // of a later version: its replicas will claim it
            Some(_) | None => Ok(()),
        };
        if let Err(error) = done {
            tracing::debug!(%error, work = due.id, "work for a trunk is left to the next claim");
        }
    }

    /// Commits what was found out about a claimed entry. Where the entry was rewritten meanwhile, only the finding is kept, and the entry
    /// stays as it is.
    pub(super) async fn settle(
        &self,
        due: &Due,
        next: Option<SystemTime>,
        finding: Vec<Op>,
    ) -> Result<u64, StoreError> {
        let (store, partition) = (self.aors.store(), self.trunks.partition());
        let mut batch = Batch { partition: partition.clone(), ops: finding.clone() };
        batch.due_done(QUEUE, due);
        if let Some(at) = next {
            batch.due_add(QUEUE, &due.id, at, "");
        }
        match store.commit(batch).await {
            Err(StoreError::Conflict) if !finding.is_empty() => {
                store.commit(Batch { partition: partition.clone(), ops: finding }).await
            }
            Err(StoreError::Conflict) => return Ok(0),
            done => done,
        }
        .map(|outcome| outcome.version)
    }
}

/// What a change of a trunk makes due at once.
pub(super) fn plan(before: Option<&Trunk>, after: Option<&Trunk>, now: SystemTime, ops: &mut Vec<Op>) {
    let any = |has: fn(&Trunk) -> bool| before.is_some_and(has) || after.is_some_and(has);
    let Some(trunk) = after.or(before) else { return };
    let mut add = |id: String| {
        ops.push(Op::DueAdd { queue: QUEUE.to_owned(), id, at: now, payload: bytes::Bytes::new() });
    };
    if any(|trunk| trunk.registration.is_some()) {
        add(of_registration(&trunk.trunk_id));
    }
    if any(|trunk| trunk.probe.is_some()) {
        add(of_health(&trunk.trunk_id));
    }
}

/// Removes what is known under a name.
pub(super) fn forget(name: String) -> Vec<Op> {
    vec![
        Op::Delete { name: name.clone(), expect: store::Expect::Any },
        Op::IndexRemove { index: INDEX.to_owned(), member: name },
    ]
}
