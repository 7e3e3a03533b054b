//! Who is asking: digest claims read from a request and proved against a record.
//!
//! A nonce is checked before any record is read, so that requests without good credentials cost no store access. Unknown
//! users, wrong passwords and malformed credentials take the same way and get the same answer (T4, AUT-10).

mod guesses;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ambient::Entropy;
use cluster_api::sip::v1::Source;
use sip_digest::{
    Algorithm, Challenge, Credentials, Ha1, Hash, Nonce, NonceKey, NonceState, ReplayWindow, Use,
};
use sip_message::Uri;

pub(crate) use guesses::Guesses;

use crate::{
    domains::{Domain, Domains},
    record::{AccountRecord, AorRecord, DigestRecord},
};

/// Challenges, and reads what comes back.
pub(crate) struct Authority {
    pub lifetime: Duration,
    pub hashes: Vec<Hash>,
    pub allow_no_qop: bool,
    pub entropy: Arc<dyn Entropy>,
    /// Stands in for the account of a user who does not exist.
    pub decoy: AccountRecord,
    pub guesses: Guesses,
}

/// An account for [`Authority::decoy`]: a digest for every hash function, read and compared like those of a real account.
/// Whoever knows its password proves nothing with it.
pub(crate) fn decoy() -> AccountRecord {
    let digest = |hash: Hash| DigestRecord {
        hash: hash.as_str().to_owned(),
        ha1: Ha1::of_password(hash, b"", b"", b"").hex().to_owned(),
    };
    AccountRecord { digests: Hash::ALL.map(digest).to_vec(), ..AccountRecord::default() }
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
    /// Where it came from.
    pub source: Option<&'a Source>,
}

/// Credentials for a nonce of ours, not proved yet.
pub(crate) struct Claim<'a> {
    credentials: Credentials<'a>,
    nonce: Nonce,
    is_stale: bool,
    /// The address of record that is claimed; one that nobody can have when the name is impossible.
    pub aor: String,
    /// Whether it was counted that it proved nothing: it may be proved again, by a newer record.
    is_counted: AtomicBool,
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
        Some(Claim { credentials, nonce, is_stale, aor, is_counted: AtomicBool::new(false) })
    }

    /// Proves a claim against the record of its address of record.
    pub(crate) fn prove(
        &self,
        claim: &Claim<'_>,
        demand: Demand<'_>,
        record: &AorRecord,
        now_ms: u64,
    ) -> Proof {
        let first = || !claim.is_counted.swap(true, Ordering::Relaxed);
        if self.guesses.holds(demand.source, &claim.aor, record, now_ms) {
            if first() {
                self.guesses.note_held();
            }
            return Proof::Refused;
        }
        let hash = claim.credentials.algorithm.hash;
        let Some((ha1, is_real)) = self.secret(record, hash) else { return Proof::Refused };
        // hashed for whomever it is: an unknown user costs what a wrong password costs
        let is_right = claim.credentials.matches(&ha1, demand.method, demand.body);
        if !is_real || !is_right {
            if first() {
                self.guesses.note_wrong(demand.source, &claim.aor, now_ms);
            }
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
            // and a nonce that we forgot is no fault of the phone, which would take a plain 401 for a wrong password
            Use::Repeated | Use::Forgotten => Proof::Stale,
            Use::Refused => Proof::Refused,
        }
    }

    /// The secret to compare with, and whether it is that of the user: else it is the decoy's.
    fn secret(&self, record: &AorRecord, hash: Hash) -> Option<(Ha1, bool)> {
        let account = record.account.as_deref();
        let found = account.unwrap_or(&self.decoy).ha1(hash).map(|ha1| (ha1, account.is_some()));
        // an account may have been made before the algorithm was offered
        found.or_else(|| Some((self.decoy.ha1(hash)?, false)))
    }
}

/// A number for one request, the same in every process (FNV-1a).
fn fingerprint(response: &[u8], demand: Demand<'_>) -> u64 {
    let cseq = demand.cseq.to_be_bytes();
    [response, demand.call_id.as_bytes(), &cseq]
        .into_iter()
        .flatten()
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

#[cfg(test)]
mod tests {
    use ambient::SeededEntropy;
    use sip_digest::{Login, answer};

    use super::*;

    fn authority() -> Authority {
        Authority {
            lifetime: Duration::from_secs(300),
            hashes: Hash::ALL.to_vec(),
            allow_no_qop: false,
            entropy: Arc::new(SeededEntropy::new(1)),
            decoy: decoy(),
            guesses: Guesses::new(&telemetry::Metrics::new()),
        }
    }

    fn account(hashes: &[Hash]) -> AorRecord {
        let digest = |hash: &Hash| DigestRecord {
            hash: hash.as_str().to_owned(),
            ha1: Ha1::of_password(*hash, b"bob", b"d", b"right").hex().to_owned(),
        };
        let digests = hashes.iter().map(digest).collect();
        AorRecord {
            account: Some(AccountRecord { digests, ..AccountRecord::default() }.into()),
            ..AorRecord::default()
        }
    }

    fn prove(record: &AorRecord, hash: Hash, realm: &str, login: Login<'_>) -> Proof {
        let (authority, key) = (authority(), NonceKey::new(1, [7; 32]));
        let minted = key.mint(realm, 1_000, 1);
        let NonceState::Fresh(nonce) = key.check(minted.as_bytes(), realm, 1_000, authority.lifetime) else {
            panic!("a nonce of this moment is fresh");
        };
        let challenge = Challenge::new(realm, &minted, hash.into());
        let credentials = answer(&challenge, login, "REGISTER", "sip:d", b"", "c", 1);
        let (aor, is_counted) = ("sip:bob@d".to_owned(), AtomicBool::new(false));
        let claim = Claim { credentials, nonce, is_stale: false, aor, is_counted };
        let domain = Domain { name: "d".to_owned(), realm: realm.to_owned(), ..Domain::default() };
        let (request_uri, call_id) = ("sip:d", "c");
        let (method, body) = ("REGISTER", b"");
        let demand = Demand { domain: &domain, method, request_uri, body, call_id, cseq: 1, source: None };
        authority.prove(&claim, demand, record, 1_000)
    }

    /// AUT-10: a user who does not exist, or has no digest of the algorithm, is compared with a digest of the same kind.
    #[test]
    fn somebody_unknown_has_a_secret_of_the_same_kind_as_a_user() {
        let authority = authority();
        for hash in Hash::ALL {
            let of_user = authority.secret(&account(&Hash::ALL), hash).unwrap();
            let of_nobody = authority.secret(&AorRecord::default(), hash).unwrap();
            let of_old_account = authority.secret(&account(&[]), hash).unwrap();
            assert_eq!((of_user.1, of_nobody.1, of_old_account.1), (true, false, false));
            assert_eq!(of_nobody.0, of_old_account.0);
            assert_eq!(of_user.0.hash(), of_nobody.0.hash());
            assert_eq!(of_user.0.hex().len(), of_nobody.0.hex().len());
        }
    }

    /// AUT-10: the password of the decoy opens nothing.
    #[test]
    fn the_decoy_lets_nobody_in() {
        let (decoy, right) = (Login { user: "", password: "" }, Login { user: "bob", password: "right" });
        for hash in Hash::ALL {
            assert!(matches!(prove(&account(&Hash::ALL), hash, "d", right), Proof::Accepted(_)));
            assert_eq!(prove(&account(&Hash::ALL), hash, "", decoy), Proof::Refused);
            assert_eq!(prove(&AorRecord::default(), hash, "", decoy), Proof::Refused);
            assert_eq!(prove(&account(&[]), hash, "", decoy), Proof::Refused);
            assert_eq!(prove(&AorRecord::default(), hash, "d", right), Proof::Refused);
        }
    }
}
