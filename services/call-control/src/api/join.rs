//! Join: a third party comes into a live call.

use cluster_api::callcontrol::v1 as wire;
use cluster_api::callcontrol::v1::join_request::Mixer as Wire;
use cluster_rpc::Reason;
use tonic::Status;

use super::{CallControlApi, dial, trunk};
use crate::engine::conference::Mixer;
use crate::engine::event::Command;
use crate::violations::Violations;

impl CallControlApi {
    pub(super) async fn join(&self, request: wire::JoinRequest) -> Result<wire::Call, Status> {
        let fingerprint = dial::plain_fingerprint("Join", &request);
        let mut violations = Violations::default();
        let mixer = match Wire::try_from(request.mixer) {
            Ok(Wire::Unspecified | Wire::Auto) => Mixer::Auto,
            Ok(Wire::Local) => Mixer::Local,
            Ok(Wire::Central) => Mixer::Central,
            Err(_) => {
                violations.add(Reason::BadField, "mixer", "a mixer that this version knows");
                Mixer::Auto
            }
        };
        let party = dial::party(&mut violations, "party", request.party);
        violations.check()?;
        let asking = (self.runner.config().controller_uri.as_str(), request.call_id.as_str());
        if let Err(refusal) = trunk::check_party(self.location.as_ref(), "party", &party, asking).await {
            // The trunk may have gone since this very request was taken. API 1
            return match self.request_use(&request.call_id, &request.request_id).await? {
                Some(used) => self.result_of(used, &fingerprint).await,
                None => Err(refusal),
            };
        }
        let command = Command::Join { party, mixer };
        self.command(&request.request_id, &request.call_id, fingerprint, command).await
    }
}
