//! A conference that call-control has made, and not told of yet: who is in it may watch it as soon as the 200 says that it is one.

use std::time::Duration;

use cluster_api::callcontrol::v1::call::State;
use store::StoreError;
use tokio::time::sleep;

use super::Runner;
use crate::engine::Package;
use crate::intake::user_aor;
use crate::repository::names;
use crate::topics::Conference;

/// What the name of a conference of call-control begins with, before the id of its call.
const USER: &str = "sip:conf-";
/// First pause before it is looked at again; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// Looks after which it is answered with what is known: two and a half seconds.
const LOOKS: u32 = 8;

impl Runner {
    /// Waits until a conference is told of that there is. Call-control is asked only of what was never heard of.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn know_conference(&self, uri: &str) -> Result<(), StoreError> {
        if self.is_heard_of(uri).await? || !self.is_conference(uri).await {
            return Ok(());
        }
        let mut pause = FIRST_PAUSE;
        for _ in 0..LOOKS {
            sleep(pause).await;
            if self.is_heard_of(uri).await? {
                break;
            }
            pause *= 2;
        }
        Ok(())
    }

    async fn is_heard_of(&self, uri: &str) -> Result<bool, StoreError> {
        let (value, _) = self.repository.record(uri, &names::state(Package::Conference, uri)).await?;
        Ok(Conference::read(value.as_ref())?.is_heard_of())
    }

    /// Whether call-control holds it now, and so tells of it until that is committed.
    async fn is_conference(&self, uri: &str) -> bool {
        let call_id = uri.strip_prefix(USER).and_then(|rest| rest.split_once('@'));
        let Some((call_id, _)) = call_id else { return false };
        match self.calls.call(call_id).await {
            Ok(Some(call)) => {
                let itself = call.conference_uri.as_deref().and_then(user_aor);
                call.state() != State::Ended && itself.as_deref() == Some(uri)
            }
            Ok(None) => false,
            Err(status) => {
                tracing::debug!(error = status.message(), "a conference is not known yet");
                false
            }
        }
    }
}
