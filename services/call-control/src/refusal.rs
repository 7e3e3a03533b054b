//! Errors of calls and of the store as refusals of the API.

use cluster_rpc::{Reason, Refusal};
use store::StoreError;
use tonic::Status;

use crate::callback::CallbackError;
use crate::engine::StepError;
use crate::engine::call::CallState;
use crate::runner::ApplyError;

/// A refusal with a stable reason.
pub fn refuse(reason: Reason, text: impl Into<String>) -> Status {
    Refusal::new(reason, text).into()
}

/// The refusal that belongs to a failed change of a call.
pub fn of(error: &ApplyError) -> Status {
    match error {
        ApplyError::Unknown => unknown_call(),
        ApplyError::Over(_) => wrong_state("the call", CallState::Ended),
        ApplyError::NotControlled => refuse(
            Reason::NotControlled,
            "this call is between phones; Carillon proxies it and can only end it",
        ),
        ApplyError::Refused(error) => match error {
            StepError::UnknownLeg(_) => refuse(Reason::LegNotFound, error.to_string()),
            StepError::WrongState(state) => wrong_state("the call", *state),
            StepError::OutOfOrder { .. } => refuse(Reason::WrongState, error.to_string()),
            StepError::NotTaken(_) => refuse(Reason::BadField, format!("info_package: {error}")),
            StepError::NoMixer => no_mixer(),
            StepError::NoLocalMixer => no_local_mixer(),
            StepError::Full(_) => refuse(Reason::WrongState, error.to_string()),
            StepError::Conflict => refuse(Reason::TransferPending, error.to_string()),
        },
        ApplyError::RequestUsed(_) => refuse(
            Reason::RequestIdReused,
            "this request_id was used for another request within the last 24 hours",
        ),
        ApplyError::Contended => {
            refuse(Reason::Contention, "many change this call at the same time; ask again")
        }
        ApplyError::Store(error) => of_store(error),
    }
}

/// The refusal that belongs to a callback that was not made or changed.
pub fn of_callback(error: &CallbackError) -> Status {
    match error {
        CallbackError::Unknown => {
            refuse(Reason::CallbackNotFound, "no such callback, or it ended more than a day ago")
        }
        CallbackError::Full(limit) => refuse(
            Reason::CallbackLimit,
            format!(
                "there are as many callbacks that wait as {limit} allows; cancel one, or wait for one to end"
            ),
        ),
        CallbackError::RequestUsed(used) => of(&ApplyError::RequestUsed(used.clone())),
        CallbackError::Contended => {
            refuse(Reason::Contention, "many change this callback at the same time; ask again")
        }
        CallbackError::Store(error) => of_store(error),
    }
}

/// Nothing can mix the media of three.
pub fn no_mixer() -> Status {
    let text = "no phone of the call mixes (none lists join), and for MIXER_CENTRAL none is configured in call_control.mixers";
    refuse(Reason::NoMixer, text)
}

/// No phone mixes the media of three.
pub fn no_local_mixer() -> Status {
    let text = "MIXER_LOCAL wants a phone of the call that mixes, which says so by `join` in Supported of its INVITE or answer (RFC 3911); none \
                does, or the call is a conference elsewhere: ask for MIXER_CENTRAL or MIXER_AUTO";
    refuse(Reason::NoMixer, text)
}

/// The other call of two is not there.
pub fn unknown_other(call_id: &str) -> Status {
    refuse(
        Reason::CallNotFound,
        format!("no call {call_id:?} to connect with, or it ended more than a day ago"),
    )
}

/// The refusal of what does not fit the state of a call, which it names.
pub fn wrong_state(whose: &str, state: CallState) -> Status {
    let text = format!("{whose} is {}, which does not allow this", state.name());
    Refusal::new(Reason::WrongState, text).fact("state", state.name()).into()
}

/// The refusal that belongs to a failure of the store.
pub fn of_store(error: &StoreError) -> Status {
    store_rpc::of_store(error.clone()).into()
}

/// No such call.
pub fn unknown_call() -> Status {
    refuse(Reason::CallNotFound, "no such call, or it ended more than a day ago")
}

/// What follows the cursor is not kept any more.
pub fn cursor_too_old() -> Status {
    refuse(
        Reason::CursorTooOld,
        "what followed this cursor is no longer kept; watch anew without after_cursor, which begins with a snapshot",
    )
}

/// The subscriber reads more slowly than things happen.
pub fn slow_subscriber(buffer: usize) -> Status {
    refuse(
        Reason::SlowSubscriber,
        format!(
            "more than {buffer} events waited for this subscriber; resume with the cursor of the last event received"
        ),
    )
}
