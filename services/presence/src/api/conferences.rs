//! What call-control tells of its conferences.

use std::time::Duration;

use cluster_api::presence::v1::{
    ConferenceState, TellConferenceRequest, TellConferenceResponse, conferences_server::Conferences,
    tell_conference_request::Change,
};
use cluster_rpc::{Reason, Refusal};
use store::{Batch, StoreError};
use tonic::{Request, Response, Status};

use crate::Presence;
use crate::engine::Package;
use crate::intake::user_aor;
use crate::refusal::of_store;
use crate::repository::names;
use crate::runner::Origin;
use crate::topics::{Conference, ToldConference};

/// Users of a conference.
const MOST_USERS: usize = 1_000;
/// Devices of one of them.
const MOST_ENDPOINTS: usize = 16;
/// How long a conference is remembered that is over.
const REMEMBERED: Duration = Duration::from_secs(3_600);

#[tonic::async_trait]
impl Conferences for Presence {
    async fn tell_conference(
        &self,
        request: Request<TellConferenceRequest>,
    ) -> Result<Response<TellConferenceResponse>, Status> {
        let request = request.into_inner();
        let Some(uri) = user_aor(&request.conference_uri) else {
            let expected = "a sip or sips URI with a user part";
            return Err(Refusal::field(Reason::BadUri, "conference_uri", expected).into());
        };
        let Some(change) = request.change.filter(|_| request.version > 0) else {
            let expected = "a version above 0, and a state or an end";
            return Err(Refusal::field(Reason::BadField, "change", expected).into());
        };
        if let Change::State(state) = &change {
            check(state)?;
        }
        let repository = &self.runner.repository;
        let (package, name) = (Package::Conference, names::state(Package::Conference, &uri));
        for _ in 0..self.runner.config.commit_attempts {
            let (value, expect) = repository.record(&uri, &name).await.map_err(of_store)?;
            let mut conference = Conference::read(value.as_ref()).map_err(of_store)?;
            let told = conference.tell(request.version, change.clone());
            let mut batch = Batch::new(repository.partition(&uri));
            match told {
                ToldConference::Old => return Ok(Response::new(TellConferenceResponse { applied: false })),
                ToldConference::State => batch.put(&name, conference.write(), expect),
                ToldConference::End => batch.put_for(&name, conference.write(), expect, REMEMBERED),
            };
            match repository.commit_telling(batch, &uri, &[package]).await {
                Ok(outcome) => {
                    self.runner.fan_out(package, &uri, Origin::Commit(name, outcome.version));
                    return Ok(Response::new(TellConferenceResponse { applied: true }));
                }
                Err(StoreError::Conflict) => self.runner.counts.conflicts.inc(),
                Err(error) => return Err(of_store(error)),
            }
        }
        Err(of_store(StoreError::Conflict))
    }
}

fn check(state: &ConferenceState) -> Result<(), Status> {
    let most = format!("at most {MOST_USERS} users, with at most {MOST_ENDPOINTS} endpoints each");
    let is_crowded = state.users.len() > MOST_USERS
        || state.users.iter().any(|user| user.endpoints.len() > MOST_ENDPOINTS);
    if is_crowded {
        return Err(Refusal::field(Reason::TooManyMembers, "state.users", most).into());
    }
    Ok(())
}
