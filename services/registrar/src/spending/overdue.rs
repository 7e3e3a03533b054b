//! How long calls may last that cost money: the end of each is due work in the store, committed before the call goes out.
//!
//! | in partition `spending` | what |
//! |---|---|
//! | queue `overdue` | `CALL BRANCH`, when the call would be over had it been answered at once |
//!
//! When an entry is due, call-control is asked: it knows when the call was answered, ends it if its time is over, and else says what it
//! has left. An entry whose replica dies is another one's after the lease. One for a call that nobody ever heard of is dropped after a
//! while: a call whose edge had no room to tell of it has no limit, as it has no end in the list of calls.

use std::time::{Duration, SystemTime};

use cluster_api::callcontrol::v1::{EndOverdueRequest, check_calls_response::Standing};
use cluster_api::convert::{proto_duration, timestamp};
use cluster_api::registrar::v1::SeizeTrunkRequest;
use cluster_rpc::ProxiedCallsLink;
use futures_util::{StreamExt as _, stream};
use lifecycle::Shutdown;
use prost::Message as _;
use store::{Batch, Due, Partition, StoreError};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::{Registrar, Shared, aors};

const QUEUE: &str = "overdue";
/// How long an entry is its claimer's; an answer takes less.
const LEASE: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(4);
/// How often is looked for what is due: so much later than it should a call ends at most, while all is well.
const RHYTHM: Duration = Duration::from_millis(500);
/// Taken at a time: some hundred calls end in a second then.
const AT_ONCE: usize = 64;
/// After what time a call that call-control has not heard of is asked about again, and how often.
const UNHEARD: Duration = Duration::from_secs(10);
const UNHEARD_FOR: Duration = Duration::from_secs(600);
/// Times that are believed.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// What is kept with an entry.
#[derive(Clone, PartialEq, prost::Message)]
struct Limit {
    #[prost(string, tag = "1")]
    call_id: String,
    #[prost(string, tag = "2")]
    branch: String,
    #[prost(uint64, tag = "3")]
    since_ms: u64,
    #[prost(uint64, tag = "4")]
    most_ms: u64,
}

/// How long a call may last, as the operator's service says it. `None` for what is no such time.
pub(super) fn readable(said: prost_types::Duration) -> Option<Duration> {
    Duration::try_from(said).ok().filter(|most| (SHORTEST..=LONGEST).contains(most))
}

fn place() -> Partition {
    Partition::new("spending", 0)
}

fn id_of(call_id: &str, branch: &str) -> String {
    [call_id, " ", branch].concat()
}

impl Registrar {
    /// Ends calls whose time is over until asked to stop.
    pub(crate) async fn end_overdue_calls(&self, shutdown: &Shutdown) {
        let mut rhythm = interval(RHYTHM);
        rhythm.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                // the end comes first: what is due is done by the others
                biased;
                () = shutdown.asked() => return,
                _ = rhythm.tick() => self.shared.look_for_overdue().await,
            }
        }
    }
}

impl Shared {
    /// Commits how long a call may last, and that those branches of it have no limit any more.
    pub(crate) async fn limit_call(
        &self,
        request: &SeizeTrunkRequest,
        over: &[String],
        most: Option<Duration>,
    ) -> Result<(), StoreError> {
        let SeizeTrunkRequest { call_id, branch, .. } = request;
        let mut batch = Batch::new(&place());
        for gone in over {
            batch.due_remove(QUEUE, id_of(call_id, gone));
        }
        if let Some(most) = most {
            let now = self.aors.store().now();
            let limit = Limit {
                call_id: call_id.clone(),
                branch: branch.clone(),
                since_ms: self.aors.now_ms(),
                most_ms: u64::try_from(most.as_millis()).unwrap_or(u64::MAX),
            };
            batch.due_add(QUEUE, id_of(call_id, branch), now + most, limit.encode_to_vec());
        }
        if batch.ops.is_empty() {
            return Ok(());
        }
        self.aors.store().commit(batch).await.map(drop)
    }

    /// One look; what cannot be done now comes again after the lease.
    async fn look_for_overdue(&self) {
        let Some(calls) = self.calls.get() else { return };
        match self.aors.store().due_claim(&place(), QUEUE, LEASE, AT_ONCE).await {
            Ok(claimed) => {
                let work = claimed.into_iter().map(|due| self.end_if_overdue(calls, due));
                stream::iter(work).buffer_unordered(AT_ONCE).collect::<()>().await;
            }
            Err(error) => tracing::debug!(%error, "calls whose time is over wait for the store"),
        }
    }

    async fn end_if_overdue(&self, calls: &ProxiedCallsLink, due: Due) {
        let next = match Limit::decode(due.payload.clone()) {
            Ok(limit) => match self.ask_for_end(calls, limit).await {
                Some(next) => next,
                None => return self.spending.overdue("unanswered"),
            },
            Err(error) => {
                tracing::error!(%error, "a limit of a call cannot be read and is dropped");
                None
            }
        };
        let mut batch = Batch::new(&place());
        batch.due_done(QUEUE, &due);
        if let Some(at) = next {
            batch.due_add(QUEUE, &due.id, at, due.payload.clone());
        }
        if let Err(error) = self.aors.store().commit(batch).await {
            tracing::debug!(%error, "a call whose time is over is looked at again");
        }
    }

    /// When to ask again, if at all; `None` when there was no answer.
    async fn ask_for_end(&self, calls: &ProxiedCallsLink, limit: Limit) -> Option<Option<SystemTime>> {
        let Limit { call_id, branch, since_ms, most_ms } = limit;
        let question = EndOverdueRequest {
            call_id,
            leg: branch,
            max_duration: Some(proto_duration(Duration::from_millis(most_ms))),
            since: Some(timestamp(aors::time(since_ms))),
        };
        let answer = timeout(PATIENCE, calls.end_overdue(question)).await.ok()?.ok()?;
        let now = self.aors.store().now();
        match answer.standing() {
            Standing::Ended => {
                self.spending.overdue("ended");
                Some(None)
            }
            Standing::Live => {
                let left = answer.left.and_then(|left| Duration::try_from(left).ok()).unwrap_or_default();
                Some(Some(now + left.clamp(RHYTHM, LONGEST)))
            }
            Standing::Unspecified => {
                let patience = Duration::from_millis(most_ms) + UNHEARD_FOR;
                let is_lost = now > aors::time(since_ms) + patience;
                if is_lost {
                    self.spending.overdue("lost");
                }
                Some((!is_lost).then(|| now + UNHEARD))
            }
        }
    }
}
