//! The calls that count for one account or trunk: a list of their ids, and what is decided about it.
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
    /// Which leg of it, where each of them counts; empty where a call counts once.
    #[prost(string, tag = "3")]
    pub leg: String,
}

/// What wants room: a call, or one leg of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish<'a> {
    pub call_id: &'a str,
    /// Empty where a call counts once.
    pub leg: &'a str,
    /// Legs of the call that came to nothing.
    pub over: &'a [String],
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
    pub(super) fn seize(&mut self, wish: Wish<'_>, most: u32, now_ms: u64) -> Seized {
        if self.slots.iter().any(|slot| slot.is(wish.call_id, wish.leg)) {
            return Seized::Held;
        }
        self.slots.retain(|slot| !wish.over.iter().any(|leg| slot.is(wish.call_id, leg)));
        if self.slots.len() >= usize::try_from(most).unwrap_or(usize::MAX) {
            return Seized::Full;
        }
        let (call_id, leg) = (wish.call_id.to_owned(), wish.leg.to_owned());
        self.slots.push(Slot { call_id, since_ms: now_ms, leg });
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

    /// Which legs of them, in the same order.
    pub(super) fn legs(&self) -> Vec<String> {
        self.slots.iter().map(|slot| slot.leg.clone()).collect()
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

    /// Takes out what is older than this.
    pub(super) fn forget(&mut self, span_ms: u64, now_ms: u64) {
        self.slots.retain(|slot| now_ms.abs_diff(slot.since_ms) < span_ms);
    }

    /// Takes a call out that came to nothing; returns whether it was there.
    pub(super) fn release(&mut self, call_id: &str, leg: &str) -> bool {
        let before = self.slots.len();
        self.slots.retain(|slot| !slot.is(call_id, leg));
        before != self.slots.len()
    }
}

impl Slot {
    fn is(&self, call_id: &str, leg: &str) -> bool {
        self.call_id == call_id && self.leg == leg
    }
}

impl<'a> Wish<'a> {
    /// A call that counts once.
    pub(crate) fn of_call(call_id: &'a str) -> Self {
        Self { call_id, leg: "", over: &[] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(calls: &[&str], since_ms: u64) -> SlotList {
        let mut list = SlotList::default();
        for call in calls {
            assert_eq!(list.seize(Wish::of_call(call), u32::MAX, since_ms), Seized::Taken);
        }
        list
    }

    #[test]
    fn a_call_takes_one_place_however_often_it_is_asked_about() {
        let mut list = of(&["a"], 0);
        let seize = |list: &mut SlotList, call, most| list.seize(Wish::of_call(call), most, 5);
        assert_eq!(seize(&mut list, "a", 1), Seized::Held);
        assert_eq!(seize(&mut list, "b", 2), Seized::Taken);
        assert_eq!(seize(&mut list, "c", 2), Seized::Full);
        assert_eq!(seize(&mut list, "b", 1), Seized::Held, "a limit that was lowered ends no call");
        assert_eq!(list.call_ids(), ["a", "b"]);
        assert!(list.release("a", "") && !list.release("a", ""));
        assert_eq!(seize(&mut list, "c", 2), Seized::Taken);
    }

    #[test]
    fn where_legs_count_each_has_its_place_and_leaves_it_to_the_one_that_follows() {
        let mut list = SlotList::default();
        let mut seize = |leg: &str, over: &[&str]| {
            let over: Vec<String> = over.iter().map(|leg| (*leg).to_owned()).collect();
            list.seize(Wish { call_id: "a", leg, over: &over }, 2, 5)
        };
        assert_eq!(
            [seize("in", &[]), seize("1", &[]), seize("2", &[])],
            [Seized::Taken, Seized::Taken, Seized::Full]
        );
        assert_eq!(
            [seize("2", &["1"]), seize("2", &["1"]), seize("1", &[])],
            [Seized::Taken, Seized::Held, Seized::Full]
        );
        assert!(!list.release("b", "in") && !list.release("a", "") && list.release("a", "in"));
        assert_eq!(list.call_ids(), ["a"]);
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
