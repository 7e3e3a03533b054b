//! One partition's event log, read once for all streams of the replica that are up to date.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use cluster_api::callcontrol::v1 as wire;
use parking_lot::Mutex;
use store::{Cursor, LogEntry, Partition, Store, StoreError};
use tokio::sync::{Notify, mpsc};
use tokio::time::sleep;

use crate::repository::{EVENTS, read_events};

/// Entries read at once.
const CHUNK: usize = 500;
/// Pause after a failure of the store.
const PAUSE: Duration = Duration::from_millis(200);

/// An event and its place in its log.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) cursor: Cursor,
    pub(super) event: wire::CallEvent,
}

/// Where a stream takes events from: its buffer, shared by the feeds of all partitions.
#[derive(Clone)]
pub(super) struct Subscriber {
    pub(super) id: u64,
    pub(super) buffer: mpsc::Sender<(usize, Arc<Entry>)>,
    pub(super) ended: Arc<Ended>,
}

/// Why a stream gets nothing more.
#[derive(Default)]
pub(super) struct Ended {
    reason: Mutex<Option<Reason>>,
    wake: Notify,
}

/// See [`Ended`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// Its buffer is full.
    Slow,
    /// The log lost entries that it has not seen.
    Trimmed,
}

impl Ended {
    fn set(&self, reason: Reason) {
        self.reason.lock().get_or_insert(reason);
        self.wake.notify_one();
    }

    pub(super) fn reason(&self) -> Option<Reason> {
        *self.reason.lock()
    }

    /// Waits until the stream gets nothing more.
    pub(super) async fn reached(&self) -> Reason {
        loop {
            if let Some(reason) = self.reason() {
                return reason;
            }
            self.wake.notified().await;
        }
    }
}

pub(super) struct Feed {
    partition: Partition,
    state: Mutex<State>,
    wake: Notify,
}

#[derive(Default)]
struct State {
    /// How far the feed is; `None` while nobody listens.
    position: Option<Cursor>,
    listeners: Vec<Listener>,
    /// Listeners of one call.
    of_call: HashMap<String, Vec<Listener>>,
}

struct Listener {
    number: usize,
    after: Cursor,
    subscriber: Subscriber,
}

impl Feed {
    pub(super) fn new(partition: Partition) -> Arc<Feed> {
        Arc::new(Feed { partition, state: Mutex::default(), wake: Notify::new() })
    }

    pub(super) fn partition(&self) -> &Partition {
        &self.partition
    }

    /// Lets a subscriber that has seen everything up to `after` have what follows; false when the feed is already further, and
    /// the subscriber must read on by itself first.
    pub(super) fn attach(
        &self,
        number: usize,
        after: Cursor,
        call_id: Option<&str>,
        subscriber: &Subscriber,
    ) -> bool {
        let mut state = self.state.lock();
        match state.position {
            Some(position) if position.number > after.number => return false,
            Some(_) => {}
            None => state.position = Some(after),
        }
        let listener = Listener { number, after, subscriber: subscriber.clone() };
        match call_id {
            None => state.listeners.push(listener),
            Some(call_id) => state.of_call.entry(call_id.to_owned()).or_default().push(listener),
        }
        self.wake.notify_one();
        true
    }

    /// Lets a subscriber go, to the events of all calls or of this one.
    pub(super) fn detach(&self, call_id: Option<&str>, id: u64) {
        let mut state = self.state.lock();
        let is_other = |listener: &Listener| listener.subscriber.id != id;
        let Some(call_id) = call_id else { return state.listeners.retain(is_other) };
        if let Some(listeners) = state.of_call.get_mut(call_id) {
            listeners.retain(is_other);
            if listeners.is_empty() {
                state.of_call.remove(call_id);
            }
        }
    }

    pub(super) async fn run(self: Arc<Self>, store: Arc<dyn Store>) {
        // While nobody ever listened, nobody is to be woken by every commit.
        let mut wakeups = None;
        loop {
            let Some(position) = self.position() else {
                self.wake.notified().await;
                continue;
            };
            let wakeups = wakeups.get_or_insert_with(|| store.watch_log(&self.partition, EVENTS));
            match store.log_read(&self.partition, EVENTS, Some(position), CHUNK).await {
                Ok(entries) if entries.is_empty() => {
                    wakeups.recv().await;
                }
                Ok(entries) => self.give(entries),
                Err(StoreError::Trimmed { .. }) => {
                    tracing::warn!(partition = %self.partition, "the event log lost entries, its readers begin anew");
                    self.end_all(Reason::Trimmed);
                }
                Err(error) => {
                    tracing::debug!(%error, partition = %self.partition, "cannot read events");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    fn position(&self) -> Option<Cursor> {
        let mut state = self.state.lock();
        if state.listeners.is_empty() && state.of_call.is_empty() {
            state.position = None;
        }
        state.position
    }

    fn give(&self, entries: Vec<LogEntry>) {
        let decoded: Vec<_> = entries.into_iter().map(decode).collect();
        let mut state = self.state.lock();
        let mut is_any_over = false;
        for (behind, events) in decoded {
            for entry in events {
                is_any_over |= !state.give(&entry);
            }
            state.position = Some(behind);
        }
        if is_any_over {
            state.drop_listeners(|listener| {
                listener.subscriber.buffer.is_closed() || listener.subscriber.ended.reason().is_some()
            });
        }
    }

    fn end_all(&self, reason: Reason) {
        let mut state = self.state.lock();
        state.drop_listeners(|listener| {
            listener.subscriber.ended.set(reason);
            true
        });
        state.position = None;
    }
}

impl State {
    /// Gives an event to who has not seen it: a listener, as the feed, may have begun between the events of one entry. Returns whether
    /// all of them took it.
    fn give(&self, entry: &Arc<Entry>) -> bool {
        let mut is_taken = true;
        let of_this = self.of_call.get(&entry.event.call_id).into_iter().flatten();
        let all = self.listeners.iter().chain(of_this);
        for listener in all.filter(|listener| listener.after < entry.cursor) {
            let Subscriber { buffer, ended, .. } = &listener.subscriber;
            match buffer.try_send((listener.number, Arc::clone(entry))) {
                Ok(()) => continue,
                Err(mpsc::error::TrySendError::Full(_)) => ended.set(Reason::Slow),
                Err(mpsc::error::TrySendError::Closed(_)) => {}
            }
            is_taken = false;
        }
        is_taken
    }

    fn drop_listeners(&mut self, mut is_over: impl FnMut(&Listener) -> bool) {
        self.listeners.retain(|listener| !is_over(listener));
        self.of_call.retain(|_, listeners| {
            listeners.retain(|listener| !is_over(listener));
            !listeners.is_empty()
        });
    }
}

/// The events of an entry of the log, and the place behind them. What cannot be read is skipped: it was written by a later
/// version.
pub(super) fn decode(entry: LogEntry) -> (Cursor, Vec<Arc<Entry>>) {
    let behind = entry.cursor;
    match read_events(entry) {
        Ok(events) => {
            let entries = events.into_iter().map(|(cursor, event)| Arc::new(Entry { cursor, event }));
            (behind, entries.collect())
        }
        Err(error) => {
            tracing::warn!(%error, cursor = %behind, "an event cannot be read");
            (behind, Vec::new())
        }
    }
}
