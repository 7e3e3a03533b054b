//! What can be set about call-control.

use std::time::Duration;

use crate::engine::call::Policy;
use crate::engine::claim::takers::Takers;
use crate::engine::conference::Mixing;
use crate::engine::{Credential, Redirects};

/// Settings of the service. Every default says where it comes from.
#[derive(Clone, Debug)]
pub struct Config {
    /// URI that Carillon shows in From of its legs. Default `sip:carillon@localhost`, for the default domain.
    pub controller_uri: String,
    /// Name that Carillon shows in From. Default `Carillon`.
    pub controller_name: String,
    /// Host part of Call-IDs. Default `localhost`.
    pub host: String,
    /// How long a dialled leg may ring. Default 60 s (the API's `call_control.ring_timeout`).
    pub ring_timeout: Duration,
    /// Longest time a 2xx or a reliable 18x waits for its ACK or PRACK. Default 20 s, below 64*T1 (RFC 3261 13.3.1.4).
    pub guard: Duration,
    /// T1 of the edges that carry the legs. Default 500 ms (RFC 3261 17.1.1.1).
    pub t1: Duration,
    /// Begin with the offer of one inactive audio line instead of one without media lines. Default false (RFC 3725 4.4).
    pub inactive_first: bool,
    /// Ringback tone when the application names none. Default empty: the tone of `sip-body`.
    pub ringback_tone: String,
    /// Credentials with which Carillon answers challenges to its own legs. Default none.
    pub credentials: Vec<Credential>,
    /// Where the 3xx of a phone may lead. Default users of the default domain (LAD-1 a: by policy).
    pub redirects: Redirects,
    /// Who may take the place of a party of any call, or join it, by Replaces and Join, and lead its party elsewhere by REFER outside its
    /// dialog. Default nobody: only the same user, and whom a party has referred (RFC 3891 3).
    pub takers: Takers,
    /// Whose REFERs are passed on to the other phone instead of being done by Carillon. Default nobody: no phone sees where the other one
    /// is led (TPC-07).
    pub referrers: Takers,
    /// Where conferences are mixed and how they end. Default: there is no mixer, and so no conference.
    pub mixing: Mixing,
    /// The media server that plays announcements (RFC 4240): a sip or sips URI without user part. Default empty: each request names one.
    pub media_server: String,
    /// What is called for who is put on hold and is to hear music (RFC 5359 2.3), when the request says nothing of it. Default empty: none.
    pub music_on_hold: String,
    /// Whether Carillon sends reliable provisional responses to callers that take them (RFC 3262). Default true.
    pub reliable_provisional: bool,
    /// Whether callers of anchored accounts must have session timers (RFC 4028); others get 421. Default false: Carillon refreshes
    /// their sessions itself.
    pub demand_timer: bool,
    /// How long an ended call can be read. Default 24 h (API: "ended less than a day ago").
    pub ended_retention: Duration,
    /// How long a request id is remembered. Default 24 h (API 1).
    pub request_retention: Duration,
    /// Partitions of the store over which calls are spread. Default 16; part of the stored layout.
    pub partitions: u16,
    /// How long a replica may work on claimed work before another takes it over. Default 2 s (takeover target of the design).
    pub lease: Duration,
    /// How often due work is looked for. Default 200 ms: together with the lease below the 3 s of a takeover.
    pub due_interval: Duration,
    /// How long an edge may take to accept an effect. Default 1 s.
    pub carry_timeout: Duration,
    /// How long an effect is tried before the engine is told that nobody carries it. Default 8 s: well within the 32 s in which
    /// a call that is being set up must end.
    pub carry_patience: Duration,
    /// How long member lists must have come without a gap before the absence of an edge from one means that it is lost. Default
    /// 1.5 s: after an outage of the store, more than the longest pause (1 s) between two tries of an edge to renew its
    /// lease. In steady state an edge is lost as soon as a list says so: lease (2 s) and a third of it. Lists are looked
    /// at when they change, and three times in this time; not zero.
    pub edge_lost_grace: Duration,
    /// Events buffered for one WatchCalls stream before it is ended as too slow. Default 10 000 (`limits.watch_buffer`).
    pub watch_buffer: usize,
    /// Calls kept in memory beside the store. Default 50 000.
    pub cached_calls: usize,
    /// Tries to commit a step when other replicas change the same call. Default 8.
    pub commit_attempts: usize,
    /// User part to which a phone calls in to be called back when it has hung up (LAD-6). Default empty: no such service.
    pub callback_user: String,
    /// Who is called then. Default empty: no such service.
    pub callback_target: String,
    /// Callbacks that are not over; each partition takes its share of them. Default 10 000.
    pub callbacks: usize,
    /// Callbacks of one user that are not over. Default 10.
    pub callbacks_per_user: usize,
    /// Tasks that carry effects and work on due entries at a time. Default 20 000.
    pub tasks: usize,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            controller_uri: "sip:carillon@localhost".to_owned(),
            controller_name: "Carillon".to_owned(),
            host: "localhost".to_owned(),
            ring_timeout: Duration::from_secs(60),
            guard: Duration::from_secs(20),
            t1: Duration::from_millis(500),
            inactive_first: false,
            ringback_tone: String::new(),
            credentials: Vec::new(),
            redirects: Redirects::within(["localhost"]),
            takers: Takers::default(),
            referrers: Takers::default(),
            mixing: Mixing::default(),
            media_server: String::new(),
            music_on_hold: String::new(),
            reliable_provisional: true,
            demand_timer: false,
            ended_retention: Duration::from_secs(24 * 3600),
            request_retention: Duration::from_secs(24 * 3600),
            partitions: 16,
            lease: Duration::from_secs(2),
            due_interval: Duration::from_millis(200),
            carry_timeout: Duration::from_secs(1),
            carry_patience: Duration::from_secs(8),
            edge_lost_grace: Duration::from_millis(1500),
            watch_buffer: 10_000,
            cached_calls: 50_000,
            commit_attempts: 8,
            callback_user: String::new(),
            callback_target: String::new(),
            callbacks: 10_000,
            callbacks_per_user: 10,
            tasks: 20_000,
        }
    }
}

impl Config {
    /// The policy of a call whose request says nothing.
    pub fn policy(&self) -> Policy {
        Policy {
            controller_uri: self.controller_uri.clone(),
            controller_name: self.controller_name.clone(),
            caller_id: String::new(),
            caller_name: String::new(),
            host: self.host.clone(),
            ring_timeout_ms: millis(self.ring_timeout),
            guard_ms: millis(self.guard),
            max_duration_ms: 0,
            inactive_first: self.inactive_first,
            max_redirects: 5,
            patient: false,
            parallel: false,
            no_fork: false,
            ringback_tone: self.ringback_tone.clone(),
            t1_ms: millis(self.t1),
            max_forwards: 0,
            session_expires_s: 1_800, // RFC 4028 4.2
            unreliable: !self.reliable_provisional,
            demands_timer: self.demand_timer,
            max_breadth: 0,
            reconnect_to: None,
        }
    }
}

/// A time of day in milliseconds since 1970.
pub(crate) fn millis_of(time: std::time::SystemTime) -> u64 {
    millis(time.duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap_or_default())
}

/// Whole milliseconds.
pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
