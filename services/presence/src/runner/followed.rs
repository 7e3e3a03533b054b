//! The presence of users whom applications follow: every change is an entry of the log, committed with what changed.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cluster_api::presence::v1::PresenceState;
use prost::Message as _;
use store::{Batch, Expect, StoreError};
use tonic::Status;

use super::Runner;
use super::lease::End;
use crate::engine::Package;
use crate::refusal::of_store;
use crate::repository::names;
use crate::topics::Publications;
use crate::topics::followed::{Followed, LOG, followed_record};

/// How long somebody is followed after an application last said so: longer than the hour in which a watch may be resumed.
const LASTS: Duration = Duration::from_secs(3 * 3_600);
/// How often an application says so.
pub const RENEW: Duration = Duration::from_secs(1_800);

impl Runner {
    /// Adds to the commit of publications what applications are told of them; the record, once it is followed.
    pub(super) async fn log_published(
        &self,
        batch: &mut Batch,
        aor: &str,
        publications: &Publications,
    ) -> Result<(), StoreError> {
        let name = followed_record(aor);
        let (Some(value), expect) = self.repository.record(aor, &name).await? else { return Ok(()) };
        let mut followed = Followed::read(&value)?;
        let state = followed.state(aor, publications);
        if followed.tells(&state) {
            batch.put_for(name, followed.write(), expect, LASTS).log_append(LOG, state.encode_to_vec());
        }
        Ok(())
    }

    /// Learns where somebody is registered whom applications follow, in the background.
    pub(super) fn learn_followed(self: &Arc<Self>, aor: &str) {
        let (runner, aor) = (Arc::clone(self), aor.to_owned());
        let work = async move {
            if let Err(End::Service(status)) = runner.follow(&aor, false).await {
                tracing::debug!(error = status.message(), "bindings are learnt with the next change");
            }
        };
        if self.tasks.spawn("followed", work).is_err() {
            self.counts.limits.with_label_values(&["tasks"]).inc();
        }
    }

    /// Follows somebody: from now on when that is asked for, else only who is followed. Since when, and the state now.
    pub(super) async fn follow(
        self: &Arc<Self>,
        aor: &str,
        is_asked: bool,
    ) -> Result<Option<(u64, PresenceState)>, End> {
        let (name, published) = (followed_record(aor), names::state(Package::Presence, aor));
        for _ in 0..self.config.commit_attempts {
            let (value, expect) = self.repository.record(aor, &name).await?;
            let now_ms = self.repository.now_ms();
            let before = value.as_ref().map(Followed::read).transpose()?;
            let Some(mut after) = before.clone().or_else(|| is_asked.then(|| Followed::new(now_ms))) else {
                return Ok(None);
            };
            let (publications, version) = self.repository.record(aor, &published).await?;
            let mut publications = Publications::read(publications.as_ref())?;
            publications.lapse(now_ms);
            // Asked for after the record was read: who writes between makes this one try again with a newer list.
            let listed = self.listed(aor).await.map_err(End::Service)?;
            let known = after.bindings.take().unwrap_or_default();
            after.bindings = Some(known.after(Package::Presence, listed, None));
            if is_asked {
                after.renew_ms = now_ms;
            }
            let state = after.state(aor, &publications);
            let is_new = after.tells(&state);
            let is_renewed =
                before.as_ref().is_none_or(|before| before.renew_ms + RENEW.as_millis() as u64 / 2 <= now_ms);
            if !(is_new || is_asked && is_renewed) {
                return Ok(Some((after.since_ms, state)));
            }
            let mut batch = Batch::new(self.repository.partition(aor));
            batch.check(&published, version).put_for(&name, after.write(), expect, LASTS);
            // Who begins to follow gets the state as a snapshot.
            if is_new && expect != Expect::Absent {
                batch.log_append(LOG, Bytes::from(state.encode_to_vec()));
            }
            match self.repository.store().commit(batch).await {
                Ok(_) => return Ok(Some((after.since_ms, state))),
                Err(StoreError::Conflict) => self.counts.conflicts.inc(),
                Err(error) => return Err(End::Store(error)),
            }
        }
        Err(End::Lost)
    }

    /// Follows somebody for an application. Since when, and the state now.
    ///
    /// # Errors
    /// When the store or the registrar fails.
    pub async fn follow_for(self: &Arc<Self>, aor: &str) -> Result<(u64, PresenceState), Status> {
        match self.follow(aor, true).await {
            Ok(Some(followed)) => Ok(followed),
            Ok(None) | Err(End::Lost) => Err(of_store(StoreError::Conflict)),
            Err(End::Store(error)) => Err(of_store(error)),
            Err(End::Service(status)) => Err(status),
        }
    }

    /// Since when somebody is followed, if it is.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn followed_since(&self, aor: &str) -> Result<Option<u64>, StoreError> {
        let (value, _) = self.repository.record(aor, &followed_record(aor)).await?;
        Ok(value.as_ref().map(Followed::read).transpose()?.map(|followed| followed.since_ms))
    }
}

/// What is in the log.
///
/// # Errors
/// When it is none of ours.
pub fn read_entry(entry: &Bytes) -> Result<PresenceState, StoreError> {
    PresenceState::decode(entry.clone()).map_err(crate::repository::corrupt)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topics::Bindings;

    #[test]
    fn a_state_is_told_once() {
        let mut followed = Followed::new(7);
        followed.bindings = Some(Bindings::default());
        let state = followed.state("sip:alice@d", &Publications::default());
        assert!(followed.tells(&state));
        assert!(!followed.tells(&state));
        assert_eq!(Followed::read(&Bytes::from(followed.write())).expect("a record"), followed);
    }
}
