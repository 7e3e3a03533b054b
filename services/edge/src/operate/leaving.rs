//! How an edge leaves: first what is in hand is finished, then phones lose their connections in steps, so that not all of them come to
//! the other edges at the same moment.

use std::time::{Duration, Instant};

use crate::edge::{Cx, Edge, IN_HAND, ServerUse, Timer};

/// What is left of a drain beside what is in hand: phones to be let go, and ends of connections that the registrar was not told of.
const CONNECTIONS: &str = "connections";
/// Between two steps.
const STEP: Duration = Duration::from_millis(50);
/// Steps at most, which makes ten seconds: less than a drain may take, and more than the others need to take phones in.
const STEPS: usize = 200;
/// In one step at least: a handful of phones is no storm.
const AT_LEAST: usize = 20;

/// The steps by which connections end.
#[derive(Debug)]
pub(crate) struct Leaving {
    /// Who connects later is not waited for.
    before: Instant,
    at_once: usize,
    next: Instant,
}

impl Leaving {
    fn begin(now: Instant, connections: usize) -> Self {
        Self { before: now, at_once: connections.div_ceil(STEPS).max(AT_LEAST), next: now }
    }

    /// How many may end now, when a step is due.
    fn step(&mut self, now: Instant) -> Option<usize> {
        (now >= self.next).then(|| {
            self.next = now + STEP;
            self.at_once
        })
    }
}

impl Edge {
    /// Tells how far the drain is, and takes its next step when that is due.
    pub(crate) fn drain(&mut self, cx: &mut Cx<'_>) {
        // The transactions of legs stay until nobody repeats the request; the legs know which of them still owe an answer.
        let owed = self.servers.values().filter(|used| !matches!(used, ServerUse::Leg(_))).count();
        let in_hand = owed + self.forks.len() + self.legs.unfinished() + self.seen.unconfirmed();
        if in_hand == 0 {
            self.let_go(cx);
        }
        self.deps.drain.left(IN_HAND, in_hand as u64);
    }

    /// The drain is over or was taken back.
    pub(crate) fn stay(&mut self) {
        self.leaving = None;
    }

    /// What comes in the meantime is answered: a step closes a connection once what was queued on it is written. The bindings over it go
    /// at once, and calls follow their phones to where these connect next.
    fn let_go(&mut self, cx: &mut Cx<'_>) {
        let now = cx.now();
        let leaving = self.leaving.get_or_insert_with(|| Leaving::begin(now, cx.load().connections));
        let Some(most) = leaving.step(now) else { return };
        let before = cx.load().connections;
        let left = cx.close_accepted(leaving.before, most) + before - cx.load().connections;
        // What ends now is told afterwards; a registrar that does not answer finds out by our lease.
        let ended = self.registered.ended();
        let untold = if ended.is_failing() { 0 } else { ended.len() };
        self.deps.drain.left(CONNECTIONS, (left + untold) as u64);
        if left + untold > 0 {
            cx.set_timer(STEP, Timer::LetGo);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_leave_in_one_step_and_many_within_ten_seconds() {
        let now = Instant::now();
        assert_eq!(Leaving::begin(now, 0).step(now), Some(AT_LEAST));
        for connections in [20_usize, 21, 4_000, 4_001, 20_000, 1_000_000] {
            let mut leaving = Leaving::begin(now, connections);
            let (mut left, mut at) = (connections, now);
            loop {
                let most = leaving.step(at).expect("it is due");
                assert_eq!(leaving.step(at), None, "a round of the loop is no step");
                left = left.saturating_sub(most);
                if left == 0 {
                    break;
                }
                assert!(most <= AT_LEAST.max(connections / 100), "{most} of {connections} leave at once");
                at += STEP;
            }
            assert!(at - now < Duration::from_secs(10), "{connections} take {:?}", at - now);
        }
    }
}
