//! The call record as the store keeps it: protobuf with a schema version.
//!
//! The engine's own types are the schema (see `engine::call` and `engine::leg`); a field number is never used twice. A reader
//! takes every record of its own version and older; a newer one is an error, so that an old replica leaves the calls of a new
//! one alone during a rolling upgrade. A field that is unknown here is lost when this code writes the record back, so a new
//! field that matters is read one release before it is written (docs/adr/0007).

use prost::Message as _;

use crate::engine::call::{Call, SCHEMA};

/// Why a record could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// It is not a record.
    #[error("the call record is damaged: {0}")]
    Damaged(String),
    /// A newer version of Carillon wrote it.
    #[error("the call record has schema {found}, this version reads up to {SCHEMA}")]
    TooNew {
        /// The record's version.
        found: u32,
    },
}

/// The octets to store.
pub fn encode(call: &Call) -> Vec<u8> {
    call.encode_to_vec()
}

/// The call in a record.
///
/// # Errors
/// When the octets are no record, or one of a newer schema.
pub fn decode(octets: &[u8]) -> Result<Call, RecordError> {
    let call = Call::decode(octets).map_err(|error| RecordError::Damaged(error.to_string()))?;
    match call.schema {
        0 => Err(RecordError::Damaged("no schema version".into())),
        1..=SCHEMA => Ok(call),
        found => Err(RecordError::TooNew { found }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_comes_back_as_it_was_written() {
        let call = Call { schema: SCHEMA, call_id: "c1".into(), seed: vec![7; 16], ..Call::default() };
        assert_eq!(decode(&encode(&call)), Ok(call));
    }

    #[test]
    fn a_record_of_a_newer_version_is_left_alone() {
        let call = Call { schema: SCHEMA + 1, ..Call::default() };
        assert_eq!(decode(&encode(&call)), Err(RecordError::TooNew { found: SCHEMA + 1 }));
        assert!(matches!(decode(b""), Err(RecordError::Damaged(_))));
        assert!(matches!(decode(&[0xff; 3]), Err(RecordError::Damaged(_))));
    }
}
