//! What the registrar counts: outcomes, never users.

use cluster_api::registrar::v1::route_response::Plan;
use telemetry::{Counter, Counters, Gauge, Metrics};

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

    pub(crate) fn routed(&self, plan: Option<&Plan>) {
        let kind = match plan {
            Some(Plan::Challenge(_)) => "challenge",
            Some(Plan::Refuse(_)) | None => "refuse",
            Some(Plan::Redirect(_)) => "redirect",
            Some(Plan::Fork(_)) => "fork",
            Some(Plan::Relay(_)) => "relay",
            Some(Plan::CallControl(_)) => "call-control",
            Some(Plan::Presence(_)) => "presence",
        };
        self.routes.with_label_values(&[kind]).inc();
    }
}
