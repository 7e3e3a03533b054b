//! Digests of joined fields, as lower-case hexadecimal.

use sha2::Digest;

use crate::Hash;

/// A digest, or a number, in hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hex {
    digits: [u8; 64],
    length: usize,
}

impl Hex {
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.digits[..self.length]
    }

    /// Digits of `hash` in any case of letters; `None` for another length or other characters.
    pub(crate) fn parse(hash: Hash, digits: &[u8]) -> Option<Self> {
        let length = hash.hex_length();
        if digits.len() != length || !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        let mut hex = Self { digits: [0; 64], length };
        hex.digits[..length].copy_from_slice(digits);
        hex.digits.make_ascii_lowercase();
        Some(hex)
    }

    pub(crate) fn encode(octets: &[u8]) -> Self {
        let mut hex = Self { digits: [0; 64], length: 2 * octets.len() };
        for (pair, octet) in hex.digits.chunks_exact_mut(2).zip(octets) {
            pair[0] = b"0123456789abcdef"[usize::from(octet >> 4)];
            pair[1] = b"0123456789abcdef"[usize::from(octet & 15)];
        }
        hex
    }
}

/// H(field:field:...).
pub(crate) fn joined(hash: Hash, fields: &[&[u8]]) -> Hex {
    fn run<D: Digest>(fields: &[&[u8]]) -> Hex {
        let mut digest = D::new();
        for (index, field) in fields.iter().enumerate() {
            if index > 0 {
                digest.update(b":");
            }
            digest.update(field);
        }
        Hex::encode(&digest.finalize())
    }
    match hash {
        Hash::Md5 => run::<md5::Md5>(fields),
        Hash::Sha256 => run::<sha2::Sha256>(fields),
        Hash::Sha512T256 => run::<sha2::Sha512_256>(fields),
    }
}
