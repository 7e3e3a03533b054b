//! A party hangs up, and the one that remains is connected with another one, when whoever dialled the call wished so (LAD-5; RFC 3725 7):
//! a transfer in which the party that leaves has left already. It happens once in a call.
//!
//! | step    | input                    | effects                                        | next      |
//! |---------|--------------------------|------------------------------------------------|-----------|
//! | Talking | BYE of one               | 200; INVITE d, no body                         | Moving    |
//! | Moving  | 2xx d, 2xx of who stays  | as of a transfer                               | Talking   |
//! | Moving  | refusal, silence, guard  | BYE to who stays, with the Reason; the call ends | -       |

use crate::engine::call::OutcomeKind;
use crate::engine::outcome::Cause;
use crate::engine::report::CallEventType;
use crate::engine::signal::LegIndex;
use crate::engine::stage::Stage;
use crate::engine::work::Work;

impl Work<'_> {
    /// Whether the call goes on with another party after one of the two has gone for this cause.
    pub fn is_reconnected(&self, gone: LegIndex, cause: &Cause) -> bool {
        let is_hang_up = cause.kind == OutcomeKind::Completed && self.pair().contains(&gone);
        let is_talking = matches!(self.call.stage, Some(Stage::Talking(_)));
        is_hang_up
            && is_talking
            && self.call.policy.reconnect_to.is_some()
            && self.call.outcome.is_none()
            && self.leg(self.other(gone)).is_up()
    }

    /// Dials the party that takes the place of who has gone.
    pub fn reconnect_other(&mut self, gone: LegIndex) {
        let Some(party) = self.call.policy.reconnect_to.take() else { return };
        let stay = self.other(gone);
        self.report_on(gone, CallEventType::PartyLeft, 0, "");
        self.leg_over(gone);
        self.report_on(stay, CallEventType::TransferStarted, 0, "");
        self.move_to(stay, party, None);
    }
}
