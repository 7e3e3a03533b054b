//! The call and its events as applications see them.

use cluster_api::callcontrol::v1 as wire;
use sip_body::dtmf;

use super::{headers_out, timestamp};
use crate::callback::machine::record::{Callback, State};
use crate::engine::call::{Call, CallState, Outcome, OutcomeKind, Party};
use crate::engine::leg::{Leg, LegState};
use crate::engine::report::{CallEvent, CallEventType};

/// The resource. `revision` becomes the etag.
pub fn call(call: &Call, revision: u64) -> wire::Call {
    wire::Call {
        call_id: call.call_id.clone(),
        state: state(call.state()).into(),
        kind: kind(call).into(),
        legs: call.legs.iter().filter(|leg| !leg.refers).map(leg).collect(),
        from: Some(party(&call.from)),
        to: Some(party(&call.to)),
        create_time: timestamp(call.create_ms),
        answer_time: timestamp(call.answer_ms),
        end_time: timestamp(call.end_ms),
        // Set as soon as the cause is known; shown when the call is over.
        outcome: call.outcome.as_ref().filter(|_| call.end_ms > 0).map(outcome),
        metadata: call.metadata.clone(),
        etag: revision.to_string(),
        conference_uri: call
            .conference
            .as_ref()
            .map(|conference| conference.uri.clone())
            .filter(|uri| !uri.is_empty()),
    }
}

/// Where a call comes from.
pub fn kind(call: &Call) -> wire::call::Kind {
    match call.legs.first().is_some_and(|leg| leg.incoming.is_some()) {
        true => wire::call::Kind::Incoming,
        false if !call.callback_id.is_empty() => wire::call::Kind::Callback,
        false => wire::call::Kind::Dialed,
    }
}

/// An event, without its place in any stream.
pub fn event(event: &CallEvent, time_ms: u64, of: &wire::Call) -> wire::CallEvent {
    wire::CallEvent {
        cursor: String::new(),
        time: timestamp(time_ms),
        call_id: of.call_id.clone(),
        leg_id: event.leg_id.clone(),
        r#type: event_type(event.kind).into(),
        sip_status: Some(event.sip_status).filter(|status| *status > 0),
        sip_reason: Some(event.sip_reason.clone()).filter(|reason| !reason.is_empty()),
        call: Some(of.clone()),
        info: event.body.as_ref().filter(|_| event.kind == CallEventType::InfoReceived).map(info),
    }
}

/// The state of a call.
pub fn state(state: CallState) -> wire::call::State {
    match state {
        CallState::Unspecified => wire::call::State::Unspecified,
        CallState::Dialing => wire::call::State::Dialing,
        CallState::Ringing => wire::call::State::Ringing,
        CallState::Progressing => wire::call::State::Progressing,
        CallState::Answered => wire::call::State::Answered,
        CallState::Held => wire::call::State::Held,
        CallState::Ending => wire::call::State::Ending,
        CallState::Ended => wire::call::State::Ended,
    }
}

fn party(party: &Party) -> wire::Party {
    wire::Party {
        uri: party.uri.clone(),
        display_name: party.display_name.clone(),
        headers: headers_out(party.headers.clone()),
        trunk: Some(party.trunk.clone()).filter(|trunk| !trunk.is_empty()),
    }
}

fn leg(leg: &Leg) -> wire::Leg {
    let state = match leg.state() {
        LegState::Unspecified => wire::leg::State::Waiting,
        LegState::Dialing => wire::leg::State::Dialing,
        LegState::Progressing => wire::leg::State::Progressing,
        LegState::Ringing => wire::leg::State::Ringing,
        LegState::Answered => wire::leg::State::Answered,
        LegState::Held => wire::leg::State::Held,
        LegState::Ending => wire::leg::State::Ending,
        LegState::Ended => wire::leg::State::Ended,
    };
    wire::Leg {
        leg_id: leg.leg_id.clone(),
        party: Some(party(&leg.party)),
        state: state.into(),
        sip_call_id: leg.sip_call_id.clone(),
        local_tag: leg.local_tag.clone(),
        remote_tag: leg.remote_tag.clone(),
        remote_target: leg
            .dialogs
            .iter()
            .find(|dialog| dialog.remote_tag == leg.remote_tag)
            .map(|dialog| dialog.remote_target.clone())
            .unwrap_or_default(),
        edge_id: leg.edge_id.clone(),
        sip_status: leg.sip_status,
        users: Vec::new(),
    }
}

/// The outcome of a call that is over.
pub fn outcome_in(outcome: Option<&wire::Outcome>) -> Outcome {
    let Some(outcome) = outcome else { return Outcome::default() };
    let kind = match outcome.kind() {
        wire::outcome::Kind::Unspecified => OutcomeKind::Unspecified,
        wire::outcome::Kind::Completed => OutcomeKind::Completed,
        wire::outcome::Kind::Busy => OutcomeKind::Busy,
        wire::outcome::Kind::NoAnswer => OutcomeKind::NoAnswer,
        wire::outcome::Kind::Rejected => OutcomeKind::Rejected,
        wire::outcome::Kind::Unreachable => OutcomeKind::Unreachable,
        wire::outcome::Kind::Cancelled => OutcomeKind::Cancelled,
        wire::outcome::Kind::Failed => OutcomeKind::Failed,
    };
    Outcome {
        kind: kind.into(),
        sip_status: outcome.sip_status,
        sip_reason: outcome.sip_reason.clone(),
        ended_by: outcome.ended_by.clone(),
    }
}

/// A callback.
pub fn callback(callback: &Callback) -> wire::Callback {
    wire::Callback {
        callback_id: callback.callback_id.clone(),
        from: Some(party(&callback.from)),
        to: Some(party(&callback.to)),
        state: callback_state(callback.state()).into(),
        create_time: timestamp(callback.create_ms),
        not_before: timestamp(callback.not_before_ms),
        expire_time: timestamp(callback.expire_ms),
        attempts_left: callback.attempts_left,
        call_id: callback.call_id.clone(),
        outcome: callback.outcome.as_ref().map(outcome),
    }
}

/// The state of a callback.
pub fn callback_state(state: State) -> wire::callback::State {
    match state {
        State::Unspecified => wire::callback::State::Unspecified,
        State::Waiting => wire::callback::State::Waiting,
        State::Calling => wire::callback::State::Calling,
        State::Done => wire::callback::State::Done,
        State::Expired => wire::callback::State::Expired,
        State::Cancelled => wire::callback::State::Cancelled,
    }
}

fn outcome(outcome: &Outcome) -> wire::Outcome {
    let kind = match outcome.kind() {
        OutcomeKind::Unspecified => wire::outcome::Kind::Unspecified,
        OutcomeKind::Completed => wire::outcome::Kind::Completed,
        OutcomeKind::Busy => wire::outcome::Kind::Busy,
        OutcomeKind::NoAnswer => wire::outcome::Kind::NoAnswer,
        OutcomeKind::Rejected => wire::outcome::Kind::Rejected,
        OutcomeKind::Unreachable => wire::outcome::Kind::Unreachable,
        OutcomeKind::Cancelled => wire::outcome::Kind::Cancelled,
        OutcomeKind::Failed => wire::outcome::Kind::Failed,
    };
    wire::Outcome {
        kind: kind.into(),
        sip_status: outcome.sip_status,
        sip_reason: outcome.sip_reason.clone(),
        ended_by: outcome.ended_by.clone(),
    }
}

fn event_type(kind: CallEventType) -> wire::call_event::Type {
    use wire::call_event::Type;
    match kind {
        CallEventType::Created => Type::Created,
        CallEventType::LegDialing => Type::LegDialing,
        CallEventType::LegProgress => Type::LegProgress,
        CallEventType::LegRinging => Type::LegRinging,
        CallEventType::LegAnswered => Type::LegAnswered,
        CallEventType::RingbackStarted => Type::RingbackStarted,
        CallEventType::Connected => Type::Connected,
        CallEventType::Held => Type::Held,
        CallEventType::Unheld => Type::Unheld,
        CallEventType::TransferStarted => Type::TransferStarted,
        CallEventType::TransferSucceeded => Type::TransferSucceeded,
        CallEventType::TransferFailed => Type::TransferFailed,
        CallEventType::PartyJoined => Type::PartyJoined,
        CallEventType::PartyLeft => Type::PartyLeft,
        CallEventType::InfoReceived => Type::InfoReceived,
        CallEventType::LegEnded => Type::LegEnded,
        CallEventType::Ended => Type::Ended,
        CallEventType::PlayStarted => Type::PlayStarted,
        CallEventType::PlayEnded => Type::PlayEnded,
        // Nothing has changed; the status says why
        CallEventType::HoldFailed => Type::Unheld,
        CallEventType::UnholdFailed => Type::Held,
    }
}

fn info(body: &crate::engine::effect::Body) -> wire::InfoReceived {
    wire::InfoReceived {
        content_type: body.content_type.clone(),
        body: body.content.clone().into(),
        info_package: String::new(),
        digit: dtmf::digit(&body.content_type, &body.content).map(String::from).unwrap_or_default(),
    }
}
