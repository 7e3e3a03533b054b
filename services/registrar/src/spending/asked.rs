//! The question about one call: what of it the plan says, and what the edge sends back when the branch begins.

use cluster_api::registrar::v1::{
    AuthorizeRequest, Charge, RouteRequest, SeizeTrunkRequest, route_response::Plan,
};
use sip_message::Uri;

use super::Verdict;
use crate::{Shared, domains::user_aor, trunks::judged};

impl Shared {
    /// Marks the targets of a plan that are trunks with whom a call there is charged to.
    pub(crate) fn charged(&self, request: &RouteRequest, plan: &mut Plan, identity: &str) {
        let begins_call = request.method == "INVITE" && !request.in_dialog;
        let Plan::Fork(fork) = plan else { return };
        if !self.spending.is_set() || !begins_call {
            return;
        }
        let by_trunk = fork.groups.iter_mut().filter(|group| group.cause.starts_with("trunk"));
        for target in by_trunk.flat_map(|group| &mut group.targets) {
            target.charge = Some(Charge {
                account: self.payer(request, identity),
                caller: request.from_uri.clone(),
                called: request.request_uri.clone(),
            });
        }
    }

    /// Who pays: who had the call sent on, or else who proved to call. Of what call-control calls, the account that it calls for: From is
    /// its own, and no stranger's word.
    fn payer(&self, request: &RouteRequest, identity: &str) -> String {
        if !request.led_by.is_empty() {
            return request.led_by.clone();
        }
        if !identity.is_empty() || !request.internal {
            return identity.to_owned();
        }
        let on_whose_word = match &*request.referred_by {
            "" => &request.from_uri,
            referrer => referrer,
        };
        let from = Uri::parse(on_whose_word.as_bytes()).ok();
        let from = from.filter(|from| self.domains.of(from).is_some());
        from.as_ref().and_then(user_aor).unwrap_or_default()
    }

    /// What the operator's service says of a branch that has room at its trunk.
    pub(crate) async fn may_spend(&self, request: &SeizeTrunkRequest) -> Verdict {
        if !self.spending.is_set() {
            return Verdict::Allowed(None);
        }
        let Charge { account, caller, called } = request.charge.clone().unwrap_or_default();
        let domain = self.domains.of_aor(&account).map(|domain| domain.name.clone());
        let number = Uri::parse(called.as_bytes()).ok().and_then(|uri| judged(&uri).into_iter().next());
        let question = AuthorizeRequest {
            call_id: request.call_id.clone(),
            leg: request.branch.clone(),
            domain: domain.unwrap_or_default(),
            number: number.unwrap_or_default(),
            trunk: request.trunk.clone(),
            account,
            caller,
            called,
        };
        self.spending.decide(question).await
    }
}
