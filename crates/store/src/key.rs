//! Where a record lives: partitions, and names inside them.

use std::fmt;
use std::sync::Arc;

/// A set of keys that commit together; on Redis all of them share one hash tag and therefore one slot.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Partition(Arc<str>);

impl Partition {
    /// The partition `{kind}-{number}`.
    pub fn new(kind: &str, number: u16) -> Partition {
        Partition(format!("{}-{number}", Kind(kind)).into())
    }

    /// The name, for example `calls-3`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key of a record in this partition.
    pub fn key(&self, name: impl Into<String>) -> Key {
        Key { partition: self.clone(), name: name.into() }
    }
}

impl fmt::Debug for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Prints a kind with every character that could disturb a hash tag replaced.
struct Kind<'a>(&'a str);

impl fmt::Display for Kind<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            let safe = c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            write!(f, "{}", if safe { c } else { '_' })?;
        }
        Ok(())
    }
}

/// The fixed set of partitions of one kind, and the rule which id lives in which.
///
/// The count is part of the stored layout: changing it moves ids to other partitions.
#[derive(Clone, Debug)]
pub struct Partitions {
    all: Arc<[Partition]>,
}

impl Partitions {
    /// `count` partitions (at least one) named `{kind}-0`, `{kind}-1`, …
    pub fn new(kind: &str, count: u16) -> Partitions {
        Partitions { all: (0..count.max(1)).map(|n| Partition::new(kind, n)).collect() }
    }

    /// The partition of an id. Stable across processes, versions and platforms.
    pub fn of(&self, id: &str) -> &Partition {
        &self.all[self.number_of(id)]
    }

    /// Its place among all of them.
    pub fn number_of(&self, id: &str) -> usize {
        (fnv1a(id.as_bytes()) % self.all.len() as u64) as usize
    }

    /// All of them, in order.
    pub fn all(&self) -> &[Partition] {
        &self.all
    }
}

/// FNV-1a with 64 bits, folded so that the low bits depend on every octet.
pub(crate) fn fnv1a(octets: &[u8]) -> u64 {
    let hash = octets.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, octet| {
        (hash ^ u64::from(*octet)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    hash ^ (hash >> 32)
}

/// The key of one record.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// The partition it lives in.
    pub partition: Partition,
    /// Its name there.
    pub name: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_always_lives_in_the_same_partition() {
        let calls = Partitions::new("calls", 16);
        // Written down, because stored data depends on it.
        assert_eq!(calls.of("018f-a").as_str(), "calls-4");
        assert_eq!(calls.of("").as_str(), "calls-1");
    }

    #[test]
    fn ids_spread_over_all_partitions() {
        let calls = Partitions::new("calls", 16);
        let mut count = std::collections::HashMap::new();
        for n in 0..16_000 {
            *count.entry(calls.of(&format!("call-{n}")).clone()).or_insert(0) += 1;
        }
        assert_eq!(count.len(), 16);
        assert!(count.values().all(|n| (700..1300).contains(n)), "{count:?}");
    }

    #[test]
    fn a_kind_cannot_break_out_of_the_hash_tag() {
        assert_eq!(Partition::new("a}b{c:d", 1).as_str(), "a_b_c_d-1");
    }
}
