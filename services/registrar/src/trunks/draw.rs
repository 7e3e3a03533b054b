//! The order among equals: by weight, and the same for all requests of a call in every replica (as RFC 3263 4.4 asks of SRV).

/// What decides for one call.
#[derive(Clone, Debug)]
pub(crate) struct Draw(u64);

impl Draw {
    /// FNV-1a of the Call-ID.
    pub(crate) fn of_call(call_id: &str) -> Self {
        Self(call_id.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, octet| {
            (hash ^ u64::from(octet)).wrapping_mul(0x0000_0100_0000_01b3)
        }))
    }

    /// Puts what has the lowest priority first; among equals each is first as often as its weight says.
    pub(crate) fn order<T>(&mut self, choices: Vec<(u32, u32, T)>) -> Vec<T> {
        let mut left = choices;
        // stable, so that all replicas begin with one order
        left.sort_by_key(|(priority, _, _)| *priority);
        let mut ordered = Vec::with_capacity(left.len());
        while let Some((lowest, _, _)) = left.first() {
            let equals = left.iter().take_while(|(priority, _, _)| priority == lowest).count();
            let total: u64 = left[..equals].iter().map(|(_, weight, _)| share(*weight)).sum();
            let mut ticket = self.next() % total;
            let mut at = 0;
            while ticket >= share(left[at].1) {
                ticket -= share(left[at].1);
                at += 1;
            }
            ordered.push(left.remove(at).2);
        }
        ordered
    }

    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

fn share(weight: u32) -> u64 {
    u64::from(weight.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Priorities rule, weights share, and a call always draws the same.
    #[test]
    fn weights_share_the_calls_and_a_call_keeps_its_draw() {
        let choices = || vec![(1, 0, "last"), (0, 3, "large"), (0, 1, "small")];
        let mut large = 0;
        for call in 0..4_000 {
            let id = format!("call-{call}@h");
            let order = Draw::of_call(&id).order(choices());
            assert_eq!(order, Draw::of_call(&id).order(choices()));
            assert_eq!((order.len(), order[2]), (3, "last"));
            large += usize::from(order[0] == "large");
        }
        assert!((2_800..3_200).contains(&large), "{large} of 4000 for a share of three quarters");
        assert!(Draw::of_call("x").order(Vec::<(u32, u32, ())>::new()).is_empty());
    }
}
