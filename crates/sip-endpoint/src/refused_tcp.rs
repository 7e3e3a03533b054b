//! Peers that take no connections: what is too large for a datagram goes to them by UDP all the same, for a while. RFC 3261 18.1.1

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Enough for every phone of a busy edge. Beyond it the oldest is forgotten, which costs one attempt.
const MOST: usize = 50_000;

/// The peers, each until when. All are remembered for the same span, so that the oldest is the first whose time is over.
#[derive(Debug)]
pub(crate) struct RefusedTcp {
    until: HashMap<SocketAddr, Instant>,
    oldest_first: VecDeque<SocketAddr>,
    span: Duration,
}

impl RefusedTcp {
    pub(crate) fn new(span: Duration) -> Self {
        Self { until: HashMap::new(), oldest_first: VecDeque::new(), span }
    }

    pub(crate) fn note(&mut self, now: Instant, peer: SocketAddr) {
        if self.until.insert(peer, now + self.span).is_none() {
            self.oldest_first.push_back(peer);
        }
        if self.until.len() > MOST
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.until.remove(&oldest);
        }
    }

    pub(crate) fn has(&self, now: Instant, peer: SocketAddr) -> bool {
        self.until.get(&peer).is_some_and(|until| *until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(number: usize) -> SocketAddr {
        let [_, a, b, c] = u32::try_from(number).expect("few").to_be_bytes();
        SocketAddr::from(([10, a, b, c], 5060))
    }

    #[test]
    fn a_refusal_is_remembered_for_a_while_and_the_oldest_gives_way() {
        let (now, span) = (Instant::now(), Duration::from_secs(600));
        let mut refused = RefusedTcp::new(span);
        for number in 0..=MOST {
            refused.note(now, peer(number));
        }
        assert_eq!((refused.until.len(), refused.oldest_first.len()), (MOST, MOST));
        assert!(!refused.has(now, peer(0)) && refused.has(now, peer(1)) && refused.has(now, peer(MOST)));
        assert!(!refused.has(now + span, peer(1)));
        refused.note(now + span, peer(1));
        assert!(refused.has(now + span, peer(1)), "it refused again");
        assert_eq!((refused.until.len(), refused.oldest_first.len()), (MOST, MOST));
    }
}
