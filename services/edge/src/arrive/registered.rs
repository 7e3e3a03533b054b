//! Which addresses of record were registered over which flow, and of which of them the registrar has to hear that it ended. Of flows by
//! datagrams those are known that have to be kept alive (RFC 5626 5.4).
//!
//! A connection never comes back, and a phone behind it is reached by no other one (RFC 5626 5.3). So its bindings are worth nothing
//! from then on, and callers are better told so than kept waiting. What ended is told in order, at least once, one batch at a time: when
//! an access network fails with all its phones, the registrar's store sees a steady stream and not a wave.

use std::collections::BTreeMap;
use std::time::Duration;

use cluster_api::registrar::v1::{EdgeLife, EndedFlow};
use sip_endpoint::Hop;

use crate::gathered::Gathered;

/// Addresses of record that are known or wait to be told: beyond it a binding stays until it expires, and its calls fail one by one.
/// Ten for each of 50,000 connections, in some 100 MB.
const MOST: usize = 500_000;
/// Flows of one batch. A registrar changes as many records in some 50 ms, so that 10,000 phones are told of in two seconds.
const BATCH: usize = 256;
/// How long ends are gathered. Who calls in that time is told 480 by the flow itself.
const GATHER: Duration = Duration::from_millis(50);

/// Pure: the shell tells what has ended.
#[derive(Debug)]
pub(crate) struct Registered {
    /// The flow token of the last 200 to REGISTER, by flow and To.
    known: BTreeMap<(Hop, Box<str>), Box<str>>,
    ended: Gathered<EndedFlow>,
}

impl Default for Registered {
    fn default() -> Self {
        Self { known: BTreeMap::new(), ended: Gathered::new(GATHER, BATCH) }
    }
}

impl Registered {
    /// An address of record is registered over a flow. `false` when there is no room to remember it.
    #[must_use]
    pub(crate) fn note(&mut self, flow: Hop, to: &str, token: &str) -> bool {
        let has_room = self.len() < MOST;
        let place = (flow, Box::from(to));
        match self.known.get_mut(&place) {
            Some(known) if **known == *token => {}
            Some(known) => *known = token.into(),
            None if has_room => drop(self.known.insert(place, token.into())),
            None => return false,
        }
        true
    }

    /// It is not registered any more. Whether another one is over the same flow.
    pub(crate) fn forget(&mut self, flow: Hop, to: &str) -> bool {
        self.known.remove(&(flow, Box::from(to)));
        self.known.range((flow, Box::default())..).next().is_some_and(|((at, _), _)| *at == flow)
    }

    /// A flow has ended.
    pub(crate) fn end(&mut self, flow: Hop) {
        let first = || (flow, Box::default());
        while let Some((place, _)) = self.known.range(first()..).next().filter(|((at, _), _)| *at == flow) {
            let place = place.clone();
            let Some(token) = self.known.remove(&place) else { return };
            self.ended.push(EndedFlow { to_uri: place.1.into(), flow: token.into(), life: None });
        }
    }

    /// A flow is over, over which this address of record was registered; `life`: of the edge that had it, when that was another one.
    /// `false` when there is no room to tell.
    #[must_use]
    pub(crate) fn lose(&mut self, aor: &str, token: &str, life: Option<EdgeLife>) -> bool {
        let has_room = self.len() < MOST;
        if has_room {
            self.ended.push(EndedFlow { to_uri: aor.to_owned(), flow: token.to_owned(), life });
        }
        has_room
    }

    /// What waits to be told.
    pub(crate) fn ended(&mut self) -> &mut Gathered<EndedFlow> {
        &mut self.ended
    }

    /// What is known and what waits.
    pub(crate) fn len(&self) -> usize {
        self.known.len() + self.ended.len()
    }
}

#[cfg(test)]
mod tests {
    use sip_endpoint::FlowId;

    use super::*;

    const ONE: Hop = Hop::Flow(FlowId(1));
    const TWO: Hop = Hop::Flow(FlowId(2));
    const THREE: Hop = Hop::Flow(FlowId(3));

    fn told(batch: &[EndedFlow]) -> Vec<(&str, &str)> {
        batch.iter().map(|ended| (&*ended.to_uri, &*ended.flow)).collect()
    }

    /// OBD-05: what a connection carried ends with it, each once, by its newest token; what was unregistered is not told.
    #[test]
    fn all_that_was_registered_over_a_connection_ends_with_it() {
        let mut registered = Registered::default();
        for (flow, to, token) in [
            (ONE, "a", "1"),
            (TWO, "a", "2"),
            (TWO, "b", "2"),
            (TWO, "c", "2"),
            (THREE, "a", "3"),
            (TWO, "b", "2x"),
        ] {
            assert!(registered.note(flow, to, token));
        }
        assert!(registered.forget(TWO, "c"), "others are over the same connection");
        registered.end(TWO);
        registered.end(TWO);
        assert_eq!(told(&registered.ended().take_batch()), [("a", "2"), ("b", "2x")]);
        assert_eq!(registered.ended().acknowledge(), []);
        assert_eq!(registered.len(), 2, "the other connections are as they were");
    }

    /// OBD-05: ten thousand phones that are cut off at once are told of batch by batch, each as soon as the one before is done.
    #[test]
    fn a_mass_disconnect_is_told_in_batches() {
        let mut registered = Registered::default();
        for flow in 0..10_000 {
            assert!(registered.note(Hop::Flow(FlowId(flow)), "sip:a@d", "t"));
        }
        for flow in 0..10_000 {
            registered.end(Hop::Flow(FlowId(flow)));
        }
        assert_eq!(
            (registered.ended().arm(), registered.ended().arm()),
            (Some(GATHER), None),
            "one timer is enough"
        );
        let (mut batches, mut batch) = (0, registered.ended().take_batch());
        while !batch.is_empty() {
            assert!(batch.len() <= BATCH);
            assert_eq!(
                (registered.ended().arm(), registered.ended().take_batch()),
                (None, Vec::new()),
                "one is out"
            );
            batches += 1;
            batch = registered.ended().acknowledge();
        }
        assert_eq!((batches, registered.ended().arm()), (10_000 / BATCH, Some(GATHER)));
        assert_eq!(registered.ended().take_batch().len(), 10_000 % BATCH);
    }

    #[test]
    fn a_batch_that_is_not_taken_is_told_again_with_growing_pauses() {
        let mut registered = Registered::default();
        assert!(registered.note(ONE, "a", "1"));
        registered.end(ONE);
        let mut pauses = Vec::new();
        for _ in 0..7 {
            assert_eq!(registered.ended().take_batch().len(), 1);
            pauses.push(registered.ended().fail().as_millis());
            assert_eq!(registered.ended().arm(), None, "the pause has its timer");
        }
        assert_eq!(pauses, [200, 400, 800, 1600, 3200, 5000, 5000]);
        assert_eq!(told(&registered.ended().take_batch()), [("a", "1")]);
    }

    #[test]
    fn a_full_table_takes_nothing_more_but_refreshes() {
        let mut registered = Registered::default();
        for flow in 0..MOST {
            assert!(registered.note(Hop::Flow(FlowId(flow as u64)), "a", "t"));
        }
        assert!(!registered.note(Hop::Flow(FlowId(MOST as u64)), "a", "t"));
        assert!(registered.note(Hop::Flow(FlowId(0)), "a", "u"));
        registered.end(Hop::Flow(FlowId(0)));
        assert_eq!(registered.len(), MOST, "what waits counts too");
        assert_eq!(told(&registered.ended().take_batch()), [("a", "u")]);
    }
}
