//! Requests that wait for their response on a connection, to be told when it ends. RFC 3261 18.4
//!
//! A phone that went away while it rang answers by no other way, and no timer runs between 180 and the end of the ringing.

use sip_transaction::{ClientKey, Key};

use crate::context::Core;
use crate::flow::Flow;
use crate::hop::{FlowId, Hop};
use crate::user::TransactionUser;

/// Below this many a sweep is not worth it.
const FEW: usize = 16;

/// What was asked by one connection: all that may still wait, and for a while some that do not any more.
#[derive(Debug)]
pub(crate) struct Asked<K> {
    requests: Vec<K>,
    /// How many there may be before those are left out that are over.
    sweep_at: usize,
}

impl<K> Default for Asked<K> {
    fn default() -> Self {
        Self { requests: Vec::new(), sweep_at: FEW }
    }
}

impl<K> Asked<K> {
    /// Adds a request. `waits` knows which of the others still have their transaction on this connection: twice those are kept at
    /// most, so that each costs a constant time on average.
    fn add(&mut self, key: K, waits: impl Fn(&K) -> bool) {
        if self.requests.len() >= self.sweep_at {
            self.requests.retain(waits);
            self.sweep_at = (self.requests.len() * 2).max(FEW);
        }
        self.requests.push(key);
    }
}

impl<U: TransactionUser> Core<U> {
    /// A request went by this hop.
    pub(crate) fn note_asked(&mut self, hop: Hop, key: ClientKey) {
        if let Hop::Flow(id) = hop
            && let Some(flow) = self.flows.get_mut(id)
        {
            let transactions = &self.transactions;
            flow.asked.add(key, |key| transactions.hop(Key::Client(*key)) == Some(hop));
        }
    }

    /// Requests that still wait for their response on a connection that is gone.
    pub(crate) fn waiting_on(&self, id: FlowId, flow: Option<&Flow>) -> Vec<ClientKey> {
        let gone = Some(Hop::Flow(id));
        let asked = flow.map_or(&[][..], |flow| &flow.asked.requests);
        asked.iter().copied().filter(|key| self.transactions.hop(Key::Client(*key)) == gone).collect()
    }

    /// The connection is gone: what has no final response yet gets none, and its user hears of it in the same round.
    pub(crate) fn disconnect(&mut self, id: FlowId, asked: Asked<ClientKey>) {
        let gone = Some(Hop::Flow(id));
        // One that fell back to datagrams goes on.
        let waits = |key: &ClientKey| self.transactions.hop(Key::Client(*key)) == gone;
        self.disconnected.extend(asked.requests.into_iter().filter(waits));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_no_more_is_left_out_in_time() {
        let mut asked = Asked::default();
        for number in 0..1_000 {
            asked.add(number, |number| *number == 3);
            assert!(asked.requests.len() <= FEW + 1);
        }
        assert_eq!(asked.requests[0], 3);
        for number in 0..1_000 {
            asked.add(number, |_| true);
        }
        assert!(asked.requests.len() > 1_000);
    }
}
