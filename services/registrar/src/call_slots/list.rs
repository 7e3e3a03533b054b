//! The calls that count for one account: a list of their ids, and what is decided about it.
//!
//! A call enters the list when it begins and is taken out when room is needed, not when it ends: its end costs nothing, and no end is
//! missed because who would tell of it died.

use cluster_api::callcontrol::v1::check_calls_response::Standing;

/// How long a call that call-control knows nothing of counts: its edge may still be looking for its targets, or telling of it.
const GRACE_MS: u64 = 10_000;

/// The list as it is stored.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct SlotList {
    #[prost(uint32, tag = "1")]
    pub schema: u32,
    #[prost(message, repeated, tag = "2")]
    pub slots: Vec<Slot>,
    /// When it was last asked which of them go on.
    #[prost(uint64, tag = "3")]
    pub checked_ms: u64,
}

/// One call.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Slot {
    #[prost(string, tag = "1")]
    pub call_id: String,
    #[prost(uint64, tag = "2")]
    pub since_ms: u64,
}

/// What became of a wish for room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seized {
    /// The call has room from now on.
    Taken,
    /// It had room before: the same question again, or another leg of it.
    Held,
    /// There is none.
    Full,
}

impl SlotList {
    pub(super) fn seize(&mut self, call_id: &str, most: u32, now_ms: u64) -> Seized {
        if self.slots.iter().any(|slot| slot.call_id == call_id) {
            return Seized::Held;
        }
        if self.slots.len() >= usize::try_from(most).unwrap_or(usize::MAX) {
            return Seized::Full;
        }
        self.slots.push(Slot { call_id: call_id.to_owned(), since_ms: now_ms });
        Seized::Taken
    }

    /// Whether it may be asked again which calls go on. However many callers are turned away, a list costs at most one look at a call in
    /// each millisecond.
    pub(super) fn may_check(&self, now_ms: u64) -> bool {
        let pause = u64::try_from(self.slots.len()).unwrap_or(u64::MAX);
        // also when the clock went back
        now_ms.abs_diff(self.checked_ms) >= pause
    }

    pub(super) fn call_ids(&self) -> Vec<String> {
        self.slots.iter().map(|slot| slot.call_id.clone()).collect()
    }

    /// Takes out the calls that do not go on; returns how many these were. `standings` are in the order of the calls, and calls beyond
    /// them stay.
    pub(super) fn clear(&mut self, standings: &[Standing], now_ms: u64) -> usize {
        self.checked_ms = now_ms;
        let before = self.slots.len();
        let mut standings = standings.iter();
        self.slots.retain(|slot| match standings.next() {
            Some(Standing::Ended) => false,
            Some(Standing::Unspecified) => now_ms.saturating_sub(slot.since_ms) < GRACE_MS,
            Some(Standing::Live) | None => true,
        });
        before - self.slots.len()
    }

    /// Takes a call out that came to nothing; returns whether it was there.
    pub(super) fn release(&mut self, call_id: &str) -> bool {
        let before = self.slots.len();
        self.slots.retain(|slot| slot.call_id != call_id);
        before != self.slots.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(calls: &[&str], since_ms: u64) -> SlotList {
        let mut list = SlotList::default();
        for call in calls {
            assert_eq!(list.seize(call, u32::MAX, since_ms), Seized::Taken);
        }
        list
    }

    #[test]
    fn a_call_takes_one_place_however_often_it_is_asked_about() {
        let mut list = of(&["a"], 0);
        assert_eq!(list.seize("a", 1, 5), Seized::Held);
        assert_eq!(list.seize("b", 2, 5), Seized::Taken);
        assert_eq!(list.seize("c", 2, 5), Seized::Full);
        assert_eq!(list.seize("b", 1, 5), Seized::Held, "a limit that was lowered ends no call");
        assert_eq!(list.call_ids(), ["a", "b"]);
        assert!(list.release("a") && !list.release("a"));
        assert_eq!(list.seize("c", 2, 5), Seized::Taken);
    }

    #[test]
    fn calls_that_ended_or_were_never_heard_of_make_room() {
        let all = [Standing::Live, Standing::Ended, Standing::Unspecified];
        let mut young = of(&["live", "over", "unheard"], 1_000);
        assert_eq!(young.clear(&all, 1_000 + GRACE_MS - 1), 1);
        assert_eq!(young.call_ids(), ["live", "unheard"]);
        let mut old = of(&["live", "over", "unheard", "beyond"], 1_000);
        assert_eq!(old.clear(&all, 1_000 + GRACE_MS), 2);
        assert_eq!(old.call_ids(), ["live", "beyond"]);
    }

    #[test]
    fn a_long_list_is_looked_through_less_often_than_a_short_one() {
        let mut list = of(&["a", "b", "c"], 0);
        list.clear(&[], 1_000);
        assert_eq!([1_000, 1_002, 1_003, 990].map(|now| list.may_check(now)), [false, false, true, true]);
    }
}
