//! The order of the requests of one client: Call-ID and CSeq. RFC 3261 10.3 steps 6 and 7
//!
//! The RFC compares with the binding that is named. That leaves a hole where the binding is gone: a request that was overtaken by
//! its own removal would bring it back. So what a Call-ID did last is remembered beyond its bindings, and a request is compared
//! with all that the address of record knows of its Call-ID.

use super::{Asked, Refusal};
use crate::record::{AorRecord, PastRecord};

/// How long: a client repeats a request for 64*T1 = 32 s, the network keeps it for T4 = 5 s (RFC 3261 17.1.2.2), and a proxy on
/// the way may try one address after the other. A binding that expired was longer than that without a request.
pub(super) const LINGER_MS: u64 = 90_000;

/// How many are remembered. Beyond it the oldest is forgotten: its client would have to have sent so many newer requests under
/// other Call-IDs while one lingered.
pub(super) const MOST: usize = 16;

/// An older request of the same client changes nothing. One that only removes may come twice: it finds nothing more to remove.
pub(super) fn check(record: &AorRecord, asked: Asked<'_>, binds: bool, now_ms: u64) -> Result<(), Refusal> {
    let bound = record.live(now_ms).filter(|binding| !binding.is_static);
    let is_late =
        bound.filter(|binding| binding.call_id == asked.call_id).any(|binding| asked.cseq <= binding.cseq);
    let past = record.past.iter().filter(|past| past.until_ms > now_ms && past.call_id == asked.call_id);
    let is_past = past.map(|past| past.cseq).any(|cseq| asked.cseq < cseq || (binds && asked.cseq == cseq));
    if is_late || is_past { Err(Refusal::OutOfOrder) } else { Ok(()) }
}

/// Remembers what a Call-ID did, unless a binding says so.
pub(super) fn remember(record: &mut AorRecord, call_id: &str, cseq: u32, now_ms: u64) {
    let says_so = record.bindings.iter().any(|binding| binding.call_id == call_id && binding.cseq >= cseq);
    let known = record.past.iter().position(|past| past.call_id == call_id);
    let cseq = known.map_or(cseq, |at| record.past.remove(at).cseq.max(cseq));
    record.past.retain(|past| past.until_ms > now_ms);
    if says_so {
        return;
    }
    if record.past.len() >= MOST {
        record.past.remove(0);
    }
    record.past.push(PastRecord {
        call_id: call_id.to_owned(),
        cseq,
        until_ms: now_ms.saturating_add(LINGER_MS),
    });
}
