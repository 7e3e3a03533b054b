//! Who is in a call, as far as Carillon knows: of the calls that it controls and of those that it proxies.
//!
//! The list of live calls is read once for all callbacks of a replica, and again when what was read is old; not at all while nobody waits.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use cluster_api::callcontrol::v1::call::State;
use store::StoreError;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::machine::Known;
use super::machine::record::Callback;
use crate::engine::claim::takers::address_of_record;
use crate::repository::Repository;

/// How old it may be.
const RECENT: Duration = Duration::from_secs(2);
/// Live calls of one partition that are looked at; who is only in further ones is asked all the same.
const MOST: usize = 20_000;
/// Entries read at once.
const CHUNK: usize = 500;

/// The calls as they were seen last.
#[derive(Default)]
pub struct Snapshot {
    seen: Mutex<Option<(Instant, Arc<Parties>)>>,
}

/// Who is in calls.
#[derive(Default)]
struct Parties {
    busy: HashSet<String>,
    /// Caller and callee of those that are connected.
    talking: HashSet<(String, String)>,
}

impl Snapshot {
    /// What is known of the two parties of a callback.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn known(&self, repository: &Repository, of: &Callback) -> Result<Known, StoreError> {
        self.known_since(repository, of, None).await
    }

    /// The same, from calls that were read after this moment.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn known_since(
        &self,
        repository: &Repository,
        of: &Callback,
        since: Option<Instant>,
    ) -> Result<Known, StoreError> {
        let parties = self.parties(repository, since).await?;
        let (from, to) = (address_of_record(&of.from.uri), address_of_record(&of.to.uri));
        let is_busy = parties.busy.contains(&from) || parties.busy.contains(&to);
        let are_talking = is_busy
            && (parties.talking.contains(&(from.clone(), to.clone()))
                || parties.talking.contains(&(to, from)));
        Ok(Known { is_busy, are_talking })
    }

    async fn parties(
        &self,
        repository: &Repository,
        since: Option<Instant>,
    ) -> Result<Arc<Parties>, StoreError> {
        // Held while it is read: all who ask meanwhile want the same
        let mut seen = self.seen.lock().await;
        if let Some((at, parties)) = &*seen
            && at.elapsed() < RECENT
            && since.is_none_or(|since| *at >= since)
        {
            return Ok(Arc::clone(parties));
        }
        let begun = Instant::now();
        let parties = Arc::new(read(repository).await?);
        *seen = Some((begun, Arc::clone(&parties)));
        Ok(parties)
    }
}

async fn read(repository: &Repository) -> Result<Parties, StoreError> {
    let mut parties = Parties::default();
    for partition in repository.partitions() {
        let (mut after, mut count) = (None, 0);
        loop {
            let (listed, more) = repository.list(partition, false, after.as_ref(), CHUNK).await?;
            count += listed.len();
            after = listed.last().map(|last| last.position.clone());
            for listed in listed {
                let summary = listed.summary;
                if matches!(summary.state(), State::Answered | State::Held) {
                    parties.talking.insert((summary.from.clone(), summary.to.clone()));
                }
                if !matches!(summary.state(), State::Ending | State::Ended) {
                    parties.busy.extend([summary.from, summary.to]);
                }
            }
            if !more || count >= MOST {
                break;
            }
        }
    }
    Ok(parties)
}
