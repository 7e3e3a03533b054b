//! Requests within a dialog that are led to the gateway of a trunk (T6): a gateway that looks at no tags (RFC 3261 12.2.2 wants 481) would
//! begin a call, past every rule of who may call. The mark of the dialog says which sides are gateways, and by what numbers it began.
//!
//! | what the dialog leads to | the Request-URI is led to | |
//! |---|---|---|
//! | a gateway | a gateway, by the number that the dialog began with, or a name | goes on |
//! | a gateway | a gateway, by another number | the sender proves to be somebody who may call it |
//! | none | a gateway | 403 |
//! | not known: the mark is of a version that did not say it | a gateway, by a name | goes on |
//! | not known | a gateway, by a number | the sender proves to be somebody who may call it |
//! | none, or not known | another port of its host, by a number | the sender proves to be somebody who may call it |
//! | nothing: the route is of no dialog of ours | another port of its host, by a Route | 403, as outside a dialog |
//!
//! A Route without `lr` takes the place of the Request-URI (RFC 3261 16.6 step 6): its number is judged beside that of the Request-URI.
//!
//! Not asked: ACK, BYE, INFO, PRACK and UPDATE, which begin nothing; who is trusted; and what the gateway itself sends from its address. A
//! connection is no place: it leads to whoever opened it.

use std::net::IpAddr;

use sip_endpoint::{Destination, Hop};
use sip_message::{HeaderId, Message, NameAddr, Uri};
use sip_proxy::{Arrived, BranchId, strict_router};

use super::let_in::acts_within;
use super::out_of_dialog::{Pending, in_dialog};
use crate::compose::GATEWAY;
use crate::dialog_mark::Dialog;
use crate::edge::Edge;
use crate::forward::fork::Fork;
use crate::forward::record_route::mark_of;
use crate::forward::target::Target;
use crate::forward::upstream::Upstream;
use crate::gateway_mark::Known;
use crate::gateways::{Place, dialled};

/// Where a request within a dialog is led.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leads {
    /// On: where it may go.
    On,
    /// Anywhere: by somebody who may lead it there.
    Anywhere,
    /// To a gateway, by a number that the dialog did not begin with.
    ToAnotherNumber,
    /// To a gateway from a dialog with somebody else.
    Astray,
}

/// What the mark of a dialog says of its sides.
struct Said<'r> {
    dialog: Dialog<'r>,
    /// The side that the request goes to, where it is a gateway.
    to: Option<Known>,
    /// The side that it comes from, where it is one.
    from: Option<Known>,
    /// Whether it would say so of every gateway.
    is_sure: bool,
}

impl Edge {
    /// Where a request within a dialog is led, as far as that is seen before a name is resolved.
    pub(super) fn leads(&self, pending: &Pending, flow: Option<&str>) -> Leads {
        let Pending { request, arrived, arrival, .. } = pending;
        if !self.is_kept_off_gateways(request) {
            return Leads::On;
        }
        let said = self.said(request, arrived);
        let is_of_gateway = said.as_ref().is_some_and(|said| said.from.is_some());
        let is_from = |ip: IpAddr| is_of_gateway && self.cluster.gateways.has(ip);
        if is_from(arrival.source.ip()) || self.is_trusted(arrival) {
            return Leads::Anywhere;
        }
        let uri = arrived.request_uri(request);
        let route = arrived.next_route.as_deref();
        let place = match flow.map(|flow| self.cluster.open(flow)) {
            Some(Ok(token)) => match token.hop {
                Hop::Udp { peer, .. } => self.only_gateway(peer.ip(), peer.port()),
                Hop::Flow(_) => Place::Free,
            },
            Some(Err(_)) => Place::Free,
            None => self.place(route.map_or(uri, uri_of)),
        };
        if said.is_none() && route.is_some() && place != Place::Free {
            return Leads::Astray;
        }
        self.verdict(place, uri, route.and_then(strict_router), said.as_ref())
    }

    /// May a target of a request within a dialog, that the registrar named, be sent to?
    pub(crate) fn may_be_led(&self, fork: &Fork, target: &Target) -> bool {
        let Some(uri) = target.uri.as_deref() else { return true };
        if !matches!(fork.upstream, Upstream::Server { .. }) || !self.is_kept_off_gateways(&fork.request) {
            return true;
        }
        let said = self.said(&fork.request, &fork.arrived);
        let route = fork.first_route(target);
        let may_be = |at: &[u8]| {
            self.verdict(self.place(at), uri, route.and_then(strict_router), said.as_ref()) == Leads::On
        };
        may_be(uri) && route.is_none_or(|route| !target.flow.is_empty() || may_be(uri_of(route)))
    }

    /// Takes those addresses away that DNS says of a name and a request within a dialog may not go to; whether any is left.
    pub(crate) fn keep_off_gateways(
        &self,
        fork: &Fork,
        branch: BranchId,
        found: &mut Vec<Destination>,
    ) -> bool {
        let Some(running) = fork.branches.get(branch.0 as usize) else { return true };
        let is_free = running.target.is_cleared || !matches!(fork.upstream, Upstream::Server { .. });
        if is_free || !self.is_kept_off_gateways(&fork.request) {
            return true;
        }
        let uri = running.target.uri.as_deref().unwrap_or_else(|| fork.arrived.request_uri(&fork.request));
        let strict = fork.first_route(&running.target).and_then(strict_router);
        let said = self.said(&fork.request, &fork.arrived);
        let place = |found: &Destination| self.cluster.gateways.at(found.address.ip(), found.address.port());
        found.retain(|found| self.verdict(place(found), uri, strict, said.as_ref()) == Leads::On);
        !found.is_empty()
    }

    /// The number of a gateway to which a request within a dialog is relayed by way of a sibling; `None` where it goes to none.
    pub(super) fn relayed_number(&self, request: &Message) -> Option<String> {
        if !self.is_kept_off_gateways(request) {
            return None;
        }
        let arrived = self.read_route(request).ok()?;
        self.said(request, &arrived)?.to?;
        let uri = Uri::parse(arrived.request_uri(request)).ok();
        Some(uri.as_ref().and_then(dialled).unwrap_or_default())
    }

    fn is_kept_off_gateways(&self, request: &Message) -> bool {
        !self.cluster.gateways.is_empty() && in_dialog(request) && !acts_within(&request.method())
    }

    /// What becomes of a request to a place, by its Request-URI and by what takes the place of that.
    fn verdict(&self, place: Place, uri: &[u8], strict: Option<&[u8]>, said: Option<&Said<'_>>) -> Leads {
        match self.verdict_on(place, uri, said) {
            Leads::On => strict.map_or(Leads::On, |uri| self.verdict_on(place, uri, said)),
            other => other,
        }
    }

    fn verdict_on(&self, place: Place, uri: &[u8], said: Option<&Said<'_>>) -> Leads {
        let number = || Uri::parse(uri).ok().as_ref().and_then(dialled);
        let known = said.and_then(|said| Some((&said.dialog, said.to?)));
        match (place, known) {
            (Place::Free, _) => Leads::On,
            (Place::Gateway | Place::Beside, Some((dialog, known))) => match number() {
                Some(number) if !self.cluster.is_number(dialog, known, &number) => Leads::ToAnotherNumber,
                Some(_) | None => Leads::On,
            },
            (Place::Gateway, None) if said.is_none_or(|said| said.is_sure) => Leads::Astray,
            (Place::Gateway | Place::Beside, None) => match number() {
                Some(_) => Leads::ToAnotherNumber,
                None => Leads::On,
            },
        }
    }

    /// What the route says of the dialog of this request, whichever side began it.
    fn said<'r>(&self, request: &'r Message, arrived: &Arrived) -> Option<Said<'r>> {
        let behind = request.addresses(HeaderId::Route).flatten().map(|route| route.uri);
        let routes = arrived.own_routes.iter().map(|route| &**route).chain(behind);
        let mut uris = routes.filter_map(|route| Uri::parse(route).ok());
        uris.find_map(|uri| {
            let text = mark_of(&uri)?;
            let by_caller = Dialog::begun_by_sender(request);
            let (mark, dialog, is_by_caller) = match self.cluster.read_mark(&by_caller, text) {
                Some(mark) => (mark, by_caller, true),
                None => {
                    let by_callee = Dialog::begun_by_receiver(request)?;
                    (self.cluster.read_mark(&by_callee, text)?, by_callee, false)
                }
            };
            let sides = uri.param(GATEWAY).and_then(|text| self.cluster.read_gateway_mark(&dialog, text));
            let (caller, callee) = sides.map_or((None, None), |sides| (sides.caller, sides.callee));
            let (from, to) = if is_by_caller { (caller, callee) } else { (callee, caller) };
            Some(Said { dialog, to, from, is_sure: mark.tells_gateways })
        })
    }

    fn place(&self, uri: &[u8]) -> Place {
        Uri::parse(uri).map_or(Place::Free, |uri| self.cluster.gateways.of_uri(&uri))
    }

    /// Phones have the address of a gateway too, behind one NAT.
    fn only_gateway(&self, ip: IpAddr, port: u16) -> Place {
        match self.cluster.gateways.at(ip, port) {
            Place::Gateway => Place::Gateway,
            Place::Free | Place::Beside => Place::Free,
        }
    }
}

fn uri_of(route: &[u8]) -> &[u8] {
    NameAddr::parse(route).map_or(route, |address| address.uri)
}
