//! Which nonce counts a user has used: each (nonce, nc) is good once (RFC 7616 3.4.5, T1).

use std::time::Duration;

use crate::Nonce;

/// Nonces of one user at a time. One for each of the ten devices that an account has by default would do, were there no clients that take
/// a new one for each request: when many of those come at once, they come in another order than they were challenged, and a nonce that is
/// older than one that was dropped cannot be told from one that was used. So many may overtake it.
const MAX_NONCES: usize = 64;
const WINDOW: u32 = 64;
/// A nonce as it is packed: when it was made, salt, highest count, used counts, request; each with the highest octet first.
const OCTETS: usize = 8 + 8 + 4 + 8 + 8;

/// The nonces that one user has used and that are not too old yet. It belongs into the user's record, so that every replica
/// sees it; and since every request of the user reads and writes it, it is searched and changed as it is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplayWindow {
    /// Nonces in use, oldest first.
    packed: Vec<u8>,
    floor_ms: u64,
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
    /// The window that was packed as `packed`, with its floor.
    pub fn of_packed(packed: &[u8], floor_ms: u64) -> Self {
        // with room for one more, which is what nearly every use adds
        let mut kept = Vec::with_capacity(packed.len() + OCTETS);
        kept.extend_from_slice(packed);
        Self { packed: kept, floor_ms }
    }

    /// A window of these nonces.
    pub fn of_nonces(nonces: impl IntoIterator<Item = UsedNonce>, floor_ms: u64) -> Self {
        let mut nonces: Vec<UsedNonce> = nonces.into_iter().collect();
        nonces.sort_by_key(|used| used.issued_ms);
        Self { packed: nonces.into_iter().flat_map(UsedNonce::packed).collect(), floor_ms }
    }

    /// Whether these octets can be those of a window.
    pub fn is_packed(octets: &[u8]) -> bool {
        octets.len().is_multiple_of(OCTETS)
    }

    /// The window as it is to be stored.
    pub fn into_packed(self) -> Vec<u8> {
        self.packed
    }

    /// Nonces made at or before this time are not accepted any more, unless they are in use: others were dropped to keep the list short.
    pub fn floor_ms(&self) -> u64 {
        self.floor_ms
    }

    /// When the newest nonce in use was made, 0 with none.
    pub fn newest_ms(&self) -> u64 {
        self.entries().last().map_or(0, issued_ms)
    }

    /// How many nonces are in use.
    pub fn len(&self) -> usize {
        self.entries().len()
    }

    /// Whether none is in use.
    pub fn is_empty(&self) -> bool {
        self.packed.is_empty()
    }

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
        let expired =
            self.entries().partition_point(|entry| issued_ms(entry).saturating_add(lifetime_ms) < now_ms);
        self.drop_oldest(expired);
        let entries = self.packed.as_chunks_mut::<OCTETS>().0;
        let at = entries.partition_point(|entry| issued_ms(entry) <= nonce.issued_ms);
        let same_time =
            entries[..at].iter_mut().rev().take_while(|entry| issued_ms(entry) == nonce.issued_ms);
        let mut same_time = same_time.map(|entry| (UsedNonce::read(entry), entry));
        match (same_time.find(|(used, _)| used.salt == nonce.salt), count) {
            (_, Some(0)) => Use::Refused,
            (Some((mut used, entry)), count) => {
                let became = used.accept(count.unwrap_or(u32::MAX), request);
                *entry = used.packed();
                became
            }
            (None, _) if nonce.issued_ms <= self.floor_ms => Use::Forgotten,
            (None, count) => {
                // without counts all of them are used up
                let highest = count.unwrap_or(u32::MAX);
                let used = if count.is_none() { u64::MAX } else { 1 };
                let Nonce { issued_ms, salt } = nonce;
                self.insert(at, UsedNonce { issued_ms, salt, highest, used, request });
                Use::Accepted
            }
        }
    }

    /// Puts a nonce before that at `at`. The oldest goes, also when that is this one: another one may be in use by a phone.
    fn insert(&mut self, at: usize, new: UsedNonce) {
        let surplus = (self.len() + 1).saturating_sub(MAX_NONCES);
        let gone = surplus.min(at);
        if let Some(last) = gone.checked_sub(1) {
            self.floor_ms = self.floor_ms.max(issued_ms(&self.entries()[last]));
            self.drop_oldest(gone);
        }
        if gone < surplus {
            self.floor_ms = self.floor_ms.max(new.issued_ms);
            return;
        }
        let start = (at - gone) * OCTETS;
        self.packed.splice(start..start, new.packed());
    }

    fn drop_oldest(&mut self, count: usize) {
        self.packed.drain(..count * OCTETS);
    }

    fn entries(&self) -> &[[u8; OCTETS]] {
        self.packed.as_chunks().0
    }
}

/// The first field of a packed nonce.
fn issued_ms(entry: &[u8; OCTETS]) -> u64 {
    number(entry, 0)
}

fn number(entry: &[u8; OCTETS], at: usize) -> u64 {
    u64::from_be_bytes(std::array::from_fn(|index| entry[at + index]))
}

impl UsedNonce {
    fn read(entry: &[u8; OCTETS]) -> Self {
        Self {
            issued_ms: issued_ms(entry),
            salt: number(entry, 8),
            highest: u32::from_be_bytes(std::array::from_fn(|index| entry[16 + index])),
            used: number(entry, 20),
            request: number(entry, 28),
        }
    }

    fn packed(self) -> [u8; OCTETS] {
        let mut entry = [0; OCTETS];
        entry[..8].copy_from_slice(&self.issued_ms.to_be_bytes());
        entry[8..16].copy_from_slice(&self.salt.to_be_bytes());
        entry[16..20].copy_from_slice(&self.highest.to_be_bytes());
        entry[20..28].copy_from_slice(&self.used.to_be_bytes());
        entry[28..].copy_from_slice(&self.request.to_be_bytes());
        entry
    }

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
