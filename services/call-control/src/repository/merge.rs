//! One list out of the indexes of all partitions, newest first.

use std::collections::VecDeque;

use cluster_api::callcontrol::v1 as wire;
use futures_util::future::{join_all, try_join_all};
use store::{Partition, StoreError};

use super::{Filter, Listed, Position, Repository};

/// Live calls read for a snapshot at once.
const SNAPSHOT_PAGE: usize = 1000;
/// Entries looked at for one page: a filter that matches hardly anything gives short pages, not long waits.
const LARGEST_SEARCH: usize = 10_000;
/// Entries read from one index at once.
const CHUNK: usize = 200;

/// Some calls of the list, newest first.
#[derive(Debug)]
pub struct CallPage {
    /// Those that match.
    pub calls: Vec<wire::Call>,
    /// Where the list goes on; none at its end.
    pub next: Option<Position>,
}

impl Repository {
    /// About `size` calls that match, from a position on.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn page(
        &self,
        filter: &Filter,
        after: Option<Position>,
        size: usize,
    ) -> Result<CallPage, StoreError> {
        Merge::new(self, filter, after).page(self, filter, size).await
    }

    /// Every live call that matches, for the snapshot of a watch.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn live(&self, filter: &Filter) -> Result<Vec<wire::Call>, StoreError> {
        let mut merge = Merge::new(self, filter, None);
        merge.sources.retain(|source| !source.ended);
        let mut calls = Vec::new();
        loop {
            let page = merge.page(self, filter, SNAPSHOT_PAGE).await?;
            calls.extend(page.calls.into_iter().filter(|call| call.end_time.is_none()));
            if page.next.is_none() {
                return Ok(calls);
            }
        }
    }
}

/// Several ordered indexes read as one.
struct Merge<'a> {
    sources: Vec<Source<'a>>,
}

struct Source<'a> {
    partition: &'a Partition,
    ended: bool,
    after: Option<Position>,
    buffer: VecDeque<Listed>,
    more: bool,
}

impl<'a> Merge<'a> {
    fn new(repository: &'a Repository, filter: &Filter, after: Option<Position>) -> Merge<'a> {
        let parts = [false, true].into_iter().filter(|ended| filter.wants(*ended));
        let sources = parts.flat_map(|ended| {
            let after = after.clone();
            repository.partitions().iter().map(move |partition| Source {
                partition,
                ended,
                after: after.clone(),
                buffer: VecDeque::new(),
                more: true,
            })
        });
        Merge { sources: sources.collect() }
    }

    async fn page(
        &mut self,
        repository: &Repository,
        filter: &Filter,
        size: usize,
    ) -> Result<CallPage, StoreError> {
        let now_ms = crate::engine::time::Moment::from(repository.now()).millis();
        let mut calls: Vec<wire::Call> = Vec::new();
        let mut last = None;
        let mut seen = 0;
        let mut chosen: Vec<Position> = Vec::new();
        loop {
            let ended = !self
                .next(repository, |listed| {
                    seen += 1;
                    // A call that ended between two reads stands in both indexes, at the same position.
                    if last.as_ref() != Some(&listed.position) && filter.may_match(&listed.summary, now_ms) {
                        chosen.push(listed.position.clone());
                    }
                    last = Some(listed.position);
                })
                .await?;
            let is_full = calls.len() + chosen.len() >= size || seen >= LARGEST_SEARCH;
            if is_full || ended || chosen.len() >= CHUNK {
                let read = chosen.drain(..).map(|position| async move {
                    Ok::<_, StoreError>(
                        repository.load(position.call_id()).await?.map(|loaded| loaded.public()),
                    )
                });
                let read = try_join_all(read).await?;
                calls.extend(read.into_iter().flatten().filter(|call| filter.matches(call)));
            }
            if ended {
                return Ok(CallPage { calls, next: None });
            }
            if calls.len() >= size || seen >= LARGEST_SEARCH {
                return Ok(CallPage { calls, next: last });
            }
        }
    }

    /// Gives the next entry of all sources; false at the end of all.
    async fn next(&mut self, repository: &Repository, take: impl FnOnce(Listed)) -> Result<bool, StoreError> {
        let empty = self.sources.iter_mut().filter(|source| source.buffer.is_empty() && source.more);
        let filled = join_all(empty.map(|source| source.fill(repository))).await;
        filled.into_iter().collect::<Result<(), _>>()?;
        let with_entries = self.sources.iter_mut().filter(|source| !source.buffer.is_empty());
        let first = with_entries.min_by(|a, b| a.buffer[0].position.cmp(&b.buffer[0].position));
        let Some(listed) = first.and_then(|source| source.buffer.pop_front()) else { return Ok(false) };
        take(listed);
        Ok(true)
    }
}

impl Source<'_> {
    async fn fill(&mut self, repository: &Repository) -> Result<(), StoreError> {
        let (entries, more) = repository.list(self.partition, self.ended, self.after.as_ref(), CHUNK).await?;
        self.more = more;
        self.after = entries.last().map(|listed| listed.position.clone()).or(self.after.take());
        self.buffer = entries.into();
        Ok(())
    }
}
