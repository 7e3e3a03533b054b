//! What the edge counts: outcomes and reasons, never users or calls.

use telemetry::{Counter, Counters, Gauge, Metrics};

/// The counters of one edge.
#[derive(Clone)]
pub(crate) struct Meters {
    /// Requests taken, by method.
    requests: Counters,
    /// The ones that most of them are.
    registers: Counter,
    invites: Counter,
    /// Requests that we answered without success ourselves, by reason.
    pub(crate) rejects: Counters,
    /// Plans of the registrar, by kind.
    pub(crate) plans: Counters,
    /// Branches started, by how the way was found.
    pub(crate) branches: Counters,
    /// Failures on the way to a target, by kind.
    pub(crate) failures: Counters,
    /// Callers whose connection ended while it rang, by what became of them.
    pub(crate) absent_callers: Counters,
    /// Next hops that a peer named and nobody is led to, by what is there.
    pub(crate) off_limits: Counters,
    /// Names that lead nowhere, by reason.
    pub(crate) unlocated: Counters,
    /// Servers found by name that failed, by how.
    pub(crate) failed_servers: Counters,
    /// Those of them that are avoided.
    pub(crate) avoided: Gauge,
    /// Places of the peers of trunks.
    pub(crate) gateways: Gauge,
    /// CANCELs of no INVITE here, by what became of them.
    pub(crate) astray_cancels: Counters,
    /// Things dropped because nothing could be done with them, by kind.
    pub(crate) dropped: Counters,
    /// Sources of which is remembered what they began, and those that were not answered for a time.
    pub(crate) sources: Gauge,
    pub(crate) shunned: Counter,
    /// Leg events, by what became of their delivery.
    pub(crate) leg_events: Counters,
    /// Reports of proxied calls, by what became of them.
    pub(crate) call_reports: Counters,
    /// Batches of ended flows, by what became of them, and registrations that found no room.
    pub(crate) ended_flows: Counters,
    /// Flows whose phones have to be heard of.
    pub(crate) watched_flows: Gauge,
    /// Addresses of record that are registered over a connection here.
    pub(crate) registered: Gauge,
    /// Requests that wait for the first lease.
    pub(crate) early: Gauge,
    /// Branches whose phones are being woken, and what became of them.
    pub(crate) held: Gauge,
    pub(crate) woken: Counters,
    /// Flows that were gone, by whether the phone has come back.
    pub(crate) followed: Counters,
    /// Room at trunks whose calls are counted, by what was heard of it.
    pub(crate) seized: Counters,
    /// Requests that are being forwarded.
    pub(crate) forks: Gauge,
    /// Calls of call-control with a leg here.
    pub(crate) calls: Gauge,
}

/// The counters of the ring of recent messages.
#[derive(Clone)]
pub(crate) struct CaptureMeters {
    /// Messages and decisions that are kept.
    pub(crate) steps: Gauge,
    /// Their octets.
    pub(crate) octets: Gauge,
    /// Those that made room for newer ones.
    pub(crate) left: Counter,
}

impl CaptureMeters {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        Self {
            steps: metrics.gauge("edge_capture_steps", "Recent messages and decisions that are kept"),
            octets: metrics.gauge("edge_capture_octets", "Octets of the recent messages that are kept"),
            left: metrics
                .counter("edge_capture_left_total", "Messages and decisions that made room for newer ones"),
        }
    }
}

impl Meters {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let requests = metrics.counters("edge_requests_total", "Requests taken, by method", &["method"]);
        Self {
            registers: requests.with_label_values(&["REGISTER"]),
            invites: requests.with_label_values(&["INVITE"]),
            requests,
            rejects: metrics.counters(
                "edge_rejects_total",
                "Requests refused by the edge itself, by reason",
                &["reason"],
            ),
            plans: metrics.counters("edge_plans_total", "Routing plans, by kind", &["plan"]),
            branches: metrics.counters(
                "edge_branches_total",
                "Branches started, by how the way was found",
                &["way"],
            ),
            failures: metrics.counters(
                "edge_branch_failures_total",
                "Branches without a response, by reason",
                &["reason"],
            ),
            absent_callers: metrics.counters(
                "edge_absent_callers_total",
                "Callers whose connection ended while it rang (gone), and by what became of each: back, cancelled, or over before",
                &["outcome"],
            ),
            off_limits: metrics.counters(
                "edge_off_limits_total",
                "Next hops named by a peer to which nobody is led, by what is there",
                &["there"],
            ),
            unlocated: metrics.counters(
                "edge_unlocated_total",
                "Next hops whose name led nowhere, by reason",
                &["reason"],
            ),
            failed_servers: metrics.counters(
                "edge_failed_servers_total",
                "Servers found by name that failed, by how",
                &["reason"],
            ),
            gateways: metrics.gauge("edge_gateways", "Places of the peers of trunks that are known"),
            avoided: metrics.gauge("edge_avoided_servers", "Servers found by name that are tried last"),
            astray_cancels: metrics.counters(
                "edge_astray_cancels_total",
                "CANCELs of no INVITE at this edge, by outcome: passed on to the siblings, found for a sibling, unknown, refused; and foreign, from elsewhere than their INVITE",
                &["outcome"],
            ),
            dropped: metrics.counters(
                "edge_dropped_total",
                "Messages that nothing could be done with, by kind",
                &["kind"],
            ),
            sources: metrics.gauge("edge_sources", "Sources of which is remembered what they asked for lately"),
            shunned: metrics.counter(
                "edge_shunned_sources_total",
                "Sources that were not answered for a minute because what they asked for was refused",
            ),
            leg_events: metrics.counters(
                "edge_leg_events_total",
                "Leg events, by outcome of the delivery",
                &["outcome"],
            ),
            call_reports: metrics.counters(
                "edge_call_reports_total",
                "Reports of proxied calls delivered or failed, and events that found no room",
                &["outcome"],
            ),
            ended_flows: metrics.counters(
                "edge_ended_flows_total",
                "Batches of ended flows told to the registrar or failed, flows by datagrams whose port is refused, connections of edges that are gone, flows that fell silent or that nobody could watch, and registrations whose end is not told",
                &["outcome"],
            ),
            watched_flows: metrics.gauge(
                "edge_watched_flows",
                "Flows that end when their phone is not heard of for as long as Flow-Timer says",
            ),
            registered: metrics.gauge(
                "edge_registered_by_connection",
                "Addresses of record registered over a connection here, or ended and not told yet",
            ),
            early: metrics.gauge("edge_early_requests", "Requests that wait for the first lease of this edge"),
            held: metrics.gauge("edge_held", "Requests held for phones that are being woken"),
            woken: metrics.counters(
                "edge_woken_total",
                "Phones that were waited for: awake, lost, late, unwanted, or not waited for because too many were",
                &["outcome"],
            ),
            followed: metrics.counters(
                "edge_followed_flows_total",
                "Requests whose flow was gone: its phone has another one (moved) or none (lost), or too many were waited for (full)",
                &["outcome"],
            ),
            seized: metrics.counters(
                "edge_trunk_seizures_total",
                "Branches toward trunks whose calls are counted: seized, full, unanswered, unwanted; and room given back (released), or not",
                &["outcome"],
            ),
            forks: metrics.gauge("edge_forks", "Requests that are being forwarded"),
            calls: metrics.gauge("edge_calls", "Calls of call-control with a leg on this edge"),
        }
    }

    /// Counts a request; methods that nobody knows share one label, so that a scanner cannot fill the registry.
    pub(crate) fn request(&self, method: &sip_message::Method) {
        let label = match method {
            sip_message::Method::Register => return self.registers.inc(),
            sip_message::Method::Invite => return self.invites.inc(),
            sip_message::Method::Other(_) => "other",
            known => known.as_str(),
        };
        self.requests.with_label_values(&[label]).inc();
    }
}
