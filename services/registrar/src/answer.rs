//! Answers to REGISTER: the one table that turns what happened into a SIP status.

use cluster_api::{
    registrar::v1::{RegisterResponse, RegisteredContact},
    sip::v1::Header,
};
use sip_message::Date;
use store::StoreError;

use crate::{
    aors::ChangeError,
    record::{AorRecord, BindingRecord},
    register::{Asked, Refusal, gruu, temporary::temporary},
};

const TOO_MANY: &str = "Too Many Contacts";

/// Whether the account has as many contacts as it may have.
pub(crate) fn is_full(response: &RegisterResponse) -> bool {
    response.status == 403 && response.reason == TOO_MANY
}

/// An answer without anything but its status.
pub(crate) fn bare(status: u32, reason: &str) -> RegisterResponse {
    RegisterResponse { status, reason: reason.to_owned(), ..RegisterResponse::default() }
}

/// 401 with these challenges.
pub(crate) fn challenged(challenges: Vec<String>) -> RegisterResponse {
    RegisterResponse { challenges, ..bare(401, "") }
}

/// 200 with every binding (RFC 3261 10.3 step 8).
pub(crate) fn accepted(record: &AorRecord, asked: Asked<'_>, now_ms: u64) -> RegisterResponse {
    let path = asked.path;
    let shown = |binding: &BindingRecord| {
        let mut params = binding.params.clone();
        if let Some(gruus) = asked.gruus {
            let public = gruu::public(asked.aor, binding);
            params.extend(public.map(|gruu| format!("pub-gruu=\"{gruu}\"")));
            let temporary = temporary(asked.aor, binding, gruus);
            params.extend(temporary.map(|gruu| format!("temp-gruu=\"{gruu}\"")));
        }
        RegisteredContact {
            uri: binding.push.as_ref().map_or_else(|| binding.uri.clone(), |push| push.registered.clone()),
            display_name: binding.display_name.clone(),
            params,
            expires: binding.seconds_left(now_ms),
            q_milli: binding.q_milli,
        }
    };
    let contacts = record.live(now_ms).map(shown).collect();
    let date = Date { unix_seconds: i64::try_from(now_ms / 1_000).unwrap_or(i64::MAX) };
    let mut headers = Vec::with_capacity(1 + path.len());
    headers.push(header("Date", date.to_string()));
    // RFC 3327 5.3
    headers.extend(path.iter().map(|hop| header("Path", hop.clone())));
    if asked.outbound {
        // RFC 5626 6; `gruu` stands in no Require of a response (RFC 5627 5.1)
        headers.push(header("Require", "outbound".to_owned()));
    }
    RegisterResponse { contacts, headers, ..bare(200, "") }
}

/// 420 for these option tags.
pub(crate) fn unsupported(tags: &[&str]) -> RegisterResponse {
    RegisterResponse { headers: vec![header("Unsupported", tags.join(", "))], ..bare(420, "") }
}

/// A REGISTER that breaks a rule of RFC 3261 10.3.
pub(crate) fn refused(refusal: &Refusal) -> RegisterResponse {
    match refusal {
        Refusal::Star => bare(400, "Bad Wildcard Contact"),
        Refusal::BadContact(_) => bare(400, "Bad Contact URI"),
        Refusal::Insecure => bare(400, "Insecure Contact or Path"),
        Refusal::Self_ => bare(403, "Contact Is Address Of Record"),
        Refusal::TooMany(_) => bare(403, TOO_MANY),
        Refusal::TooBrief(least) => {
            RegisterResponse { headers: vec![header("Min-Expires", least.to_string())], ..bare(423, "") }
        }
        Refusal::OutOfOrder => bare(500, "Out Of Order"),
    }
}

/// A change that was not acknowledged. The phone comes back after `retry_after` seconds.
///
/// A commit that failed is 500 (REG-10, RFC 3261 10.3 step 7): the store was away or refused it. One that others overtook again and again,
/// that too few replicas confirmed (as in a failover, F6), or that was not answered in time has not failed: it may even have happened.
/// That is 503, which means no more than to try again, and is what a store that is merely slow deserves too.
pub(crate) fn failed(error: &ChangeError, retry_after: u64) -> RegisterResponse {
    let status = match error {
        ChangeError::Contended
        | ChangeError::Store(
            StoreError::Conflict | StoreError::Unreplicated { .. } | StoreError::Timeout { .. },
        ) => 503,
        ChangeError::Store(
            StoreError::Unavailable { .. }
            | StoreError::Trimmed { .. }
            | StoreError::Invalid { .. }
            | StoreError::Corrupt { .. },
        ) => 500,
    };
    RegisterResponse { headers: vec![header("Retry-After", retry_after.to_string())], ..bare(status, "") }
}

pub(crate) fn header(name: &str, value: String) -> Header {
    Header { name: name.to_owned(), value }
}
