//! How often requests have used a nonce of a trunk, counted by all replicas together. RFC 7616 3.4
//!
//! A server may give one nonce to many calls, and takes a count that does not rise for a replay. So the next count is committed before
//! it is used: no two requests have the same one, whichever replicas answer their challenges. When the store cannot be asked the count
//! is that of a first use; a server that minds says that the nonce is stale, and gives another one.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use prost::Message as _;
use sip_digest::Challenge;
use store::{Batch, Expect, Partitions, Store, StoreError};
use store_rpc::read_record;

/// Where counts lie: other partitions than the trunks, whose every change all replicas read.
const PARTITIONS: u16 = 16;
/// How long a count is kept after its last use: longer than servers believe in a nonce. It bounds how many there are.
const KEPT: Duration = Duration::from_secs(600);
/// How often a count is taken against others who take one.
const ATTEMPTS: usize = 8;
const SCHEMA: u32 = 1;

/// Requests that have used one nonce.
#[derive(Clone, PartialEq, prost::Message)]
struct NonceRecord {
    #[prost(uint32, tag = "1")]
    schema: u32,
    #[prost(uint32, tag = "2")]
    count: u32,
}

/// The counts of all trunks.
#[derive(Debug)]
pub(super) struct Nonces(Partitions);

impl Nonces {
    pub(super) fn new() -> Self {
        Self(Partitions::new("trunk-nonces", PARTITIONS))
    }

    /// The count of the next request with the nonce of this challenge; 1 for the first.
    pub(super) async fn next(&self, store: &dyn Store, trunk: &str, challenge: &Challenge<'_>) -> u32 {
        // without qop no count is sent
        if !challenge.auth && !challenge.auth_int {
            return 1;
        }
        match self.take(store, &name_of(trunk, challenge)).await {
            Ok(count) => count,
            Err(error) => {
                tracing::warn!(%error, "the uses of a trunk's nonce were not counted");
                1
            }
        }
    }

    async fn take(&self, store: &dyn Store, name: &str) -> Result<u32, StoreError> {
        let partition = self.0.of(name);
        // most nonces are used once, so that nothing is read first
        let (mut expect, mut count) = (Expect::Absent, 1);
        for _ in 0..ATTEMPTS {
            let record = NonceRecord { schema: SCHEMA, count };
            let mut batch = Batch::new(partition);
            batch.put_for(name, Bytes::from(record.encode_to_vec()), expect, KEPT);
            match store.commit(batch).await {
                Ok(_) => return Ok(count),
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error),
            }
            (expect, count) = match store.get(&partition.key(name)).await? {
                Some(found) => {
                    let what = "the uses of a nonce";
                    let record = read_record(found.value, SCHEMA, what, |read: &NonceRecord| read.schema)?;
                    (Expect::Version(found.version), record.count.saturating_add(1))
                }
                None => (Expect::Absent, 1),
            };
        }
        Err(StoreError::Conflict)
    }
}

/// The name of a count: as long for every nonce, and of nothing but letters.
fn name_of(trunk: &str, challenge: &Challenge<'_>) -> String {
    let mut hash = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    for part in [trunk.as_bytes(), &challenge.realm, &challenge.nonce] {
        hash.update(&(part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    URL_SAFE_NO_PAD.encode(&hash.finish().as_ref()[..16])
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use store::MemoryStore;

    use super::*;

    const CHALLENGE: &str = "Digest realm=\"carrier\", nonce=\"n1\", qop=\"auth\"";

    async fn next(nonces: &Nonces, store: &MemoryStore, trunk: &str, challenge: &str) -> u32 {
        let challenge = Challenge::parse(challenge.as_bytes()).unwrap();
        nonces.next(store, trunk, &challenge).await
    }

    /// AUT-13, RFC 7616 3.4: no two uses of a nonce have the same count; another trunk, realm or nonce begins at one.
    #[tokio::test]
    async fn each_use_of_a_nonce_has_a_count_of_its_own() {
        let (store, nonces) = (MemoryStore::new(|| SystemTime::UNIX_EPOCH), Nonces::new());
        for expected in 1..4 {
            assert_eq!(next(&nonces, &store, "one", CHALLENGE).await, expected);
        }
        assert_eq!(next(&nonces, &store, "two", CHALLENGE).await, 1);
        for other in [CHALLENGE.replace("n1", "n2"), CHALLENGE.replace("carrier", "gateway")] {
            assert_eq!(next(&nonces, &store, "one", &other).await, 1);
        }
        assert_eq!(next(&nonces, &store, "one", &CHALLENGE.replace(", qop=\"auth\"", "")).await, 1);
        assert_eq!(next(&nonces, &store, "one", CHALLENGE).await, 4);
    }

    /// AUT-13: neither do two that are taken at the same time.
    #[tokio::test]
    async fn counts_that_are_taken_together_differ() {
        let (store, nonces) = (MemoryStore::new(|| SystemTime::UNIX_EPOCH), Nonces::new());
        let taken = (0..5).map(|_| next(&nonces, &store, "one", CHALLENGE));
        let mut counts = futures_util::future::join_all(taken).await;
        counts.sort_unstable();
        assert_eq!(counts, [1, 2, 3, 4, 5]);
    }
}
