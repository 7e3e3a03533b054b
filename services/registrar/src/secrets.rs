//! The keys that all replicas share. The first replica that needs them makes them; afterwards they are in the store and in
//! the memory of every replica, which put them back when the store lost them (F9).

use std::sync::Arc;

use ambient::Entropy;
use prost::Message as _;
use sip_digest::NonceKey;
use store::{Batch, Expect, Partition, Store, StoreError};
use store_rpc::read_record;
use tokio::sync::OnceCell;

use crate::register::temporary::GruuKey;

const NAME: &str = "keys";
const SCHEMA: u32 = 1;

/// The shared keys.
#[derive(Clone)]
pub(crate) struct Secrets {
    /// Proves flow tokens between edges.
    pub flow_key: [u8; 32],
    /// Mints and checks nonces.
    pub nonce_key: NonceKey,
    /// Seals temporary GRUUs; derived from that of the nonces, which no edge has.
    pub gruu_key: GruuKey,
    stored: bytes::Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
struct SecretsRecord {
    #[prost(uint32, tag = "1")]
    schema: u32,
    #[prost(bytes = "vec", tag = "2")]
    flow_key: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    nonce_key: Vec<u8>,
    #[prost(uint32, tag = "4")]
    nonce_key_id: u32,
}

/// Shows nothing.
impl std::fmt::Debug for SecretsRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretsRecord(***)")
    }
}

/// Loads the keys once.
pub(crate) struct SecretStore {
    store: Arc<dyn Store>,
    entropy: Arc<dyn Entropy>,
    partition: Partition,
    loaded: OnceCell<Secrets>,
}

impl SecretStore {
    pub(crate) fn new(store: Arc<dyn Store>, entropy: Arc<dyn Entropy>, partition: Partition) -> Self {
        Self { store, entropy, partition, loaded: OnceCell::new() }
    }

    /// The keys; made and stored when nobody has made them yet.
    pub(crate) async fn load(&self) -> Result<&Secrets, StoreError> {
        match self.loaded.get() {
            Some(loaded) => Ok(loaded),
            None => Box::pin(self.loaded.get_or_try_init(|| self.read_or_make())).await,
        }
    }

    /// Puts the keys back if the store has lost them; leaves others alone.
    pub(crate) async fn restore(&self) -> Result<(), StoreError> {
        let Some(known) = self.loaded.get() else { return Ok(()) };
        let mut batch = Batch::new(&self.partition);
        batch.put(NAME, known.stored.clone(), Expect::Absent);
        match self.store.commit(batch).await {
            Ok(_) | Err(StoreError::Conflict) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn read_or_make(&self) -> Result<Secrets, StoreError> {
        // twice at most: whoever loses the race finds what the winner wrote
        for _ in 0..3 {
            if let Some(found) = self.store.get(&self.partition.key(NAME)).await? {
                return read(found.value);
            }
            let mut made = SecretsRecord {
                schema: SCHEMA,
                flow_key: vec![0; 32],
                nonce_key: vec![0; 32],
                nonce_key_id: 1,
            };
            self.entropy.fill(&mut made.flow_key);
            self.entropy.fill(&mut made.nonce_key);
            let mut batch = Batch::new(&self.partition);
            batch.put(NAME, made.encode_to_vec(), Expect::Absent);
            match self.store.commit(batch).await {
                Ok(_) | Err(StoreError::Conflict) => {}
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::unavailable("the shared keys vanish as soon as they are written"))
    }
}

fn read(value: bytes::Bytes) -> Result<Secrets, StoreError> {
    let corrupt =
        || StoreError::Corrupt { reason: "the shared keys are not two keys of 32 octets".to_owned() };
    let record = read_record(value.clone(), SCHEMA, "the shared keys", |read: &SecretsRecord| read.schema)?;
    let flow_key = record.flow_key.try_into().map_err(|_| corrupt())?;
    let nonce_key: [u8; 32] = record.nonce_key.try_into().map_err(|_| corrupt())?;
    let gruu_key = GruuKey::derived(&nonce_key);
    let id = u8::try_from(record.nonce_key_id).map_err(|_| corrupt())?;
    Ok(Secrets { flow_key, nonce_key: NonceKey::new(id, nonce_key), gruu_key, stored: value })
}
