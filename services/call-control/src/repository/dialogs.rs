//! Which call has a dialog whose Call-ID Carillon did not make, or made for another call: record `d/DIALOG` beside that call, for
//! the rare INVITE that names the dialog and not the call (RFC 3891). It commits with the call, and goes some time after the leg: who names a
//! dialog that has just ended is told so (RFC 3891 3).

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::try_join_all;
use sha2::{Digest, Sha256};
use store::{Batch, Expect, StoreError};

use super::{Repository, names};
use crate::engine::call::Call;
use crate::engine::leg::LegState;

/// How long an ended dialog is known to have been one: as long as somebody may still hold its ids for good, to be transferred to it.
const REMEMBERED: Duration = Duration::from_secs(600);

impl Repository {
    /// The calls that have a leg with this Call-ID, or had one lately. As the record lies beside its call, all partitions are asked.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn calls_with(&self, sip_call_id: &str) -> Result<Vec<String>, StoreError> {
        let name = name_of(sip_call_id);
        let asked = self.partitions().iter().map(|partition| {
            let key = partition.key(name.clone());
            async move { self.store().get(&key).await }
        });
        let found = try_join_all(asked).await?.into_iter().flatten();
        Ok(found.filter_map(|found| String::from_utf8(found.value.to_vec()).ok()).collect())
    }

    /// Keeps the records of a call.
    pub(super) fn put_dialogs(&self, batch: &mut Batch, before: Option<&Call>, after: &Call) {
        let old = before.map(dialogs_of).unwrap_or_default();
        let new = dialogs_of(after);
        for dialog in new.difference(&old) {
            batch.put_for(name_of(dialog), after.call_id.clone(), Expect::Any, self.ended_retention);
        }
        for dialog in old.difference(&new) {
            match is_over(after, dialog) {
                true => batch.put_for(name_of(dialog), after.call_id.clone(), Expect::Any, REMEMBERED),
                false => batch.delete(name_of(dialog), Expect::Any),
            };
        }
    }
}

/// Whether the leg with this Call-ID has ended here, and is in no other call.
fn is_over(call: &Call, sip_call_id: &str) -> bool {
    let mut legs = call.legs.iter().filter(|leg| leg.sip_call_id == sip_call_id);
    legs.any(|leg| leg.state() == LegState::Ended && leg.lent.is_none() && leg.kept.is_none())
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
