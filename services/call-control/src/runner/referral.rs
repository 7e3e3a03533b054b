//! What is found out about a REFER before it is answered: whether it may lead to the number that it names, of the registrar (T6), so that
//! who hears 403 knows at once; and which call has the dialog that it is to replace, of the store.
//!
//! While no registrar answers, the REFER is taken: the INVITE that it asks for is held against the same rules when an edge looks it up.
//! While the store does not, it is delivered again.

use cluster_api::registrar::v1::{RouteRequest, route_response::Plan};
use sip_message::{NameAddr, Uri};

use super::{ApplyError, Runner};
use crate::engine::call::Call;
use crate::engine::claim::whose::Named;
use crate::engine::event::{EdgeEvent, Event, LegEvent, RequestReceived};
use crate::engine::transfer::referred::{Wanted, header, read_refer};
use crate::repository::Known;

impl Runner {
    /// Marks the REFERs among these events that lead where their sender may not call, or to a leg of another call.
    ///
    /// # Errors
    /// When the store fails.
    pub(crate) async fn judge_referrals(
        &self,
        call_id: &str,
        events: &mut [Event],
    ) -> Result<(), ApplyError> {
        for event in events {
            if let Event::Leg(EdgeEvent { leg_id, what: LegEvent::Request(request), .. }) = event
                && request.method == "REFER"
            {
                request.replaces_in = self.replaces_in(call_id, leg_id, request).await?;
                // Who is in that call already is called by nobody
                request.is_denied =
                    request.replaces_in.is_empty() && self.is_denied(call_id, leg_id, request).await;
            }
        }
        Ok(())
    }

    /// The call whose leg the REFER wants replaced, when that is a leg of its sender.
    async fn replaces_in(
        &self,
        call_id: &str,
        leg_id: &str,
        request: &RequestReceived,
    ) -> Result<String, ApplyError> {
        let Ok(Wanted { replaces: Some((dialog, _)), call_id: addressed, .. }) = read_refer(request) else {
            return Ok(String::new());
        };
        let Some(asking) = self.live(call_id).await? else { return Ok(String::new()) };
        let Some(referrer) = asking.legs.iter().find(|leg| leg.leg_id == leg_id) else {
            return Ok(String::new());
        };
        let Named::Call(named) = self.named_by(addressed, &dialog).await? else { return Ok(String::new()) };
        let other = self.live(&named).await?;
        let is_theirs = other.is_some_and(|other| other.has_leg_of_user(&dialog, referrer));
        Ok(if is_theirs { named } else { String::new() })
    }

    async fn live(&self, call_id: &str) -> Result<Option<Box<Call>>, ApplyError> {
        let loaded = self.repository.load(call_id).await?;
        Ok(loaded.and_then(|loaded| match loaded.known {
            Known::Live(call) => Some(call),
            Known::Over(_) | Known::Proxied(_) => None,
        }))
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
