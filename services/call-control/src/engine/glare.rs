//! Requests that the peer could not take now and that are sent again (RFC 3261 14.1, RFC 3311 5.3).
//!
//! Carillon made the Call-ID of every leg that it dialled, so it waits 2.1 to 4.0 s after 491, in steps of 10 ms; the peer
//! waits 0 to 2 s, as does Carillon where it was called.

use std::time::Duration;

use crate::engine::call::TimerKind;
use crate::engine::leg::Pending;
use crate::engine::signal::{LegIndex, Reply};
use crate::engine::work::Work;

/// Without Retry-After, a 500 is tried again after this time, the longest that RFC 3311 5.2 names.
const RETRY_AFTER_500: u32 = 10;

impl Work<'_> {
    /// Sends the request again later when the reply says that only the moment was wrong. Not for longer than GUARD since it was sent first:
    /// whoever never has the time has refused.
    pub fn retry_later(&mut self, leg: LegIndex, request: &Pending, reply: &Reply) -> bool {
        let wait = match (reply.status, reply.retry_after) {
            (491, _) => self.glare_wait(leg),
            (500, after) if request.request.method == "UPDATE" || after.is_some() => {
                Duration::from_secs(u64::from(after.unwrap_or(RETRY_AFTER_500)))
            }
            _ => return false,
        };
        let again = self.now + wait;
        let last = request.first_ms.saturating_add(self.call.policy.guard_ms);
        // Before the two are connected, the end of GUARD itself is the end of the call
        let is_bounded = self.call.answer_ms > 0 && request.first_ms > 0;
        if is_bounded && again.millis() > last {
            return false;
        }
        self.leg_mut(leg).retry = Some(request.clone());
        self.start_timer(TimerKind::Retry, leg, wait);
        true
    }

    /// How long to wait after 491: the owner of the Call-ID waits longer.
    pub fn glare_wait(&mut self, leg: LegIndex) -> Duration {
        if self.leg(leg).incoming.is_some() {
            return Duration::from_millis(10 * self.draw(201));
        }
        Duration::from_millis(2_100 + 10 * self.draw(191))
    }
}
