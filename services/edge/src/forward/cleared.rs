//! Addresses of another domain that may be a trunk's (T6): what DNS says of a name is seen here alone, and the registrar, which decided
//! about the name, is asked before a call or a message goes there past all rules of the trunk.
//!
//! | what is asked about | |
//! |---|---|
//! | a request outside a dialog, to a name or to a proxy that a phone named by 305 | yes |
//! | one that goes by a trunk, or to a phone along its flow | no: the registrar placed it |
//! | what the registrar itself sends: REGISTER and OPTIONS to a trunk | no |
//! | anything, while no peer of a trunk is known by address | no |
//!
//! Of several addresses those are left that are no peer's. The host of a peer at another port is no peer for who calls a name there; whether
//! its gateway listens there too is not known, so that nobody calls a number there.

use cluster_api::registrar::v1::{RouteResponse, route_response::Plan};
use sip_endpoint::Destination;
use sip_message::Uri;
use sip_proxy::{BranchFailure, BranchId, strict_router};
use tonic::Status;

use super::fork::{Fork, ForkId};
use super::upstream::Upstream;
use crate::edge::{Completion, Cx, Edge};
use crate::gateways::{Place, dialled};
use crate::report::text;

impl Edge {
    /// Are the addresses of this branch asked about?
    pub(super) fn asks_about_addresses(&self, fork: &Fork, branch: BranchId) -> bool {
        let is_of_trunk = |target: &super::target::Target| target.cause.starts_with("trunk");
        let is_own = match &fork.upstream {
            Upstream::Exchange(_) => fork.upstream.on_behalf_of().is_empty(),
            Upstream::Server { .. } | Upstream::Leg(_) | Upstream::Nobody => false,
        };
        self.trunk_addresses
            && !is_own
            && fork.request.to().is_ok_and(|to| to.tag().is_none())
            && fork.branches.get(branch.0 as usize).is_some_and(|running| !is_of_trunk(&running.target))
    }

    pub(super) fn ask_about_addresses(
        &mut self,
        cx: &mut Cx<'_>,
        id: ForkId,
        fork: &mut Fork,
        branch: BranchId,
        found: Vec<Destination>,
    ) {
        let target = fork.context.target(branch).and_then(|target| target.uri.clone());
        let uri = text(target.as_deref().unwrap_or_else(|| fork.arrived.request_uri(&fork.request)));
        let mut question = self.question(&fork.request, uri, None);
        question.addresses = found.iter().map(|found| found.address.ip().to_string()).collect();
        let location = self.deps.location.clone();
        let work = async move { Completion::Cleared(id, branch, found, location.route(question).await) };
        if cx.spawn(work).is_err() {
            self.fail_branch(cx, fork, branch, BranchFailure::Refused(503));
        }
    }

    /// The addresses that are no gateway's. None, while no registrar has said where these are.
    fn free_of_gateways(&self, fork: &Fork, branch: BranchId, found: Vec<Destination>) -> Vec<Destination> {
        let gateways = &self.cluster.gateways;
        // the registrar knows of a trunk that no list had yet
        if found.iter().all(|found| !gateways.has(found.address.ip())) {
            return Vec::new();
        }
        let target = fork.context.target(branch).and_then(|target| target.uri.as_deref());
        let uri = target.unwrap_or_else(|| fork.arrived.request_uri(&fork.request));
        let route = fork.context.target(branch).and_then(|target| fork.first_route(target));
        let uris = std::iter::once(uri).chain(route.and_then(strict_router));
        let is_name = uris.into_iter().all(|uri| Uri::parse(uri).is_ok_and(|uri| dialled(&uri).is_none()));
        let is_free = |found: &Destination| match gateways.at(found.address.ip(), found.address.port()) {
            Place::Free => true,
            Place::Beside => is_name,
            Place::Gateway => false,
        };
        found.into_iter().filter(is_free).collect()
    }

    /// The registrar has said whether a branch may go to these addresses.
    pub(crate) fn take_cleared(
        &mut self,
        cx: &mut Cx<'_>,
        id: ForkId,
        branch: BranchId,
        found: Vec<Destination>,
        result: Result<RouteResponse, Status>,
    ) {
        self.with_fork(cx, id, |edge, cx, fork| match result.ok().and_then(|response| response.plan) {
            Some(Plan::Relay(_)) => edge.try_addresses(cx, id, fork, branch, found),
            Some(_) => {
                let free = edge.free_of_gateways(fork, branch, found);
                match free.is_empty() {
                    true => edge.keep_off(cx, fork, branch),
                    false => edge.try_addresses(cx, id, fork, branch, free),
                }
            }
            None => edge.fail_branch(cx, fork, branch, BranchFailure::Refused(503)),
        });
    }
}
