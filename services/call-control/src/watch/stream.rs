//! One stream: snapshot, past, present.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cluster_api::callcontrol::v1 as wire;
use cluster_api::convert::timestamp;
use futures_util::future::try_join_all;
use store::{Cursor, LogEntry, StoreError};
use tokio::sync::mpsc;
use tonic::Status;

use super::Watches;
use super::cursor::Place;
use super::feed::{Ended, Entry, Reason, Subscriber, decode};
use crate::refusal;
use crate::repository::{EVENTS, Filter};

/// Entries of the past read at once.
const CHUNK: usize = 200;

/// Names subscribers within the process.
static NEXT_ID: AtomicU64 = AtomicU64::new(0);

/// Which events a stream is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// Those of all calls.
    All,
    /// Those of one call.
    Call {
        /// The call.
        call_id: String,
        /// Its partition.
        partition: usize,
        /// It had ended when the stream began.
        is_over: bool,
    },
}

/// Why a pump stops.
enum Stop {
    /// The client is gone, or has everything.
    Quiet,
    /// The client is told.
    Told(Status),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Stop {
        Stop::Told(refusal::of_store(&error))
    }
}

/// Moves events from logs and feeds into one stream.
pub(super) struct Pump {
    watches: Arc<Watches>,
    scope: Scope,
    filter: Filter,
    output: mpsc::Sender<Result<wire::CallEvent, Status>>,
    subscriber: Subscriber,
    buffer: mpsc::Receiver<(usize, Arc<Entry>)>,
    /// How far the stream is in each partition; only the scope's are used.
    cursors: Vec<Cursor>,
    /// Revisions of the calls in the snapshot: older events about them would go back in time.
    shown: HashMap<String, u64>,
}

impl Drop for Pump {
    fn drop(&mut self) {
        for number in self.partitions() {
            self.watches.feeds[number].detach(self.call_id(), self.subscriber.id);
        }
    }
}

impl Pump {
    pub(super) fn new(
        watches: Arc<Watches>,
        scope: Scope,
        filter: Filter,
        output: mpsc::Sender<Result<wire::CallEvent, Status>>,
    ) -> Pump {
        let (sender, buffer) = mpsc::channel(watches.runner.config().watch_buffer.max(1));
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        let subscriber = Subscriber { id, buffer: sender, ended: Arc::new(Ended::default()) };
        let cursors = vec![Cursor::ZERO; watches.feeds.len()];
        Pump { watches, scope, filter, output, subscriber, buffer, cursors, shown: HashMap::new() }
    }

    pub(super) async fn run(mut self, after: Option<Vec<(usize, Cursor)>>) {
        if let Err(Stop::Told(status)) = self.pump(after).await {
            // Everything buffered is given up first: the client resumes with its last cursor.
            self.buffer.close();
            let _ = self.output.send(Err(status)).await;
        }
    }

    async fn pump(&mut self, after: Option<Vec<(usize, Cursor)>>) -> Result<(), Stop> {
        match after {
            Some(after) => {
                for (partition, cursor) in after {
                    self.cursors[partition] = cursor;
                }
            }
            None => {
                self.begin_at_the_tails().await?;
                self.snapshot().await?;
            }
        }
        for partition in self.partitions() {
            self.catch_up(partition).await?;
        }
        if let Scope::Call { is_over: true, .. } = self.scope {
            // All its events are in the past, and the last of them came before the cursor.
            return Ok(());
        }
        self.follow().await
    }

    fn partitions(&self) -> Vec<usize> {
        match self.scope {
            Scope::All => (0..self.cursors.len()).collect(),
            Scope::Call { partition, .. } => vec![partition],
        }
    }

    fn call_id(&self) -> Option<&str> {
        match &self.scope {
            Scope::All => None,
            Scope::Call { call_id, .. } => Some(call_id),
        }
    }

    /// A new stream begins where the logs end, and the snapshot is taken after that: nothing falls between.
    async fn begin_at_the_tails(&mut self) -> Result<(), Stop> {
        let store = self.watches.runner.repository.store();
        let tails = self.partitions().into_iter().map(|number| {
            let partition = self.watches.feeds[number].partition();
            async move { Ok::<_, StoreError>((number, store.log_tail(partition, EVENTS).await?)) }
        });
        for (number, tail) in try_join_all(tails).await? {
            self.cursors[number] = tail;
        }
        Ok(())
    }

    async fn snapshot(&mut self) -> Result<(), Stop> {
        let repository = &self.watches.runner.repository;
        let calls = match &self.scope {
            Scope::All => repository.live(&self.filter).await?,
            Scope::Call { call_id, .. } => {
                let found = repository.load(call_id).await?;
                found.map(|loaded| loaded.public()).into_iter().collect()
            }
        };
        let time = Some(timestamp(repository.now()));
        let event = |cursor: String, call: Option<wire::Call>| wire::CallEvent {
            cursor,
            time,
            call_id: call.as_ref().map(|call| call.call_id.clone()).unwrap_or_default(),
            r#type: wire::call_event::Type::Snapshot.into(),
            call,
            ..wire::CallEvent::default()
        };
        if calls.is_empty() {
            return self.put(event(self.place().text(), None)).await;
        }
        let last = calls.len() - 1;
        for (n, call) in calls.into_iter().enumerate() {
            self.shown.insert(call.call_id.clone(), revision(&call));
            let place = if n == last { self.place() } else { Place::BeforeSnapshot };
            self.put(event(place.text(), Some(call))).await?;
        }
        Ok(())
    }

    /// Reads one partition's past until it meets the feed.
    async fn catch_up(&mut self, number: usize) -> Result<(), Stop> {
        let feed = Arc::clone(&self.watches.feeds[number]);
        while !feed.attach(number, self.cursors[number], self.call_id(), &self.subscriber) {
            let store = Arc::clone(self.watches.runner.repository.store());
            let entries = store.log_read(feed.partition(), EVENTS, Some(self.cursors[number]), CHUNK).await?;
            for entry in entries {
                self.give_all(number, entry).await?;
            }
        }
        if let Scope::Call { is_over: true, .. } = self.scope {
            self.read_to_the_end(number).await?;
        }
        Ok(())
    }

    /// The feed may not be at the end of the log yet, but a call that is over has its last event there.
    async fn read_to_the_end(&mut self, number: usize) -> Result<(), Stop> {
        let feed = Arc::clone(&self.watches.feeds[number]);
        feed.detach(self.call_id(), self.subscriber.id);
        let store = Arc::clone(self.watches.runner.repository.store());
        loop {
            let entries = store.log_read(feed.partition(), EVENTS, Some(self.cursors[number]), CHUNK).await?;
            if entries.is_empty() {
                return Ok(());
            }
            for entry in entries {
                self.give_all(number, entry).await?;
            }
        }
    }

    async fn follow(&mut self) -> Result<(), Stop> {
        let ended = Arc::clone(&self.subscriber.ended);
        loop {
            let next = tokio::select! {
                // A stream that is over must not go on with what is left in its buffer.
                biased;
                reason = ended.reached() => return Err(self.stopped(reason)),
                () = self.output.closed() => return Err(Stop::Quiet),
                next = self.buffer.recv() => next,
            };
            // The subscriber holds a sender, so the buffer cannot close.
            let Some((number, entry)) = next else { return Err(Stop::Quiet) };
            tokio::select! {
                biased;
                reason = ended.reached() => return Err(self.stopped(reason)),
                given = self.give(number, &entry) => given?,
            }
        }
    }

    fn stopped(&self, reason: Reason) -> Stop {
        let counts = &self.watches.runner.counts.watches_ended;
        match reason {
            Reason::Slow => {
                counts.with_label_values(&["slow"]).inc();
                Stop::Told(refusal::slow_subscriber(self.watches.runner.config().watch_buffer))
            }
            Reason::Trimmed => {
                counts.with_label_values(&["too_old"]).inc();
                Stop::Told(refusal::cursor_too_old())
            }
        }
    }

    /// Passes on what an entry of the log tells of behind the cursor.
    async fn give_all(&mut self, number: usize, entry: LogEntry) -> Result<(), Stop> {
        let (behind, events) = decode(entry);
        for event in events {
            if event.cursor.number > self.cursors[number].number {
                self.give(number, &event).await?;
            }
        }
        self.cursors[number] = behind;
        Ok(())
    }

    /// Passes an event on if the client wants it. Log and feed give each event once, and none from before the cursor.
    async fn give(&mut self, number: usize, entry: &Entry) -> Result<(), Stop> {
        self.cursors[number] = entry.cursor;
        let event = &entry.event;
        if self.call_id().is_some_and(|call_id| call_id != event.call_id) {
            return Ok(());
        }
        let is_end = event.r#type == i32::from(wire::call_event::Type::Ended);
        let call = event.call.as_ref();
        let is_old = match (self.shown.get(&event.call_id), call) {
            (Some(shown), Some(call)) => revision(call) <= *shown,
            _ => false,
        };
        if is_end {
            self.shown.remove(&event.call_id);
        }
        let is_wanted = !is_old && call.is_none_or(|call| self.filter.matches(call));
        if is_wanted {
            let event = wire::CallEvent { cursor: self.place().text(), ..event.clone() };
            self.put(event).await?;
        }
        // The last event of the only call that is watched.
        if is_end && self.call_id().is_some() { Err(Stop::Quiet) } else { Ok(()) }
    }

    fn place(&self) -> Place {
        match self.scope {
            Scope::All => Place::All(self.cursors.clone()),
            Scope::Call { partition, .. } => Place::Call { partition, cursor: self.cursors[partition] },
        }
    }

    async fn put(&self, event: wire::CallEvent) -> Result<(), Stop> {
        self.output.send(Ok(event)).await.map_err(|_| Stop::Quiet)
    }
}

/// The etag of a call is its revision.
fn revision(call: &wire::Call) -> u64 {
    call.etag.parse().unwrap_or(0)
}
