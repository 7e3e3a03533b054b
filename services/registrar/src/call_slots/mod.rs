//! Limits on simultaneous calls: which calls an account takes part in or a trunk carries, kept in the store as a list of their ids.
//!
//! **Here:** the list ([`list`]), its record, what it makes of a plan ([`routed`]), and the branches that ask for room at a trunk
//! ([`trunk`]); and how many calls an account began within a minute ([`rate`]). Only accounts and trunks with a limit have a list. A call enters it with the question where it goes, or when it begins
//! toward the trunk; at the limit call-control is asked which of the calls in it go on, and those that do not are dropped; of a trunk's, which legs. So the end of
//! a call is told to nobody, and the calls of a dead edge make room as soon as call-control has ended them.

mod list;
mod rate;
mod routed;
mod trunk;

use std::{sync::OnceLock, time::Duration};

use bytes::Bytes;
use cluster_api::callcontrol::v1::{CheckCallsRequest, check_calls_response::Standing};
use cluster_rpc::{ProxiedCallsLink, Reason, Refusal};
use prost::Message as _;
use store::{Batch, Expect, StoreError};
use store_rpc::read_record;
use tokio::time::timeout;

use crate::{Registrar, Shared, aors::ChangeError};
use list::{Seized, SlotList, Wish};
pub(crate) use routed::{Limited, Origin};

/// Most calls that an account or a trunk may be limited to: as many as call-control is asked about at once.
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
    /// From now on calls of accounts are counted, and call-control is asked there which of them go on. Without, no account or trunk can
    /// have a limit.
    pub fn count_calls(&self, calls: ProxiedCallsLink) {
        // The composition says it once; a second time would change nothing.
        let _ = self.shared.calls.set(calls);
    }
}

impl Shared {
    /// Gives a call room among those of an account or trunk, if there is any.
    async fn seize(&self, whose: &str, most: u32, wish: Wish<'_>) -> Result<Seized, ChangeError> {
        // Without somebody to ask, calls would count forever: better none does.
        let Some(calls) = self.calls.get() else { return Ok(Seized::Held) };
        for _ in 0..ATTEMPTS {
            let (mut list, version) = self.read_slots(whose).await?;
            let now_ms = self.aors.now_ms();
            let mut seized = list.seize(wish, most, now_ms);
            if seized == Seized::Full && list.may_check(now_ms) {
                let Some(standings) = self.standings(calls, &list).await else { return Ok(Seized::Full) };
                let freed = list.clear(&standings, now_ms);
                self.meters.call_slots.with_label_values(&["freed"]).inc_by(freed as u64);
                seized = list.seize(wish, most, now_ms);
            } else if seized != Seized::Taken {
                return Ok(seized);
            }
            match self.write_slots(whose, list, version).await {
                Ok(()) => return Ok(seized),
                Err(StoreError::Conflict) => self.meters.conflicts.inc(),
                Err(error) => return Err(error.into()),
            }
        }
        Err(ChangeError::Contended)
    }

    /// Takes a call out that came to nothing. When that fails, it goes like one that nobody tells of.
    async fn release(&self, whose: &str, call_id: &str, leg: &str) -> Result<(), StoreError> {
        for _ in 0..ATTEMPTS {
            let (mut list, version) = self.read_slots(whose).await?;
            if !list.release(call_id, leg) {
                return Ok(());
            }
            match self.write_slots(whose, list, version).await {
                Err(StoreError::Conflict) => self.meters.conflicts.inc(),
                done => return done,
            }
        }
        Err(StoreError::Conflict)
    }

    /// `None` when call-control does not say; then every call is believed to go on.
    async fn standings(&self, calls: &ProxiedCallsLink, list: &SlotList) -> Option<Vec<Standing>> {
        let most = MOST_CALLS as usize;
        let call_ids = list.call_ids().into_iter().take(most).collect();
        let legs = list.legs().into_iter().take(most).collect();
        match timeout(PATIENCE, calls.check_calls(CheckCallsRequest { call_ids, legs })).await {
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

    async fn read_slots(&self, whose: &str) -> Result<(SlotList, u64), StoreError> {
        let found = self.aors.store().get(&self.aors.partition_of(whose).key(name_of(whose))).await?;
        let Some(found) = found else { return Ok((SlotList::default(), 0)) };
        let list = read_record(found.value, SCHEMA, "a list of calls", |read: &SlotList| read.schema)?;
        Ok((list, found.version))
    }

    async fn write_slots(&self, whose: &str, list: SlotList, version: u64) -> Result<(), StoreError> {
        let expect = if version == 0 { Expect::Absent } else { Expect::Version(version) };
        let list = SlotList { schema: SCHEMA, ..list };
        let mut batch = Batch::new(self.aors.partition_of(whose));
        batch.put_for(name_of(whose), Bytes::from(list.encode_to_vec()), expect, KEPT);
        self.aors.store().commit(batch).await.map(drop)
    }
}

/// A limit as it is given for an account or a trunk.
pub(crate) fn limit(shared: &Shared, given: u32, field: &str) -> Result<u32, Refusal> {
    if given > MOST_CALLS {
        return Err(Refusal::field(Reason::BadField, field, format!("at most {MOST_CALLS}")));
    }
    // Without somebody to ask, calls would count forever.
    if given > 0 && shared.calls.get().is_none() {
        let expected = "0: this registrar does not know where call-control is (peers)";
        let refusal = Refusal::not_implemented("A limit of calls without call-control");
        return Err(refusal.violation(field, expected));
    }
    Ok(given)
}

fn name_of(whose: &str) -> String {
    ["calls/", whose].concat()
}
