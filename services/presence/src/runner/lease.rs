//! The right to read a stream of another service for all replicas, under a lease whose record says how far it was read.

use std::time::Duration;

use prost::Message as _;
use store::{Batch, Expect, StoreError};
use tonic::Status;

use super::Runner;
use crate::repository::corrupt;

/// How long a replica has the stream to itself after it last said so.
const LASTS: Duration = Duration::from_secs(5);
/// How often it says so, and how often others look.
pub const RENEW: Duration = Duration::from_millis(1_500);

/// Who reads the stream, and how far.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Lease {
    #[prost(string, tag = "1")]
    life: String,
    /// In milliseconds since 1970.
    #[prost(uint64, tag = "2")]
    end_ms: u64,
    /// Where the next one goes on.
    #[prost(string, optional, tag = "3")]
    pub cursor: Option<String>,
}

/// Why the stream is not read any more.
pub enum End {
    /// Another replica has the lease.
    Lost,
    Store(StoreError),
    /// The service whose stream it is, or the way to it.
    Service(Status),
}

impl From<StoreError> for End {
    fn from(error: StoreError) -> End {
        match error {
            StoreError::Conflict => End::Lost,
            error => End::Store(error),
        }
    }
}

impl Runner {
    /// The lease of this name.
    pub async fn lease(&self, name: &str) -> Result<(Lease, Expect), StoreError> {
        let found = self.repository.store().get(&self.repository.partitions()[0].key(name)).await?;
        Ok(match found {
            Some(found) => (Lease::decode(found.value).map_err(corrupt)?, Expect::Version(found.version)),
            None => (Lease::default(), Expect::Absent),
        })
    }

    /// Whether another replica has it.
    pub fn is_of_another(&self, lease: &Lease) -> bool {
        lease.life != self.life && lease.end_ms > self.repository.now_ms()
    }

    /// Takes or keeps it, and says how far the stream was read.
    pub async fn renew(&self, name: &str, cursor: Option<String>, expect: Expect) -> Result<Expect, End> {
        let end_ms = self.repository.now_ms() + LASTS.as_millis() as u64;
        let lease = Lease { life: self.life.clone(), end_ms, cursor };
        let mut batch = Batch::new(&self.repository.partitions()[0]);
        batch.put(name, lease.encode_to_vec(), expect);
        Ok(Expect::Version(self.repository.store().commit(batch).await?.version))
    }
}
