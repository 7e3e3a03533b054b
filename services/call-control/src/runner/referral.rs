//! Whether a REFER may lead to the number that it names, asked of the registrar before it is answered (T6): who hears 403 knows at once.
//!
//! While nobody answers, the REFER is taken: the INVITE that it asks for is held against the same rules when an edge looks it up.

use cluster_api::registrar::v1::{RouteRequest, route_response::Plan};
use sip_message::{NameAddr, Uri};

use super::Runner;
use crate::engine::event::{EdgeEvent, Event, LegEvent, RequestReceived};
use crate::engine::transfer::referred::header;
use crate::repository::Known;

impl Runner {
    /// Marks the REFERs among these events that lead where their sender may not call.
    pub(crate) async fn judge_referrals(&self, call_id: &str, events: &mut [Event]) {
        for event in events {
            if let Event::Leg(EdgeEvent { leg_id, what: LegEvent::Request(request), .. }) = event
                && request.method == "REFER"
            {
                request.is_denied = self.is_denied(call_id, leg_id, request).await;
            }
        }
    }

    async fn is_denied(&self, call_id: &str, leg_id: &str, request: &RequestReceived) -> bool {
        let (Some(location), Some(target)) = (self.location.get(), referred_to(request)) else {
            return false;
        };
        let Ok(loaded) = self.look(call_id).await else { return false };
        let Known::Live(call) = &loaded.known else { return false };
        let Some(leg) = call.legs.iter().find(|leg| leg.leg_id == leg_id) else { return false };
        let referrer = leg.referrer();
        if referrer.is_empty() {
            return false;
        }
        let question = RouteRequest {
            method: "INVITE".to_owned(),
            to_uri: target.clone(),
            request_uri: target,
            from_uri: call.policy.controller_uri.clone(),
            // a call that is begun counts once, and by this id
            sip_call_id: call_id.to_owned(),
            internal: true,
            referred_by: referrer.to_owned(),
            ..RouteRequest::default()
        };
        let plan = location.route(question).await.map(|answer| answer.plan);
        matches!(plan, Ok(Some(Plan::Refuse(refusal))) if refusal.status == 403)
    }
}

/// Where it leads, when it can be read.
fn referred_to(request: &RequestReceived) -> Option<String> {
    let target = header(request, &["Refer-To", "r"]).next()?;
    let address = NameAddr::parse(target.as_bytes()).ok()?;
    let uri = Uri::parse(address.uri).ok()?;
    std::str::from_utf8(uri.without_headers()).map(str::to_owned).ok()
}
