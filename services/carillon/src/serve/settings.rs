//! What a process runs with: flag over environment over file over default.
//!
//! Every key has its default and its reason here; `layers` puts them together, `problems` says what cannot work.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use store::RedisOptions;
use telemetry::Redacted;

use super::credential::Credential;
pub use super::domain::Domain;
use super::environment;
use super::internal_tls::InternalTls;
use super::layers::{Layers, Problems};
use super::limits::Limits;
use super::name_servers::Dns;
use super::number_pool::NumberPool;
use super::push::Push;
use super::spending::Spending;
use super::wait_replicas::WaitReplicas;
use crate::cli::ServeArgs;

/// All settings of `carillon serve`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Stable name of this process; empty means the host name (the pod name on Kubernetes).
    pub id: String,
    /// Services this process runs.
    pub roles: Vec<String>,
    /// Host, optionally with port, that Via, Contact and Record-Route show; empty means the listener's address.
    pub advertise: String,
    /// gRPC listener. Loopback, so that a workstation is no open relay.
    pub api: String,
    /// Admin HTTP listener.
    pub admin: String,
    /// Where other services reach this process's gRPC server; empty means `api`.
    pub cluster_url: String,
    /// Where the other services are, each `ROLE=URL`.
    pub peers: Vec<String>,
    /// Tokens with scopes; empty means none.
    pub api_token_file: PathBuf,
    /// Token for calls to the other services, where their API asks for one; its scopes are `cluster:read,cluster:write`.
    pub cluster_token: Redacted<String>,
    /// Longest time of a drain after SIGTERM: 64*T1 of the slowest transaction, and slack.
    #[serde(with = "humantime_serde")]
    pub drain: Duration,
    /// The log.
    pub log: telemetry::logs::Config,
    /// How phones of domains without `auth` of their own authenticate.
    pub auth: String,
    /// Domains served.
    pub domain: Vec<Domain>,
    /// SIP listeners and timers.
    pub sip: Sip,
    /// Certificates for SIP.
    pub tls: Tls,
    /// Certificates between edges.
    pub internal_tls: InternalTls,
    /// The edge.
    pub edge: Edge,
    /// The registrar.
    pub registrar: Registrar,
    /// Phones that sleep until they are pushed.
    pub push: Push,
    /// The operator's own service that is asked before a call leaves by a trunk.
    pub spending: Spending,
    /// The presence service.
    pub presence: Presence,
    /// The call-control service.
    pub call_control: CallControl,
    /// Name resolution.
    pub dns: Dns,
    /// The shared store.
    pub redis: Redis,
    /// Bounds.
    pub limits: Limits,
}

/// Certificates for SIP over TLS and WebSocket over TLS, in PEM. New contents of the files are taken over without a restart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// Certificate chain for all who ask for no domain with one of its own.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Authorities to believe when peers show certificates; empty believes nobody, so that no server is called by TLS.
    pub ca: PathBuf,
    /// Certificate chain shown to servers; empty means that of the domain that a request is from, or the first one.
    pub client_cert: PathBuf,
    /// Its key.
    pub client_key: PathBuf,
    /// How often the files are looked at; SIGHUP looks at once.
    #[serde(with = "humantime_serde")]
    pub reload: Duration,
}

/// SIP listeners and base timers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sip {
    /// Listeners.
    pub listen: Vec<String>,
    /// Host, optionally with port, that is shown to peers by TLS; empty means the host of `advertise` and the listener's port.
    pub advertise_tls: String,
    /// The same by WebSocket.
    pub advertise_ws: String,
    /// The same by WebSocket inside TLS.
    pub advertise_wss: String,
    /// Pages that browsers may connect from, as `https://phone.example.com`; empty means all.
    pub origins: Vec<String>,
    /// How long opening a connection may take.
    #[serde(with = "humantime_serde")]
    pub connect_timeout: Duration,
    /// How long a peer may take for the handshakes of TLS and WebSocket.
    #[serde(with = "humantime_serde")]
    pub handshake_timeout: Duration,
    /// How long a peer may take for the whole of a message that it began, and for the first one.
    #[serde(with = "humantime_serde")]
    pub message_timeout: Duration,
    /// How long a peer may leave our bytes unread.
    #[serde(with = "humantime_serde")]
    pub write_timeout: Duration,
    /// How long a connection may be silent.
    #[serde(with = "humantime_serde")]
    pub idle_timeout: Duration,
    /// The same before anything was let in by it: no registration, no call.
    #[serde(with = "humantime_serde")]
    pub stranger_timeout: Duration,
    /// After what silence a WebSocket peer is asked whether it is there.
    #[serde(with = "humantime_serde")]
    pub websocket_ping: Duration,
    /// Round-trip estimate (RFC 3261 17.1.1.1).
    #[serde(with = "humantime_serde")]
    pub t1: Duration,
    /// Longest retransmission interval of non-INVITE (RFC 3261 17.1.2.2).
    #[serde(with = "humantime_serde")]
    pub t2: Duration,
    /// Longest life of a message in the network (RFC 3261 17.1.2.2).
    #[serde(with = "humantime_serde")]
    pub t4: Duration,
}

/// Keys of the edge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Edge {
    /// How long a branch or group may ring before the next step: phones of own users. A trunk or another domain that rings has until
    /// Timer C (181 s after its last provisional response, RFC 3261 16.6 step 11).
    #[serde(with = "humantime_serde")]
    pub ring_timeout: Duration,
    /// Whether Record-Route and Contact of a call to `sip` say `transport=tls` to who is on TLS, instead of `sips`: for phones that send
    /// nothing to a `sips` URI, such as baresip. Calls to `sips` keep it.
    pub transport_tls: bool,
    /// Whether registered phones are told to send their requests by way of this tier (Service-Route, RFC 3608).
    pub service_route: bool,
    /// How often a phone that keeps its flow (RFC 5626) has to be heard of by TCP and TLS, by UDP 29 s at most; 0s never.
    #[serde(with = "humantime_serde")]
    pub flow_timer: Duration,
    /// How long a server of another domain that did not answer is tried last.
    #[serde(with = "humantime_serde")]
    pub avoid_failed: Duration,
    /// How long such a server, or a trunk, may say nothing where another one can take the request; 0s waits for 64 * T1.
    #[serde(with = "humantime_serde")]
    pub target_timeout: Duration,
    /// How long after its beginning the route of a dialog lets in what could begin something (re-INVITE, REFER, SUBSCRIBE, NOTIFY,
    /// MESSAGE); later its sender is asked who it is.
    #[serde(with = "humantime_serde")]
    pub dialog_lifetime: Duration,
    /// User-Agents that are not answered at all, by their beginning in any case; those of scanners.
    pub scanners: Vec<String>,
    /// Networks (CIDR) that see the inside address.
    pub local_nets: Vec<String>,
    /// Networks (CIDR) whose peers are not challenged.
    pub trusted: Vec<String>,
    /// Domains whose servers are not challenged when they prove them by a certificate (RFC 5922 7.4).
    pub trusted_domains: Vec<String>,
    /// Networks (CIDR) of loopback or link-local addresses where phones or gateways are, for a listener on no such address: to these
    /// a Contact or Route leads nobody else.
    pub danger_reach: Vec<String>,
}

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
    /// Replaces or Join. All others only take their own calls, and those that a party has referred to them (RFC 3891 3).
    pub takers: Vec<String>,
    /// Users (`sip:desk@example.com`, `sip:*@example.com`) whose REFER is passed on to the phone that they talk to, which then calls the target
    /// itself. For all others Carillon does what the REFER asks for.
    pub pass_refer: Vec<String>,
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

impl Default for Settings {
    fn default() -> Self {
        Self {
            id: String::new(),
            roles: ["edge", "registrar", "presence", "call-control"].map(String::from).to_vec(),
            advertise: String::new(),
            api: "127.0.0.1:50051".into(),
            admin: "127.0.0.1:9090".into(),
            cluster_url: String::new(),
            peers: Vec::new(),
            api_token_file: PathBuf::new(),
            cluster_token: Redacted::default(),
            drain: Duration::from_secs(45),
            log: telemetry::logs::Config::default(),
            auth: "digest".into(),
            domain: vec![Domain { name: "localhost".into(), ..Domain::default() }],
            sip: Sip::default(),
            tls: Tls::default(),
            internal_tls: InternalTls::default(),
            edge: Edge::default(),
            registrar: Registrar::default(),
            push: Push::default(),
            spending: Spending::default(),
            presence: Presence::default(),
            call_control: CallControl::default(),
            dns: Dns::default(),
            redis: Redis::default(),
            limits: Limits::default(),
        }
    }
}

// Every default below is that of the owner of the value, so that there is one.

impl Default for Sip {
    fn default() -> Self {
        let own = sip_endpoint::Config::default();
        let timing = own.transactions.timing;
        Self {
            listen: vec!["udp://127.0.0.1:5060".into(), "tcp://127.0.0.1:5060".into()],
            advertise_tls: String::new(),
            advertise_ws: String::new(),
            advertise_wss: String::new(),
            origins: own.origins,
            connect_timeout: own.connect_timeout,
            handshake_timeout: own.handshake_timeout,
            message_timeout: own.message_timeout,
            write_timeout: own.write_timeout,
            idle_timeout: own.idle_timeout,
            stranger_timeout: own.stranger_timeout,
            websocket_ping: own.websocket_ping,
            t1: timing.t1,
            t2: timing.t2,
            t4: timing.t4,
        }
    }
}

impl Default for Tls {
    fn default() -> Self {
        let none = PathBuf::new;
        let (cert, key, ca, client_cert, client_key) = (none(), none(), none(), none(), none());
        // As often as a secret that is mounted into a pod changes at most.
        Self { cert, key, ca, client_cert, client_key, reload: Duration::from_secs(60) }
    }
}

impl Default for Edge {
    fn default() -> Self {
        let own = edge::Config::new("", 0, sip_endpoint::Config::default());
        let (local_nets, trusted, danger_reach) = (Vec::new(), Vec::new(), Vec::new());
        Self {
            ring_timeout: own.ring_timeout,
            transport_tls: own.transport_tls,
            service_route: own.service_route,
            flow_timer: own.flow_timer,
            avoid_failed: own.avoid_failed,
            target_timeout: own.target_timeout,
            dialog_lifetime: own.dialog_lifetime,
            scanners: own.scanners,
            local_nets,
            trusted,
            trusted_domains: Vec::new(),
            danger_reach,
        }
    }
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

impl Default for Presence {
    fn default() -> Self {
        let presence::Config { min_expires, max_expires, .. } = presence::Config::default();
        Self { min_expires, max_expires }
    }
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

impl Default for Redis {
    fn default() -> Self {
        let RedisOptions { wait_timeout, .. } = RedisOptions::default();
        Self { url: String::new(), wait_replicas: WaitReplicas::Auto, wait_timeout }
    }
}

impl Settings {
    /// Merges flags, environment, file and defaults, in this order of precedence, and checks the result.
    ///
    /// # Errors
    /// Everything that is not understood or cannot work, each with its origin.
    pub fn load(
        args: &ServeArgs,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, Problems> {
        let mut layers = Layers::new();
        if let Some(path) = &args.config {
            layers.read(path);
        }
        environment::apply(&mut layers, environment);
        take_flags(&mut layers, args);
        layers.finish()
    }
}

fn take_flags(layers: &mut Layers, args: &ServeArgs) {
    let text = |v: &Option<String>| v.clone().map(toml::Value::from);
    let path = |v: &Option<PathBuf>| v.as_ref().map(|path| toml::Value::from(path.display().to_string()));
    let list = |v: &[String]| (!v.is_empty()).then(|| toml::Value::from(v.to_vec()));
    let flags = [
        ("id", "--id", text(&args.id)),
        ("roles", "--roles", args.roles.clone().map(toml::Value::from)),
        ("advertise", "--advertise", text(&args.advertise)),
        ("api", "--api", text(&args.api)),
        ("admin", "--admin", text(&args.admin)),
        ("cluster_url", "--cluster-url", text(&args.cluster_url)),
        ("peers", "--peers", list(&args.peers)),
        ("auth", "--auth", text(&args.auth)),
        ("api_token_file", "--api-token-file", path(&args.api_token_file)),
        ("tls.cert", "--tls-cert", path(&args.tls_cert)),
        ("tls.key", "--tls-key", path(&args.tls_key)),
        ("tls.ca", "--tls-ca", path(&args.tls_ca)),
        ("domain", "--domain", (!args.domain.is_empty()).then(|| environment::domains(&args.domain))),
        ("sip.listen", "--sip", list(&args.sip)),
        ("redis.url", "--redis", text(&args.redis)),
    ];
    for (path, flag, value) in flags {
        if let Some(value) = value {
            layers.put(path, flag.to_owned(), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn load(file: &str, environment: &[(&str, &str)], args: ServeArgs) -> Result<Settings, Problems> {
        let mut f = tempfile::NamedTempFile::new().unwrap();
        f.write_all(file.as_bytes()).unwrap();
        let args = ServeArgs { config: Some(f.path().to_path_buf()), ..args };
        let environment: Vec<_> = environment.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        Settings::load(&args, environment.into_iter())
    }

    #[test]
    fn a_flag_wins_over_the_environment_and_that_over_the_file() {
        let file =
            "api = \"127.0.0.1:1\"\nadmin = \"127.0.0.1:2\"\nadvertise = \"file\"\n[sip]\nt1 = \"400ms\"\n";
        let environment = [("CARILLON_ADMIN", "127.0.0.1:3"), ("CARILLON_API", "127.0.0.1:4")];
        let args = ServeArgs { api: Some("127.0.0.1:5".into()), ..ServeArgs::default() };
        let s = load(file, &environment, args).unwrap();
        assert_eq!(
            (s.api.as_str(), s.admin.as_str(), s.advertise.as_str()),
            ("127.0.0.1:5", "127.0.0.1:3", "file")
        );
        assert_eq!(s.sip.t1, Duration::from_millis(400));
        assert_eq!(s.sip.t2, Duration::from_secs(4));
    }

    #[test]
    fn an_unknown_key_names_the_nearest_known_one_and_its_line() {
        let e = load("[edge]\nring_timeot = \"6s\"\n", &[], ServeArgs::default()).unwrap_err().to_string();
        assert!(e.contains("ring_timeot") && e.contains("did you mean `edge.ring_timeout`"), "{e}");
        assert!(e.contains("line 2"), "{e}");
    }

    #[test]
    fn an_unknown_environment_variable_names_the_nearest_known_one() {
        let e = load("", &[("CARILLON_SIP_T11", "1s")], ServeArgs::default()).unwrap_err().to_string();
        assert!(e.contains("CARILLON_SIP_T11") && e.contains("CARILLON_SIP_T1"), "{e}");
    }

    #[test]
    fn section_keys_work_from_the_environment() {
        let environment = [
            ("CARILLON_REDIS_WAIT_REPLICAS", "1"),
            ("CARILLON_CALL_CONTROL_RING_TIMEOUT", "7s"),
            ("CARILLON_DRAIN", "90s"),
            ("CARILLON_DOMAIN", "a.example,b.example"),
            ("CARILLON_SIP", "udp://127.0.0.1:5070"),
            ("CARILLON_REDIS", "redis://127.0.0.1"),
        ];
        let s = load("", &environment, ServeArgs::default()).unwrap();
        assert_eq!(s.redis.wait_replicas, WaitReplicas::These(1));
        assert_eq!(s.drain, Duration::from_secs(90));
        assert_eq!(s.call_control.ring_timeout, Duration::from_secs(7));
        assert_eq!(s.domain.iter().map(|d| d.name.as_str()).collect::<Vec<_>>(), ["a.example", "b.example"]);
        assert_eq!(s.sip.listen, ["udp://127.0.0.1:5070"]);
        assert_eq!(s.redis.url, "redis://127.0.0.1");
    }

    #[test]
    fn mistakes_of_file_environment_and_flags_are_told_together() {
        let args = ServeArgs { api: Some("garbage".into()), ..ServeArgs::default() };
        let environment = [("CARILLON_ADMIN", "nowhere"), ("CARILLON_DOMAINN", "x")];
        let problems = load("[sip]\nt3 = \"1s\"\n", &environment, args).unwrap_err().0;
        for origin in ["--api: ", "CARILLON_ADMIN: ", "CARILLON_DOMAINN: ", "line 2, sip.t3: "] {
            assert!(problems.iter().any(|p| p.contains(origin)), "{origin}: {problems:?}");
        }
        assert_eq!(problems.len(), 4, "{problems:?}");
    }

    #[test]
    fn a_duration_without_unit_is_an_error_that_names_the_key() {
        let e = load("[sip]\nt1 = \"5\"\n", &[], ServeArgs::default()).unwrap_err().to_string();
        assert!(e.contains("t1"), "{e}");
    }
}
