//! Errors of calls and of the store as refusals of the API.

use cluster_rpc::{Reason, Refusal};
use store::StoreError;
use tonic::Status;

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

/// The refusal of what does not fit the state of a call, which it names.
pub fn wrong_state(whose: &str, state: CallState) -> Status {
    let text = format!("{whose} is {}, which does not allow this", state.name());
    Refusal::new(Reason::WrongState, text).fact("state", state.name()).into()
}

/// The refusal that belongs to a failure of the store.
pub fn of_store(error: &StoreError) -> Status {
    match error {
        StoreError::Unavailable { .. } | StoreError::Timeout { .. } | StoreError::Unreplicated { .. } => {
            refuse(Reason::StoreUnavailable, format!("{error}; ask again with the same request_id"))
        }
        StoreError::Conflict => refuse(Reason::Contention, error.to_string()),
        StoreError::Trimmed { .. } => cursor_too_old(),
        StoreError::Invalid { .. } | StoreError::Corrupt { .. } => {
            tracing::error!(%error, "the store holds or was given what cannot be used");
            refuse(Reason::Internal, error.to_string())
        }
    }
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
