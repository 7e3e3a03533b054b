//! Logs of several partitions as one stream that any replica can resume.
//!
//! A stream reads at its reader's pace and keeps nothing for it: whoever is slow falls behind in the log, never in memory, and is
//! told when the log no longer reaches back.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;

use cluster_rpc::{Reason, Refusal};
use futures_util::future::select_all;
use futures_util::{FutureExt as _, Stream, stream};
use store::{Cursor, LogEntry, Partition, Store, StoreError, Wakeups};
use tokio::sync::watch;
use tonic::Status;

use crate::refusal::of_store;

/// The stream of a watch.
pub type Events<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Entries read from one log at a time.
const CHUNK: usize = 256;

/// What is told: something of the snapshot, or an entry; with where the watch stands after it.
pub enum Told<'a, S> {
    Snapshot(String, S),
    Entry(String, &'a LogEntry),
}

struct Tail {
    partition: Partition,
    after: Cursor,
    wakeups: Wakeups,
}

/// A place in each of the logs.
pub struct LogWatch {
    store: Arc<dyn Store>,
    log: &'static str,
    tails: Vec<Tail>,
    ending: watch::Receiver<bool>,
}

/// What a turn of a watch came to.
enum Turn {
    /// There may be more.
    Goes,
    /// The replica ends.
    Ends,
}

impl LogWatch {
    /// Begins behind a cursor, or at the end of the logs. Once `ending` says so, the stream ends as one that is to be resumed at
    /// another replica: a stream that stays open would hold up the end of the process.
    ///
    /// # Errors
    /// When the cursor is of another watch, or the store fails.
    pub async fn begin(
        store: Arc<dyn Store>,
        log: &'static str,
        partitions: &[Partition],
        after: Option<&str>,
        ending: watch::Receiver<bool>,
    ) -> Result<LogWatch, Status> {
        let resumed = after.map(|text| read_cursors(text, partitions.len())).transpose()?;
        let mut tails = Vec::with_capacity(partitions.len());
        for (index, partition) in partitions.iter().enumerate() {
            // watched before it is read, so that nothing slips between
            let wakeups = store.watch_log(partition, log);
            let after = match &resumed {
                Some(cursors) => cursors[index],
                None => store.log_tail(partition, log).await.map_err(of_store)?,
            };
            tails.push(Tail { partition: partition.clone(), after, wakeups });
        }
        Ok(LogWatch { store, log, tails, ending })
    }

    /// The snapshot, and then what follows; `read` makes events of both, and leaves out what is not wanted.
    pub fn stream<S, E>(
        self,
        snapshot: Vec<S>,
        read: impl Fn(Told<'_, S>) -> Result<Option<E>, StoreError> + Send + Sync + 'static,
    ) -> impl Stream<Item = Result<E, Status>> + Send + 'static
    where
        S: Send + 'static,
        E: Send + 'static,
    {
        let cursor = self.cursor();
        let mut ready: VecDeque<Result<E, Status>> = VecDeque::new();
        for shown in snapshot {
            ready.extend(read(Told::Snapshot(cursor.clone(), shown)).map_err(of_store).transpose());
        }
        stream::unfold((Some(self), ready, read), |(mut watch, mut ready, read)| async move {
            loop {
                if let Some(event) = ready.pop_front() {
                    if event.is_err() {
                        // Nothing follows what went wrong.
                        (watch, ready) = (None, VecDeque::new());
                    }
                    return Some((event, (watch, ready, read)));
                }
                match watch.as_mut()?.next(&read, &mut ready).await {
                    Ok(Turn::Goes) => {}
                    Ok(Turn::Ends) => {
                        let text = "this replica ends; resume with the last cursor at another one";
                        ready.push_back(Err(Refusal::new(Reason::Draining, text).into()));
                    }
                    Err(error) => ready.push_back(Err(of_store(error))),
                }
            }
        })
    }

    /// Reads what is new, or waits until something may be.
    async fn next<S, E>(
        &mut self,
        read: &(impl Fn(Told<'_, S>) -> Result<Option<E>, StoreError> + Send + Sync),
        ready: &mut VecDeque<Result<E, Status>>,
    ) -> Result<Turn, StoreError> {
        let mut is_new = false;
        for index in 0..self.tails.len() {
            let Tail { partition, after, .. } = &self.tails[index];
            let entries = self.store.log_read(partition, self.log, Some(*after), CHUNK).await?;
            for entry in entries {
                is_new = true;
                self.tails[index].after = entry.cursor;
                ready.extend(read(Told::Entry(self.cursor(), &entry))?.map(Ok));
            }
        }
        if is_new {
            return Ok(Turn::Goes);
        }
        let changes = select_all(self.tails.iter_mut().map(|tail| tail.wakeups.recv().boxed()));
        tokio::select! {
            // The end comes once, and must not wait for what never stops coming.
            biased;
            // A service that is gone has ended too.
            _ = self.ending.wait_for(|ending| *ending) => Ok(Turn::Ends),
            _ = changes => Ok(Turn::Goes),
        }
    }

    /// Where the whole watch stands: one cursor per partition.
    fn cursor(&self) -> String {
        self.tails.iter().map(|tail| tail.after.to_string()).collect::<Vec<_>>().join(".")
    }
}

fn read_cursors(text: &str, count: usize) -> Result<Vec<Cursor>, Status> {
    let bad = || {
        Status::from(Refusal::field(Reason::BadCursor, "after_cursor", "a cursor of the same kind of watch"))
    };
    let cursors: Vec<Cursor> =
        text.split('.').map(|one| one.parse().map_err(|_| bad())).collect::<Result<_, _>>()?;
    if cursors.len() == count { Ok(cursors) } else { Err(bad()) }
}
