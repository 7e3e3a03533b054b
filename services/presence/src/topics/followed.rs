//! Whose presence applications follow, and what they were told last.

use bytes::Bytes;
use cluster_api::presence::v1::PresenceState;
use prost::Message as _;
use store::StoreError;
use store_rpc::read_record;

use super::{Bindings, Presentity, Publications, fingerprint};

/// The log of what applications are told of presence.
pub const LOG: &str = "presence";

/// Name of the record of somebody who is followed.
pub fn followed_record(aor: &str) -> String {
    format!("v/{aor}")
}

/// Somebody whose presence an application follows, or followed a short while ago.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Followed {
    /// Version of this schema.
    #[prost(uint32, tag = "1")]
    schema: u32,
    /// Since when everything that changes is in the log, in milliseconds since 1970.
    #[prost(uint64, tag = "2")]
    pub since_ms: u64,
    /// When an application last said that it follows.
    #[prost(uint64, tag = "3")]
    pub renew_ms: u64,
    /// Where the registrar said last that it is registered.
    #[prost(message, optional, tag = "4")]
    pub bindings: Option<Bindings>,
    /// What tells the state apart that is in the log last.
    #[prost(bytes = "vec", tag = "5")]
    told: Vec<u8>,
}

const SCHEMA: u32 = 1;

impl Followed {
    /// Somebody who is followed from now on.
    pub fn new(now_ms: u64) -> Followed {
        Followed { schema: SCHEMA, since_ms: now_ms, renew_ms: now_ms, ..Followed::default() }
    }

    /// Reads the record.
    ///
    /// # Errors
    /// When it is none of ours.
    pub fn read(value: &Bytes) -> Result<Followed, StoreError> {
        read_record(value.clone(), SCHEMA, "somebody who is followed", |read: &Followed| read.schema)
    }

    /// The record.
    pub fn write(&self) -> Vec<u8> {
        self.encode_to_vec()
    }

    /// The state that follows from these publications.
    pub fn state(&self, aor: &str, publications: &Publications) -> PresenceState {
        let bindings = self.bindings.clone().unwrap_or_default();
        let publications = publications.clone();
        Presentity { aor: aor.to_owned(), publications, bindings, ..Presentity::default() }.state()
    }

    /// Whether applications do not know this state; they do afterwards.
    pub fn tells(&mut self, state: &PresenceState) -> bool {
        let told = fingerprint(&state.pidf);
        let is_new = told != self.told;
        self.told = told;
        is_new
    }
}
