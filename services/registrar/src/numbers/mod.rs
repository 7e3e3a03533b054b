//! Numbers that are lent for one call: the gateway's side of the ALLOCATE draft, by SIP and by gRPC.
//!
//! **Here:** pools as settings ([`pool`]), the book of a pool as a pure record ([`book`]), what a borrower asks for ([`asked`]), lending
//! ([`lend`]), giving back and listing ([`give_back`]), and the one call that a number leads ([`call`]). The numbers of a pool may be those of a
//! gateway elsewhere ([`gateway`]), which is asked for them ([`borrow`]).
//! Everything of all pools is in one partition of the store: a loan and its entry in the book commit together, and so does their end
//! with the call that uses the number. A number that was used, given back or not used in time rests before somebody else has it.
//! **Deliberately absent:** a process that waits for the end of a loan: the book is put in order by whoever changes it next.

mod asked;
mod book;
mod borrow;
mod call;
mod gateway;
mod give_back;
mod lend;
mod pool;
mod stored;

use std::sync::{Arc, OnceLock};

use cluster_rpc::RequestsLink;
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
    /// By which gateways elsewhere are asked.
    requests: OnceLock<RequestsLink>,
}

impl Numbers {
    pub(crate) fn new(pools: Pools, store: Arc<dyn Store>) -> Self {
        Self { pools, store, partition: Partition::new("numbers", 0), requests: OnceLock::new() }
    }

    /// Gateways elsewhere are asked through these edges.
    pub(crate) fn ask_through(&self, requests: RequestsLink) {
        // there is one way to the edges for the life of a process
        let _ = self.requests.set(requests);
    }

    /// Whether there is anything to lend.
    pub(crate) fn is_gateway(&self) -> bool {
        !self.pools.is_empty()
    }
}
