//! The retry budget: repeated calls are a share of first calls, so that an outage is not answered by a storm.

/// Tokens in thousandths. A first call earns a fifth of a retry; a retry costs one.
#[derive(Debug)]
pub(super) struct Budget {
    milli: u32,
}

/// What one first call earns.
const EARNED: u32 = 200;
/// What one retry costs.
const COST: u32 = 1000;
/// Most that is saved: ten retries at once after a quiet time.
const SAVED: u32 = 10 * COST;

impl Budget {
    /// A full budget.
    pub(super) fn new() -> Self {
        Self { milli: SAVED }
    }

    /// Notes a first call.
    pub(super) fn first_call(&mut self) {
        self.milli = (self.milli + EARNED).min(SAVED);
    }

    /// Whether a retry may be made; it is then paid.
    pub(super) fn pay_retry(&mut self) -> bool {
        let affordable = self.milli >= COST;
        if affordable {
            self.milli -= COST;
        }
        affordable
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_an_outage_retries_are_a_fifth_of_the_calls() {
        let mut budget = Budget::new();
        let retries = (0..1000)
            .filter(|_| {
                budget.first_call();
                budget.pay_retry()
            })
            .count();
        assert!((200..=212).contains(&retries), "{retries}");
    }
}
