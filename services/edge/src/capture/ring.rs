//! The ring of recent messages and decisions of one edge.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use ambient::WallClock;
use bytes::Bytes;
use parking_lot::Mutex;
use sip_endpoint::{Direction, Seen, Transport, Witness};
use sip_message::{HeaderId, Message};

use super::text::{Place, Texts};
use crate::config::Limits;
use crate::operate::meters::CaptureMeters;

/// Steps that a reader takes over at a time: the driver loop never waits longer than that many clones take.
const CHUNK: usize = 256;

/// What passed and what was decided, the oldest making room for the newest. The driver loop is the only writer.
pub(crate) struct Ring {
    kept: Mutex<Kept>,
    clock: Arc<dyn WallClock>,
    meters: CaptureMeters,
    max_steps: usize,
    max_octets: usize,
}

#[derive(Default)]
struct Kept {
    steps: VecDeque<Entry>,
    texts: Texts,
    octets: usize,
    /// Number of the next step.
    next: u64,
}

/// A step as it is kept, with its text elsewhere.
struct Entry {
    number: u64,
    at: SystemTime,
    kind: Kind,
    text: Place,
}

enum Kind {
    Message {
        direction: Direction,
        local: SocketAddr,
        peer: SocketAddr,
        transport: Transport,
    },
    /// The lengths of the first two parts of its text: of the message that it is about, and of what was decided. The rest is the
    /// reason.
    Decided {
        call_id: Option<Arc<str>>,
        by: &'static str,
        about: u32,
        what: u32,
    },
}

/// One thing that happened.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    /// Counts the steps of this life of the edge.
    pub(crate) number: u64,
    pub(crate) at: SystemTime,
    pub(crate) what: What,
}

/// What happened.
#[derive(Debug, Clone)]
pub(crate) enum What {
    /// A message passed.
    Message { direction: Direction, local: SocketAddr, peer: SocketAddr, transport: Transport, bytes: Bytes },
    /// Something was decided.
    Decided {
        /// The Call-ID header field of a message of the call.
        about: Bytes,
        decided: Decided,
    },
}

/// A decision and its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decided {
    /// Carillon's id of the call, for calls of call-control.
    pub(crate) call_id: Option<Arc<str>>,
    /// The service that decided.
    pub(crate) by: &'static str,
    pub(crate) what: Cow<'static, str>,
    pub(crate) reason: Cow<'static, str>,
}

impl Decided {
    pub(crate) fn new(
        by: &'static str,
        what: impl Into<Cow<'static, str>>,
        reason: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { call_id: None, by, what: what.into(), reason: reason.into() }
    }

    pub(crate) fn of_call(self, call_id: &Arc<str>) -> Self {
        Self { call_id: Some(call_id.clone()), ..self }
    }
}

impl Ring {
    pub(crate) fn new(limits: &Limits, clock: Arc<dyn WallClock>, meters: CaptureMeters) -> Self {
        Self {
            kept: Mutex::default(),
            clock,
            meters,
            max_steps: limits.captured_messages,
            max_octets: limits.captured_octets,
        }
    }

    /// Does it keep anything?
    pub(crate) fn is_on(&self) -> bool {
        self.max_steps > 0
    }

    /// Keeps a decision about the call of this message. It is only made up when it is kept.
    pub(crate) fn note(&self, about: &Message, decided: impl FnOnce() -> Decided) {
        if self.is_on() {
            // As much of the message as says which call it belongs to.
            let id = about.first(HeaderId::CallId).unwrap_or_default();
            let head = [b"\nCall-ID: ", id, b"\r\n\r\n"];
            let Decided { call_id, by, what, reason } = decided();
            let length = head.iter().map(|part| part.len()).sum::<usize>() as u32;
            let kind = Kind::Decided { call_id, by, about: length, what: what.len() as u32 };
            let [name, value, end] = head;
            self.push(kind, &[name, value, end, what.as_bytes(), reason.as_bytes()]);
        }
    }

    /// Everything that is kept, the oldest first, and whether older steps have made room.
    pub(crate) fn read(&self) -> (Vec<Step>, bool) {
        let (mut steps, end) = {
            let kept = self.kept.lock();
            (Vec::with_capacity(kept.steps.len()), kept.next)
        };
        let mut from = 0;
        loop {
            let kept = self.kept.lock();
            let first = kept.next - kept.steps.len() as u64;
            from = first.max(from);
            let skipped = (from - first) as usize;
            let chunk = kept.steps.iter().skip(skipped).take_while(|step| step.number < end).take(CHUNK);
            let before = steps.len();
            steps.extend(chunk.map(|entry| entry.show(&kept.texts)));
            if steps.len() == before {
                return (steps, first > 0);
            }
            from += (steps.len() - before) as u64;
        }
    }

    fn push(&self, kind: Kind, text: &[&[u8]]) {
        let at = self.clock.now();
        let mut kept = self.kept.lock();
        let kept = &mut *kept;
        let (number, text) = (kept.next, kept.texts.push(text));
        let entry = Entry { number, at, kind, text };
        kept.next += 1;
        kept.octets += text.len();
        kept.steps.push_back(entry);
        let mut left = 0;
        while kept.steps.len() > self.max_steps || kept.octets > self.max_octets {
            let Some(oldest) = kept.steps.pop_front() else { break };
            kept.octets -= oldest.text.len();
            left += 1;
        }
        if left > 0 {
            kept.texts.keep_from(kept.steps.front().map(|oldest| oldest.text));
            self.meters.left.inc_by(left);
        }
        self.meters.steps.set(kept.steps.len() as i64);
        self.meters.octets.set(kept.octets as i64);
    }
}

impl Entry {
    fn show(&self, texts: &Texts) -> Step {
        let text = Bytes::copy_from_slice(texts.get(self.text));
        let what = match self.kind {
            Kind::Message { direction, local, peer, transport } => {
                What::Message { direction, local, peer, transport, bytes: text }
            }
            Kind::Decided { ref call_id, by, about, what } => {
                let about = text.slice(..text.len().min(about as usize));
                let reasons = &text[about.len()..];
                let (what, reason) = reasons.split_at(reasons.len().min(what as usize));
                let words = |text| Cow::Owned(String::from_utf8_lossy(text).into_owned());
                let (what, reason) = (words(what), words(reason));
                What::Decided { about, decided: Decided { call_id: call_id.clone(), by, what, reason } }
            }
        };
        Step { number: self.number, at: self.at, what }
    }
}

impl Witness for Ring {
    fn saw(&self, seen: Seen<'_>) {
        let Seen { direction, local, peer, transport, bytes } = seen;
        self.push(Kind::Message { direction, local, peer, transport }, &[bytes]);
    }
}

impl What {
    /// The message that tells which call it belongs to.
    pub(super) fn message(&self) -> &Bytes {
        match self {
            Self::Message { bytes, .. } | Self::Decided { about: bytes, .. } => bytes,
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use ambient::FixedClock;
    use telemetry::Metrics;

    use super::*;

    pub(in crate::capture) fn ring(steps: usize, octets: usize) -> (Ring, Metrics) {
        let limits = Limits { captured_messages: steps, captured_octets: octets, ..Limits::default() };
        let metrics = Metrics::new();
        let clock = Arc::new(FixedClock::at_unix_seconds(1000));
        (Ring::new(&limits, clock, CaptureMeters::new(&metrics)), metrics)
    }

    pub(in crate::capture) fn see(ring: &Ring, direction: Direction, peer: &str, bytes: &str) {
        let (local, peer) = ("127.0.0.1:5060".parse().unwrap(), peer.parse().unwrap());
        let bytes = Bytes::from(bytes.to_owned());
        ring.saw(Seen { direction, local, peer, transport: Transport::Udp, bytes: &bytes });
    }

    fn numbers(ring: &Ring) -> Vec<u64> {
        ring.read().0.iter().map(|step| step.number).collect()
    }

    #[test]
    fn the_oldest_step_makes_room_for_the_newest() {
        let (ring, metrics) = ring(3, 1000);
        for _ in 0..3 {
            see(&ring, Direction::Received, "127.0.0.1:1", "x");
        }
        assert!(!ring.read().1, "nothing is missing yet");
        for _ in 0..2 {
            see(&ring, Direction::Received, "127.0.0.1:1", "x");
        }
        assert_eq!((numbers(&ring), ring.read().1), (vec![2, 3, 4], true));
        let text = metrics.text();
        assert!(
            text.contains("edge_capture_left_total 2") && text.contains("edge_capture_steps 3"),
            "{text}"
        );
    }

    #[test]
    fn octets_are_bounded_too() {
        let (ring, metrics) = ring(100, 10);
        for size in [4, 4, 4, 2] {
            see(&ring, Direction::Sent, "127.0.0.1:1", &"x".repeat(size));
        }
        assert_eq!(numbers(&ring), [1, 2, 3]);
        see(&ring, Direction::Sent, "127.0.0.1:1", &"x".repeat(11));
        assert!(numbers(&ring).is_empty(), "a message larger than the bound is not kept either");
        assert!(metrics.text().contains("edge_capture_octets 0"));
    }

    #[test]
    fn a_reader_gets_more_than_one_chunk_in_order() {
        let (ring, _) = ring(3 * CHUNK, 10_000);
        for _ in 0..2 * CHUNK + 7 {
            see(&ring, Direction::Sent, "127.0.0.1:1", "x");
        }
        let expected: Vec<u64> = (0..(2 * CHUNK + 7) as u64).collect();
        assert_eq!(numbers(&ring), expected);
    }
}
