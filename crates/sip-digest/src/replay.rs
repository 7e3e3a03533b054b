//! Which nonce counts a user has used: each (nonce, nc) is good once (RFC 7616 3.4.5, T1).

use std::time::Duration;

use crate::Nonce;

/// Nonces of one user at a time. One for each of the ten devices that an account has by default would do, were there no clients that take
/// a new one for each request: when many of those come at once, they come in another order than they were challenged, and a nonce that is
/// older than one that was dropped cannot be told from one that was used. So many may overtake it.
const MAX_NONCES: usize = 64;
const WINDOW: u32 = 64;

/// The nonces that one user has used and that are not too old yet. It belongs into the user's record, so that every replica
/// sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplayWindow {
    /// Nonces in use, oldest first.
    pub nonces: Vec<UsedNonce>,
    /// Nonces made at or before this time are not accepted any more: they were dropped to keep the list short.
    pub floor_ms: u64,
}

/// One nonce in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UsedNonce {
    /// When it was made, in milliseconds since 1970.
    pub issued_ms: u64,
    /// Tells nonces of the same millisecond apart.
    pub salt: u64,
    /// The highest count used.
    pub highest: u32,
    /// Bit n: `highest - n` was used.
    pub used: u64,
    /// Which request used the highest count.
    pub request: u64,
}

/// What became of a nonce count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// First use.
    Accepted,
    /// Used before by this very request, which has come again: no use, and no attack either.
    Repeated,
    /// The nonce had to make room for others: whether this count was used is not known any more. No proof against the client,
    /// which is to take a new nonce.
    Forgotten,
    /// Used before by another request, or so far behind that this cannot be told.
    Refused,
}

impl ReplayWindow {
    /// Uses `count` of `nonce` for a request that is known by the number `request`. Counts may arrive out of order within
    /// 64. No count is an old client: it may use a nonce once.
    #[must_use]
    pub fn accept(
        &mut self,
        nonce: Nonce,
        count: Option<u32>,
        request: u64,
        now_ms: u64,
        lifetime: Duration,
    ) -> Use {
        let lifetime_ms = u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX);
        self.nonces.retain(|used| used.issued_ms.saturating_add(lifetime_ms) >= now_ms);
        let known =
            self.nonces.iter_mut().find(|used| (used.issued_ms, used.salt) == (nonce.issued_ms, nonce.salt));
        match (known, count) {
            (_, Some(0)) => Use::Refused,
            (Some(used), count) => used.accept(count.unwrap_or(u32::MAX), request),
            (None, _) if nonce.issued_ms <= self.floor_ms => Use::Forgotten,
            (None, count) => {
                // without counts all of them are used up
                let highest = count.unwrap_or(u32::MAX);
                let used = if count.is_none() { u64::MAX } else { 1 };
                let at = self.nonces.partition_point(|used| used.issued_ms <= nonce.issued_ms);
                let Nonce { issued_ms, salt } = nonce;
                self.nonces.insert(at, UsedNonce { issued_ms, salt, highest, used, request });
                // the oldest goes, also when that is this one: another one may be in use by a phone
                let surplus = self.nonces.len().saturating_sub(MAX_NONCES);
                for dropped in self.nonces.drain(..surplus) {
                    self.floor_ms = self.floor_ms.max(dropped.issued_ms);
                }
                Use::Accepted
            }
        }
    }
}

impl UsedNonce {
    fn accept(&mut self, count: u32, request: u64) -> Use {
        if count > self.highest {
            let ahead = count - self.highest;
            self.used = if ahead < WINDOW { self.used << ahead | 1 } else { 1 };
            self.highest = count;
            self.request = request;
            return Use::Accepted;
        }
        let behind = self.highest - count;
        if behind == 0 && request == self.request {
            return Use::Repeated;
        }
        if behind >= WINDOW || self.used >> behind & 1 == 1 {
            return Use::Refused;
        }
        self.used |= 1 << behind;
        Use::Accepted
    }
}
