//! Wishes that are about single legs, or about two calls: Hold, Unhold, Transfer, Bridge.

use cluster_api::callcontrol::v1 as wire;
use cluster_rpc::Reason;
use sip_message::percent_encode;
use tonic::Status;

use super::{CallControlApi, dial};
use crate::engine::call::{CallState, Party};
use crate::engine::event::{Command, Method, Target};
use crate::refusal;
use crate::repository::Known;
use crate::runner::ApplyError;
use crate::violations::Violations;

impl CallControlApi {
    pub(super) async fn hold(&self, request: wire::HoldRequest) -> Result<wire::Call, Status> {
        let fingerprint = dial::plain_fingerprint("Hold", &request);
        let mut violations = Violations::default();
        violations.line("leg_id", request.leg_id.as_deref().unwrap_or_default(), 64);
        if let Some(music) = request.music.as_deref().filter(|music| !music.is_empty()) {
            violations.media_uri("music", music);
        }
        violations.check()?;
        let music = request.music.unwrap_or_else(|| self.runner.config().music_on_hold.clone());
        let command = Command::Hold { leg_id: request.leg_id, music };
        self.command(&request.request_id, &request.call_id, fingerprint, command).await
    }

    pub(super) async fn unhold(&self, request: wire::UnholdRequest) -> Result<wire::Call, Status> {
        leg_id("leg_id", request.leg_id.as_deref())?;
        let fingerprint = dial::plain_fingerprint("Unhold", &request);
        let command = Command::Unhold { leg_id: request.leg_id };
        self.command(&request.request_id, &request.call_id, fingerprint, command).await
    }

    pub(super) async fn transfer(&self, request: wire::TransferRequest) -> Result<wire::Call, Status> {
        let fingerprint = dial::plain_fingerprint("Transfer", &request);
        let mut violations = Violations::default();
        violations.line("leg_id", &request.leg_id, 64);
        let method = method(&mut violations, request.method);
        let target = match request.target.and_then(|target| target.target) {
            Some(wire::transfer_target::Target::Uri(uri)) => {
                violations.uri("target.uri", &uri);
                Target::Party(Party { uri, ..Party::default() })
            }
            Some(wire::transfer_target::Target::CallId(call_id)) => {
                violations.call_id(&call_id);
                if call_id == request.call_id {
                    violations.add(Reason::BadField, "target.call_id", "another call");
                }
                Target::Call(call_id)
            }
            None => {
                violations.add(Reason::BadUri, "target", "a uri or a call_id");
                Target::Call(String::new())
            }
        };
        violations.check()?;
        let other = match &target {
            Target::Call(call_id) => Some((call_id.clone(), None)),
            Target::Party(_) | Target::Leg { .. } | Target::Replacing { .. } => None,
        };
        let target = match (target, method) {
            (Target::Call(call_id), Method::Refer) => {
                self.replacing(&request.call_id, &request.leg_id, call_id).await?
            }
            (target, _) => target,
        };
        let command = Command::Transfer { leg_id: request.leg_id, target, method };
        self.with_other(&request.request_id, &request.call_id, other, fingerprint, command).await
    }

    /// The target of a REFER that leads to the far party of another call: its phone, with the dialog to be replaced (LAD-9; CCL-08:
    /// the tags as that phone sees them). As it is when the calls are not there: that is said later.
    async fn replacing(&self, call_id: &str, leg_id: &str, other_id: String) -> Result<Target, Status> {
        let read = async |id: &str| match self.runner.look(id).await.map(|loaded| loaded.known) {
            Ok(Known::Live(call)) => Ok(Some(call)),
            Ok(_) | Err(ApplyError::Unknown) => Ok(None),
            Err(error) => Err(refusal::of(&error)),
        };
        let (Some(call), Some(other)) = (read(call_id).await?, read(&other_id).await?) else {
            return Ok(Target::Call(other_id));
        };
        let far = call.facing(leg_id).and_then(|leaves| other.far_from(&leaves.party.uri));
        let Some((leg, dialog)) = far.and_then(|leg| Some((leg, leg.chosen()?))) else {
            return Ok(Target::Call(other_id));
        };
        let replaces = format!("{};to-tag={};from-tag={}", leg.sip_call_id, leg.remote_tag, leg.local_tag);
        let headers = format!("Replaces={}&Require=replaces", percent_encode(replaces.as_bytes()));
        let uri = format!("{}?{headers}", dialog.remote_target);
        Ok(Target::Replacing { party: Party { uri, ..Party::default() }, call_id: other_id })
    }

    pub(super) async fn bridge(&self, request: wire::BridgeRequest) -> Result<wire::Call, Status> {
        let fingerprint = dial::plain_fingerprint("Bridge", &request);
        let mut violations = Violations::default();
        violations.line("leg_id", &request.leg_id, 64);
        violations.line("other_leg_id", &request.other_leg_id, 64);
        violations.call_id(&request.other_call_id);
        if request.other_call_id == request.call_id {
            violations.add(Reason::BadField, "other_call_id", "another call");
        }
        violations.check()?;
        let (call_id, leg_id) = (request.other_call_id, request.other_leg_id);
        let other = Some((call_id.clone(), Some(leg_id.clone())));
        let target = Target::Leg { call_id, leg_id };
        let command = Command::Transfer { leg_id: request.leg_id, target, method: Method::Reinvite };
        self.with_other(&request.request_id, &request.call_id, other, fingerprint, command).await
    }

    /// A command that needs a second call. What can be known of that call is said at once; what changes meanwhile, by events.
    async fn with_other(
        &self,
        request_id: &str,
        call_id: &str,
        other: Option<(String, Option<String>)>,
        fingerprint: Vec<u8>,
        command: Command,
    ) -> Result<wire::Call, Status> {
        if let Some((other_id, leg_id)) = other {
            let refused = match self.runner.look(&other_id).await {
                Ok(loaded) => may_lend(&loaded.known, leg_id.as_deref()),
                Err(ApplyError::Unknown) => Err(refusal::unknown_other(&other_id)),
                Err(error) => Err(refusal::of(&error)),
            };
            if let Err(refused) = refused {
                // The other call may be over because this very request has succeeded before
                return match self.request_use(call_id, request_id).await? {
                    Some(used) => self.result_of(used, &fingerprint).await,
                    None => Err(refused),
                };
            }
        }
        self.command(request_id, call_id, fingerprint, command).await
    }
}

/// Whether a call may give one of its legs.
fn may_lend(known: &Known, leg_id: Option<&str>) -> Result<(), Status> {
    let call = match known {
        Known::Live(call) => call,
        Known::Proxied(_) => return Err(refusal::of(&ApplyError::NotControlled)),
        Known::Over(_) => return Err(refusal::wrong_state("the other call", CallState::Ended)),
    };
    if !matches!(call.state(), CallState::Answered | CallState::Held) {
        return Err(refusal::wrong_state("the other call", call.state()));
    }
    if !call.takes_operations() {
        let text = "another operation on the other call is under way: wait for its end, or ask again";
        return Err(refusal::refuse(Reason::TransferPending, text));
    }
    match leg_id.filter(|leg_id| !call.legs.iter().any(|leg| leg.leg_id == *leg_id)) {
        None => Ok(()),
        Some(leg_id) => {
            Err(refusal::refuse(Reason::LegNotFound, format!("the other call has no leg {leg_id:?}")))
        }
    }
}

fn leg_id(field: &str, leg_id: Option<&str>) -> Result<(), Status> {
    let mut violations = Violations::default();
    violations.line(field, leg_id.unwrap_or_default(), 64);
    violations.check()
}

fn method(violations: &mut Violations, method: i32) -> Method {
    use wire::transfer_request::Method as Wire;
    match Wire::try_from(method) {
        Ok(Wire::Unspecified | Wire::Auto) => Method::Auto,
        Ok(Wire::Refer) => Method::Refer,
        Ok(Wire::Reinvite) => Method::Reinvite,
        Err(_) => {
            violations.add(Reason::BadField, "method", "a method that this version knows");
            Method::Auto
        }
    }
}
