//! What trunks change in routing: requests to the contact registered there, requests that only seem to be theirs, and requests for which
//! the asker names one.

use cluster_api::registrar::v1::{RouteRequest, route_response::Plan};
use cluster_api::sip::v1::Source;
use sip_message::Uri;

use super::{Table, number_of};
use crate::{Shared, aors::ChangeError, config::Auth, domains::user_aor, plan::refuse, record::AorRecord};

impl Shared {
    /// Whether a request from the address of a trunk's peer is a user's of ours, behind the same address: it brings credentials of ours,
    /// it comes from where the user's phone is registered, or it wants what is no trunk's and only a user may have. Such a one is asked to
    /// prove it. A call of ours that the trunk sends back has the user's name and nothing of this.
    pub(crate) async fn is_user_behind(
        &self,
        request: &RouteRequest,
        from: &Uri<'_>,
        target: &Uri<'_>,
    ) -> Result<bool, ChangeError> {
        let Some(domain) = self.domains.of(from).filter(|domain| domain.auth == Auth::Digest) else {
            return Ok(false);
        };
        let values = request.authorization.iter().chain(&request.proxy_authorization);
        let mut realms = values.filter_map(|value| sip_digest::realm(value.as_bytes()));
        if realms.any(|realm| *realm == *domain.realm.as_bytes()) {
            return Ok(true);
        }
        let (Some(aor), Some(received)) =
            (user_aor(from), request.source.as_ref().and_then(Source::received))
        else {
            return Ok(false);
        };
        let now_ms = self.aors.now_ms();
        let is_its_phone = |record: &AorRecord| record.live(now_ms).any(|known| known.received == received);
        if self.aors.read(&aor, is_its_phone).await? {
            return Ok(true);
        }
        let wants_out = self.domains.of(target).is_none() || number_of(target).is_some();
        let is_known = |record: &AorRecord| record.account.is_some();
        Ok(wants_out && self.aors.read(&aor, is_known).await?)
    }

    /// The own user for whom a request to the contact is that is registered at a trunk.
    pub(crate) fn registered_callee(&self, trunks: &Table, request_uri: &str) -> Option<String> {
        let registration = trunks.registered(request_uri)?.registration.as_ref()?;
        if !registration.callee.is_empty() {
            return Some(registration.callee.clone());
        }
        let aor = Uri::parse(registration.aor.as_bytes()).ok()?;
        self.domains.home().aor_of(std::str::from_utf8(aor.user?).ok()?)
    }
}

/// An OPTIONS of ours to a peer of a trunk.
pub(crate) fn is_probe(request: &RouteRequest) -> bool {
    request.internal && request.method == "OPTIONS" && !request.trunk.is_empty()
}

/// The way by the trunk that the asker named.
pub(crate) fn by_trunk(request: &RouteRequest, target: &Uri<'_>, trunks: &Table) -> Plan {
    let number = number_of(target);
    let fork = trunks.by_name(&request.trunk, number.as_deref(), &request.request_uri, &request.sip_call_id);
    fork.map_or_else(|| refuse(404, "No Such Trunk"), Plan::Fork)
}
