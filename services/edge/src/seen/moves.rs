//! Where the parties of proxied calls have just moved to.
//!
//! Call-control hears of it with the next report, and writes a BYE meanwhile for where the party was. The edge that saw the move and
//! carries that BYE knows better, for as long as a report may take.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hashbrown::HashMap;

use super::what::Party;

/// The reports of a call-control that is overloaded, or fails over to another replica, take no longer as a rule.
const KEPT: Duration = Duration::from_secs(10);
/// A move beyond it is known by its report alone. So many sessions are refreshed in ten seconds where a million last, by half an hour.
const MOST: usize = 8_192;

/// A dialog: Carillon's id of the call, and the tag of the callee.
type Dialog = (Arc<str>, Box<str>);

/// The latest remote targets of dialogs, for a while.
#[derive(Debug, Default)]
pub(super) struct Moves {
    targets: HashMap<Dialog, Targets>,
    /// When each was noted, the oldest first; one that was noted again since stands further on, too.
    order: VecDeque<(Instant, Dialog)>,
}

#[derive(Debug)]
struct Targets {
    noted: Instant,
    caller: String,
    callee: String,
}

impl Moves {
    /// A request that refreshes the targets was answered with success. RFC 3261 12.2.1.2, 12.2.2; an empty one was not said.
    pub(super) fn note(&mut self, now: Instant, dialog: Dialog, caller: &str, callee: &str) {
        self.forget(now);
        if self.order.len() >= MOST {
            return;
        }
        let targets = self.targets.entry(dialog.clone()).or_insert_with(|| Targets {
            noted: now,
            caller: String::new(),
            callee: String::new(),
        });
        targets.noted = now;
        for (known, said) in [(&mut targets.caller, caller), (&mut targets.callee, callee)] {
            if !said.is_empty() {
                said.clone_into(known);
            }
        }
        self.order.push_back((now, dialog));
    }

    /// Where a party is, if it said so lately.
    pub(super) fn target(&mut self, now: Instant, dialog: &Dialog, party: Party) -> Option<&str> {
        self.forget(now);
        let targets = self.targets.get(dialog)?;
        let target = match party {
            Party::Caller => &targets.caller,
            Party::Callee => &targets.callee,
        };
        (!target.is_empty()).then_some(target)
    }

    fn forget(&mut self, now: Instant) {
        while let Some((noted, dialog)) = self.order.pop_front_if(|(noted, _)| *noted + KEPT <= now) {
            if self.targets.get(&dialog).is_some_and(|targets| targets.noted == noted) {
                self.targets.remove(&dialog);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dialog(call: &str) -> Dialog {
        (call.into(), "b".into())
    }

    #[test]
    fn what_was_said_last_counts_for_a_while() {
        let (mut moves, start) = (Moves::default(), Instant::now());
        let later = |seconds| start + Duration::from_secs(seconds);
        moves.note(start, dialog("1"), "sip:a@1", "sip:b@1");
        moves.note(later(4), dialog("1"), "", "sip:b@2");
        assert_eq!(moves.target(later(4), &dialog("1"), Party::Caller), Some("sip:a@1"));
        assert_eq!(moves.target(later(13), &dialog("1"), Party::Callee), Some("sip:b@2"));
        assert_eq!(moves.target(later(4), &dialog("2"), Party::Callee), None);
        assert_eq!(moves.target(later(14), &dialog("1"), Party::Callee), None);
        assert!(moves.targets.is_empty() && moves.order.is_empty());
        moves.note(later(14), dialog("1"), "", "sip:b@3");
        assert_eq!(moves.target(later(14), &dialog("1"), Party::Caller), None, "it did not say");
    }

    #[test]
    fn there_is_a_bound() {
        let (mut moves, now) = (Moves::default(), Instant::now());
        for number in 0..=MOST {
            moves.note(now, dialog(&number.to_string()), "sip:a", "sip:b");
        }
        assert_eq!((moves.targets.len(), moves.order.len()), (MOST, MOST));
        assert_eq!(moves.target(now, &dialog(&MOST.to_string()), Party::Caller), None);
        moves.note(now + KEPT, dialog("new"), "sip:a", "sip:b");
        assert_eq!(moves.targets.len(), 1);
    }
}
