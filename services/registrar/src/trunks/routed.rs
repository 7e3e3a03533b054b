//! What trunks change in routing: requests to the contact registered there, requests that only seem to be theirs, and requests for which
//! the asker names one.

use cluster_api::registrar::v1::{Refuse, RouteRequest, route_response::Plan};
use cluster_api::sip::v1::Source;
use sip_message::Uri;

use super::{Number, Table, number_of, table::Way};
use crate::{
    Shared, answer::header, aors::ChangeError, config::Auth, domains::user_aor, plan::refuse,
    record::AorRecord,
};

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
        let wants_out = self.domains.called(target).is_none() || number_of(target).is_some();
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
    let number = Number::of(target);
    let way = way_of(request, target);
    let is_there = || trunks.trunk(&request.trunk).is_some();
    match trunks.by_name(&request.trunk, number.as_ref(), way) {
        Some(fork) => Plan::Fork(fork),
        None if way.is_secure && is_there() => in_clear(),
        None => refuse(404, "No Such Trunk"),
    }
}

/// The way of a number that nobody here has.
pub(crate) fn by_number(request: &RouteRequest, target: &Uri<'_>, number: &Number, trunks: &Table) -> Plan {
    let way = way_of(request, target);
    let any = Way { is_secure: false, ..way };
    // in the form that it was dialled in, or else in the one that its context makes of it
    let forms = [Some(number.clone()), number.in_global_form()];
    for number in forms.iter().flatten() {
        if let Some(fork) = trunks.to_number(number, way) {
            return Plan::Fork(fork);
        }
        if way.is_secure && trunks.to_number(number, any).is_some() {
            return in_clear();
        }
    }
    // RFC 3261 21.4.22
    refuse(if trunks.is_incomplete(&number.digits) { 484 } else { 404 }, "")
}

pub(super) fn way_of<'r>(request: &'r RouteRequest, target: &Uri<'_>) -> Way<'r> {
    let is_secure = target.is_secure() || request.secure;
    Way { request_uri: &request.request_uri, call_id: &request.sip_call_id, is_secure }
}

/// TRN-09: no peer is reached by TLS. The caller is told, so that it may try without. RFC 5630 6.4
pub(super) fn in_clear() -> Plan {
    let headers = vec![header("Warning", "380 carillon \"SIPS Not Allowed\"".to_owned())];
    Plan::Refuse(Refuse { status: 480, headers, ..Refuse::default() })
}
