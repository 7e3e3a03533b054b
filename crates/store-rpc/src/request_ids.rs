//! A mutating rpc with a request id takes effect once (api conventions, reliability rule 2).
//!
//! The id is claimed for one content wherever it is used; the result is committed together with the change itself, so that a
//! repetition finds either both or neither.

use std::time::Duration;

use bytes::Bytes;
use cluster_rpc::{Reason, Refusal};
use prost::Message;
use store::{Batch, Expect, Op, Partition, Partitions, Store, StoreError};

use crate::of_store;

const LIFETIME: Duration = Duration::from_secs(24 * 3_600);
const MAX_LENGTH: usize = 64;
const PARTITIONS: u16 = 16;

/// Claims request ids.
pub struct RequestIds {
    partitions: Partitions,
}

/// One use of a request id; without an id every use is the first.
#[derive(Clone, Debug)]
pub struct RequestUse {
    /// Name of the record of the result, beside the record that changes.
    name: Option<String>,
}

impl RequestIds {
    /// The ids of one service; `kind` names its partitions.
    pub fn new(kind: &str) -> Self {
        Self { partitions: Partitions::new(kind, PARTITIONS) }
    }

    /// Claims the id of `request` for its content. `scope` is the name of the rpc.
    ///
    /// # Errors
    /// When the id is unusable or was claimed for another content, and when the store fails.
    pub async fn claim(
        &self,
        store: &dyn Store,
        scope: &str,
        id: &str,
        request: &impl Message,
    ) -> Result<RequestUse, Refusal> {
        if id.is_empty() {
            return Ok(RequestUse { name: None });
        }
        if id.len() > MAX_LENGTH || id.chars().any(char::is_control) {
            return Err(Refusal::field(Reason::BadField, "request_id", "at most 64 printable characters"));
        }
        let content = fingerprint(scope, &request.encode_to_vec());
        let partition = self.partitions.of(id);
        for _ in 0..2 {
            match store.get(&partition.key(id)).await.map_err(of_store)? {
                Some(known) if known.value == content => {
                    return Ok(RequestUse { name: Some(format!("done/{id}")) });
                }
                Some(_) => {
                    let message = "the request id was used for something else within 24 hours";
                    return Err(Refusal::new(Reason::RequestIdReused, message));
                }
                None => {
                    let mut batch = Batch::new(partition);
                    batch.put_for(id, content.clone(), Expect::Absent, LIFETIME);
                    match store.commit(batch).await {
                        Ok(_) => return Ok(RequestUse { name: Some(format!("done/{id}")) }),
                        Err(StoreError::Conflict) => {}
                        Err(error) => return Err(of_store(error)),
                    }
                }
            }
        }
        Err(of_store(StoreError::Conflict))
    }
}

impl RequestUse {
    /// The result of an earlier use, committed in `partition`.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn result<T: Message + Default>(
        &self,
        store: &dyn Store,
        partition: &Partition,
    ) -> Result<Option<T>, Refusal> {
        let Some(name) = &self.name else { return Ok(None) };
        let Some(found) = store.get(&partition.key(name)).await.map_err(of_store)? else { return Ok(None) };
        let result = T::decode(found.value)
            .map_err(|error| of_store(StoreError::Corrupt { reason: error.to_string() }))?;
        Ok(Some(result))
    }

    /// Keeps the result, as part of the commit that makes it true.
    pub fn keep(&self, result: &impl Message, ops: &mut Vec<Op>) {
        if let Some(name) = &self.name {
            let value = result.encode_to_vec().into();
            ops.push(Op::Put { name: name.clone(), value, expect: Expect::Absent, ttl: Some(LIFETIME) });
        }
    }
}

/// FNV-1a of the rpc and the request. It tells contents apart and keeps none of them.
fn fingerprint(scope: &str, request: &[u8]) -> Bytes {
    let octets = scope.bytes().chain([0]).chain(request.iter().copied());
    let hash = octets.fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d_u128, |hash, octet| {
        (hash ^ u128::from(octet)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
    });
    Bytes::copy_from_slice(&hash.to_be_bytes())
}
