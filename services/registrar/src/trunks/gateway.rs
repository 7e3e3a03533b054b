//! Addresses that lead to the gateway of a trunk (T6): who names it calls by that trunk, with all its rules, or nobody.
//!
//! | the next hop is a peer of a trunk | what happens |
//! |---|---|
//! | host or `maddr` of the Request-URI, which is a number that the trunk carries | the call goes by the trunk |
//! | the same, with any other user part | 403 |
//! | the topmost Route that is not ours | 403: it would go past the choice of the trunk's peers |
//! | a contact or the target of a forwarding | the edge asks about it, as about a number ([`Shared::mark_targets`]); in place of 403 it counts as one that cannot be reached, so that what comes next is tried |
//! | an address that DNS says of a name | 403, when the edge asks about it ([`at_addresses`]) |
//!
//! Requests inside a dialog go where the dialog leads, as the edge knows by its mark; one that it asks about is held against the rules of who
//! sends it (`tolls`). A contact in place of the other side leads to no gateway there. Our own REGISTER and OPTIONS to a trunk go to its peers.

use cluster_api::registrar::v1::{Fork, Refuse, RouteRequest, Target, route_response::Plan};
use sip_message::{NameAddr, Scheme, Uri};

use super::routed::{in_clear, way_of};
use super::table::Way;
use super::{Number, Table, number_of};
use crate::{Shared, answer::header};

impl Shared {
    /// What becomes of a request whose next hop is a gateway; `None` for any other one.
    pub(crate) fn plan_at_gateway(
        &self,
        request: &RouteRequest,
        target: &Uri<'_>,
        trunks: &Table,
    ) -> Option<Plan> {
        let is_registration = request.internal && request.method == "REGISTER";
        if is_registration || !request.trunk.is_empty() {
            return None;
        }
        let not_there = |why| not_there(why, if request.led_by.is_empty() { 403 } else { 480 });
        if request.in_dialog {
            let is_led = !request.led_by.is_empty() && trunks.is_gateway(target);
            return is_led.then(|| not_there("A contact does not lead a dialog to a trunk"));
        }
        if !request.next_route.is_empty() {
            let route = Uri::parse(request.next_route.as_bytes()).ok()?;
            return trunks.is_gateway(&route).then(|| not_there("A Route does not lead to a trunk"));
        }
        let is_elsewhere = matches!(target.scheme, Scheme::Sip | Scheme::Sips)
            && self.domains.called(target).is_none()
            && !trunks.has_domain(target.host);
        if !is_elsewhere || !trunks.is_gateway(target) {
            return None;
        }
        let Some(number) = Number::dialled(target) else {
            return Some(not_there("Only numbers and domains of a trunk are called at its gateway"));
        };
        let way = way_of(request, target);
        let found = trunks.by_gateway(target, &number, way).map(Plan::Fork);
        let is_in_clear =
            || trunks.by_gateway(target, &number, Way { is_secure: false, ..way }).is_some() && way.is_secure;
        Some(found.unwrap_or_else(|| match is_in_clear() {
            true => in_clear(),
            false => not_there("The trunk at this gateway does not carry this number"),
        }))
    }

    /// Has the edge ask about contacts and targets of forwardings that cost money: those at a gateway or in the domain of a trunk, and
    /// numbers elsewhere to which somebody forwards.
    pub(crate) fn mark_targets(&self, plan: &mut Plan, trunks: &Table) {
        let Plan::Fork(Fork { groups, .. }) = plan else { return };
        for group in groups.iter_mut().filter(|group| !group.cause.starts_with("trunk")) {
            let is_forwarding = group.cause.starts_with("forward");
            for target in group.targets.iter_mut().filter(|target| target.flow.is_empty()) {
                target.look_up = self.costs(target, is_forwarding, trunks);
            }
        }
    }

    fn costs(&self, target: &Target, is_forwarding: bool, trunks: &Table) -> bool {
        let route = target.route.first().and_then(|route| NameAddr::parse(route.as_bytes()).ok());
        let Some(uri) =
            Uri::parse(target.uri.as_bytes()).ok().filter(|uri| self.domains.called(uri).is_none())
        else {
            return false;
        };
        match route.and_then(|route| Uri::parse(route.uri).ok()) {
            Some(route) => trunks.is_gateway(&route),
            None => {
                trunks.is_gateway(&uri)
                    || trunks.has_domain(uri.host)
                    || (is_forwarding && number_of(&uri).is_some())
            }
        }
    }
}

/// What becomes of a request that was decided about as one to elsewhere, and that DNS leads to these addresses.
pub(crate) fn at_addresses(addresses: &[String], trunks: &Table) -> Plan {
    match addresses.iter().any(|address| trunks.is_peer(address)) {
        true => not_there("This name leads to the gateway of a trunk", 403),
        false => Plan::Relay(cluster_api::registrar::v1::Relay {}),
    }
}

fn not_there(why: &str, status: u32) -> Plan {
    let headers = vec![header("Warning", format!("399 carillon \"{why}\""))];
    Plan::Refuse(Refuse { status, reason: "Gateway Not Allowed".to_owned(), headers })
}
