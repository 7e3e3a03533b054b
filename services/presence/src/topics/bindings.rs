//! Where somebody is registered, as the registrar said last.

use bytes::Bytes;
use cluster_api::registrar::v1::Binding;
use prost::Message as _;
use store::StoreError;

use crate::repository::corrupt;

/// The bindings of one address of record that somebody watches.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Bindings {
    /// Version of this schema.
    #[prost(uint32, tag = "1")]
    schema: u32,
    /// Highest q first.
    #[prost(message, repeated, tag = "2")]
    pub all: Vec<Binding>,
}

const SCHEMA: u32 = 1;

impl Bindings {
    /// Reads the record.
    ///
    /// # Errors
    /// When it is none of ours.
    pub fn read(value: Option<&Bytes>) -> Result<Bindings, StoreError> {
        value.map_or(Ok(Bindings::default()), |value| Bindings::decode(value.clone()).map_err(corrupt))
    }

    /// Of a list of the registrar.
    pub fn of(all: Vec<Binding>) -> Bindings {
        Bindings { schema: SCHEMA, all }
    }

    /// The record.
    pub fn write(&self) -> Vec<u8> {
        self.encode_to_vec()
    }
}
