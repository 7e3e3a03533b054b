//! Requests along a route that this tier recorded: inside dialogs, from other edges, to the flows behind a Path.

use bytes::Bytes;
use cluster_api::registrar::v1::{self as api, route_response::Plan};
use sip_endpoint::{Destination, DnsError};
use sip_message::{Edit, Message, NameAddr};
use sip_proxy::{Arrived, BranchFailure, Forwarding, RoutingDigest};
use tonic::Status;

use super::out_of_dialog::Pending;
use super::toward_gateway::Leads;
use crate::edge::{Completion, Cx, Edge};
use crate::forward::branch_name::{Unique, digest};
use crate::forward::credentials;
use crate::forward::fork::NewFork;
use crate::forward::next_hop::{Way, Ways, draw};
use crate::forward::plan;
use crate::forward::secure::{self, Toward, is_sips};
use crate::forward::target::{LookUp, Target};
use crate::forward::upstream::Upstream;
use crate::reject::{Refused, Reject};
use crate::report::text;

/// A message that is forwarded outside any transaction: an ACK for a 2xx.
pub(crate) struct Stray {
    pub(crate) message: Message,
    pub(crate) arrived: Arrived,
    pub(crate) target: Target,
    pub(crate) unique: Unique,
}

impl Stray {
    /// An ACK that passes through. RFC 3261 16.11
    pub(crate) fn passing(message: Message, arrived: Arrived, flow: Option<String>) -> Self {
        let upstream = message.top_branch().unwrap_or_default();
        let unique = Unique::Stateless { origin: digest(upstream.as_bytes()) };
        Self { target: routed_target(flow), message, arrived, unique }
    }

    /// The URI that decides where it goes.
    fn next_hop(&self) -> &[u8] {
        match self.target.routes.first().or(self.arrived.next_route.as_ref()) {
            Some(route) => NameAddr::parse(route).map_or(&**route, |address| address.uri),
            None => self.request_uri(),
        }
    }

    fn request_uri(&self) -> &[u8] {
        self.target.uri.as_deref().unwrap_or(self.arrived.request_uri(&self.message))
    }
}

impl Edge {
    /// Forwards a request by the last of our routes or, when that names no flow, by what follows it. PXY-26
    pub(crate) fn forward_routed(
        &mut self,
        cx: &mut Cx<'_>,
        pending: Pending,
        flow: Option<String>,
    ) -> Result<(), Box<Refused>> {
        if flow.as_ref().is_some_and(|flow| self.cluster.open(flow).is_err()) {
            return Err(Refused::new(pending.request, Reject::ForgedFlow));
        }
        // Whom the registrar was asked about is here because he may.
        let is_cleared = matches!(pending.leads, Leads::Anywhere | Leads::ToAnotherNumber);
        let trunk_side = self.trunk_of_route(&pending.request, &pending.arrived);
        let target = Target { trunk_side, is_cleared, ..routed_target(flow) };
        let seen = self.seen_in_dialog(&pending.request, &pending.arrived);
        let new = NewFork {
            upstream: Upstream::Server { key: pending.key, hop: pending.arrival.hop },
            request: pending.request,
            arrived: pending.arrived,
            digest: pending.digest,
            max_breadth: pending.max_breadth,
            recurse: false,
            caller: None,
            ring_time: None,
            seen,
            kept_from: None,
        };
        self.open_fork(cx, new, vec![plan::only(target)]);
        Ok(())
    }

    /// The same for a request that had to be decided on first.
    pub(crate) fn resume(&mut self, cx: &mut Cx<'_>, pending: Pending) {
        let flow = self.flow_of_route(&pending.request, &pending.arrived);
        let key = pending.key;
        if let Err(refused) = self.forward_routed(cx, pending, flow) {
            self.reject(cx, key, &refused.request, &refused.reject);
        }
    }

    /// Forwards an ACK for a 2xx, which has no transaction.
    pub(crate) fn forward_stray(&mut self, cx: &mut Cx<'_>, stray: Stray) {
        if stray.message.max_forwards().is_ok_and(|hops| hops == Some(0)) {
            return self.drop_stray();
        }
        let (next_hop, uri) = (stray.next_hop(), stray.request_uri());
        match self.ways(cx, &stray.target, next_hop, is_sips(uri) || is_sips(next_hop)) {
            Ways::Ready(way) => self.send_copy(cx, &stray, &way),
            Ways::Resolve(host) => {
                let (dns, transports) = (cx.dns().clone(), cx.transports());
                let draw = draw(&stray.message);
                let work = async move {
                    let found = sip_endpoint::locate(&host, transports, &*dns, draw).await;
                    Completion::StrayLocated(Box::new(stray), found)
                };
                if cx.spawn(work).is_err() {
                    self.drop_stray();
                }
            }
            Ways::LookUp => self.look_up_stray(cx, stray),
            Ways::Unlisted | Ways::Failed(BranchFailure::FlowFailed) => self.follow_stray(cx, stray),
            // Nobody sleeps with whom a dialog was just begun.
            Ways::Wake | Ways::Seize | Ways::InClear | Ways::Unproved | Ways::Failed(_) => self.drop_stray(),
        }
    }

    /// The peer's Contact is an address of a domain of ours: a GRUU. RFC 5627 6.1
    fn look_up_stray(&mut self, cx: &mut Cx<'_>, stray: Stray) {
        let question = self.question(&stray.message, text(stray.arrived.request_uri(&stray.message)), None);
        let location = self.deps.location.clone();
        let work = async move {
            let answer = location.route(question).await;
            Completion::StrayLookedUp(Box::new(stray), answer)
        };
        if cx.spawn(work).is_err() {
            self.drop_stray();
        }
    }

    /// The registrar has said where the peer is: the first target gets the message, as it got the INVITE.
    pub(crate) fn place_stray(
        &mut self,
        cx: &mut Cx<'_>,
        mut stray: Stray,
        result: Result<api::RouteResponse, Status>,
    ) {
        let Some(Plan::Fork(fork)) = result.ok().and_then(|response| response.plan) else {
            return self.drop_stray();
        };
        let target = plan::groups(fork).into_iter().flat_map(|group| group.targets).next();
        match target {
            Some(target) => {
                stray.target = Target { look_up: LookUp::Never, ..target };
                self.forward_stray(cx, stray);
            }
            None => self.drop_stray(),
        }
    }

    pub(crate) fn send_stray(
        &mut self,
        cx: &mut Cx<'_>,
        stray: Stray,
        result: Result<Vec<Destination>, DnsError>,
    ) {
        let mut found = match result {
            Ok(found) => found,
            Err(error) => {
                self.meters.unlocated.with_label_values(&[error.label()]).inc();
                return self.drop_stray();
            }
        };
        self.avoided.put_last_unheard(cx.now(), &mut found);
        let toward = Toward { domain: secure::domain_of(stray.next_hop()), from: &stray.message };
        // The first that can be reached: nobody tells of an ACK that got lost.
        match found.into_iter().find_map(|found| self.hop_by_uri(cx, found, Some(toward))) {
            Some(hop) => self.send_copy(cx, &stray, &Way::to(hop)),
            None => self.drop_stray(),
        }
    }

    fn send_copy(&mut self, cx: &mut Cx<'_>, stray: &Stray, way: &Way) {
        let branch = RoutingDigest::of(&stray.message).branch(&stray.unique.text());
        let Some(via) = cx.via(way.hop, &branch).map(|via| via.text()) else { return self.drop_stray() };
        let relay = way.relay.iter().map(|route| self.relay(&stray.message, route));
        let routes: Vec<Bytes> = relay.chain(stray.target.routes.iter().cloned()).collect();
        let forwarding = Forwarding {
            arrived: &stray.arrived,
            request_uri: stray.target.uri.as_deref(),
            routes: &routes,
            record_routes: &[],
            max_breadth: sip_proxy::MAX_BREADTH,
            via: &via,
        };
        let consume = |edit: &mut Edit<'_>| credentials::consume(edit, &stray.message, &self.config.realms);
        match forwarding.apply(&stray.message, consume) {
            Ok(copy) if secure::may_leave(cx, &copy, way.hop) => cx.send_statelessly(&copy, way.hop),
            Ok(_) | Err(_) => self.drop_stray(),
        }
    }

    pub(crate) fn drop_stray(&self) {
        self.meters.dropped.with_label_values(&["stray"]).inc();
    }
}

/// The target of a request that follows its route: the flow when our route names one, else wherever the rest leads.
fn routed_target(flow: Option<String>) -> Target {
    // A peer whose Contact is a GRUU is looked up. RFC 5627 6.1
    Target { flow: flow.unwrap_or_default(), look_up: LookUp::Ours, ..Target::of_uri(None) }
}
