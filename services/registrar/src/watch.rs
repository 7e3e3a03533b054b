//! `Bindings.WatchBindings`: the change logs of all partitions as one stream.
//!
//! A stream reads at its reader's pace and keeps nothing for it: whoever is slow falls behind in the log, never in memory, and
//! is told when the log no longer reaches back.

use std::{collections::VecDeque, pin::Pin, sync::Arc};

use cluster_api::convert::timestamp;
use cluster_api::registrar::v1::{BindingEvent, WatchBindingsRequest, binding_event::Type};
use cluster_rpc::{Reason, Refusal};
use futures_util::{FutureExt as _, Stream, future::select_all, stream};
use prost::Message as _;
use store::{Cursor, Partition, StoreError, Wakeups};
use tokio::sync::watch;
use tonic::Status;

use crate::{
    Shared,
    aors::{BOUND_INDEX, CHANGE_LOG},
    bindings::show,
    record::BindingChange,
    refusal::of_store,
    register::temporary::GruuKey,
};

/// Entries read from one log at a time.
const CHUNK: usize = 256;

/// One partition that is watched.
struct Tail {
    partition: Partition,
    after: Cursor,
    wakeups: Wakeups,
}

struct Watch {
    shared: Arc<Shared>,
    key: GruuKey,
    /// Only this address of record; empty for all.
    aor: String,
    tails: Vec<Tail>,
    ready: VecDeque<BindingEvent>,
    /// Whether the process ends.
    ending: watch::Receiver<bool>,
    is_over: bool,
}

impl Shared {
    pub(crate) async fn watch_bindings(
        self: Arc<Self>,
        request: WatchBindingsRequest,
    ) -> Result<Pin<Box<dyn Stream<Item = Result<BindingEvent, Status>> + Send>>, Refusal> {
        let aor = match request.aor.as_str() {
            "" => String::new(),
            aor => self.served_aor(aor, "aor")?,
        };
        let partitions: Vec<Partition> = match aor.as_str() {
            "" => self.aors.partitions().to_vec(),
            aor => vec![self.aors.partition_of(aor).clone()],
        };
        let resumed = request.after_cursor.as_deref().map(|cursor| read_cursors(cursor, partitions.len()));
        let resumed = resumed.transpose()?;
        let mut tails = Vec::with_capacity(partitions.len());
        for (index, partition) in partitions.into_iter().enumerate() {
            // watched before it is read, so that nothing slips between
            let wakeups = self.aors.store().watch_log(&partition, CHANGE_LOG);
            let after = match &resumed {
                Some(cursors) => cursors[index],
                None => self.aors.store().log_tail(&partition, CHANGE_LOG).await.map_err(of_store)?,
            };
            tails.push(Tail { partition, after, wakeups });
        }
        let key = self.gruu_key().await.map_err(of_store)?;
        let ending = self.ending.subscribe();
        let mut watch =
            Watch { shared: self, key, aor, tails, ready: VecDeque::new(), ending, is_over: false };
        if resumed.is_none() {
            watch.snapshot().await.map_err(of_store)?;
        }
        let events = stream::unfold(watch, |mut watch| async move {
            let event = watch.next().await?;
            Some((event, watch))
        });
        Ok(Box::pin(events))
    }
}

impl Watch {
    async fn next(&mut self) -> Option<Result<BindingEvent, Status>> {
        if self.is_over {
            return None;
        }
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(Ok(event));
            }
            match self.read().await {
                Ok(true) => {}
                Ok(false) => {
                    let changes = select_all(self.tails.iter_mut().map(|tail| tail.wakeups.recv().boxed()));
                    tokio::select! {
                        // The sender is in `shared`, so the channel cannot close while this waits.
                        _ = self.ending.wait_for(|ending| *ending) => {}
                        _ = changes => continue,
                    }
                    let text = "this registrar ends; resume with the last cursor at another one";
                    return self.end(Refusal::new(Reason::Draining, text));
                }
                Err(error) => return self.end(of_store(error)),
            }
        }
    }

    fn end(&mut self, why: Refusal) -> Option<Result<BindingEvent, Status>> {
        self.is_over = true;
        Some(Err(why.into()))
    }

    /// Reads what is new; returns whether there was anything.
    async fn read(&mut self) -> Result<bool, StoreError> {
        let mut is_new = false;
        for index in 0..self.tails.len() {
            let Tail { partition, after, .. } = &self.tails[index];
            let store = self.shared.aors.store();
            let entries = store.log_read(partition, CHANGE_LOG, Some(*after), CHUNK).await?;
            for entry in entries {
                is_new = true;
                self.tails[index].after = entry.cursor;
                let change = BindingChange::decode(entry.entry)
                    .map_err(|error| StoreError::Corrupt { reason: error.to_string() })?;
                if self.aor.is_empty() || self.aor == change.aor {
                    let event = BindingEvent {
                        cursor: self.cursor(),
                        time: Some(timestamp(entry.cursor.time())),
                        r#type: change.kind,
                        binding: change.binding.as_ref().map(|binding| show(&change.aor, binding, &self.key)),
                        aor: change.aor,
                    };
                    self.ready.push_back(event);
                }
            }
        }
        Ok(is_new)
    }

    async fn snapshot(&mut self) -> Result<(), StoreError> {
        let aors = match self.aor.as_str() {
            "" => self.bound_aors().await?,
            aor => vec![aor.to_owned()],
        };
        let (cursor, now_ms) = (self.cursor(), self.shared.aors.now_ms());
        let event = |aor: &str| BindingEvent {
            cursor: cursor.clone(),
            time: Some(timestamp(crate::aors::time(now_ms))),
            aor: aor.to_owned(),
            r#type: Type::Snapshot.into(),
            binding: None,
        };
        let mut events = Vec::new();
        for aor in aors {
            self.shared
                .aors
                .read(&aor, |record| {
                    let shown = record.live(now_ms).map(|binding| show(&aor, binding, &self.key));
                    events
                        .extend(shown.map(|binding| BindingEvent { binding: Some(binding), ..event(&aor) }));
                })
                .await?;
        }
        if events.is_empty() {
            events.push(event(&self.aor));
        }
        self.ready.extend(events);
        Ok(())
    }

    async fn bound_aors(&self) -> Result<Vec<String>, StoreError> {
        let mut aors = Vec::new();
        for Tail { partition, .. } in &self.tails {
            let mut after = None;
            loop {
                let page =
                    self.shared.aors.store().index(partition, BOUND_INDEX, after.as_deref(), CHUNK).await?;
                aors.extend(page.entries.into_iter().map(|(aor, _)| aor));
                match page.next {
                    Some(next) => after = Some(next),
                    None => break,
                }
            }
        }
        Ok(aors)
    }

    /// Where the whole watch stands: one cursor per partition.
    fn cursor(&self) -> String {
        self.tails.iter().map(|tail| tail.after.to_string()).collect::<Vec<_>>().join(".")
    }
}

fn read_cursors(text: &str, count: usize) -> Result<Vec<Cursor>, Refusal> {
    let bad = || Refusal::field(Reason::BadCursor, "after_cursor", "a cursor of the same kind of watch");
    let cursors: Vec<Cursor> =
        text.split('.').map(|one| one.parse().map_err(|_| bad())).collect::<Result<_, _>>()?;
    if cursors.len() == count { Ok(cursors) } else { Err(bad()) }
}
