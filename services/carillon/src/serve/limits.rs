//! The bounds that operators set, each shown by the metric `carillon_limit`.

use serde::{Deserialize, Serialize};
use store::{LogLimits, RedisOptions};

/// Bounds. What is refused or dropped at them is counted by the service that keeps them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Connections of all peers together: TCP, TLS and WebSocket.
    pub tcp_connections: usize,
    /// Connections of one source address.
    pub tcp_connections_per_source: usize,
    /// Of those, connections of one source (an IPv4 address or a /64) by which nobody registered, called or proved to be somebody yet.
    pub strangers_per_source: usize,
    /// Handshakes of TLS and WebSocket that are under way.
    pub handshakes: usize,
    /// Messages that wait on one connection for a peer that reads slowly.
    pub queue_per_connection: usize,
    /// Octets of start line and headers; 65,535 at most.
    pub head_bytes: usize,
    /// Octets of a body.
    pub body_bytes: usize,
    /// Header lines of a message.
    pub header_lines: usize,
    /// Octets of one header line.
    pub line_bytes: usize,
    /// Octets of a Request-URI.
    pub uri_bytes: usize,
    /// Via values of a message.
    pub via_values: usize,
    /// Route values of a message, and as many Record-Route values.
    pub route_values: usize,
    /// Contact values of a message.
    pub contact_values: usize,
    /// Client transactions alive in one edge, and as many server transactions.
    pub transactions: usize,
    /// Requests that one edge routes or forwards at a time.
    pub forks: usize,
    /// Branches of one request.
    pub branches: usize,
    /// Requests that one edge holds for phones that are being pushed.
    pub held_requests: usize,
    /// Requests outside dialogs that one source may begin in a second at one edge without success; 0 bounds them not.
    pub source_requests: usize,
    /// Sources of which one edge remembers what they began; 0 remembers none.
    pub sources: usize,
    /// Pushes that one registrar has under way at a time.
    pub pushes: usize,
    /// Pushes that wait in one registrar.
    pub pushes_queued: usize,
    /// Questions to the spending service that one registrar has open.
    pub spending_questions: usize,
    /// Calls of call-control with a leg on one edge.
    pub calls: usize,
    /// Events of one call that wait in an edge for call-control.
    pub events_per_call: usize,
    /// Effects of one call that an edge remembers.
    pub effects_per_call: usize,
    /// Events of proxied calls that wait in one edge for call-control; above half of it further calls are not told.
    pub call_reports: usize,
    /// Servers of other domains that one edge remembers to have failed; 0 remembers none.
    pub failed_servers: usize,
    /// Answers of DNS that are kept.
    pub dns_answers: usize,
    /// Questions to DNS in flight; beyond it a name is not looked up.
    pub dns_lookups: usize,
    /// Messages kept for ladders in one edge; 0 keeps none.
    pub ladder_messages: usize,
    /// Octets that they may have together.
    pub ladder_bytes: usize,
    /// Bindings of one address of record, where its account does not say.
    pub bindings: u32,
    /// Addresses of record that a registrar keeps in memory beside a shared store.
    pub cached_aors: usize,
    /// Calls that a call-control replica keeps in memory beside the store.
    pub cached_calls: usize,
    /// Tasks of one call-control replica that carry effects and work on due entries.
    pub call_tasks: usize,
    /// Callbacks that are not over; each of the 16 partitions takes a sixteenth of them.
    pub callbacks: usize,
    /// Callbacks of one user that are not over.
    pub callbacks_per_user: usize,
    /// Watchers of one resource in one package.
    pub watchers: u32,
    /// Members of lists in other domains that are asked for there for one watcher.
    pub members_elsewhere: u32,
    /// Tasks of one presence replica that send and work on due entries.
    pub presence_tasks: usize,
    /// Events buffered for one WatchCalls stream.
    pub watch_buffer: usize,
    /// Events kept in one log for streams that resume. Calls are spread over 16 logs and have about 12 events
    /// of 400 octets each: by default these are an hour of 7 calls a second.
    pub history_events: usize,
    /// Octets of events kept in one log of the embedded store; Redis has its `maxmemory`.
    pub history_bytes: usize,
    /// Commits that wait for one of the connections to Redis.
    pub redis_queue: usize,
    /// Tasks of the process: connections of phones, streams, background work.
    pub tasks: usize,
}

// Every default is that of the owner of the bound, so that there is one.
impl Default for Limits {
    fn default() -> Self {
        let endpoint = sip_endpoint::Config::default();
        let edge = edge::Limits::default();
        let calls = call_control::Config::default();
        let registrar = registrar::Config::default();
        let presence = presence::Config::default();
        let logs = LogLimits::default();
        let dns = sip_endpoint::ResolverConfig::default();
        Self {
            tcp_connections: endpoint.max_connections,
            tcp_connections_per_source: endpoint.max_connections_per_address,
            strangers_per_source: endpoint.max_strangers_per_source,
            handshakes: endpoint.max_handshakes,
            queue_per_connection: endpoint.max_queued_per_connection,
            head_bytes: endpoint.limits.head_bytes,
            body_bytes: endpoint.limits.body_bytes,
            header_lines: endpoint.limits.header_lines,
            line_bytes: endpoint.limits.line_bytes,
            uri_bytes: endpoint.limits.uri_bytes,
            via_values: endpoint.limits.via_values,
            route_values: endpoint.limits.route_values,
            contact_values: endpoint.limits.contact_values,
            transactions: endpoint.transactions.max_server,
            forks: edge.forks,
            branches: edge.branches,
            held_requests: edge.held,
            source_requests: edge.source_requests,
            sources: edge.sources,
            pushes: registrar.pushes_at_once,
            pushes_queued: registrar.pushes_queued,
            spending_questions: registrar.spending.at_once,
            calls: edge.calls,
            events_per_call: edge.events_per_call,
            effects_per_call: edge.effects_per_call,
            call_reports: edge.call_reports,
            failed_servers: edge.failed_servers,
            dns_answers: dns.cache,
            dns_lookups: dns.lookups,
            ladder_messages: edge.captured_messages,
            ladder_bytes: edge.captured_octets,
            bindings: registrar.max_bindings,
            cached_aors: registrar.cached_aors,
            cached_calls: calls.cached_calls,
            call_tasks: calls.tasks,
            callbacks: calls.callbacks,
            callbacks_per_user: calls.callbacks_per_user,
            watchers: presence.watchers,
            members_elsewhere: presence.members_elsewhere,
            presence_tasks: presence.tasks,
            watch_buffer: calls.watch_buffer,
            history_events: logs.max_entries,
            history_bytes: logs.max_octets,
            redis_queue: RedisOptions::default().queue,
            tasks: 100_000, // twice what 20,000 connections of phones and 20,000 tasks of calls need
        }
    }
}

impl Limits {
    /// Every bound with its key.
    pub fn all(&self) -> [(&'static str, usize); 45] {
        [
            ("limits.tcp_connections", self.tcp_connections),
            ("limits.tcp_connections_per_source", self.tcp_connections_per_source),
            ("limits.strangers_per_source", self.strangers_per_source),
            ("limits.handshakes", self.handshakes),
            ("limits.queue_per_connection", self.queue_per_connection),
            ("limits.head_bytes", self.head_bytes),
            ("limits.body_bytes", self.body_bytes),
            ("limits.header_lines", self.header_lines),
            ("limits.line_bytes", self.line_bytes),
            ("limits.uri_bytes", self.uri_bytes),
            ("limits.via_values", self.via_values),
            ("limits.route_values", self.route_values),
            ("limits.contact_values", self.contact_values),
            ("limits.transactions", self.transactions),
            ("limits.forks", self.forks),
            ("limits.branches", self.branches),
            ("limits.held_requests", self.held_requests),
            ("limits.source_requests", self.source_requests),
            ("limits.sources", self.sources),
            ("limits.pushes", self.pushes),
            ("limits.pushes_queued", self.pushes_queued),
            ("limits.spending_questions", self.spending_questions),
            ("limits.calls", self.calls),
            ("limits.events_per_call", self.events_per_call),
            ("limits.effects_per_call", self.effects_per_call),
            ("limits.call_reports", self.call_reports),
            ("limits.failed_servers", self.failed_servers),
            ("limits.dns_answers", self.dns_answers),
            ("limits.dns_lookups", self.dns_lookups),
            ("limits.ladder_messages", self.ladder_messages),
            ("limits.ladder_bytes", self.ladder_bytes),
            ("limits.bindings", self.bindings as usize),
            ("limits.cached_aors", self.cached_aors),
            ("limits.cached_calls", self.cached_calls),
            ("limits.call_tasks", self.call_tasks),
            ("limits.callbacks", self.callbacks),
            ("limits.callbacks_per_user", self.callbacks_per_user),
            ("limits.watchers", self.watchers as usize),
            ("limits.members_elsewhere", self.members_elsewhere as usize),
            ("limits.presence_tasks", self.presence_tasks),
            ("limits.watch_buffer", self.watch_buffer),
            ("limits.history_events", self.history_events),
            ("limits.history_bytes", self.history_bytes),
            ("limits.redis_queue", self.redis_queue),
            ("limits.tasks", self.tasks),
        ]
    }

    /// Shows every bound.
    pub fn show(&self, metrics: &telemetry::Metrics) {
        let shown = metrics.gauges("limit", "Bounds as they are set (limits of the settings)", &["name"]);
        for (key, value) in self.all() {
            let name = key.trim_start_matches("limits.");
            shown.with_label_values(&[name]).set(i64::try_from(value).unwrap_or(i64::MAX));
        }
    }
}
