//! What request ids were used for: the memory of idempotency.
//!
//! The use commits with the change that it stands for, and so lives in the partition of the call: an id that is reused for calls of
//! two partitions is taken for two requests, each of which still happens once.

use prost::Message as _;
use store::{Batch, Expect, StoreError};

use super::{Repository, names};

/// The use of a request id.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct RequestUse {
    /// The id.
    #[prost(string, tag = "1")]
    pub request_id: String,
    /// Hash of rpc and content.
    #[prost(bytes = "vec", tag = "2")]
    pub fingerprint: Vec<u8>,
    /// The call that was made or changed.
    #[prost(string, tag = "3")]
    pub call_id: String,
}

impl Repository {
    /// What a request id was used for, in the partition of the call that its use made or changed.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn request_use(
        &self,
        call_id: &str,
        request_id: &str,
    ) -> Result<Option<RequestUse>, StoreError> {
        let key = self.partition(call_id).key(names::request(request_id));
        let found = self.store.get(&key).await?;
        let read = |found: store::Versioned| {
            RequestUse::decode(found.value).map_err(|error| StoreError::Corrupt { reason: error.to_string() })
        };
        found.map(read).transpose()
    }

    /// Notes the use of a request id that changed nothing, so that it stands for the same request from now on.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the id is used already.
    pub async fn note_use(&self, request: &RequestUse) -> Result<(), StoreError> {
        let mut batch = Batch::new(self.partition(&request.call_id));
        let name = names::request(&request.request_id);
        batch.put_for(name, request.encode_to_vec(), Expect::Absent, self.request_retention);
        self.store.commit(batch).await.map(drop)
    }
}
