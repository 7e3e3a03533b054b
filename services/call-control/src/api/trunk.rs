//! Whether the trunks that a Dial names are in use, asked before anything is committed: who is told so at once looks for a
//! mistyped name, and who is told of a call that ended with 404 looks for a number.

use cluster_api::registrar::v1::{RouteRequest, route_response::Plan};
use cluster_rpc::{LocationLink, Reason, Refusal};
use tonic::Status;

use crate::engine::call::{NewCall, Party};

/// Asks the registrar for the ways by the trunks of both parties.
///
/// While nobody answers the call begins all the same: the edge asks again, and what it is told then ends the leg.
///
/// # Errors
/// `INVALID_ARGUMENT TRUNK_NOT_FOUND` when one is not there or not in use.
pub(super) async fn check(location: Option<&LocationLink>, new: &NewCall) -> Result<(), Status> {
    let Some(location) = location else { return Ok(()) };
    for (field, party) in [("from", &new.from), ("to", &new.to)] {
        if party.trunk.is_empty() {
            continue;
        }
        let answer = location.route(question(new, party)).await;
        if let Ok(Some(Plan::Refuse(refusal))) = answer.map(|answer| answer.plan)
            && refusal.status == 404
        {
            let text = format!("there is no trunk {:?} in use", party.trunk);
            return Err(Refusal::field(Reason::TrunkNotFound, format!("{field}.trunk"), text).into());
        }
    }
    Ok(())
}

fn question(new: &NewCall, party: &Party) -> RouteRequest {
    RouteRequest {
        method: "INVITE".to_owned(),
        request_uri: party.uri.clone(),
        from_uri: new.policy.controller_uri.clone(),
        to_uri: party.uri.clone(),
        sip_call_id: new.call_id.clone(),
        internal: true,
        trunk: party.trunk.clone(),
        ..RouteRequest::default()
    }
}
