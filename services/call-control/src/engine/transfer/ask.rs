//! How an operation begins.

use std::time::Duration;

use crate::engine::StepError;
use crate::engine::call::{Party, SCHEMA, TimerKind};
use crate::engine::event::{Method, Target};
use crate::engine::leg::LegState;
use crate::engine::report::CallEventType;
use crate::engine::signal::LegIndex;
use crate::engine::stage::Stage;
use crate::engine::transfer::record::{Borrow, Moving, MovingStep, Referral, Word};
use crate::engine::work::Work;

/// Legs that a call may have had; one that has had more takes part in no further operation.
const MAX_LEGS: usize = 64;
/// How long another call may take to lend a leg: longer than any replica needs to take the work of another one over.
const LENDING: Duration = Duration::from_secs(20);

impl Work<'_> {
    /// The application leads a party elsewhere.
    pub fn transfer(&mut self, leg_id: &str, target: &Target, method: Method) -> Result<(), StepError> {
        let stay = self.may_move(leg_id)?;
        self.stop_listening();
        match target {
            Target::Replacing { party, call_id } => self.refer(stay, party.clone(), false, call_id),
            Target::Party(party) if method == Method::Refer => self.refer(stay, party.clone(), false, ""),
            Target::Party(party) if method == Method::Auto && self.allows(stay, "REFER", false) => {
                self.refer(stay, party.clone(), true, "");
            }
            Target::Party(party) => {
                self.report_on(stay, CallEventType::TransferStarted, 0, "");
                self.move_to(stay, party.clone(), None);
            }
            Target::Leg { call_id, leg_id } => {
                let wanted = Borrow { leg_id: leg_id.clone(), ..Borrow::default() };
                self.report_on(stay, CallEventType::TransferStarted, 0, "");
                self.move_to_call(stay, call_id, wanted, None);
            }
            Target::Call(call_id) => {
                self.report_on(stay, CallEventType::TransferStarted, 0, "");
                let facing = self.leg(self.other(stay)).party.uri.clone();
                self.move_to_call(stay, call_id, Borrow { facing, ..Borrow::default() }, None);
            }
        }
        Ok(())
    }

    /// The leg, if its party can be led elsewhere now.
    pub fn may_move(&self, leg_id: &str) -> Result<LegIndex, StepError> {
        let stay = self.leg_named(leg_id)?;
        self.must_be_talking()?;
        let pair = self.pair();
        if !pair.contains(&stay) || self.call.legs.len() >= MAX_LEGS {
            return Err(self.wrong_state());
        }
        self.must_be_free(&pair)?;
        Ok(stay)
    }

    /// Begins to connect a party with another one, which is dialled.
    pub fn move_to(&mut self, stay: LegIndex, party: Party, referral: Option<Referral>) {
        let mut moving = self.begin_moving(stay, MovingStep::Dialing, referral);
        let come = self.add_leg(party);
        moving.come = come as u32;
        self.call.stage = Some(Stage::Moving(moving));
        self.introduce(come, stay);
        self.dial(come, None, "application/sdp");
    }

    /// Begins to connect a party with one of another call.
    pub fn move_to_call(
        &mut self,
        stay: LegIndex,
        call_id: &str,
        wanted: Borrow,
        referral: Option<Referral>,
    ) {
        let mut moving = self.begin_moving(stay, MovingStep::Borrowing, referral);
        moving.lender = call_id.to_owned();
        let operation = moving.operation;
        self.call.stage = Some(Stage::Moving(moving));
        self.start_timer(TimerKind::Operation, stay, LENDING);
        self.tell(call_id, operation, Word::Borrow(wanted));
    }

    fn begin_moving(&mut self, stay: LegIndex, step: MovingStep, referral: Option<Referral>) -> Moving {
        self.call.schema = SCHEMA;
        self.call.operations += 1;
        Moving {
            stay: stay as u32,
            leave: self.other(stay) as u32,
            step: step.into(),
            operation: self.call.operations,
            referral,
            ..Moving::default()
        }
    }

    /// Whom the party that comes sees as the caller: in a call that a phone began, who calls it; else Carillon on its behalf (RFC
    /// 3725 12.1).
    pub fn introduce(&mut self, come: LegIndex, stay: LegIndex) {
        let (party, policy) = (self.leg(stay).party.clone(), &self.call.policy);
        let is_of_phone = self.call.legs.iter().any(|leg| leg.incoming.is_some());
        let (uri, display) = match (is_of_phone, policy.caller_id.is_empty()) {
            (true, _) => (party.uri, party.display_name),
            (false, false) => (policy.caller_id.clone(), policy.caller_name.clone()),
            (false, true) => {
                let of = if party.display_name.is_empty() { &party.uri } else { &party.display_name };
                (policy.controller_uri.clone(), format!("{} on behalf of {of}", policy.controller_name))
            }
        };
        let on = self.leg_mut(come);
        (on.from_uri, on.from_display) = (uri, display);
        on.state = LegState::Dialing.into();
    }
}
