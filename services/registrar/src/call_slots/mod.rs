//! Limits on simultaneous calls: which calls an account takes part in, kept in the store as a list of their ids.
//!
//! **Here:** the list ([`list`]), its record, and what it makes of a plan ([`routed`]). Only accounts with a limit have a list. A call
//! enters it with the question where it goes; at the limit call-control is asked which of the calls in it go on, and those that do not
//! are dropped. So the end of a call is told to nobody, and the calls of a dead edge make room as soon as call-control has ended them.
//! **Deliberately absent:** limits on trunks; a trunk that names one is refused.

mod list;
mod routed;

use std::{sync::OnceLock, time::Duration};

use bytes::Bytes;
use cluster_api::callcontrol::v1::{CheckCallsRequest, check_calls_response::Standing};
use cluster_rpc::ProxiedCallsLink;
use prost::Message as _;
use store::{Batch, Expect, StoreError};
use tokio::time::timeout;

use crate::{Registrar, Shared, aors::ChangeError};
use list::{Seized, SlotList};
pub(crate) use routed::Limited;

/// Most calls that an account may be limited to: as many as call-control is asked about at once.
pub(crate) const MOST_CALLS: u32 = 1_000;
/// Octets of the id of a call.
const LONGEST_ID: usize = 128;
const SCHEMA: u32 = 1;
/// How often a list is changed against others who do.
const ATTEMPTS: usize = 16;
/// How long call-control may take: less than who asks us waits.
const PATIENCE: Duration = Duration::from_secs(1);
/// A list without a new call for so long is forgotten. Longer than call-control believes in a call that nobody tells of.
const KEPT: Duration = Duration::from_secs(25 * 3600);

/// The way to call-control, once it is known.
pub(crate) type Calls = OnceLock<ProxiedCallsLink>;

impl Registrar {
    /// From now on calls of accounts are counted, and call-control is asked there which of them go on. Without, an account cannot have
    /// a limit.
    pub fn count_calls(&self, calls: ProxiedCallsLink) {
        // The composition says it once; a second time would change nothing.
        let _ = self.shared.calls.set(calls);
    }
}

impl Shared {
    /// Whether there is somebody who knows which calls go on.
    pub(crate) fn counts_calls(&self) -> bool {
        self.calls.get().is_some()
    }

    /// Gives a call room among those of an account, if there is any.
    async fn seize(&self, aor: &str, most: u32, call_id: &str) -> Result<Seized, ChangeError> {
        // Without somebody to ask, calls would count forever: better none does.
        let Some(calls) = self.calls.get() else { return Ok(Seized::Held) };
        for _ in 0..ATTEMPTS {
            let (mut list, version) = self.read_slots(aor).await?;
            let now_ms = self.aors.now_ms();
            let mut seized = list.seize(call_id, most, now_ms);
            if seized == Seized::Full && list.may_check(now_ms) {
                let Some(standings) = self.standings(calls, &list).await else { return Ok(Seized::Full) };
                let freed = list.clear(&standings, now_ms);
                self.meters.call_slots.with_label_values(&["freed"]).inc_by(freed as u64);
                seized = list.seize(call_id, most, now_ms);
            } else if seized != Seized::Taken {
                return Ok(seized);
            }
            match self.write_slots(aor, list, version).await {
                Ok(()) => return Ok(seized),
                Err(StoreError::Conflict) => self.meters.conflicts.inc(),
                Err(error) => return Err(error.into()),
            }
        }
        Err(ChangeError::Contended)
    }

    /// Takes a call out that came to nothing. When that fails, it goes like one that nobody tells of.
    async fn release(&self, aor: &str, call_id: &str) -> Result<(), StoreError> {
        let (mut list, version) = self.read_slots(aor).await?;
        if list.release(call_id) { self.write_slots(aor, list, version).await } else { Ok(()) }
    }

    /// `None` when call-control does not say; then every call is believed to go on.
    async fn standings(&self, calls: &ProxiedCallsLink, list: &SlotList) -> Option<Vec<Standing>> {
        let call_ids = list.call_ids().into_iter().take(MOST_CALLS as usize).collect();
        match timeout(PATIENCE, calls.check_calls(CheckCallsRequest { call_ids })).await {
            Ok(Ok(answer)) => {
                // one of a later version says at least that there is such a call
                let read = |&value: &i32| Standing::try_from(value).unwrap_or(Standing::Live);
                Some(answer.standings.iter().map(read).collect())
            }
            Ok(Err(_)) | Err(_) => {
                self.meters.call_slots.with_label_values(&["unanswered"]).inc();
                None
            }
        }
    }

    async fn read_slots(&self, aor: &str) -> Result<(SlotList, u64), StoreError> {
        let found = self.aors.store().get(&self.aors.partition_of(aor).key(name_of(aor))).await?;
        let Some(found) = found else { return Ok((SlotList::default(), 0)) };
        let corrupt = |reason| StoreError::Corrupt { reason };
        let list = SlotList::decode(found.value).map_err(|error| corrupt(error.to_string()))?;
        if list.schema > SCHEMA {
            return Err(corrupt(format!("schema {} of a list of calls; {SCHEMA} is known", list.schema)));
        }
        Ok((list, found.version))
    }

    async fn write_slots(&self, aor: &str, list: SlotList, version: u64) -> Result<(), StoreError> {
        let expect = if version == 0 { Expect::Absent } else { Expect::Version(version) };
        let list = SlotList { schema: SCHEMA, ..list };
        let mut batch = Batch::new(self.aors.partition_of(aor));
        batch.put_for(name_of(aor), Bytes::from(list.encode_to_vec()), expect, KEPT);
        self.aors.store().commit(batch).await.map(drop)
    }
}

fn name_of(aor: &str) -> String {
    ["calls/", aor].concat()
}
