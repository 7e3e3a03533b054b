//! INVITEs inside a dialog to which a phone says that it tries, and nothing more. Its edge waits for ever then (RFC 3261 17.1.1.2), and
//! nothing else could begin on the leg.
//!
//! | the INVITE is              | and there is no final response | effects             | counts as                                |
//! |----------------------------|--------------------------------|---------------------|------------------------------------------|
//! | Carillon's own             | 64*T1 and 8 s later            | CANCEL              | what the phone answers then: 487, or 2xx |
//! | another phone's, relayed   | 180 s later                    | CANCEL              | the same                                 |
//! | cancelled                  | 64*T1 and 8 s later            | -                   | silence: the phone is gone               |

use std::time::Duration;

use crate::engine::call::TimerKind;
use crate::engine::effect::{CancelInvite, What};
use crate::engine::event::{FailureCause, RequestFailed};
use crate::engine::leg::{Pending, Purpose};
use crate::engine::signal::LegIndex;
use crate::engine::work::Work;

/// How much later than its edge, which says after 64*T1 that nothing came at all.
const MARGIN: Duration = Duration::from_secs(8);
/// How long a phone may ask its user about what another phone offers: as long as Timer C lets a call ring (RFC 3261 16.6).
const RELAYED: Duration = Duration::from_secs(180);

impl Work<'_> {
    /// A request is on its way: how long its answer is waited for.
    pub fn wait_for_answer(&mut self, leg: LegIndex, request: &Pending) {
        if request.request.method == "INVITE" {
            let patience = match request.purpose() {
                Purpose::Relay => RELAYED,
                _ => self.transaction_time() + MARGIN,
            };
            self.start_timer(TimerKind::Answer, leg, patience);
        }
    }

    /// It has its answer.
    pub fn stop_waiting(&mut self, leg: LegIndex, request: &Pending) {
        if request.request.method == "INVITE" && self.unanswered(leg).is_none() {
            self.stop_timer(TimerKind::Answer, leg);
        }
    }

    fn unanswered(&self, leg: LegIndex) -> Option<usize> {
        self.leg(leg).pending.iter().position(|pending| pending.request.method == "INVITE")
    }

    /// It has taken too long.
    pub fn on_answer_late(&mut self, leg: LegIndex) {
        let Some(at) = self.unanswered(leg) else { return };
        let pending = &mut self.leg_mut(leg).pending[at];
        let effect = pending.effect;
        if std::mem::replace(&mut pending.given_up, true) {
            let (method, cause) = ("INVITE".to_owned(), FailureCause::Timeout);
            return self.on_dialog_silence(leg, &RequestFailed { effect, method, cause });
        }
        let (edge_id, edge_epoch) = (pending.edge_id.clone(), pending.edge_epoch);
        let cancel = CancelInvite { invite_effect: effect, headers: Vec::new() };
        self.put_at(leg, edge_id, edge_epoch, What::Cancel(cancel));
        let patience = self.transaction_time() + MARGIN;
        self.start_timer(TimerKind::Answer, leg, patience);
    }
}
