//! Who is asking: digest claims read from a request and proved against a record.
//!
//! A nonce is checked before any record is read, so that requests without good credentials cost no store access. Unknown
//! users, wrong passwords and malformed credentials take the same way and get the same answer (T4, AUT-10).

use std::{sync::Arc, time::Duration};

use ambient::Entropy;
use sip_digest::{
    Algorithm, Challenge, Credentials, Ha1, Hash, Nonce, NonceKey, NonceState, ReplayWindow, Use,
};
use sip_message::Uri;

use crate::{
    domains::{Domain, Domains},
    record::AorRecord,
};

/// Challenges, and reads what comes back.
pub(crate) struct Authority {
    pub lifetime: Duration,
    pub hashes: Vec<Hash>,
    pub allow_no_qop: bool,
    pub entropy: Arc<dyn Entropy>,
}

/// What a request must prove.
#[derive(Clone, Copy)]
pub(crate) struct Demand<'a> {
    pub domain: &'a Domain,
    pub method: &'a str,
    pub request_uri: &'a str,
    pub body: &'a [u8],
    /// Tells a request that has come again from another one.
    pub call_id: &'a str,
    pub cseq: u32,
}

/// Credentials for a nonce of ours, not proved yet.
pub(crate) struct Claim<'a> {
    credentials: Credentials<'a>,
    nonce: Nonce,
    is_stale: bool,
    /// The address of record that is claimed; one that nobody can have when the name is impossible.
    pub aor: String,
}

/// What became of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// Proved; whoever acts on it commits this window, in which the nonce count is used up.
    Accepted(ReplayWindow),
    /// The credentials are right and the nonce is too old, or was used by this very request before.
    Stale,
    /// Wrong, unknown or used before.
    Refused,
}

impl Authority {
    /// Header values that ask for credentials, best algorithm first.
    pub(crate) fn challenges(
        &self,
        key: &NonceKey,
        domain: &Domain,
        is_stale: bool,
        now_ms: u64,
    ) -> Vec<String> {
        let nonce = key.mint(&domain.realm, now_ms, self.entropy.number());
        let value = |&hash: &Hash| {
            let mut challenge = Challenge::new(&domain.realm, &nonce, Algorithm::from(hash));
            challenge.stale = is_stale;
            String::from_utf8(challenge.to_bytes()).expect("realm and nonce of ours are UTF-8")
        };
        self.hashes.iter().map(value).collect()
    }

    /// The claim for this realm among the values of Authorization or Proxy-Authorization. `None` asks for credentials:
    /// nothing for this realm, nothing readable, an algorithm not offered, another URI, or a nonce that is not ours.
    pub(crate) fn read<'a>(
        &self,
        key: &NonceKey,
        domains: &Domains,
        demand: Demand<'_>,
        values: &'a [String],
        now_ms: u64,
    ) -> Option<Claim<'a>> {
        // RFC 3261 22.3: only the credentials of our own realm are ours to take
        let credentials = values
            .iter()
            .filter_map(|value| Credentials::parse(value.as_bytes()))
            .find(|credentials| credentials.realm[..] == *demand.domain.realm.as_bytes())?;
        let is_offered = self.hashes.contains(&credentials.algorithm.hash)
            && (credentials.protection.is_some() || self.allow_no_qop);
        if !is_offered || !covers(&credentials.uri, demand.request_uri, domains) {
            return None;
        }
        let (nonce, is_stale) =
            match key.check(&credentials.nonce, &demand.domain.realm, now_ms, self.lifetime) {
                NonceState::Fresh(nonce) => (nonce, false),
                NonceState::Stale(nonce) => (nonce, true),
                NonceState::Unknown => return None,
            };
        let name = std::str::from_utf8(&credentials.username).ok();
        let aor = name.and_then(|name| demand.domain.aor_of(name));
        // nobody has a space in an address of record: the same work for the same answer
        let aor = aor.unwrap_or_else(|| format!("sip: @{}", demand.domain.name));
        Some(Claim { credentials, nonce, is_stale, aor })
    }

    /// Proves a claim against the record of its address of record.
    pub(crate) fn prove(
        &self,
        claim: &Claim<'_>,
        demand: Demand<'_>,
        record: &AorRecord,
        now_ms: u64,
    ) -> Proof {
        let hash = claim.credentials.algorithm.hash;
        let stored = record.account.as_ref().and_then(|account| account.ha1(hash));
        let is_known = stored.is_some();
        let ha1 = stored.unwrap_or_else(|| Ha1::of_password(hash, b"", b"", b""));
        let is_right = claim.credentials.matches(&ha1, demand.method, demand.body);
        if !is_known || !is_right {
            return Proof::Refused;
        }
        if claim.is_stale {
            return Proof::Stale;
        }
        let count = claim.credentials.protection.as_ref().map(|protection| protection.count);
        let mut window = record.replay_window();
        // RFC 7616 3.4.5
        let request = fingerprint(&claim.credentials.response, demand);
        match window.accept(claim.nonce, count, request, now_ms, self.lifetime) {
            Use::Accepted => Proof::Accepted(window),
            // the answer was lost on its way: the phone tries again with the new nonce and nobody is asked
            Use::Repeated => Proof::Stale,
            Use::Refused => Proof::Refused,
        }
    }
}

/// A number for one request, the same in every process (FNV-1a).
fn fingerprint(response: &[u8], demand: Demand<'_>) -> u64 {
    let cseq = demand.cseq.to_be_bytes();
    [response, demand.call_id.as_bytes(), &cseq]
        .concat()
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, &octet| {
            (hash ^ u64::from(octet)).wrapping_mul(0x0000_0100_0000_01b3)
        })
}

/// The hashed URI is the request's, or at least one of ours: phones and proxies rewrite it. RFC 8760 2.6 (6)
fn covers(hashed: &[u8], request_uri: &str, domains: &Domains) -> bool {
    if hashed == request_uri.as_bytes() {
        return true;
    }
    let (Ok(hashed), Ok(request)) = (Uri::parse(hashed), Uri::parse(request_uri.as_bytes())) else {
        return false;
    };
    hashed.equivalent(&request) || domains.of(&hashed).is_some()
}
