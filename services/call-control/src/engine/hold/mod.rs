//! Hold and resume as operations, each of which ends once: with HELD or HOLD_FAILED, with UNHELD or UNHOLD_FAILED.
//!
//! | of the phones that were asked    | the end                                                                         |
//! |----------------------------------|---------------------------------------------------------------------------------|
//! | all took it                      | HELD, of the leg that was named                                                 |
//! | one took it, the other one not   | HELD of the leg that did, with the status of the refusal and by whom it is (UAC-22) |
//! | none took it                     | HOLD_FAILED of the leg that refused first, with its status                      |
//! | both made a session again        | UNHELD, of the leg that was named; then HELD by a phone that holds itself       |
//! | one did not                      | UNHOLD_FAILED of that leg, with its status: the call stays on hold              |
//! | a party, or the call, ends first | HOLD_FAILED or UNHOLD_FAILED, by whoever ended it                               |
//!
//! What a phone puts off (491, 500) is asked again for as long as GUARD, see `glare`. What phones wish themselves is in `phones`.

mod phones;
pub mod record;

use crate::engine::call::OutcomeKind;
use crate::engine::outcome::{BY_API, BY_CARILLON, Cause};
use crate::engine::report::CallEventType;
use crate::engine::signal::{LegIndex, Reply};
use crate::engine::work::Work;
use record::{Holding, Refusal, Wish};

impl Holding {
    fn expects(&self, wish: Wish, leg: LegIndex) -> bool {
        self.wish() == wish && self.waiting.contains(&(leg as u32))
    }
}

impl Work<'_> {
    /// The application wishes this of these legs; of one that it named, or of all.
    pub fn begin_holding(&mut self, wish: Wish, named: Option<&str>, legs: &[LegIndex]) {
        self.call.holdings.push(Holding {
            wish: wish.into(),
            leg_id: named.unwrap_or_default().to_owned(),
            waiting: legs.iter().map(|&leg| leg as u32).collect(),
            ..Holding::default()
        });
    }

    /// How a hold went on one leg. Whether it was one that the application waits for.
    pub fn hold_settled(&mut self, leg: LegIndex, refusal: Option<Refusal>) -> bool {
        let Some(at) = self.call.holdings.iter().position(|on| on.expects(Wish::Hold, leg)) else {
            return false;
        };
        let on = &mut self.call.holdings[at];
        on.waiting.retain(|&waiting| waiting as LegIndex != leg);
        match refusal {
            None => on.done.push(leg as u32),
            Some(refusal) => drop(on.refused.get_or_insert(refusal)),
        }
        if on.waiting.is_empty() {
            let on = self.call.holdings.remove(at);
            self.tell_of_hold(on);
        }
        true
    }

    fn tell_of_hold(&mut self, on: Holding) {
        let named = Some(on.leg_id).filter(|leg_id| !leg_id.is_empty());
        match (on.done.first(), on.refused) {
            (Some(&held), Some(refused)) => {
                let leg_id = Some(self.leg(held as LegIndex).leg_id.clone());
                self.report_by(leg_id, CallEventType::Held, (refused.status, &refused.reason), &refused.by);
            }
            (None, Some(refused)) => self.tell_of_failure(Wish::Hold, named, &refused),
            (_, None) => self.report_by(named, CallEventType::Held, (0, ""), BY_API),
        }
    }

    fn tell_of_failure(&mut self, wish: Wish, named: Option<String>, refused: &Refusal) {
        let kind = match wish {
            Wish::Hold => CallEventType::HoldFailed,
            Wish::Unhold => CallEventType::UnholdFailed,
        };
        let leg_id = Some(refused.leg_id.clone()).filter(|leg_id| !leg_id.is_empty()).or(named);
        self.report_by(leg_id, kind, (refused.status, &refused.reason), &refused.by);
    }

    /// The two are connected again, or are not, after this leg was asked for the offer. Whether the application waits for that.
    pub fn unhold_settled(&mut self, asked: LegIndex, refusal: Option<Refusal>) -> bool {
        let Some(at) = self.call.holdings.iter().position(|on| on.expects(Wish::Unhold, asked)) else {
            return false;
        };
        let on = self.call.holdings.remove(at);
        let named = Some(on.leg_id).filter(|leg_id| !leg_id.is_empty());
        match refusal {
            None => self.report_by(named, CallEventType::Unheld, (0, ""), BY_API),
            Some(refused) => self.tell_of_failure(Wish::Unhold, named, &refused),
        }
        true
    }

    /// Why a leg did not do what it was asked.
    pub fn refusal(&self, leg: LegIndex, reply: &Reply) -> Refusal {
        let leg_id = self.leg(leg).leg_id.clone();
        let by = if reply.is_unheard() { BY_CARILLON.to_owned() } else { leg_id.clone() };
        match reply.is_ok() {
            true => Refusal { leg_id, status: 488, reason: "Not Acceptable Here".to_owned(), by },
            false => Refusal { leg_id, status: reply.status, reason: reply.reason.clone(), by },
        }
    }

    /// A leg is over, and with it what the application waits for there.
    pub fn holding_over(&mut self, leg: LegIndex) {
        let on = self.leg(leg);
        let leg_id = on.leg_id.clone();
        let by = leg_id.clone();
        let refusal = Refusal { leg_id, status: 487, reason: "Request Terminated".to_owned(), by };
        while self.hold_settled(leg, Some(refusal.clone())) {}
        let is_about = |on: &Holding| {
            let asked = on.waiting.first().map(|&asked| asked as LegIndex);
            on.wish() == Wish::Unhold && asked.is_some_and(|asked| asked == leg || self.other(asked) == leg)
        };
        let asked: Vec<u32> =
            self.call.holdings.iter().filter(|on| is_about(on)).flat_map(|on| on.waiting.clone()).collect();
        for asked in asked {
            self.unhold_settled(asked as LegIndex, Some(refusal.clone()));
        }
    }

    /// The call is about to end.
    pub fn holdings_end(&mut self, cause: &Cause) {
        for on in std::mem::take(&mut self.call.holdings) {
            let (status, reason) = match cause.kind {
                OutcomeKind::Completed => (487, "Request Terminated".to_owned()),
                _ => (cause.status, cause.reason.clone()),
            };
            let refused = Refusal { leg_id: cause.leg.clone(), status, reason, by: cause.by.clone() };
            match on.wish() {
                Wish::Hold => self.tell_of_hold(Holding {
                    refused: on.refused.or(Some(refused)),
                    done: Vec::new(),
                    ..on
                }),
                Wish::Unhold => {
                    let named = Some(on.leg_id).filter(|leg_id| !leg_id.is_empty());
                    self.tell_of_failure(Wish::Unhold, named, &refused);
                }
            }
        }
    }
}
