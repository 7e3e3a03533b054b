//! Nonces that carry their own proof: any replica with the key can tell when one was made, and no state is kept before
//! somebody has answered it rightly (T1, AUT-09).

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use subtle::ConstantTimeEq as _;

const MAC_OCTETS: usize = 16;
const OCTETS: usize = 1 + 6 + 8 + MAC_OCTETS;

/// A nonce made by another replica may seem to come from the future by this much (F12).
const SKEW: Duration = Duration::from_secs(30);

/// A key for nonces. Replicas that share it accept each other's; `Debug` does not show it.
#[derive(Clone)]
pub struct NonceKey {
    id: u8,
    /// With the key in it already: every challenge and every answer to one is checked with it.
    mac: Hmac<sha2::Sha256>,
}

/// A nonce of ours, read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nonce {
    /// When it was made, in milliseconds since 1970.
    pub issued_ms: u64,
    /// Tells nonces of the same millisecond apart.
    pub salt: u64,
}

/// What is known about a nonce that a client sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NonceState {
    /// Ours, and young enough.
    Fresh(Nonce),
    /// Ours, and too old.
    Stale(Nonce),
    /// Not ours, or of a key that is gone.
    Unknown,
}

impl NonceKey {
    /// A key with its number; a rotation gives the next key another number.
    pub fn new(id: u8, key: [u8; 32]) -> Self {
        Self { id, mac: Hmac::new_from_slice(&key).expect("HMAC takes keys of any length") }
    }

    /// A nonce for `realm`. `now_ms` is the time of day in milliseconds since 1970, `salt` is random.
    pub fn mint(&self, realm: &str, now_ms: u64, salt: u64) -> String {
        let mut octets = [0; OCTETS];
        octets[0] = self.id;
        octets[1..7].copy_from_slice(&now_ms.to_be_bytes()[2..]);
        octets[7..15].copy_from_slice(&salt.to_be_bytes());
        let mac = self.mac(&octets[..15], realm);
        octets[15..].copy_from_slice(&mac);
        URL_SAFE_NO_PAD.encode(octets)
    }

    /// Checks a nonce that came back.
    pub fn check(&self, nonce: &[u8], realm: &str, now_ms: u64, lifetime: Duration) -> NonceState {
        let mut octets = [0; OCTETS];
        if URL_SAFE_NO_PAD.decode_slice(nonce, &mut octets) != Ok(OCTETS)
            || octets[0] != self.id
            || !bool::from(self.mac(&octets[..15], realm).ct_eq(&octets[15..]))
        {
            return NonceState::Unknown;
        }
        let number = |range: std::ops::Range<usize>| {
            octets[range].iter().fold(0_u64, |number, &octet| number << 8 | u64::from(octet))
        };
        let nonce = Nonce { issued_ms: number(1..7), salt: number(7..15) };
        let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let is_fresh = nonce.issued_ms <= now_ms.saturating_add(milliseconds(SKEW))
            && now_ms <= nonce.issued_ms.saturating_add(milliseconds(lifetime));
        if is_fresh { NonceState::Fresh(nonce) } else { NonceState::Stale(nonce) }
    }

    fn mac(&self, octets: &[u8], realm: &str) -> [u8; MAC_OCTETS] {
        let mut mac = self.mac.clone();
        mac.update(octets);
        mac.update(realm.as_bytes());
        let mut cut = [0; MAC_OCTETS];
        cut.copy_from_slice(&mac.finalize().into_bytes()[..MAC_OCTETS]);
        cut
    }
}

impl std::fmt::Debug for NonceKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NonceKey({}, ***)", self.id)
    }
}
