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
    let reconnect_to = new.policy.reconnect_to.as_ref().map(|party| ("reconnect_to", party));
    for (field, party) in [("from", &new.from), ("to", &new.to)].into_iter().chain(reconnect_to) {
        check_party(location, field, party, (&new.policy.controller_uri, &new.call_id)).await?;
    }
    Ok(())
}

/// The same for one party, whom this URI calls in this call.
///
/// # Errors
/// As of [`check`].
pub(super) async fn check_party(
    location: Option<&LocationLink>,
    field: &str,
    party: &Party,
    (from, call_id): (&str, &str),
) -> Result<(), Status> {
    let Some(location) = location.filter(|_| !party.trunk.is_empty()) else { return Ok(()) };
    let answer = location.route(question(party, from, call_id)).await;
    if let Ok(Some(Plan::Refuse(refusal))) = answer.map(|answer| answer.plan)
        && refusal.status == 404
    {
        let text = format!("there is no trunk {:?} in use", party.trunk);
        return Err(Refusal::field(Reason::TrunkNotFound, format!("{field}.trunk"), text).into());
    }
    Ok(())
}

fn question(party: &Party, from: &str, call_id: &str) -> RouteRequest {
    RouteRequest {
        method: "INVITE".to_owned(),
        request_uri: party.uri.clone(),
        from_uri: from.to_owned(),
        to_uri: party.uri.clone(),
        sip_call_id: call_id.to_owned(),
        internal: true,
        trunk: party.trunk.clone(),
        ..RouteRequest::default()
    }
}
