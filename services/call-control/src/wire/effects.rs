//! Effects on their way to an edge.

use std::time::Duration;

use cluster_api::convert::proto_duration;
use cluster_api::edge::v1 as edge;

use super::{body_out, headers_out};
use crate::engine::effect::{Effect, What};

/// The request that hands an effect to an edge; `None` for an effect without content, which no engine makes.
pub fn carry_request(call_id: &str, effect: &Effect) -> Option<edge::CarryRequest> {
    let what = match effect.what.clone()? {
        What::Send(send) => edge::carry_request::What::Send(edge::SendRequest {
            method: send.method,
            request_uri: send.request_uri,
            route: send.route,
            from_uri: send.from_uri,
            from_display: send.from_display,
            from_tag: send.from_tag,
            to_uri: send.to_uri,
            to_tag: send.to_tag,
            sip_call_id: send.sip_call_id,
            cseq: send.cseq,
            headers: headers_out(send.headers),
            body: send.body.map(body_out),
            flow: send.flow,
            trunk: send.trunk,
            max_forwards: send.max_forwards,
            max_breadth: send.max_breadth,
            in_conference: send.in_conference,
            ring_limit: (send.ring_limit_ms > 0)
                .then(|| proto_duration(Duration::from_millis(send.ring_limit_ms))),
            is_focus: send.is_focus,
            referred_by: send.referred_by,
            // Legs have a Contact of their own
            ..edge::SendRequest::default()
        }),
        What::Cancel(cancel) => edge::carry_request::What::Cancel(edge::CancelInvite {
            invite_effect: cancel.invite_effect,
            headers: headers_out(cancel.headers),
        }),
        What::Respond(respond) => edge::carry_request::What::Respond(edge::SendResponse {
            transaction: respond.transaction,
            status: respond.status,
            reason: respond.reason,
            to_tag: respond.to_tag,
            in_conference: respond.in_conference,
            headers: headers_out(respond.headers),
            body: respond.body.map(body_out),
            is_focus: respond.is_focus,
        }),
        What::Release(_) => edge::carry_request::What::Release(edge::ReleaseLeg {}),
        // No edge's business
        What::Tell(_) | What::Roster(_) => return None,
    };
    Some(edge::CarryRequest {
        call_id: call_id.to_owned(),
        leg_id: effect.leg_id.clone(),
        effect: effect.number,
        what: Some(what),
    })
}
