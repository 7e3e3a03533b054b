//! The digest of name, realm and password: all that is ever stored of a password.

use crate::{
    Hash,
    hash::{Hex, joined},
};

/// H(user:realm:password) for one hash function. Whoever has it can answer challenges of this realm: it is a secret, and
/// `Debug` does not show it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Ha1 {
    hash: Hash,
    hex: Hex,
}

/// A stored digest is not one of its hash function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {} hexadecimal digits of {}", .hash.hex_length(), .hash.as_str())]
pub struct BadDigest {
    /// The function it should be of.
    pub hash: Hash,
}

impl Ha1 {
    /// The digest of a password.
    pub fn of_password(hash: Hash, user: &[u8], realm: &[u8], password: &[u8]) -> Self {
        // RFC 7616 3.4.2
        Self { hash, hex: joined(hash, &[user, realm, password]) }
    }

    /// A stored digest.
    ///
    /// # Errors
    /// [`BadDigest`] when `digits` are not as many hexadecimal digits as the function has.
    pub fn from_hex(hash: Hash, digits: &[u8]) -> Result<Self, BadDigest> {
        Hex::parse(hash, digits).map(|hex| Self { hash, hex }).ok_or(BadDigest { hash })
    }

    /// The hexadecimal digits, to be stored.
    pub fn hex(&self) -> &str {
        std::str::from_utf8(self.hex.as_bytes()).expect("hexadecimal digits are ASCII")
    }

    /// The function it is of.
    pub fn hash(&self) -> Hash {
        self.hash
    }
}

impl std::fmt::Debug for Ha1 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ha1({}, ***)", self.hash.as_str())
    }
}
