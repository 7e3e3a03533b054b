//! What an edge is called, what it serves, and its bounds.

use std::net::SocketAddr;
use std::time::Duration;

use sip_endpoint::Network;

use crate::arrive::scanners;

/// Configuration of one edge.
#[derive(Debug, Clone)]
pub struct Config {
    /// Stable name of this process, unique among edges (the pod name on Kubernetes).
    pub id: String,
    /// Boot epoch: later lives of the same id have a larger one. Milliseconds since 1970 of the start.
    pub epoch: u64,
    /// Domains served.
    pub domains: Vec<String>,
    /// Digest realms of these domains: credentials for them go no further than this tier.
    pub realms: Vec<String>,
    /// Further `host:port` that lead to this tier: load balancers, the advertised name.
    pub aliases: Vec<String>,
    /// Where other edges of the tier reach this one's SIP listener, `host:port`; empty means the first listener.
    pub internal: String,
    /// User-Agents that are not answered, by their beginning in any case, unless trusted. Default those of well-known scanners.
    pub scanners: Vec<String>,
    /// Networks whose peers are not challenged. Default none.
    pub trusted: Vec<Network>,
    /// Domains whose servers are not challenged when they prove them by a certificate (RFC 5922 7.4). Default none.
    pub trusted_domains: Vec<String>,
    /// Where this process serves other than SIP and keeps its store: no peer leads a request there. Default none.
    pub inside: Vec<SocketAddr>,
    /// Networks of loopback or link-local addresses that peers may lead a request to. Default none, but such a one that is listened
    /// on opens its kind.
    pub danger_reach: Vec<Network>,
    /// Sockets, transactions and their bounds.
    pub endpoint: sip_endpoint::Config,
    /// Whether URIs of ours are `sip` with `transport=tls`, instead of `sips`, in calls by TLS to `sip`. Default no.
    pub transport_tls: bool,
    /// Whether phones that register are told to send their requests by way of this tier (RFC 3608). Default yes.
    pub service_route: bool,
    /// How often a phone that keeps its flow by RFC 5626 has to be heard of by TCP and TLS (Flow-Timer); by UDP 29 s at most, as 4.4.2
    /// there recommends. Default 120 s, 4.4.1 there; 0 does not ask and waits for the end of the connection.
    pub flow_timer: Duration,
    /// How long one branch or group may ring before the next step or the final answer. Default 60 s: three times what
    /// most phones take to give up. It is for phones of own users: a trunk or a server of another domain that sent a provisional response
    /// is ended by Timer C alone, 181 s after the last one (RFC 3261 16.6 step 11); one that has said nothing by then has failed.
    pub ring_timeout: Duration,
    /// Queueing delay of the driver loop from which on requests outside dialogs are refused, the least important first.
    /// Default 10 ms, twice the target of CoDel (RFC 8289 4.3).
    pub overload_delay: Duration,
    /// How long no round may have been shorter than that, or the kernel's queue of datagrams never less than half full, before
    /// anything is refused. Default 500 ms, T1 of RFC 3261: as the
    /// interval of CoDel (RFC 8289 4.2) it is the round trip that is expected at worst, and what is worked off within it
    /// nobody has asked for twice.
    pub overload_interval: Duration,
    /// How long a server found by name that did not answer is tried last. Default 60 s: the caller who finds out waits for
    /// `target_timeout`, so that at most one in so long a time does.
    pub avoid_failed: Duration,
    /// How long a server or trunk may say nothing at all where another one can take the request. Default 4 s: its request was sent four
    /// times by then (0, 0.5, 1.5 and 3.5 s, RFC 3261 17.1.1.2). 0 waits for Timer B or F (64*T1), as for the last one in any case.
    pub target_timeout: Duration,
    /// How long after it began the mark of a dialog opens it to requests that could begin something: re-INVITE, REFER, SUBSCRIBE,
    /// NOTIFY, MESSAGE. Later their sender is asked who it is. Default 7 days: longer than calls last.
    pub dialog_lifetime: Duration,
    /// How long a request waits for a phone that was pushed to register. Default 20 s: phones need some seconds, and callers give up
    /// after half a minute; a request that is no INVITE waits for its sender's Timer F (32 s) at most.
    pub wake_timeout: Duration,
    /// Bounds.
    pub limits: Limits,
}

/// Bounds of one edge; each has a counter of refusals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Requests that are being forwarded or routed. Default 200,000: half of the transactions of an endpoint.
    pub forks: usize,
    /// Branches one request may have. Default 30: half of the Max-Breadth of RFC 5393.
    pub branches: usize,
    /// Branches that wait for phones that were pushed; beyond it such a phone counts as unreachable. Default 1,000.
    pub held: usize,
    /// Requests outside dialogs that one source may begin in a second without success, ten times as many at once. Default 200: three
    /// times what the phones of a large office behind one address begin when all of them call; 0 bounds them not.
    pub source_requests: usize,
    /// Sources of which is remembered what they began and what became of it. Default 100,000, in some 10 MB; 0 remembers none, so that none
    /// is bounded.
    pub sources: usize,
    /// Calls of call-control with a leg here. Default 100,000.
    pub calls: usize,
    /// Events of one call that wait for call-control. Default 256: a call has about twenty in its life.
    pub events_per_call: usize,
    /// Effects of one call that are remembered. Default 1024.
    pub effects_per_call: usize,
    /// How long events of a call are offered to call-control before the leg is given up. Default 10 min.
    pub event_patience: Duration,
    /// How long a call without any leg activity is remembered after its release. Default 64 s: twice 64*T1, so that a
    /// repeated effect is recognised.
    pub remember_released: Duration,
    /// Servers that are remembered to have failed. Default 10,000; 0 remembers none.
    pub failed_servers: usize,
    /// Events of proxied calls that wait until call-control has committed them. Above half of it further calls are not told at
    /// all, so that those that were told are told whole. Default 100,000: 12,500 calls while call-control is away, in some 50 MB.
    pub call_reports: usize,
    /// Messages and decisions that are kept to be looked at. Default 20,000: some thousand calls back; 0 keeps none.
    pub captured_messages: usize,
    /// Octets that they may have together. Default 32 MiB: twice what that many messages of ordinary size take.
    pub captured_octets: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            forks: 200_000,
            branches: 30,
            held: 1_000,
            source_requests: 200,
            sources: 100_000,
            calls: 100_000,
            events_per_call: 256,
            effects_per_call: 1024,
            event_patience: Duration::from_secs(600),
            remember_released: Duration::from_secs(64),
            failed_servers: 10_000,
            call_reports: 100_000,
            captured_messages: 20_000,
            captured_octets: 32 * 1024 * 1024,
        }
    }
}

impl Config {
    /// An edge of this name and life, everything else by default.
    pub fn new(id: impl Into<String>, epoch: u64, endpoint: sip_endpoint::Config) -> Self {
        Self {
            id: id.into(),
            epoch,
            domains: Vec::new(),
            realms: Vec::new(),
            aliases: Vec::new(),
            internal: String::new(),
            scanners: scanners::KNOWN.map(str::to_owned).to_vec(),
            trusted: Vec::new(),
            trusted_domains: Vec::new(),
            inside: Vec::new(),
            danger_reach: Vec::new(),
            endpoint,
            transport_tls: false,
            service_route: true,
            flow_timer: Duration::from_secs(120),
            ring_timeout: Duration::from_secs(60),
            overload_delay: Duration::from_millis(10),
            overload_interval: Duration::from_millis(500),
            avoid_failed: Duration::from_secs(60),
            target_timeout: Duration::from_secs(4),
            dialog_lifetime: Duration::from_secs(7 * 24 * 3600),
            wake_timeout: Duration::from_secs(20),
            limits: Limits::default(),
        }
    }
}
