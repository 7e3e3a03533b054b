//! Branch parameters of the requests we send.

use std::fmt;

use sha2::{Digest, Sha256};
use sip_proxy::Hexadecimal;

/// Makes branch parameters that are never repeated, in this life or another (RFC 3261 8.1.1.7), and that nobody guesses who has seen
/// others: an ICMP error that quotes one was sent by somebody who had the request.
pub(crate) struct BranchNames {
    secret: [u8; 32],
    next: u64,
}

/// The part of a branch parameter between the cookie and the routing digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unique {
    /// Of a request that we forward.
    Forwarded { proof: u64, number: u64 },
    /// Of a request of ours on behalf of another service: derived from what it stands for, so that sending it twice is,
    /// on the wire, a retransmission.
    Derived { origin: u64, number: u64, branch: u32, attempt: u32 },
    /// Of a message that we forward without a transaction: derived from the branch it came with. RFC 3261 16.11
    Stateless { origin: u64 },
}

impl BranchNames {
    /// Names for the life with this random secret.
    pub(crate) fn new(secret: [u8; 32]) -> Self {
        Self { secret, next: 0 }
    }

    /// A new one.
    pub(crate) fn forwarded(&mut self) -> Unique {
        self.next += 1;
        // Both parts have their fixed length, so that nothing can be appended to them.
        let digest = Sha256::new().chain_update(self.secret).chain_update(self.next.to_be_bytes()).finalize();
        let proof = digest.first_chunk().map_or(0, |octets| u64::from_be_bytes(*octets));
        Unique::Forwarded { proof, number: self.next }
    }
}

/// A secret never shows itself.
impl fmt::Debug for BranchNames {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("BranchNames").field("next", &self.next).finish_non_exhaustive()
    }
}

impl Unique {
    /// As it stands in the branch parameter.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Forwarded { proof, number } => {
                let [proof, number] = [*proof, *number].map(Hexadecimal::of);
                [proof.as_str(), "-", number.as_str().trim_start_matches('0')].concat()
            }
            Self::Derived { origin, number, branch, attempt } => {
                format!("cc{origin:016x}-{number:x}-{branch:x}-{attempt:x}")
            }
            Self::Stateless { origin } => ["s", Hexadecimal::of(*origin).as_str()].concat(),
        }
    }
}

/// A digest that is the same in every process and release.
pub(crate) fn digest(text: &[u8]) -> u64 {
    text.iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// MSG-12
    #[test]
    fn forwarded_branches_never_repeat_and_derived_ones_always_do() {
        let mut names = BranchNames::new([7; 32]);
        let mut seen = std::collections::HashSet::new();
        for _ in 0..10_000 {
            assert!(seen.insert(names.forwarded().text()));
        }
        let proof = |name: Unique| match name {
            Unique::Forwarded { proof, .. } => proof,
            Unique::Derived { .. } | Unique::Stateless { .. } => 0,
        };
        let others = [7, 8].map(|secret| proof(BranchNames::new([secret; 32]).forwarded()));
        assert_ne!(others[0], others[1], "another secret proves another thing");
        assert_ne!(proof(names.forwarded()), proof(names.forwarded()));
        let derived =
            || Unique::Derived { origin: digest(b"call-1"), number: 3, branch: 0, attempt: 0 }.text();
        assert_eq!(derived(), derived());
        assert!(sip_message::is_token(derived().as_bytes()));
    }
}
