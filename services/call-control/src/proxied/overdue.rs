//! Calls that may last so long and no longer: asked by who keeps the limit when its time has come (ADR 19).

use std::sync::Arc;
use std::time::Duration;

use cluster_api::callcontrol::v1::call::State;
use cluster_api::callcontrol::v1::{EndOverdueRequest, EndOverdueResponse, check_calls_response::Standing};
use cluster_api::convert::proto_duration;
use tonic::Status;

use super::check::follow;
use crate::engine::event::{Command, Event};
use crate::engine::time::Moment;
use crate::refusal;
use crate::repository::Known;
use crate::runner::{ApplyError, How, Runner};
use crate::wire::moment;

/// Words of the Reason header and of the outcome.
pub(super) const WORDS: &str = "Allowed Time Is Over";

/// Ends the call if its time is over; else says how long it has left.
pub(super) async fn end_overdue(
    runner: &Arc<Runner>,
    request: EndOverdueRequest,
) -> Result<EndOverdueResponse, Status> {
    let EndOverdueRequest { call_id, leg, max_duration, since } = request;
    let most = max_duration.and_then(|most| Duration::try_from(most).ok()).filter(|most| !most.is_zero());
    let (Some(most), Some(since)) = (most, since) else {
        return Err(Status::invalid_argument("expected max_duration and since"));
    };
    if call_id.is_empty() || call_id.len() > 128 || leg.len() > 128 {
        return Err(Status::invalid_argument("expected the id of a call"));
    }
    let stands = |standing: Standing, left: Duration| EndOverdueResponse {
        standing: standing.into(),
        left: Some(proto_duration(left)),
    };
    // What costs money may have been transferred to another call.
    let found = follow(&runner.repository, &call_id, &leg).await.map_err(ApplyError::from);
    let (call_id, standing) = found.map_err(|error| refusal::of(&error))?;
    if standing != Standing::Live {
        return Ok(stands(standing, Duration::ZERO));
    }
    let loaded = runner.look(&call_id).await.map_err(|error| refusal::of(&error))?;
    let call = loaded.public();
    if matches!(call.state(), State::Ending | State::Ended) && !matches!(loaded.known, Known::Proxied(_)) {
        return Ok(stands(Standing::Ended, Duration::ZERO));
    }
    let Some(answered) = &call.answer_time else { return Ok(stands(Standing::Live, most)) };
    // A leg that joined a call which went on already has its whole time.
    let begun = moment(Some(answered)).max(moment(Some(&since)));
    let now = Moment::from(runner.repository.now());
    let left = most.saturating_sub(now - begun);
    if !left.is_zero() {
        return Ok(stands(Standing::Live, left));
    }
    let command = [Event::Command(Command::Hangup { reason: WORDS.to_owned() })];
    let ended = match &loaded.known {
        Known::Proxied(_) => runner.hang_up_proxied(&call_id, WORDS, None).await.map(drop),
        Known::Live(_) | Known::Over(_) => {
            runner.apply(&call_id, &command, How { acknowledged: true, ..How::default() }).await.map(drop)
        }
    };
    match ended {
        // It is committed that it ends, and any replica sees to that.
        Ok(()) | Err(ApplyError::Over(_)) => Ok(stands(Standing::Ended, Duration::ZERO)),
        Err(error) => Err(refusal::of(&error)),
    }
}
