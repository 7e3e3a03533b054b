//! What is sent again until somebody answers.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;

/// T1 (RFC 3261 17.1.1.1).
pub const T1: Duration = Duration::from_millis(500);
/// T2 (RFC 3261 17.1.2.2).
pub const T2: Duration = Duration::from_secs(4);

/// Why a message is repeated, and so what stops it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Until {
    /// A final response to REGISTER.
    Registered,
    /// A final response to MESSAGE.
    Messaged,
    /// Any response to our INVITE.
    Ringing,
    /// A final response to our BYE or CANCEL.
    HungUp,
    /// ACK for our 2xx.
    Acked,
    /// ACK for our final failure.
    RefusalAcked,
    /// PRACK for our reliable provisional response.
    Pracked,
    /// A final response to our REFER.
    Referred,
}

/// One message that is repeated: T1 doubling to T2 (without cap for PRACK), for 64*T1.
#[derive(Debug, Clone)]
pub struct Repeat {
    pub until: Until,
    pub bytes: Bytes,
    pub to: SocketAddr,
    next: Instant,
    interval: Duration,
    give_up: Instant,
}

impl Repeat {
    pub fn new(now: Instant, until: Until, bytes: Bytes, to: SocketAddr) -> Self {
        Self { until, bytes, to, next: now + T1, interval: T1, give_up: now + 64 * T1 }
    }

    /// When it is due.
    pub fn deadline(&self) -> Instant {
        self.next.min(self.give_up)
    }

    /// True: send again. False: not due, or given up (then [`Self::is_over`]).
    pub fn due(&mut self, now: Instant) -> bool {
        if now < self.next || self.is_over(now) {
            return false;
        }
        self.interval *= 2;
        if !matches!(self.until, Until::Pracked | Until::Ringing) {
            self.interval = self.interval.min(T2);
        }
        self.next = now + self.interval;
        true
    }

    /// 64*T1 have passed.
    pub fn is_over(&self, now: Instant) -> bool {
        now >= self.give_up
    }
}
