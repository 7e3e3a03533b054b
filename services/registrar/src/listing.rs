//! Pages over an index that is spread over partitions, in one order.

use bytes::Bytes;
use cluster_api::convert::page_limit;
use cluster_rpc::{Reason, Refusal};
use futures_util::future::try_join_all;
use store::{Partition, Store};

use crate::refusal::of_store;

/// Index pages read for one answer at most: a filter that matches little must not read everything.
const MAX_ROUNDS: usize = 20;

/// Part of a list.
pub(crate) struct Page {
    pub entries: Vec<(String, Bytes)>,
    /// Empty at the end.
    pub next: String,
}

/// Number of entries that a request asks for.
pub(crate) fn page_size(asked: i32) -> Result<usize, Refusal> {
    Ok(page_limit(asked)? as usize)
}

/// Members of `index` after `page_token` that are wanted, in octet order over all partitions. The token is the last member
/// that was looked at, wanted or not; what `is_member` says is none never was.
pub(crate) async fn page(
    store: &dyn Store,
    partitions: &[Partition],
    index: &str,
    asked_size: i32,
    page_token: &str,
    is_member: impl Fn(&str) -> bool,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<Page, Refusal> {
    let size = page_size(asked_size)?;
    if !page_token.is_empty() && !is_member(page_token) {
        return Err(Refusal::field(Reason::BadPageToken, "page_token", "next_page_token of the page before"));
    }
    let mut after = (!page_token.is_empty()).then(|| page_token.to_owned());
    let mut entries = Vec::new();
    for _ in 0..MAX_ROUNDS {
        let reads = partitions.iter().map(|partition| store.index(partition, index, after.as_deref(), size));
        let pages = try_join_all(reads).await.map_err(of_store)?;
        // behind the end of a partition that has more, nothing is known to be complete
        let horizon = pages.iter().filter_map(|page| page.next.clone()).min();
        let mut found: Vec<(String, Bytes)> = pages.into_iter().flat_map(|page| page.entries).collect();
        found.retain(|(member, _)| horizon.as_ref().is_none_or(|horizon| member <= horizon));
        found.sort_unstable_by(|one, two| one.0.cmp(&two.0));
        for (member, value) in found {
            if entries.len() == size {
                return Ok(Page { next: after.unwrap_or_default(), entries });
            }
            after = Some(member.clone());
            if is_wanted(&member) {
                entries.push((member, value));
            }
        }
        match horizon {
            None => return Ok(Page { entries, next: String::new() }),
            Some(horizon) => after = Some(horizon),
        }
    }
    Ok(Page { entries, next: after.unwrap_or_default() })
}
