//! Records of numbers: the book of a pool, a loan, and a call that leads to several contacts.

use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use store::{Batch, Expect, StoreError};
use store_rpc::read_record;

use super::{Numbers, book::Book};

const SCHEMA: u32 = 1;
/// How long a call finds where it leads after its number was used, however often it is asked.
pub(super) const CALL_KEPT: Duration = Duration::from_secs(300);

/// What is lent.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Loan {
    #[prost(uint32, tag = "1")]
    pub schema: u32,
    /// `<uri>`, with q where one was given, best first.
    #[prost(string, repeated, tag = "2")]
    pub contacts: Vec<String>,
    #[prost(string, tag = "3")]
    pub requester: String,
    #[prost(uint64, tag = "4")]
    pub ends_ms: u64,
    /// Call-ID of the call that used it; empty before.
    #[prost(string, tag = "5")]
    pub used_by: String,
    /// Whom that call was led to.
    #[prost(string, tag = "6")]
    pub callee: String,
}

/// A record and the version that it has; 0 when there is none.
pub(super) struct Read<T> {
    pub value: T,
    pub version: u64,
}

pub(super) fn book_name(pool: &str) -> String {
    ["book/", pool].concat()
}

pub(super) fn loan_name(number: &str) -> String {
    ["loan/", number].concat()
}

/// A number of a gateway elsewhere, which may be called as one of ours.
pub(super) fn borrowed_name(pool: &str, number: &str) -> String {
    ["borrowed/", pool, "/", number].concat()
}

pub(super) fn alias_name(alias: &str) -> String {
    ["alias/", alias].concat()
}

impl Numbers {
    pub(super) async fn book(&self, pool: &str) -> Result<Read<Book>, StoreError> {
        let read = |value| read_record(value, SCHEMA, "the book of a pool", |book: &Book| book.schema);
        self.read(book_name(pool), read).await
    }

    pub(super) async fn loan(&self, number: &str) -> Result<Read<Loan>, StoreError> {
        self.loan_at(loan_name(number)).await
    }

    pub(super) async fn loan_at(&self, name: String) -> Result<Read<Loan>, StoreError> {
        self.read(name, read_loan).await
    }

    pub(super) async fn alias(&self, alias: &str) -> Result<Read<Loan>, StoreError> {
        self.read(alias_name(alias), read_loan).await
    }

    async fn read<T: Default>(
        &self,
        name: String,
        read: impl FnOnce(Bytes) -> Result<T, StoreError>,
    ) -> Result<Read<T>, StoreError> {
        match self.store.get(&self.partition.key(name)).await? {
            None => Ok(Read { value: T::default(), version: 0 }),
            Some(found) => Ok(Read { value: read(found.value)?, version: found.version }),
        }
    }

    pub(super) fn batch(&self) -> Batch {
        Batch::new(&self.partition)
    }

    pub(super) fn put_book(&self, batch: &mut Batch, pool: &str, book: Read<Book>, now_ms: u64) {
        let kept = Duration::from_millis(book.value.until_ms().saturating_sub(now_ms).max(1));
        let value = Book { schema: SCHEMA, ..book.value };
        batch.put_for(book_name(pool), Bytes::from(value.encode_to_vec()), expect(book.version), kept);
    }

    pub(super) fn put_loan(&self, batch: &mut Batch, name: String, loan: Read<Loan>, kept: Duration) {
        let value = Loan { schema: SCHEMA, ..loan.value };
        let kept = kept.max(Duration::from_millis(1));
        batch.put_for(name, Bytes::from(value.encode_to_vec()), expect(loan.version), kept);
    }
}

/// What is lent, and where a call that used a number leads.
pub(super) fn read_loan(value: Bytes) -> Result<Loan, StoreError> {
    read_record(value, SCHEMA, "a loan", |loan: &Loan| loan.schema)
}

fn expect(version: u64) -> Expect {
    if version == 0 { Expect::Absent } else { Expect::Version(version) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// F22
    #[test]
    fn a_newer_loan_is_left_alone() {
        let loan = |schema| Bytes::from(Loan { schema, ..Loan::default() }.encode_to_vec());
        assert!(read_loan(loan(SCHEMA)).is_ok());
        assert!(matches!(read_loan(loan(SCHEMA + 1)), Err(StoreError::Corrupt { .. })));
    }
}
