//! `WatchPresence`: the presence of some users, and what changes.

use std::collections::HashSet;
use std::sync::Arc;

use cluster_api::convert::timestamp;
use cluster_api::presence::v1::{PresenceEvent, PresenceState, WatchPresenceRequest};
use cluster_rpc::{Reason, Refusal};
use futures_util::future::try_join_all;
use futures_util::{Stream, StreamExt as _, stream};
use store::{Partition, StoreError};
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tonic::{Response, Status};

use crate::Presence;
use crate::refusal::of_store;
use crate::runner::{FOLLOW_AGAIN, Runner, read_entry};
use crate::topics::followed::LOG;
use crate::watch::{Events, LogWatch, Told};

/// Users of one watch.
const MOST: usize = 1_000;
/// Users who are looked up at a time.
const AT_ONCE: usize = 16;

impl Presence {
    pub(super) async fn watch_state(
        &self,
        request: WatchPresenceRequest,
    ) -> Result<Response<Events<PresenceEvent>>, Status> {
        if request.aors.is_empty() || request.aors.len() > MOST {
            let expected = format!("1 to {MOST} addresses of record");
            return Err(Refusal::field(Reason::TooManyMembers, "aors", expected).into());
        }
        let fields: Vec<String> = (0..request.aors.len()).map(|index| format!("aors[{index}]")).collect();
        let mut aors = Vec::with_capacity(request.aors.len());
        for (fields, some) in fields.chunks(AT_ONCE).zip(request.aors.chunks(AT_ONCE)) {
            let asked = fields.iter().zip(some).map(|(field, aor)| self.account(field, aor));
            aors.extend(try_join_all(asked).await?);
        }
        aors.sort_unstable();
        aors.dedup();
        let runner = &self.runner;
        let repository = &runner.repository;
        let is_of = |partition: &&Partition| aors.iter().any(|aor| repository.partition(aor) == *partition);
        let partitions: Vec<Partition> = repository.partitions().iter().filter(is_of).cloned().collect();
        // A cursor says since when everything is told, and where the logs are.
        let resumed = request.after_cursor.as_deref().map(read_cursor).transpose()?;
        let logs = resumed.as_ref().map(|(_, logs)| logs.as_str());
        let store = repository.store().clone();
        let watch = LogWatch::begin(store, LOG, &partitions, logs, self.ending()).await?;
        let mut snapshot = Vec::new();
        let begin_ms = match &resumed {
            Some((begin_ms, _)) => {
                for aor in &aors {
                    let since = runner.followed_since(aor).await.map_err(of_store)?;
                    if since.is_none_or(|since| since > *begin_ms) {
                        let text = "what happened behind this cursor is not known any more; watch anew";
                        return Err(Refusal::new(Reason::CursorTooOld, text).into());
                    }
                }
                *begin_ms
            }
            None => {
                let mut begin_ms = 0;
                for (since_ms, state) in follow_all(runner, &aors).await? {
                    begin_ms = begin_ms.max(since_ms);
                    snapshot.push(state);
                }
                begin_ms
            }
        };
        let now = timestamp(repository.store().now());
        let wanted: HashSet<String> = aors.iter().cloned().collect();
        let read = move |told: Told<'_, PresenceState>| -> Result<Option<PresenceEvent>, StoreError> {
            let (logs, time, state, snapshot) = match told {
                Told::Snapshot(logs, state) => (logs, now, state, true),
                Told::Entry(logs, entry) => {
                    (logs, timestamp(entry.cursor.time()), read_entry(&entry.entry)?, false)
                }
            };
            Ok(wanted.contains(&state.aor).then(|| PresenceEvent {
                cursor: format!("{begin_ms:x}_{logs}"),
                time: Some(time),
                presence: Some(state),
                snapshot,
            }))
        };
        Ok(Response::new(Box::pin(kept_up(Arc::clone(runner), aors, watch.stream(snapshot, read)))))
    }
}

/// The events, while the users stay followed for as long as somebody reads them.
fn kept_up(
    runner: Arc<Runner>,
    aors: Vec<String>,
    events: impl Stream<Item = Result<PresenceEvent, Status>> + Send + 'static,
) -> impl Stream<Item = Result<PresenceEvent, Status>> + Send + 'static {
    let mut ticks = interval_at(Instant::now() + FOLLOW_AGAIN, FOLLOW_AGAIN);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    stream::unfold((Box::pin(events), ticks, runner, aors), |(mut events, mut ticks, runner, aors)| async {
        loop {
            tokio::select! {
                // Who reads all the time is followed too.
                biased;
                _ = ticks.tick() => {
                    // What fails now is tried again long before it is over.
                    if let Err(error) = follow_all(&runner, &aors).await {
                        tracing::debug!(error = error.message(), "users are followed with the next turn");
                    }
                }
                event = events.next() => return event.map(|event| (event, (events, ticks, runner, aors))),
            }
        }
    })
}

async fn follow_all(runner: &Arc<Runner>, aors: &[String]) -> Result<Vec<(u64, PresenceState)>, Status> {
    let mut followed = Vec::with_capacity(aors.len());
    for some in aors.chunks(AT_ONCE) {
        followed.extend(try_join_all(some.iter().map(|aor| runner.follow_for(aor))).await?);
    }
    Ok(followed)
}

fn read_cursor(text: &str) -> Result<(u64, String), Status> {
    let parts = text.split_once('_');
    let read = parts.and_then(|(begin, logs)| Some((u64::from_str_radix(begin, 16).ok()?, logs.to_owned())));
    read.ok_or_else(|| Refusal::field(Reason::BadCursor, "after_cursor", "a cursor of WatchPresence").into())
}
