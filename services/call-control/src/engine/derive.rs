//! Identifiers and random values of a call. All come from the seed in its record, so that every replica computes the same.

use sha2::{Digest, Sha256};

use crate::engine::call::Call;

/// A Call-ID. It names the call, so that a Replaces or Join with it finds the call.
pub fn sip_call_id(call: &Call, leg_id: &str) -> String {
    let unique = hex(&bytes(call, &["call-id", leg_id])[..16]);
    format!("{unique}.{}@{}", call.call_id, call.policy.host)
}

/// The call whose leg has this Call-ID, when Carillon made it.
pub fn call_of_call_id<'a>(sip_call_id: &'a str, host: &str) -> Option<&'a str> {
    let (unique, call_id) = sip_call_id.strip_suffix(host)?.strip_suffix('@')?.split_once('.')?;
    (unique.len() == 32 && !call_id.is_empty()).then_some(call_id)
}

/// A tag, 64 bits (RFC 3261 19.3 asks for 32).
pub fn tag(call: &Call, leg_id: &str) -> String {
    hex(&bytes(call, &["tag", leg_id])[..8])
}

/// A session id for o= lines, within 53 bits so that every peer can hold it.
pub fn session_id(call: &Call, leg_id: &str) -> u64 {
    number(&bytes(call, &["session", leg_id])) >> 11
}

/// A client nonce for the effect of this number (RFC 7616 3.4).
pub fn cnonce(call: &Call, effect: u64) -> String {
    hex(&bytes(call, &["cnonce", &effect.to_string()])[..12])
}

/// The next random number below `bound`. Counts in the record, so that no draw is used twice.
pub fn draw(call: &mut Call, bound: u64) -> u64 {
    call.draws += 1;
    let drawn = number(&bytes(call, &["draw", &call.draws.to_string()]));
    if bound == 0 { 0 } else { drawn % bound }
}

fn bytes(call: &Call, labels: &[&str]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(&call.seed);
    hash.update(call.call_id.as_bytes());
    for label in labels {
        hash.update([0]);
        hash.update(label.as_bytes());
    }
    hash.finalize().into()
}

fn number(bytes: &[u8; 32]) -> u64 {
    bytes.iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}
