//! What an edge keeps of one call.

use std::time::{Duration, Instant};

use hashbrown::{HashMap, HashSet};
use sip_endpoint::{Hop, TimerId};
use sip_message::Message;
use sip_proxy::Arrived;

use super::outbox::Outbox;
use super::reliable::Unpracked;
use crate::forward::fork::ForkId;
use crate::forward::target::Target;

/// One call with a leg here.
pub(super) struct Call {
    /// Numbers of the effects that were taken on.
    pub(super) effects: HashSet<u64>,
    /// Requests of ours that are under way, by effect.
    pub(super) invites: HashMap<u64, ForkId>,
    /// Events on their way.
    pub(super) outbox: Outbox,
    /// Responses that were reported and may come again.
    pub(super) seen: Vec<Seen>,
    /// The peer's 2xx to INVITE that have no ACK yet.
    pub(super) unconfirmed: Vec<Unconfirmed>,
    /// ACKs for the peer's 2xx.
    pub(super) acks: Vec<KeptAck>,
    /// Requests of the peer, by transaction.
    pub(super) served: HashMap<sip_endpoint::ServerKey, Served>,
    /// Legs that were seen here, and whether they were released.
    pub(super) legs: HashMap<std::sync::Arc<str>, bool>,
    /// When to forget the call.
    pub(super) forget: Option<TimerId>,
}

/// A response of the peer that may be repeated.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) effect: u64,
    pub(super) status: u16,
    pub(super) to_tag: String,
    pub(super) rseq: Option<u32>,
}

/// A 2xx of the peer without ACK.
pub(super) struct Unconfirmed {
    pub(super) cseq: u32,
    pub(super) to_tag: String,
    pub(super) response: Message,
}

/// An ACK for a 2xx, repeated for each repetition of it. RFC 3261 13.2.2.4
pub(super) struct KeptAck {
    pub(super) effect: u64,
    pub(super) cseq: u32,
    pub(super) to_tag: String,
    pub(super) message: Message,
    pub(super) arrived: Arrived,
    pub(super) target: Target,
}

/// A request of the peer.
pub(super) struct Served {
    pub(super) leg_id: std::sync::Arc<str>,
    pub(super) request: Message,
    /// The flow it came on.
    pub(super) flow: Hop,
    pub(super) answered: bool,
    /// The 2xx to an INVITE, until its ACK came.
    pub(super) unacknowledged: Option<Unacknowledged>,
    /// A reliable provisional response, until its PRACK came.
    pub(super) unpracked: Option<Unpracked>,
}

/// A 2xx of ours without ACK. RFC 3261 13.3.1.4
pub(super) struct Unacknowledged {
    pub(super) response: Message,
    pub(super) pause: Duration,
    pub(super) until: Instant,
}

impl Call {
    pub(super) fn new(events: usize) -> Self {
        Self {
            effects: HashSet::new(),
            invites: HashMap::new(),
            outbox: Outbox::new(events),
            seen: Vec::new(),
            unconfirmed: Vec::new(),
            acks: Vec::new(),
            served: HashMap::new(),
            legs: HashMap::new(),
            forget: None,
        }
    }

    /// Was this response reported before? If not, it counts as reported now. Only what the transaction layer passes on
    /// again is remembered: 2xx to INVITE and reliable provisional responses.
    pub(super) fn is_repeated(&mut self, seen: Seen) -> bool {
        if self.seen.contains(&seen) {
            return true;
        }
        push_bounded(&mut self.seen, seen);
        false
    }

    /// Keeps a 2xx until its ACK is given.
    pub(super) fn await_ack(&mut self, success: Unconfirmed) {
        push_bounded(&mut self.unconfirmed, success);
    }

    /// Is anything under way: an event that call-control does not have, a request or a 2xx that waits for its answer? Requests
    /// of ours are not counted: their forks are.
    pub(super) fn is_busy(&self) -> bool {
        let owes = |served: &Served| !served.answered || served.unacknowledged.is_some();
        !self.outbox.is_empty() || !self.unconfirmed.is_empty() || self.served.values().any(owes)
    }

    /// Is everything over that this edge was asked to do?
    pub(super) fn is_released(&self) -> bool {
        self.legs.values().all(|released| *released) && self.outbox.is_empty()
    }
}

/// Responses of one call that are remembered: a call has a handful, and a peer that sends more has only itself to blame
/// when an old one counts as new.
const REMEMBERED: usize = 64;

fn push_bounded<T>(list: &mut Vec<T>, item: T) {
    if list.len() >= REMEMBERED {
        list.remove(0);
    }
    list.push(item);
}
