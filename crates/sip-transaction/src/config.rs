//! Timing and bounds of the transaction layer.

use std::time::Duration;

/// What a [`Transactions`](crate::Transactions) table is allowed and how long it waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The timers.
    pub timing: Timing,
    /// Client transactions alive at once. Default 400,000: at 32 s each, 12,500 requests a second.
    pub max_client: usize,
    /// Server transactions alive at once. Default as for the client side.
    pub max_server: usize,
    /// Marks the keys of this table, so that a key of another table or of an earlier life is never mistaken for one of
    /// its own.
    pub space: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { timing: Timing::default(), max_client: 400_000, max_server: 400_000, space: 0 }
    }
}

/// The three base values of RFC 3261 17 and what follows from them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Estimate of a round trip. Default 500 ms, RFC 3261 17.1.1.1.
    pub t1: Duration,
    /// Longest pause between two sendings of a non-INVITE request or an INVITE's final response. Default 4 s, RFC 3261
    /// 17.1.2.2.
    pub t2: Duration,
    /// Longest time a message stays in the network. Default 5 s, RFC 3261 17.1.2.2.
    pub t4: Duration,
    /// How long an INVITE may wait for its first response before 100 Trying is sent. Default 150 ms: RFC 3261 17.2.1 wants
    /// the 100 within 200 ms, and a timer is late by what the loop is busy with, never early. Zero sends it at once.
    pub trying: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            t1: Duration::from_millis(500),
            t2: Duration::from_secs(4),
            t4: Duration::from_secs(5),
            trying: Duration::from_millis(150),
        }
    }
}

impl Timing {
    /// 64*T1: Timers B, F, H, J, L and M, and how long a transaction that nobody answers is kept.
    pub fn timeout(&self) -> Duration {
        self.t1 * 64
    }

    /// Timer D: as long as the server may repeat its final response, at least 32 s by the defaults. RFC 3261 17.1.1.2
    pub fn absorb_final(&self) -> Duration {
        self.t1 * 64
    }

    /// How long a client's Timer E needs to reach T2: before that, no 100 to a non-INVITE over an unreliable transport;
    /// then, one is owed. RFC 4320 4.1
    pub fn late_trying(&self) -> Duration {
        let mut elapsed = Duration::ZERO;
        let mut pause = self.t1;
        while pause < self.t2 && !pause.is_zero() {
            elapsed += pause;
            pause *= 2;
        }
        elapsed
    }
}

/// What holds for one transaction all its life.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms<'a> {
    pub(crate) timing: &'a Timing,
    pub(crate) reliable: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// TXN-12
    #[test]
    fn the_late_100_is_due_after_three_and_a_half_seconds_by_default() {
        assert_eq!(Timing::default().late_trying(), Duration::from_millis(3500));
    }

    #[test]
    fn timing_of_zero_does_not_loop_for_ever() {
        let timing = Timing { t1: Duration::ZERO, ..Timing::default() };
        assert_eq!(timing.late_trying(), Duration::ZERO);
    }
}
