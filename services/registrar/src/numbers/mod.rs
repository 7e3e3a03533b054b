//! Numbers that are lent for one call: the gateway's side of the ALLOCATE draft, by SIP and by gRPC.
//!
//! **Here:** pools as settings ([`pool`]), the book of a pool as a pure record ([`book`]), what a borrower asks for ([`asked`]), lending
//! ([`lend`]), giving back and listing ([`give_back`]), and the one call that a number leads ([`call`]).
//! Everything of all pools is in one partition of the store: a loan and its entry in the book commit together, and so does their end
//! with the call that uses the number. A number that was used, given back or not used in time rests before somebody else has it.
//! **Deliberately absent:** a process that waits for the end of a loan: the book is put in order by whoever changes it next.

mod asked;
mod book;
mod call;
mod give_back;
mod lend;
mod pool;
mod stored;

use std::sync::Arc;

use store::{Partition, Store};

pub(crate) use self::pool::Pools;
pub use self::pool::{NumberPoolConfig, NumberPoolError};

/// How often a book is changed against others who do.
const ATTEMPTS: usize = 16;

/// The numbers of this registrar.
pub(crate) struct Numbers {
    pools: Pools,
    store: Arc<dyn Store>,
    partition: Partition,
}

impl Numbers {
    pub(crate) fn new(pools: Pools, store: Arc<dyn Store>) -> Self {
        Self { pools, store, partition: Partition::new("numbers", 0) }
    }

    /// Whether there is anything to lend.
    pub(crate) fn is_gateway(&self) -> bool {
        !self.pools.is_empty()
    }
}
