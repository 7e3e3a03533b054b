//! Which call has a dialog whose Call-ID Carillon did not make, or made for another call: record `d/DIALOG` beside that call, for
//! the rare INVITE that names the dialog and not the call (RFC 3891). It commits with the call, and goes with the leg.

use std::collections::BTreeSet;

use futures_util::future::try_join_all;
use sha2::{Digest, Sha256};
use store::{Batch, Expect, StoreError};

use super::{Repository, names};
use crate::engine::call::Call;
use crate::engine::leg::LegState;

impl Repository {
    /// The call that has a leg with this Call-ID. As the record lies beside its call, all partitions are asked.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn call_with(&self, sip_call_id: &str) -> Result<Option<String>, StoreError> {
        let name = name_of(sip_call_id);
        let asked = self.partitions().iter().map(|partition| {
            let key = partition.key(name.clone());
            async move { self.store().get(&key).await }
        });
        let found = try_join_all(asked).await?.into_iter().flatten().next();
        Ok(found.and_then(|found| String::from_utf8(found.value.to_vec()).ok()))
    }

    /// Keeps the records of a call.
    pub(super) fn put_dialogs(&self, batch: &mut Batch, before: Option<&Call>, after: &Call) {
        let old = before.map(dialogs_of).unwrap_or_default();
        let new = dialogs_of(after);
        for dialog in new.difference(&old) {
            batch.put_for(name_of(dialog), after.call_id.clone(), Expect::Any, self.ended_retention);
        }
        for dialog in old.difference(&new) {
            batch.delete(name_of(dialog), Expect::Any);
        }
    }
}

/// The Call-IDs of living legs that do not say whose they are.
fn dialogs_of(call: &Call) -> BTreeSet<&str> {
    let legs = call.legs.iter().filter(|leg| {
        let is_here = leg.state() != LegState::Ended && leg.lent.is_none();
        is_here && (leg.incoming.is_some() || leg.borrowed.is_some())
    });
    legs.map(|leg| leg.sip_call_id.as_str()).collect()
}

/// A Call-ID may be long, and hold any octets.
fn name_of(sip_call_id: &str) -> String {
    let digest = Sha256::digest(sip_call_id.as_bytes());
    let short: String = digest.iter().take(16).map(|octet| format!("{octet:02x}")).collect();
    names::dialog(&short)
}
