//! The order in which to try SRV records: by priority, and drawn by weight within one. RFC 2782

use crate::dns::Srv;

/// A short run of numbers out of one: the same draw gives the same order everywhere, which is how edges that share no state send
/// the requests of one dialog to the same server. RFC 3263 4.4
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Draw(u64);

impl Draw {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number of `least` to `most`, both included.
    fn within(&mut self, least: u64, most: u64) -> u64 {
        // SplitMix64: every seed gives a well mixed run, also small ones that follow each other.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        least + ((u128::from(mixed) * (u128::from(most - least) + 1)) >> 64) as u64
    }
}

/// Records that are put in order, those of the smallest priority number first: more than anybody tries.
const MAX_RECORDS: usize = 256;

/// Puts records in the order in which to try them. Name servers rotate what they answer, hence the order in which the records
/// came has no part in it.
pub(crate) fn in_order(mut records: Vec<Srv>, draw: &mut Draw) -> Vec<Srv> {
    records.sort_by(|a, b| {
        // Weight 0 comes first, so that it has a small chance beside others.
        (a.priority, a.weight, &a.host, a.port).cmp(&(b.priority, b.weight, &b.host, b.port))
    });
    records.dedup();
    records.truncate(MAX_RECORDS);
    let mut ordered = Vec::with_capacity(records.len());
    while let Some(first) = records.first() {
        let priority = first.priority;
        let same = records.iter().take_while(|record| record.priority == priority).count();
        let total: u64 = records[..same].iter().map(|record| u64::from(record.weight)).sum();
        // RFC 2782 draws from 0 on, for the sake of weight 0; without one that would be a share too many for the smallest weight.
        let has_zero = first.weight == 0;
        let chosen = draw.within(u64::from(!has_zero), total);
        let mut running = 0;
        let at = records[..same].iter().position(|record| {
            running += u64::from(record.weight);
            running >= chosen
        });
        // The last running sum is the total, which no draw exceeds.
        ordered.push(records.remove(at.unwrap_or(0)));
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    fn srv(priority: u16, weight: u16, host: &str) -> Srv {
        Srv { priority, weight, port: 5060, host: host.into() }
    }

    fn hosts(records: Vec<Srv>, seed: u64) -> String {
        let ordered = in_order(records, &mut Draw::new(seed));
        ordered.iter().map(|record| record.host.as_str()).collect::<Vec<_>>().join(" ")
    }

    /// DNS-04: how often each of two records comes first, in 1000 calls.
    #[test]
    fn weights_of_three_to_one_spread_calls_three_to_one() {
        let firsts = (0..1000).filter(|seed| hosts(vec![srv(1, 10, "b"), srv(1, 30, "a")], *seed) == "a b");
        let share = firsts.count();
        assert!((700..=800).contains(&share), "{share} of 1000");
    }

    /// DNS-04: small weights are ratios as much as great ones, also beside a zero.
    #[test]
    fn small_weights_spread_calls_as_they_say() {
        let share = |weights: &[(u16, &str)], host: &str| {
            let records = || weights.iter().map(|(weight, host)| srv(1, *weight, host)).collect();
            (0..10_000).filter(|seed| hosts(records(), *seed).starts_with(host)).count()
        };
        let two = share(&[(3, "a"), (1, "b")], "a");
        assert!((7_300..=7_700).contains(&two), "{two} of 10000");
        let three = [(1, "a"), (1, "b"), (2, "c")];
        for (host, expected) in [("a", 2_300..=2_700), ("b", 2_300..=2_700), ("c", 4_800..=5_200)] {
            let found = share(&three, host);
            assert!(expected.contains(&found), "{host}: {found} of 10000");
        }
        let beside_zero = [(0, "z"), (30, "a"), (10, "b")];
        let (zero, small) = (share(&beside_zero, "z"), share(&beside_zero, "b"));
        assert!((1..=400).contains(&zero) && (2_200..=2_700).contains(&small), "{zero}, {small} of 10000");
    }

    /// DNS-04
    #[test]
    fn a_smaller_priority_number_always_comes_first_whatever_the_weights() {
        for seed in 0..100 {
            let records = vec![srv(20, 65_535, "c"), srv(10, 0, "a"), srv(20, 65_535, "d"), srv(15, 1, "b")];
            assert!(hosts(records, seed).starts_with("a b "), "{seed}");
        }
    }

    #[test]
    fn a_weight_of_zero_has_a_small_chance_beside_others_and_an_even_one_alone() {
        let beside = (0..1000).filter(|seed| hosts(vec![srv(1, 99, "a"), srv(1, 0, "z")], *seed) == "z a");
        assert!((1..=40).contains(&beside.count()));
        assert_eq!(hosts(vec![srv(1, 0, "b"), srv(1, 0, "a")], 7), "a b", "nothing to select by");
    }

    #[test]
    fn the_order_of_the_answer_and_repetitions_in_it_change_nothing() {
        for seed in 0..50 {
            let one = hosts(vec![srv(1, 1, "a"), srv(1, 2, "b"), srv(1, 3, "c")], seed);
            let two = hosts(vec![srv(1, 3, "c"), srv(1, 1, "a"), srv(1, 2, "b"), srv(1, 1, "a")], seed);
            assert_eq!(one, two);
        }
    }
}
