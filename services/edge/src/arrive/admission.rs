//! A request arrives: is it taken, and who handles it?

use sip_endpoint::{Arrival, ServerKey};
use sip_message::{Message, Method, Scheme, Uri, Via};
use sip_proxy::{Arrived, Refusal, RoutingDigest, check_extensions, check_request};

use super::notified::callback_of;
use super::options;
use super::out_of_dialog::{Pending, in_dialog};
use super::presence;
use super::toward_gateway::Leads;
use crate::capture::why;
use crate::edge::{Cx, Edge, ServerUse};
use crate::forward::obstacle;
use crate::legs;
use crate::operate::pressure::Importance;
use crate::reject::{Refused, Reject};

/// Extensions that the proxy core knows; `pref` is RFC 3841.
const PROXY_EXTENSIONS: [&str; 1] = ["pref"];

impl Edge {
    pub(crate) fn take_request(
        &mut self,
        cx: &mut Cx<'_>,
        key: ServerKey,
        request: Message,
        arrival: &Arrival,
    ) {
        self.meters.request(&request.method());
        self.take(cx, key, request, arrival, false);
    }

    /// `has_waited`: for the first lease, until it came or as long as may be.
    pub(super) fn take(
        &mut self,
        cx: &mut Cx<'_>,
        key: ServerKey,
        request: Message,
        arrival: &Arrival,
        has_waited: bool,
    ) {
        if let Err(refused) = self.admit(cx, key, request, arrival, has_waited) {
            if refused.reject.is_silent(arrival.transport.is_reliable()) {
                return self.ignore(cx, key, refused.reject.label());
            }
            // Nobody has been asked about its sender.
            self.refuse(cx, key, &refused.request, &refused.reject, true);
        }
    }

    /// Finds the one who handles the request. The order is that of RFC 3261 16.3 and 16.4.
    fn admit(
        &mut self,
        cx: &mut Cx<'_>,
        key: ServerKey,
        request: Message,
        arrival: &Arrival,
        has_waited: bool,
    ) -> Result<(), Box<Refused>> {
        let in_dialog = in_dialog(&request);
        let written = Uri::parse(request.request_uri().unwrap_or_default());
        let scheme = written.as_ref().ok().map(|uri| uri.scheme);
        let arrived = match self.preliminaries(cx, &request, scheme, arrival, in_dialog, has_waited) {
            Ok(arrived) => arrived,
            Err(reject) => return Err(Refused::new(request, reject)),
        };
        let uri = match (written, arrived.request_uri(&request)) {
            (Ok(uri), meant) if uri.raw() == meant => Ok(uri),
            (_, meant) => Uri::parse(meant),
        };
        let uri = match uri {
            Ok(uri) => uri,
            Err(_) => {
                return Err(Refused::new(request, Reject::Proxy(Refusal::Malformed("Bad Request-URI"))));
            }
        };
        let is_ours = self.own.is_ours(&uri);
        let continues = arrived.next_route.is_some();
        if !has_waited && !self.early.is_over() {
            let is_leg = || legs::Address::of(&uri).is_some() || callback_of(&uri).is_some();
            let is_here = is_ours && !continues && (is_leg() || presence::is_addressed(&uri));
            if let Some(wait) = self.early_wait(cx, in_dialog && !is_here) {
                return self.keep_early(cx, key, request, arrival, wait);
            }
        }
        let is_marked =
            || self.is_marked(&request, &uri) || (!in_dialog && self.is_about_marked(&request, &uri));
        if !continues && (is_ours || is_marked()) {
            if let Some(address) = legs::Address::of(&uri)
                && !is_to_leg(&request, in_dialog)
            {
                return self.take_leg_request(cx, key, request, arrival, address);
            }
            if let Some(callback_id) = callback_of(&uri) {
                return self.take_notify(cx, key, request, arrival, callback_id);
            }
            if presence::is_addressed(&uri) {
                self.ask_presence(cx, key, request, arrival, String::new());
                return Ok(());
            }
        }
        if !self.early.is_over() {
            return Err(Refused::new(request, self.decision_unavailable()));
        }
        if is_ours && !continues {
            if let Err(refusal) = check_extensions(&request, &PROXY_EXTENSIONS) {
                return Err(Refused::new(request, refusal));
            }
            match request.method() {
                Method::Register => return self.register(cx, key, request, arrival),
                Method::Options if uri.user.is_none() => return self.answer_options(cx, key, request),
                // whether numbers are lent here, the registrar knows
                method
                    if method != Method::Allocate
                        && uri.user.is_none()
                        && arrived.own_routes.is_empty()
                        && !in_dialog =>
                {
                    return Err(Refused::new(request, no_such_service(&method)));
                }
                _ => {}
            }
        }
        let max_breadth = match check_request(&request, &PROXY_EXTENSIONS) {
            Ok(allowance) => allowance.max_breadth,
            Err(refusal) => return Err(Refused::new(request, refusal)),
        };
        let digest = RoutingDigest::of(&request);
        let arrival = *arrival;
        let is_to_leg = !continues
            && legs::Address::of(&uri).is_some()
            && is_to_leg(&request, in_dialog)
            && (is_ours || self.is_about_marked(&request, &uri));
        let pending = Pending {
            key,
            request,
            arrived,
            digest,
            max_breadth,
            arrival,
            seen: None,
            is_to_leg,
            leads: Leads::On,
        };
        self.forward(cx, pending, in_dialog)
    }

    /// What decides before the request is looked at closely.
    fn preliminaries(
        &mut self,
        cx: &Cx<'_>,
        request: &Message,
        scheme: Option<Scheme<'_>>,
        arrival: &Arrival,
        in_dialog: bool,
        has_waited: bool,
    ) -> Result<Arrived, Reject> {
        if !in_dialog {
            // What has waited was counted when it came.
            if !has_waited {
                self.check_source(cx, request, arrival)?;
            }
            self.check_load(cx, request)?;
        }
        match scheme {
            Some(Scheme::Other(_)) => return Err(Refusal::UnsupportedScheme.into()),
            // RFC 3261 10.2: the Request-URI of a REGISTER names a domain.
            Some(Scheme::Tel) if request.method() == Method::Register => {
                return Err(Refusal::UnsupportedScheme.into());
            }
            Some(Scheme::Sip | Scheme::Sips | Scheme::Tel) | None => {}
        }
        Ok(self.read_route(request)?)
    }

    fn forward(
        &mut self,
        cx: &mut Cx<'_>,
        mut pending: Pending,
        in_dialog: bool,
    ) -> Result<(), Box<Refused>> {
        self.disbelieve(&mut pending);
        if !self.has_room() {
            return Err(Refused::new(pending.request, Reject::Full));
        }
        let own = &self.own;
        let is_own = |via: &Via<'_>| own.is_address(via.host, via.port_or_default());
        if pending.digest.is_loop(&pending.request, is_own) {
            return Err(Refused::new(pending.request, Refusal::LoopDetected));
        }
        // A request along a route that we recorded needs no decision: the one that opened the dialog had it. PXY-27
        let flow = self.flow_of_route(&pending.request, &pending.arrived);
        // The token of a flow is known to whoever was called from it: without the mark it opens nothing.
        pending.leads = self.leads(&pending, flow.as_deref());
        if pending.leads == Leads::Astray {
            return Err(Refused::new(pending.request, Reject::AtTrunk));
        }
        let is_free = !pending.is_to_leg && pending.leads != Leads::ToAnotherNumber;
        let may_continue = (in_dialog || flow.is_some()) && is_free;
        let is_forged = flow.as_deref().is_some_and(|flow| self.cluster.open(flow).is_err());
        if is_forged || (may_continue && self.was_let_in(&pending.request, &pending.arrived)) {
            // A side of a dialog, or another edge.
            if !is_forged {
                cx.keep(pending.arrival.flow);
            }
            self.forward_routed(cx, pending, flow)
        } else {
            // Anybody can write a tag.
            if in_dialog && let Err(reject) = self.check_source(cx, &pending.request, &pending.arrival) {
                return Err(Refused::new(pending.request, reject));
            }
            self.servers.insert(pending.key, ServerUse::Deciding);
            self.decide(cx, pending);
            Ok(())
        }
    }

    /// Refuses new work before it costs anything: the least important first, and never what belongs to a dialog.
    fn check_load(&self, cx: &Cx<'_>, request: &Message) -> Result<(), Reject> {
        if self.deps.drain.is_draining() && !self.is_for_flow(request) {
            return Err(Reject::Draining { retry_after: self.retry_after() });
        }
        let (delay, interval) = (self.config.overload_delay, self.config.overload_interval);
        let is_refused = self.pressure.refuses(cx.now(), Importance::of(request), delay, interval);
        if is_refused { Err(Reject::Overloaded) } else { Ok(()) }
    }

    /// Has a sibling sent it for a flow of this edge? Whoever is reached by it alone is called until it ends; of one that is gone the
    /// sibling is told so. RFC 5626 5.3
    fn is_for_flow(&self, request: &Message) -> bool {
        let arrived = self.read_route(request);
        arrived.is_ok_and(|arrived| {
            obstacle::is_relayed(&arrived.own_routes) && self.was_let_in(request, &arrived)
        })
    }

    /// The service that decides did not answer: it has gone, or waits for what has.
    pub(crate) fn decision_unavailable(&self) -> Reject {
        Reject::DecisionUnavailable { retry_after: self.retry_after() }
    }

    /// Another time for each, so that they do not come back together.
    fn retry_after(&self) -> u32 {
        1 + self.deps.entropy.below(10) as u32
    }

    /// Answers a request without success.
    pub(crate) fn reject(&mut self, cx: &mut Cx<'_>, key: ServerKey, request: &Message, reject: &Reject) {
        self.refuse(cx, key, request, reject, false);
    }

    fn refuse(&mut self, cx: &mut Cx<'_>, key: ServerKey, request: &Message, reject: &Reject, is_once: bool) {
        self.servers.remove(&key);
        self.meters.rejects.with_label_values(&[reject.label()]).inc();
        self.ring.note(request, || why::rejected(request, reject));
        let headers = reject.headers(request);
        let pairs: Vec<_> = headers.iter().map(|(id, value)| (id.as_str(), value.as_str())).collect();
        let reason = reject.reason().unwrap_or_default();
        let room = Self::room(cx, key, request);
        match self.answer_within(room, request, (reject.status(), &reason), &pairs) {
            Ok(Some(response)) if is_once && Self::is_answered_once(cx, key, request) => {
                self.respond_once(cx, key, response);
            }
            Ok(Some(response)) => self.respond(cx, key, response),
            Ok(None) => self.stay_silent(cx, key),
            Err(_) => self.meters.dropped.with_label_values(&["response"]).inc(),
        }
    }

    /// Sends an answer of ours; one that cannot be sent is counted.
    pub(crate) fn respond(&mut self, cx: &mut Cx<'_>, key: ServerKey, response: Message) {
        if cx.respond(key, response).is_err() {
            self.meters.dropped.with_label_values(&["response"]).inc();
        }
    }

    /// Sends an answer of ours and forgets the request: each repetition of it is answered anew.
    pub(crate) fn respond_once(&mut self, cx: &mut Cx<'_>, key: ServerKey, response: Message) {
        if cx.respond_and_forget(key, response).is_err() {
            self.meters.dropped.with_label_values(&["response"]).inc();
        }
    }

    /// The table of server transactions is full: one 503, of which nothing is remembered.
    pub(crate) fn refuse_overflow(&mut self, cx: &mut Cx<'_>, request: &Message, arrival: &Arrival) {
        self.meters.rejects.with_label_values(&[Reject::Full.label()]).inc();
        let room = Self::room_by(arrival.hop, request);
        if let Ok(Some(response)) = self.answer_within(room, request, (Reject::Full.status(), ""), &[]) {
            cx.send_statelessly(&response, arrival.hop);
        }
    }

    fn answer_options(
        &mut self,
        cx: &mut Cx<'_>,
        key: ServerKey,
        request: Message,
    ) -> Result<(), Box<Refused>> {
        if let Err(reject) = options::check(&request) {
            return Err(Refused::new(request, reject));
        }
        let headers = options::headers();
        let pairs = headers.map(|(id, value)| (id.as_str(), value));
        match self.answer_within(Self::room(cx, key, &request), &request, (200, ""), &pairs) {
            Ok(Some(response)) => self.respond(cx, key, response),
            Ok(None) => self.stay_silent(cx, key),
            Err(_) => return Err(Refused::new(request, Reject::Internal)),
        }
        Ok(())
    }
}

/// Whether a request to the Contact of a leg begins a dialog of its own, with one that is to take a place in the leg's call or that leads its
/// party elsewhere: who sends it is asked (RFC 3891 3, RFC 4538 5).
fn is_to_leg(request: &Message, in_dialog: bool) -> bool {
    !in_dialog && matches!(request.method(), Method::Invite | Method::Refer)
}

/// The edge itself was addressed with something that it does not do. UAC-01
fn no_such_service(method: &Method) -> Reject {
    match method {
        Method::Other(_) => Reject::NotImplemented,
        _ => Reject::MethodNotAllowed,
    }
}
