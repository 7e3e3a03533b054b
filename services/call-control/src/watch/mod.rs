//! WatchCalls: what happens, from the event logs of all partitions, resumable on any replica.
//!
//! A replica reads each log once, however many watch ([`feed`]); a stream that begins in the past reads the log by itself until it
//! meets the feed ([`stream`]). A cursor ([`cursor`]) says for each partition how far a stream is, so it means the same to every
//! replica.

mod cursor;
mod feed;
mod stream;

use std::sync::Arc;

use cluster_api::callcontrol::v1 as wire;
use cluster_rpc::{Reason, Refusal};
use futures_util::stream::once;
use futures_util::{Stream, StreamExt as _};
use lifecycle::{TaskEnd, Tasks};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use self::cursor::Place;
use self::feed::Feed;
use self::stream::{Pump, Scope};
use crate::refusal;
use crate::repository::{Filter, Known};
use crate::runner::Runner;
use crate::violations::Violations;

/// Events between the pump of a stream and its connection: enough to fill a few frames.
const WINDOW: usize = 64;

/// All streams of this replica.
pub struct Watches {
    runner: Arc<Runner>,
    feeds: Vec<Arc<Feed>>,
}

impl Watches {
    /// No stream yet; see [`Watches::run`].
    pub fn new(runner: Arc<Runner>) -> Arc<Watches> {
        let feeds =
            runner.repository.partitions().iter().map(|partition| Feed::new(partition.clone())).collect();
        Arc::new(Watches { runner, feeds })
    }

    /// Starts the feeds.
    ///
    /// # Errors
    /// When the set of tasks is full.
    pub fn run(&self, tasks: &Tasks) -> Result<(), lifecycle::TooManyTasks> {
        for feed in &self.feeds {
            let store = Arc::clone(self.runner.repository.store());
            tasks.spawn_loop("feed", Arc::clone(feed).run(store))?;
        }
        Ok(())
    }

    /// Opens a stream.
    ///
    /// # Errors
    /// When the request is wrong, the call unknown, the cursor too old, or the store fails.
    pub async fn watch(
        self: &Arc<Self>,
        request: wire::WatchCallsRequest,
    ) -> Result<impl Stream<Item = Result<wire::CallEvent, Status>> + Send + use<>, Status> {
        let filter = Filter::new(request.filter)?;
        let call_id = request.call_id.filter(|call_id| !call_id.is_empty());
        if let Some(call_id) = &call_id {
            let mut violations = Violations::default();
            violations.call_id(call_id);
            violations.check()?;
        }
        let from_beginning = call_id.is_some() && request.after_cursor.as_deref() == Some("");
        let mut place = match request.after_cursor.filter(|cursor| !cursor.is_empty()) {
            None => None,
            Some(text) => Some(Place::parse(&text).ok_or_else(bad_cursor)?),
        };
        let scope = match call_id {
            None => Scope::All,
            Some(call_id) => {
                let loaded = self.runner.look(&call_id).await.map_err(|error| refusal::of(&error))?;
                let is_over = match &loaded.known {
                    Known::Live(call) => call.end_ms > 0,
                    Known::Proxied(_) => false,
                    Known::Over(_) => true,
                };
                let partition = self.runner.repository.partition_number(&call_id);
                if from_beginning {
                    let cursor = loaded.begin.ok_or_else(refusal::cursor_too_old)?;
                    place = Some(Place::Call { partition, cursor });
                }
                Scope::Call { partition, call_id, is_over }
            }
        };
        let place = place.filter(|place| *place != Place::BeforeSnapshot);
        let cursors = match &place {
            None => None,
            Some(place) => Some(place.cursors(&scope, self.feeds.len()).ok_or_else(bad_cursor)?),
        };
        let (sender, receiver) = tokio::sync::mpsc::channel(WINDOW);
        let pump = Pump::new(Arc::clone(self), scope, filter, sender);
        let task = self.runner.tasks().spawn_loop("watch", pump.run(cursors));
        let task = task.map_err(|error| refusal::refuse(Reason::Overloaded, error.to_string()))?;
        // A pump that is stopped has no last word of its own, and its end must not be taken for that of the call.
        let last_word = once(task).filter_map(async |end| end.err().map(|end| Err(cut_off(&end))));
        Ok(ReceiverStream::new(receiver).chain(Box::pin(last_word)))
    }
}

/// What ends a stream before its time.
fn cut_off(end: &TaskEnd) -> Status {
    match end {
        TaskEnd::Stopped => {
            let text = "this replica ends; resume with the last cursor at another one";
            refusal::refuse(Reason::Draining, text)
        }
        TaskEnd::Panicked(_) => {
            refusal::refuse(Reason::Internal, "the stream broke; resume with the last cursor")
        }
    }
}

fn bad_cursor() -> Status {
    let text = "the cursor of an event of the same kind of watch (one call, or all calls)";
    Refusal::field(Reason::BadCursor, "after_cursor", text).into()
}
