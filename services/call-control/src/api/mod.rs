//! `CallControl`: what applications call.

mod callbacks;
mod dial;
mod info;
mod join;
mod legs;
mod list;
mod numbers;
mod play;
mod rpcs;
mod trunk;

use std::sync::Arc;

use ambient::Entropy;
use cluster_api::callcontrol::v1 as wire;
use cluster_rpc::{LocationLink, Reason};
use lifecycle::Drain;
use tonic::Status;

pub use self::dial::TONES;
use crate::engine::event::{Command, Event};
use crate::refusal;
use crate::repository::{Known, Loaded, RequestUse};
use crate::runner::{ApplyError, How, Runner};
use crate::violations::Violations;
use crate::watch::Watches;

/// The server of `CallControl`.
#[derive(Clone)]
pub struct CallControlApi {
    runner: Arc<Runner>,
    watches: Arc<Watches>,
    entropy: Arc<dyn Entropy>,
    drain: Drain,
    location: Option<LocationLink>,
}

impl CallControlApi {
    /// Serves with this runner.
    pub fn new(
        runner: Arc<Runner>,
        watches: Arc<Watches>,
        entropy: Arc<dyn Entropy>,
        drain: Drain,
    ) -> CallControlApi {
        CallControlApi { runner, watches, entropy, drain, location: None }
    }

    /// Asks this registrar about the trunks that parties name.
    pub(crate) fn asks(&mut self, location: LocationLink) {
        self.location = Some(location);
    }

    async fn dial(&self, request: wire::DialRequest) -> Result<wire::Call, Status> {
        if self.drain.is_draining() {
            let text = "this replica is about to stop; ask another one";
            return Err(refusal::refuse(Reason::Draining, text));
        }
        let fingerprint = dial::fingerprint(&request);
        let request_id = request.request_id.clone();
        let mut new = dial::new_call(request, self.runner.config())?;
        new.call_id = self.runner.repository.new_call_id(&request_id, self.entropy.as_ref());
        new.seed = vec![0; 32];
        self.entropy.fill(&mut new.seed);
        let request = (!request_id.is_empty()).then(|| RequestUse {
            request_id,
            fingerprint: fingerprint.clone(),
            call_id: new.call_id.clone(),
        });
        if let Err(refusal) = trunk::check(self.location.as_ref(), &new).await {
            // The trunk may have gone since this very request began its call. API 1
            return match request {
                Some(RequestUse { request_id, call_id, .. }) => {
                    let used = self.request_use(&call_id, &request_id).await?;
                    self.result_of(used.ok_or(refusal)?, &fingerprint).await
                }
                None => Err(refusal),
            };
        }
        match self.runner.create(new, request.as_ref()).await {
            Ok(loaded) => Ok(loaded.public()),
            Err(ApplyError::RequestUsed(used)) => self.result_of(used, &fingerprint).await,
            Err(error) => Err(refusal::of(&error)),
        }
    }

    async fn hangup(&self, request: wire::HangupRequest) -> Result<wire::Call, Status> {
        let mut violations = Violations::default();
        violations.line("request_id", &request.request_id, 64);
        let reason = request.reason.clone().unwrap_or_default();
        violations.line("reason", &reason, 128);
        violations.check()?;
        let fingerprint = dial::plain_fingerprint("Hangup", &request);
        let command = Command::Hangup { reason };
        self.command(&request.request_id, &request.call_id, fingerprint, command).await
    }

    /// One command, once for each request id.
    async fn command(
        &self,
        request_id: &str,
        call_id: &str,
        fingerprint: Vec<u8>,
        command: Command,
    ) -> Result<wire::Call, Status> {
        let mut violations = Violations::default();
        violations.line("request_id", request_id, 64);
        violations.call_id(call_id);
        violations.check()?;
        let request = (!request_id.is_empty()).then(|| RequestUse {
            request_id: request_id.to_owned(),
            fingerprint: fingerprint.clone(),
            call_id: call_id.to_owned(),
        });
        let hangup = match &command {
            Command::Hangup { reason } => Some(reason.clone()),
            Command::Hold { .. }
            | Command::Unhold { .. }
            | Command::Transfer { .. }
            | Command::Play { .. }
            | Command::Join { .. }
            | Command::SendInfo { .. }
            | Command::SendKeys { .. } => None,
        };
        let is_hangup = hangup.is_some();
        let how = How { request: request.as_ref(), acknowledged: true, ..How::default() };
        match self.runner.apply(call_id, &[Event::Command(command)], how).await {
            Ok(loaded) => Ok(loaded.public()),
            // It may be the repetition of what succeeded before; else only ending an ended call is no error.
            Err(error @ (ApplyError::Over(_) | ApplyError::Refused(_))) => {
                if let Some(used) = self.request_use(call_id, request_id).await? {
                    return self.result_of(used, &fingerprint).await;
                }
                match (error, &request) {
                    (ApplyError::Over(over), None) if is_hangup => Ok(over.public()),
                    (ApplyError::Over(_), Some(request)) if is_hangup => self.hung_up_before(request).await,
                    (error, _) => Err(refusal::of(&error)),
                }
            }
            Err(ApplyError::RequestUsed(used)) => self.result_of(used, &fingerprint).await,
            Err(ApplyError::NotControlled) if let Some(reason) = &hangup => {
                match self.runner.hang_up_proxied(call_id, reason, request.as_ref()).await {
                    Ok(loaded) => Ok(loaded.public()),
                    Err(ApplyError::RequestUsed(used)) => self.result_of(used, &fingerprint).await,
                    Err(ApplyError::Over(over)) => match &request {
                        None => Ok(over.public()),
                        Some(request) => self.hung_up_before(request).await,
                    },
                    Err(error) => Err(refusal::of(&error)),
                }
            }
            Err(error) => Err(refusal::of(&error)),
        }
    }

    /// The result of ending an ended call. The id stands for this request all the same (API 1).
    async fn hung_up_before(&self, request: &RequestUse) -> Result<wire::Call, Status> {
        match self.runner.repository.note_use(request).await {
            Ok(()) => self.result_of(request.clone(), &request.fingerprint).await,
            Err(store::StoreError::Conflict) => {
                // Another one was faster with the same id
                match self.request_use(&request.call_id, &request.request_id).await? {
                    Some(used) => self.result_of(used, &request.fingerprint).await,
                    None => Err(refusal::of(&ApplyError::Contended)),
                }
            }
            Err(error) => Err(refusal::of_store(&error)),
        }
    }

    async fn request_use(&self, call_id: &str, request_id: &str) -> Result<Option<RequestUse>, Status> {
        if request_id.is_empty() {
            return Ok(None);
        }
        let found = self.runner.repository.request_use(call_id, request_id).await;
        found.map_err(|error| refusal::of_store(&error))
    }

    /// The result of a request that was made before: the call as it now is.
    async fn result_of(&self, used: RequestUse, fingerprint: &[u8]) -> Result<wire::Call, Status> {
        if used.fingerprint != fingerprint {
            return Err(refusal::of(&ApplyError::RequestUsed(used)));
        }
        let loaded = self.runner.look(&used.call_id).await.map_err(|error| refusal::of(&error))?;
        self.confirmed(&used.call_id, loaded).await
    }

    /// The first answer may have been an error after the write (too few replicas): this one must be true.
    async fn confirmed(&self, call_id: &str, loaded: Loaded) -> Result<wire::Call, Status> {
        match (&loaded.known, self.runner.repository.confirm(call_id, loaded.version).await) {
            // A conflict means that somebody committed after what was read.
            (_, Ok(()) | Err(store::StoreError::Conflict)) | (Known::Over(_), Err(_)) => Ok(loaded.public()),
            (Known::Live(_) | Known::Proxied(_), Err(error)) => Err(refusal::of_store(&error)),
        }
    }

    async fn get_call(&self, request: wire::GetCallRequest) -> Result<wire::Call, Status> {
        let mut violations = Violations::default();
        violations.call_id(&request.call_id);
        violations.check()?;
        let loaded = self.runner.look(&request.call_id).await.map_err(|error| refusal::of(&error))?;
        Ok(loaded.public())
    }
}
