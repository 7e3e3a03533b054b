//! Randomness.

use std::sync::{Arc, Mutex, PoisonError};

use rand::{Rng, SeedableRng, rngs::StdRng};

/// A source of random octets.
pub trait Entropy: Send + Sync + 'static {
    /// Fills `target` with random octets.
    fn fill(&self, target: &mut [u8]);

    /// A random number.
    fn number(&self) -> u64 {
        let mut octets = [0; 8];
        self.fill(&mut octets);
        u64::from_le_bytes(octets)
    }

    /// A random number below `bound`, or 0 when `bound` is 0.
    fn below(&self, bound: u64) -> u64 {
        // The high half of the product is uniform enough for jitter and choice: its bias is below 2^-64 * bound.
        ((u128::from(self.number()) * u128::from(bound)) >> 64) as u64
    }

    /// A token of `octets` random octets in lower-case hexadecimal: a SIP token, a URL-safe name, twice as long as asked.
    fn token(&self, octets: usize) -> String {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut random = vec![0; octets];
        self.fill(&mut random);
        random
            .iter()
            .flat_map(|octet| [DIGITS[usize::from(octet >> 4)], DIGITS[usize::from(octet & 15)]])
            .map(char::from)
            .collect()
    }
}

impl<E: Entropy + ?Sized> Entropy for Arc<E> {
    fn fill(&self, target: &mut [u8]) {
        (**self).fill(target);
    }
}

/// Randomness fit for keys and tokens: a per-thread generator seeded by the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, target: &mut [u8]) {
        rand::rng().fill_bytes(target);
    }
}

/// The same octets for the same seed, always. For tests and simulations only. Clones draw from the same sequence.
#[derive(Clone, Debug)]
pub struct SeededEntropy {
    generator: Arc<Mutex<StdRng>>,
}

impl SeededEntropy {
    /// The sequence that belongs to `seed`.
    pub fn new(seed: u64) -> Self {
        Self { generator: Arc::new(Mutex::new(StdRng::seed_from_u64(seed))) }
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, target: &mut [u8]) {
        self.generator.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(target);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_tokens_and_another_seed_others() {
        let (one, same, other) = (SeededEntropy::new(7), SeededEntropy::new(7), SeededEntropy::new(8));
        let token = one.token(16);
        assert_eq!(token, same.token(16));
        assert_ne!(token, other.token(16));
    }

    #[test]
    fn a_token_is_hexadecimal_and_twice_as_long_as_its_octets() {
        let token = SystemEntropy.token(10);
        assert_eq!(token.len(), 20);
        assert!(token.bytes().all(|octet| octet.is_ascii_hexdigit() && !octet.is_ascii_uppercase()));
    }

    #[test]
    fn a_number_below_a_bound_reaches_every_value_and_never_the_bound() {
        let entropy = SeededEntropy::new(1);
        let mut seen = [false; 5];
        for _ in 0..200 {
            seen[usize::try_from(entropy.below(5)).expect("below five")] = true;
        }
        assert_eq!(seen, [true; 5]);
        assert_eq!(entropy.below(0), 0);
    }
}
