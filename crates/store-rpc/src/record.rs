//! Reading records that say which version of their schema they have.

use bytes::Buf;
use prost::Message;
use store::StoreError;

/// Reads a record, unless it is of a newer schema than this version knows: that one is left alone, and a newer replica works on it
/// (docs/adr/0007). `what` is what the record is called.
///
/// # Errors
/// [`StoreError::Corrupt`] when it is newer, or no such record.
pub fn read_record<R: Message + Default>(
    value: impl Buf,
    newest: u32,
    what: &str,
    schema: impl FnOnce(&R) -> u32,
) -> Result<R, StoreError> {
    let corrupt = |reason| StoreError::Corrupt { reason };
    let record = R::decode(value).map_err(|error| corrupt(format!("{what}: {error}")))?;
    match schema(&record) {
        found if found > newest => {
            Err(corrupt(format!("{what} of schema {found}; this version reads up to {newest}")))
        }
        _ => Ok(record),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, PartialEq, prost::Message)]
    struct Record {
        #[prost(uint32, tag = "1")]
        schema: u32,
        #[prost(string, tag = "2")]
        text: String,
    }

    fn read(schema: u32) -> Result<Record, StoreError> {
        let value = Record { schema, text: "kept".into() }.encode_to_vec();
        read_record(&value[..], 2, "a record", |record: &Record| record.schema)
    }

    /// F22: older records and its own are read, newer ones are left alone.
    #[test]
    fn a_newer_schema_is_left_alone() {
        assert_eq!(read(1), Ok(Record { schema: 1, text: "kept".into() }));
        assert_eq!(read(2), Ok(Record { schema: 2, text: "kept".into() }));
        let reason = "a record of schema 3; this version reads up to 2".to_owned();
        assert_eq!(read(3), Err(StoreError::Corrupt { reason }));
    }

    #[test]
    fn what_is_no_record_is_refused() {
        let read = read_record(&[0xff; 3][..], 2, "a record", |record: &Record| record.schema);
        assert!(matches!(read, Err(StoreError::Corrupt { reason }) if reason.starts_with("a record: ")));
    }
}
