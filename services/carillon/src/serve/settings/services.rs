//! Keys of the services behind the edge, and of the store that they share.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use store::RedisOptions;

use super::super::credential::Credential;
use super::super::number_pool::NumberPool;
use super::super::wait_replicas::WaitReplicas;

/// Keys of the registrar.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Registrar {
    /// Granted when the phone asks for nothing.
    #[serde(with = "humantime_serde")]
    pub default_expires: Duration,
    /// Shorter requests are answered 423.
    #[serde(with = "humantime_serde")]
    pub min_expires: Duration,
    /// Longer requests are shortened.
    #[serde(with = "humantime_serde")]
    pub max_expires: Duration,
    /// Digest algorithms offered, best first (RFC 8760 2.3); `["MD5"]` alone for phones that read the first challenge only.
    pub algorithms: Vec<registrar::Algorithm>,
    /// Follows 3xx answers of own users' phones (RFC 3261 16.5); otherwise the caller sees them.
    pub recurse: bool,
    /// Accepts credentials without qop, which prove less (RFC 8760 2.6), from old clients.
    pub danger_allow_no_qop: bool,
    /// Numbers that are lent for one call (ALLOCATE).
    pub number_pools: Vec<NumberPool>,
}

impl Default for Registrar {
    fn default() -> Self {
        let registrar::Config {
            default_expires,
            min_expires,
            max_expires,
            algorithms,
            recurse,
            danger_allow_no_qop,
            ..
        } = registrar::Config::default();
        let number_pools = Vec::new();
        Self {
            default_expires,
            min_expires,
            max_expires,
            algorithms,
            recurse,
            danger_allow_no_qop,
            number_pools,
        }
    }
}

/// Keys of presence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Presence {
    /// Shorter subscriptions and publications are answered 423.
    #[serde(with = "humantime_serde")]
    pub min_expires: Duration,
    /// Longer ones are shortened; a subscription also to the time of its package.
    #[serde(with = "humantime_serde")]
    pub max_expires: Duration,
}

impl Default for Presence {
    fn default() -> Self {
        let presence::Config { min_expires, max_expires, .. } = presence::Config::default();
        Self { min_expires, max_expires }
    }
}

/// Keys of call-control.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CallControl {
    /// How long a dialled leg may ring.
    #[serde(with = "humantime_serde")]
    pub ring_timeout: Duration,
    /// Longest time a 2xx or reliable 18x waits for its ACK or PRACK; below 64*T1.
    #[serde(with = "humantime_serde")]
    pub guard: Duration,
    /// Begin with the offer of one inactive audio line, for phones that take no offer without media (RFC 3725 4.4).
    pub inactive_first: bool,
    /// Ringback tone of calls whose request names none; `none` for none, empty for that of the United States.
    pub ringback_tone: String,
    /// Answers to challenges of gateways and proxies to Carillon's own legs (RFC 3261 22.2), in the file as tables.
    pub credentials: Vec<Credential>,
    /// Where a phone that answers 3xx may lead a dialled leg. Whoever registers can answer so, hence only to our own users.
    pub redirects: Redirects,
    /// Where the media of conferences are mixed: sip or sips URIs of conference servers (RFC 4240 5) without user part, best first.
    pub mixers: Vec<String>,
    /// Where conferences are made when there are no `mixers`: the URI of a conference factory of others (RFC 4579 5.4), as
    /// `sip:conf-factory@conf.example.com`; empty for none.
    pub conference_factory: String,
    /// User part of the domains served whose INVITE makes a conference for the caller; empty for none.
    pub conference_user: String,
    /// When a conference ends by itself.
    pub conference_end: ConferenceEnd,
    /// The media server that plays announcements: a sip or sips URI without user part (RFC 4240); empty for none, and requests name one.
    pub media_server: String,
    /// What is called for who is put on hold, unless the request says otherwise: a sip or sips URI that plays music; empty for none.
    pub music_on_hold: String,
    /// Tell callers of anchored accounts reliably that it rings, where they take that (RFC 3262). Without it, who requires it gets 420.
    pub reliable_provisional: bool,
    /// Refuse callers of anchored accounts that have no session timers (RFC 4028) with 421, instead of refreshing for them.
    pub demand_timer: bool,
    /// User part that phones call to be called back when they have hung up, in each domain; empty for none, as without `callback_target`.
    pub callback_user: String,
    /// Who is called then: a sip, sips or tel URI.
    pub callback_target: String,
    /// Users (`sip:desk@example.com`, `sip:*@example.com`) who may take the place of a party of any call, or join it, by INVITE with
    /// Replaces or Join, and lead its party elsewhere by REFER outside its dialog. All others only take their own calls, and those that a party
    /// has referred to them (RFC 3891 3), and lead from their own alone (RFC 4538 5).
    pub takers: Vec<String>,
    /// Users (`sip:desk@example.com`, `sip:*@example.com`) whose REFER is passed on to the phone that they talk to, which then calls the target
    /// itself. For all others Carillon does what the REFER asks for.
    pub pass_refer: Vec<String>,
}

impl Default for CallControl {
    fn default() -> Self {
        let call_control::Config {
            ring_timeout,
            guard,
            inactive_first,
            ringback_tone,
            reliable_provisional,
            demand_timer,
            callback_user,
            callback_target,
            ..
        } = call_control::Config::default();
        Self {
            ring_timeout,
            guard,
            inactive_first,
            ringback_tone,
            credentials: Vec::new(),
            redirects: Redirects::default(),
            mixers: Vec::new(),
            conference_factory: String::new(),
            media_server: String::new(),
            music_on_hold: String::new(),
            conference_user: String::new(),
            conference_end: ConferenceEnd::default(),
            reliable_provisional,
            demand_timer,
            callback_user,
            callback_target,
            takers: Vec::new(),
            pass_refer: Vec::new(),
        }
    }
}

/// When a conference ends by itself (RFC 4579 5.12).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ConferenceEnd {
    /// With the last who leaves.
    #[default]
    Last,
    /// When who made it leaves: the first party of the call that became one.
    Creator,
}

/// Targets of 3xx that are followed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Redirects {
    /// Users of the domains served, where the registrar's plan leads; no host, port or number of the phone's choice.
    #[default]
    Domains,
    /// Whatever can be dialled, for networks where every phone is trusted.
    Anywhere,
    /// None: the call ends with the 3xx.
    Never,
}

/// Keys of the shared store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Redis {
    /// Where Redis is; empty means the embedded store.
    pub url: String,
    /// Replicas that must have a write before it is acknowledged: a number, or `auto`, which is 1 behind Sentinels, in a
    /// cluster, and where the server has shown a replica.
    pub wait_replicas: WaitReplicas,
    /// How long to wait for them.
    #[serde(with = "humantime_serde")]
    pub wait_timeout: Duration,
}

impl Default for Redis {
    fn default() -> Self {
        let RedisOptions { wait_timeout, .. } = RedisOptions::default();
        Self { url: String::new(), wait_replicas: WaitReplicas::Auto, wait_timeout }
    }
}
