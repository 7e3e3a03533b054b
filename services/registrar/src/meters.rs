//! What the registrar counts: outcomes, never users.

use cluster_api::registrar::v1::route_response::Plan;
use telemetry::{Counter, Counters, Gauge, Metrics};

use crate::trunks::Table;

/// The counters of one registrar.
pub(crate) struct Meters {
    /// The two answers that storms consist of.
    registered: Counter,
    challenged: Counter,
    registers: Counters,
    routes: Counters,
    /// Commits that lost against another writer.
    pub conflicts: Counter,
    /// Bindings removed because their time had come.
    pub expired: Counter,
    /// Bindings removed because the flow to them ended.
    pub flows_failed: Counter,
    /// Records kept decoded in memory.
    pub cached: Gauge,
    /// Challenges of trunks to calls, by what was answered.
    pub trunk_challenges: Counters,
    /// Attempts to register at trunks, by status.
    pub trunk_registers: Counters,
    /// Calls of accounts with a limit: who was turned away, and how many were dropped from the lists because they were over.
    pub call_slots: Counters,
    /// Calls by trunks that an account may not make, by why.
    pub tolls: Counters,
    /// Numbers to lend: asks by outcome, calls that used one, and numbers given back.
    pub numbers: Counters,
    /// Pushes, by what became of them.
    pub pushes: Counters,
    /// OPTIONS to peers of trunks, by what came back.
    pub trunk_probes: Counters,
    trunk_peers_down: Gauge,
    trunks_unregistered: Gauge,
}

impl Meters {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let registers =
            metrics.counters("registrar_registers_total", "Answers to REGISTER, by status", &["status"]);
        Self {
            registered: registers.with_label_values(&["200"]),
            challenged: registers.with_label_values(&["401"]),
            registers,
            routes: metrics.counters("registrar_routes_total", "Routing decisions, by kind", &["plan"]),
            conflicts: metrics
                .counter("registrar_conflicts_total", "Commits that lost against another writer"),
            expired: metrics
                .counter("registrar_expired_total", "Bindings removed because their time had come"),
            flows_failed: metrics.counter(
                "registrar_flows_failed_total",
                "Bindings removed because the connection to their phone ended",
            ),
            trunk_challenges: metrics.counters(
                "registrar_trunk_challenges_total",
                "Challenges of trunks to calls, by what was answered",
                &["outcome"],
            ),
            trunk_registers: metrics.counters(
                "registrar_trunk_registers_total",
                "Attempts to register at trunks, by status",
                &["status"],
            ),
            trunk_probes: metrics.counters(
                "registrar_trunk_probes_total",
                "OPTIONS to peers of trunks, by what came back",
                &["outcome"],
            ),
            call_slots: metrics.counters(
                "registrar_call_limits_total",
                "Calls at the limit of their caller, callee or trunk, calls freed there, and questions unanswered",
                &["outcome"],
            ),
            tolls: metrics.counters(
                "registrar_toll_refusals_total",
                "Calls by trunks that their account may not make: denied, not allowed, too many within a minute (rate), or led there by nobody of ours (stranger)",
                &["outcome"],
            ),
            numbers: metrics.counters(
                "registrar_numbers_total",
                "Numbers lent, refused, called and given back",
                &["outcome"],
            ),
            pushes: metrics.counters(
                "registrar_pushes_total",
                "Pushes that the push service took, that failed, or that found no room",
                &["outcome"],
            ),
            trunk_peers_down: metrics
                .gauge("registrar_trunk_peers_down", "Peers of trunks that do not serve"),
            trunks_unregistered: metrics
                .gauge("registrar_trunks_unregistered", "Trunks whose last REGISTER did not succeed"),
            cached: metrics.gauge("registrar_cached_aors", "Addresses of record kept in memory"),
        }
    }

    pub(crate) fn answered(&self, status: u32) {
        match status {
            200 => self.registered.inc(),
            401 => self.challenged.inc(),
            other => self.registers.with_label_values(&[&other.to_string()]).inc(),
        }
    }

    /// How the trunks stand, as this replica knows it.
    pub(crate) fn stand(&self, table: &Table) {
        let (down, unregistered) = table.troubles();
        self.trunk_peers_down.set(i64::try_from(down).unwrap_or(i64::MAX));
        self.trunks_unregistered.set(i64::try_from(unregistered).unwrap_or(i64::MAX));
    }

    pub(crate) fn routed(&self, plan: Option<&Plan>) {
        let kind = match plan {
            Some(Plan::Challenge(_)) => "challenge",
            Some(Plan::Refuse(_)) | None => "refuse",
            Some(Plan::Redirect(_)) => "redirect",
            Some(Plan::Fork(_)) => "fork",
            Some(Plan::Relay(_)) => "relay",
            Some(Plan::CallControl(_)) => "call-control",
            Some(Plan::Presence(_)) => "presence",
            Some(Plan::Lend(_)) => "lend",
        };
        self.routes.with_label_values(&[kind]).inc();
    }
}
