//! A CANCEL that reached another edge than its INVITE, as happens behind a balancer that does not keep a phone with one edge.
//!
//! RFC 3261 16.10 forwards a CANCEL without a response context statelessly, which reaches its INVITE where a proxy makes the branches of
//! both alike. Here only the edge that has the INVITE can cancel it. So the CANCEL is asked about at the living siblings, as any other
//! request that has several targets: on top of the phone's Via, with a Route that says it comes from an edge. Who has the INVITE of
//! that second Via answers 200, all others 481, and the best answer goes to the phone.
//!
//! - A sibling never passes on what comes from a sibling, and nobody but an edge can write that Route.
//! - At most [`MOST_A_SECOND`] are asked about, each at no more siblings than a request has branches; the others get 481.
//! - It cancels only what came from the same address, by what the edges saw of both and wrote into Via (RFC 3261 18.2.1).

use std::net::IpAddr;
use std::time::{Duration, Instant};

use sip_endpoint::{Arrival, FlowId, Hop, ServerKey};
use sip_message::{HeaderId, Message};
use sip_proxy::{Arrived, Condition, Group};

use super::fork::NewFork;
use super::target::Target;
use super::upstream::Upstream;
use crate::edge::{Cx, Edge, ServerUse};
use crate::flow_token::{FlowToken, flow_of};
use crate::reject::Reject;

/// CANCELs that are asked about in a second: more than an edge has calls that are given up, less than a sibling notices.
const MOST_A_SECOND: u32 = 200;

/// In the place of a flow: the sibling itself. Flows are counted from below.
const ITSELF: Hop = Hop::Flow(FlowId(u64::MAX));

/// How many were asked about in the second that began then.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    since: Option<Instant>,
    count: u32,
}

impl Asked {
    fn has_room(&mut self, now: Instant) -> bool {
        let is_over = |since| now.saturating_duration_since(since) >= Duration::from_secs(1);
        if self.since.is_none_or(is_over) {
            *self = Self { since: Some(now), count: 0 };
        }
        self.count += 1;
        self.count <= MOST_A_SECOND
    }
}

impl Edge {
    /// A CANCEL that names no transaction of ours by its topmost Via.
    pub(crate) fn take_astray_cancel(
        &mut self,
        cx: &mut Cx<'_>,
        key: ServerKey,
        cancel: &Message,
        arrival: &Arrival,
    ) {
        if self.keep_early_cancel(cx, key, cancel, arrival) {
            return;
        }
        let outcome = match self.read_route(cancel) {
            Ok(arrived) if self.is_from_sibling(&arrived) => return self.take_passed_cancel(cx, key, cancel),
            Ok(arrived) => self.ask_siblings(cx, key, cancel, arrived, arrival),
            Err(_) => "unknown",
        };
        self.meters.astray_cancels.with_label_values(&[outcome]).inc();
        if outcome != "passed_on" {
            self.reject(cx, key, cancel, &Reject::DoesNotExist);
        }
    }

    fn ask_siblings(
        &mut self,
        cx: &mut Cx<'_>,
        key: ServerKey,
        cancel: &Message,
        arrived: Arrived,
        arrival: &Arrival,
    ) -> &'static str {
        let siblings = self.cluster.others(&self.config.id).take(self.config.limits.branches);
        let target = |(id, epoch): (&str, u64)| {
            let itself =
                FlowToken { edge_id: id.to_owned(), epoch, hop: ITSELF, phone: None, is_named: false };
            Target { flow: self.cluster.seal(&itself), ..Target::of_uri(None) }
        };
        let targets: Vec<Target> = siblings.map(target).collect();
        if targets.is_empty() {
            return "unknown";
        }
        if !self.has_room() || !self.asked.has_room(cx.now()) {
            return "refused";
        }
        let new = NewFork::of_ours(Upstream::Server { key, hop: arrival.hop }, cancel.clone(), arrived);
        self.open_fork(cx, new, vec![Group { targets, ring_time: None, condition: Condition::Always }]);
        "passed_on"
    }

    fn is_from_sibling(&self, arrived: &Arrived) -> bool {
        let token = arrived.own_routes.last().and_then(|route| flow_of(route));
        let itself = token.and_then(|token| self.cluster.open(&token).ok());
        itself.is_some_and(|token| token.hop == ITSELF && token.edge_id == self.config.id)
    }

    /// A sibling asks: is the INVITE here?
    fn take_passed_cancel(&mut self, cx: &mut Cx<'_>, key: ServerKey, passed: &Message) {
        let cancel = passed.edit().remove_first_value(HeaderId::Via).finish().ok();
        let found = cancel.as_ref().and_then(|cancel| cx.invite_of(cancel));
        match cancel.zip(found) {
            Some((cancel, invite)) if self.came_from(invite, &cancel) => {
                self.meters.astray_cancels.with_label_values(&["found"]).inc();
                self.confirm_cancel(cx, key, passed);
                self.carry_out_cancel(cx, invite, &cancel);
            }
            Some(_) | None => self.reject(cx, key, passed, &Reject::DoesNotExist),
        }
    }

    /// Did the INVITE come from where the CANCEL comes from?
    pub(super) fn came_from(&self, invite: ServerKey, cancel: &Message) -> bool {
        let request = match self.servers.get(&invite) {
            Some(ServerUse::Fork(fork)) => self.forks.get(fork).map(|fork| &fork.request),
            Some(ServerUse::Leg(call)) => self.legs.request_of(call, invite),
            // Nothing was sent yet, or all is over: there is nobody to disturb.
            Some(ServerUse::Deciding) | None => None,
        };
        request.is_none_or(|request| source(request).is_some_and(|at| source(cancel) == Some(at)))
    }
}

/// Where a request came from, by its topmost Via, in which the edge that took it noted another source than it claims.
fn source(request: &Message) -> Option<IpAddr> {
    let via = request.top_via().ok()?;
    via.received_ip().or_else(|| via.host_ip()).map(|ip| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PXY-22
    #[test]
    fn a_flood_of_cancels_is_not_passed_on() {
        let (mut asked, now) = (Asked::default(), Instant::now());
        let taken = (0..10 * MOST_A_SECOND).filter(|_| asked.has_room(now)).count();
        assert_eq!(taken as u32, MOST_A_SECOND);
        assert!(!asked.has_room(now + Duration::from_millis(999)));
        assert!(asked.has_room(now + Duration::from_secs(1)));
    }
}
