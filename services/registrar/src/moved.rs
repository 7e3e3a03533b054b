//! Flows that other ones have taken the place of: a phone in a call that lost its connection, or the edge that had it, comes back by
//! another one, and what belongs to the call follows it. RFC 5626 5.3; ADR 18
//!
//! Nothing is asked as long as a flow is there. When it is not, the edge knows its token and often nothing else: neither side of a dialog
//! has to name the address of record that a call ended up at. So a record by the token names it and its device, written with the
//! change that takes the flow from a binding, in the same partition.

use std::time::Duration;

use bytes::Bytes;
use cluster_api::registrar::v1::{Target, WakeRequest, WakeResponse, wake_response::State};
use futures_util::future::try_join_all;
use prost::Message as _;
use store::{Expect, Op, StoreError};
use tokio::time::sleep;

use crate::aors::{Change, ChangeError};
use crate::record::{AorRecord, BindingRecord};
use crate::register::outbound::same_instance;
use crate::{Shared, plan};

/// How long a flow that ended is remembered: most calls are over by then.
const KEPT: Duration = Duration::from_secs(4 * 3600);
/// A token is shorter; what is longer was never written.
const LONGEST_TOKEN: usize = 256;
/// How long one question waits for the phone, and how often it looks meanwhile: well below the deadline of rpcs (2 s).
const PAUSE: Duration = Duration::from_millis(400);
const LOOKS: usize = 3;

/// Whose flow it was.
#[derive(Clone, PartialEq, prost::Message)]
struct MovedRecord {
    #[prost(string, tag = "1")]
    aor: String,
    /// The instance of its device.
    #[prost(string, tag = "2")]
    instance: String,
    /// Which flow of the device it was; 0 when it was none.
    #[prost(uint32, tag = "3")]
    reg_id: u32,
}

/// Remembers that a binding has lost this flow. Nothing for a phone that has no instance, which nobody recognises, and for one that
/// datagrams reach by its address.
pub(crate) fn remember(aor: &str, binding: &BindingRecord, flow: &str) -> Option<Op> {
    let is_connection = !flow.is_empty() && !binding.received.starts_with("udp:");
    if !is_connection || binding.instance().is_empty() || flow.len() > LONGEST_TOKEN {
        return None;
    }
    let (instance, reg_id) = (binding.instance().to_owned(), binding.reg_id);
    let value = MovedRecord { aor: aor.to_owned(), instance, reg_id }.encode_to_vec().into();
    Some(Op::Put { name: name_of(flow), value, expect: Expect::Any, ttl: Some(KEPT) })
}

fn name_of(flow: &str) -> String {
    ["moved/", flow].concat()
}

/// What became of the device whose flow it was.
#[derive(Debug, PartialEq)]
enum Found {
    /// This binding leads to it now, or will when its phone is woken.
    Binding(Box<Target>),
    /// It has not come back.
    Away,
    /// Its binding stands, is the one that had the flow, and its phone can be pushed.
    Unchanged,
}

impl Shared {
    /// What took the place of a flow; waits a little for a phone that is on its way back. With an address of record the question is about a
    /// request outside dialogs: of a phone that cannot be pushed it is not waited for.
    pub(crate) async fn follow(&self, request: &WakeRequest) -> Result<WakeResponse, StoreError> {
        let WakeRequest { aor, flow, .. } = request;
        if flow.len() > LONGEST_TOKEN {
            return Ok(answer(State::Lost, None));
        }
        for look in 0..LOOKS {
            if look > 0 {
                sleep(PAUSE).await;
            }
            let known = self.device_of(aor, flow).await?;
            let found = match &known {
                Some(device) => {
                    let is_call = !aor.is_empty();
                    self.successor(device, flow, is_call).await?
                }
                None => Found::Away,
            };
            match found {
                Found::Binding(target) => return Ok(answer(State::Awake, Some(*target))),
                // Who finds the flow gone knows it before the registrar does, which gives an edge a minute to come back. A push does a
                // phone that is there no harm: it registers, and is awake.
                Found::Unchanged if !aor.is_empty() => match self.put_to_sleep(aor, flow).await {
                    Ok(Some(target)) => return Ok(answer(State::Awake, Some(target))),
                    Ok(None) | Err(ChangeError::Contended) => {}
                    Err(ChangeError::Store(error)) => return Err(error),
                },
                Found::Away if !aor.is_empty() => return Ok(answer(State::Lost, None)),
                Found::Away | Found::Unchanged => {}
            }
        }
        Ok(answer(State::Asleep, None))
    }

    /// Whose flow it was, or is.
    async fn device_of(&self, aor: &str, flow: &str) -> Result<Option<MovedRecord>, StoreError> {
        if !aor.is_empty() {
            let bound = self.aors.read(aor, |record| {
                let bound = record.bindings.iter().find(|binding| binding.flow == flow);
                bound.map(|binding| (binding.instance().to_owned(), binding.reg_id))
            });
            if let Some((instance, reg_id)) = bound.await? {
                return Ok(Some(MovedRecord { aor: aor.to_owned(), instance, reg_id }));
            }
        }
        // Which partition it is in, the token does not say. The question is rare, and the partitions are few.
        let name = name_of(flow);
        let reads = self.aors.partitions().iter().map(async |partition| {
            let key = partition.key(&*name);
            self.aors.store().get(&key).await
        });
        let found = try_join_all(reads).await?.into_iter().flatten().next();
        Ok(found.and_then(|found| read(found.value)).filter(|moved| aor.is_empty() || moved.aor == aor))
    }

    /// The binding of a flow has to be pushed before anything reaches its phone.
    async fn put_to_sleep(&self, aor: &str, flow: &str) -> Result<Option<Target>, ChangeError> {
        let change = self.aors.change(aor, |draft| {
            let now_ms = draft.now_ms;
            let mut live = draft.record.bindings.iter_mut().filter(|binding| binding.expires_ms > now_ms);
            let Some(binding) = live.find(|binding| binding.flow == flow && binding.push.is_some()) else {
                return Change::Keep(None);
            };
            if let Some(push) = &mut binding.push {
                push.awake_until_ms = 0;
            }
            Change::Commit(Some(plan::target(binding, aor, now_ms)))
        });
        change.await
    }

    async fn successor(&self, device: &MovedRecord, flow: &str, is_call: bool) -> Result<Found, StoreError> {
        let now_ms = self.aors.now_ms();
        self.aors.read(&device.aor, |record| successor(record, device, flow, is_call, now_ms)).await
    }
}

fn read(value: Bytes) -> Option<MovedRecord> {
    // One that cannot be read is as good as none.
    MovedRecord::decode(value).ok().filter(|moved| !moved.instance.is_empty())
}

/// The binding of the device that came last, the same flow of it before others. A call that begins has the others among its targets, and tries
/// them next (RFC 5626 5.3).
fn successor(record: &AorRecord, device: &MovedRecord, flow: &str, is_call: bool, now_ms: u64) -> Found {
    let is_its = |binding: &&BindingRecord| {
        !device.instance.is_empty() && same_instance(binding.instance(), &device.instance)
    };
    let sleeps = |binding: &BindingRecord| binding.push.as_ref().is_some_and(|push| push.is_asleep(now_ms));
    let leads =
        |binding: &&BindingRecord| (!binding.flow.is_empty() || sleeps(binding)) && binding.flow != flow;
    let may_be = |binding: &&BindingRecord| !is_call || binding.reg_id == device.reg_id;
    let rank = |binding: &&BindingRecord| (!sleeps(binding), binding.reg_id == device.reg_id, binding.id);
    let found = record.live(now_ms).filter(is_its).filter(leads).filter(may_be).max_by_key(rank);
    let can_be_pushed = |binding: &BindingRecord| binding.flow == flow && binding.push.is_some();
    match found {
        Some(binding) => Found::Binding(Box::new(plan::target(binding, &device.aor, now_ms))),
        None if record.live(now_ms).any(can_be_pushed) => Found::Unchanged,
        None => Found::Away,
    }
}

fn answer(state: State, target: Option<Target>) -> WakeResponse {
    WakeResponse { state: state.into(), target, ..WakeResponse::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::PushRecord;

    const AOR: &str = "sip:bob@d";
    const NOW: u64 = 1_000;

    fn binding(id: u64, instance: &str, reg_id: u32, flow: &str) -> BindingRecord {
        let params = match instance {
            "" => Vec::new(),
            instance => vec![format!("+sip.instance=\"<{instance}>\"")],
        };
        let (flow, received) = (flow.to_owned(), "tcp:192.0.2.1:5060".to_owned());
        BindingRecord { id, params, reg_id, flow, received, expires_ms: NOW + 1, ..BindingRecord::default() }
    }

    fn device(instance: &str, reg_id: u32) -> MovedRecord {
        MovedRecord { aor: AOR.into(), instance: format!("<{instance}>"), reg_id }
    }

    fn found(bindings: &[BindingRecord], device: &MovedRecord) -> Option<String> {
        let record = AorRecord { bindings: bindings.to_vec(), ..AorRecord::new() };
        match successor(&record, device, "old", false, NOW) {
            Found::Binding(target) => Some(target.flow),
            Found::Away | Found::Unchanged => None,
        }
    }

    /// F1, OBD-07: the device is known by its instance, and its flow by reg-id before the others that it has.
    #[test]
    fn a_device_is_followed_to_the_same_flow_of_its_and_else_to_the_last_one() {
        let (one, two) = (binding(1, "urn:uuid:1", 1, "a"), binding(2, "urn:uuid:1", 2, "b"));
        let other = binding(3, "urn:uuid:2", 1, "c");
        let all = [one.clone(), two.clone(), other];
        assert_eq!(found(&all, &device("URN:UUID:1", 1)).as_deref(), Some("a"));
        assert_eq!(found(&all, &device("urn:uuid:1", 2)).as_deref(), Some("b"));
        assert_eq!(found(&all, &device("urn:uuid:1", 7)).as_deref(), Some("b"));
        assert_eq!(found(&all, &device("urn:uuid:9", 1)), None);
        let old = BindingRecord { flow: "old".into(), ..one };
        assert_eq!(found(std::slice::from_ref(&old), &device("urn:uuid:1", 1)), None);
        assert_eq!(found(&[old, two.clone()], &device("urn:uuid:1", 1)).as_deref(), Some("b"));
        let record = AorRecord { bindings: vec![two.clone()], ..AorRecord::new() };
        assert_eq!(successor(&record, &device("urn:uuid:1", 1), "old", true, NOW), Found::Away, "of a call");
        let expired = BindingRecord { expires_ms: NOW, ..two };
        assert_eq!(found(&[expired], &device("urn:uuid:1", 1)), None);
    }

    /// RFC 8599 5.6.2: a phone that sleeps is what its flow led to; one that is thought to be awake is told from one that is away.
    #[test]
    fn a_device_that_sleeps_is_found_and_one_that_stands_there_unchanged_is_not() {
        let push = |awake_until_ms| Some(PushRecord { awake_until_ms, ..PushRecord::default() });
        let asleep = BindingRecord { push: push(0), ..binding(4, "urn:uuid:1", 0, "") };
        let record = AorRecord { bindings: vec![asleep], ..AorRecord::new() };
        let found = successor(&record, &device("urn:uuid:1", 0), "old", false, NOW);
        assert!(matches!(found, Found::Binding(target) if target.wake == "4"));
        let awake = BindingRecord { push: push(u64::MAX), ..binding(4, "urn:uuid:1", 0, "old") };
        let record = AorRecord { bindings: vec![awake], ..AorRecord::new() };
        assert_eq!(successor(&record, &device("urn:uuid:1", 0), "old", false, NOW), Found::Unchanged);
    }

    #[test]
    fn only_connections_of_devices_are_remembered() {
        let phone = binding(1, "urn:uuid:1", 1, "old");
        assert!(remember(AOR, &phone, "old").is_some());
        assert_eq!(remember(AOR, &phone, ""), None);
        assert_eq!(remember(AOR, &binding(1, "", 0, "old"), "old"), None);
        let datagrams = BindingRecord { received: "udp:192.0.2.1:5060".into(), ..phone };
        assert_eq!(remember(AOR, &datagrams, "old"), None);
    }
}
