//! An edge as the engine sees it: it knows the effects that it took on, holds CANCEL back, numbers its events.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use call_control::engine::event::{EdgeEvent, LegEvent};
use call_control::engine::time::Moment;

/// One life of an edge.
pub struct Edge {
    pub id: String,
    pub epoch: u64,
    pub is_alive: bool,
    /// Effects taken on.
    pub known: BTreeSet<u64>,
    /// INVITEs by effect.
    pub invites: BTreeMap<u64, Invite>,
    /// Events that are not acknowledged.
    pub events: VecDeque<EdgeEvent>,
    numbers: u64,
}

/// An INVITE client transaction.
#[derive(Default)]
pub struct Invite {
    pub leg: usize,
    pub phones: Vec<usize>,
    pub is_provisional: bool,
    pub is_final: bool,
    pub is_cancelled: bool,
    pub wants_cancel: bool,
}

impl Edge {
    pub fn new(id: &str, epoch: u64) -> Edge {
        Edge {
            id: id.into(),
            epoch,
            is_alive: true,
            known: BTreeSet::new(),
            invites: BTreeMap::new(),
            events: VecDeque::new(),
            numbers: 0,
        }
    }

    /// Queues an event of a leg.
    pub fn tell(&mut self, leg: usize, time: Moment, what: LegEvent) {
        self.numbers += 1;
        self.events.push_back(EdgeEvent {
            edge_id: self.id.clone(),
            edge_epoch: self.epoch,
            number: self.numbers,
            leg_id: letter(leg),
            time,
            flow: format!("flow-{}", self.id),
            what,
        });
    }
}

/// The id of a leg.
pub fn letter(leg: usize) -> String {
    char::from(b'a' + u8::try_from(leg).expect("few legs")).to_string()
}
