//! What a process runs with: flag over environment over file over default.
//!
//! Every key has its default and its reason here. Unknown keys are errors that name the nearest known one.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::unknown;
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
    pub cluster_token: Secret,
    /// The log.
    pub log: telemetry::logs::Config,
    /// How phones of domains without `auth` of their own authenticate.
    pub auth: String,
    /// Domains served.
    pub domain: Vec<Domain>,
    /// SIP listeners and timers.
    pub sip: Sip,
    /// The edge.
    pub edge: Edge,
    /// The registrar.
    pub registrar: Registrar,
    /// The presence service.
    pub presence: Presence,
    /// The call-control service.
    pub call_control: CallControl,
    /// The shared store.
    pub redis: Redis,
    /// Bounds.
    pub limits: Limits,
}

/// A text that is never shown.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// One served domain.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Domain {
    /// Domain name, as in `sip:alice@NAME`.
    pub name: String,
    /// `digest` or `none`; empty means the process's `auth`.
    pub auth: String,
    /// Digest realm; empty means the name.
    pub realm: String,
    /// Allows `auth = "none"` on listeners that are not loopback.
    pub danger_open: bool,
}

/// SIP listeners and base timers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sip {
    /// Listeners.
    pub listen: Vec<String>,
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
    /// How long a branch or group may ring before the next step.
    #[serde(with = "humantime_serde")]
    pub ring_timeout: Duration,
    /// Networks (CIDR) that see the inside address.
    pub local_nets: Vec<String>,
    /// Networks (CIDR) whose peers are not challenged.
    pub trusted: Vec<String>,
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
}

/// Keys of the presence service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Presence {
    /// Shortest subscription and publication.
    #[serde(with = "humantime_serde")]
    pub min_expires: Duration,
    /// Longest subscription and publication.
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
}

/// Keys of the shared store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Redis {
    /// Where Redis is; empty means the embedded store.
    pub url: String,
    /// Replicas that must have a write before it is acknowledged.
    pub wait_replicas: u32,
    /// How long to wait for them.
    #[serde(with = "humantime_serde")]
    pub wait_timeout: Duration,
}

/// Bounds; each has a metric of the same name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// TCP connections of all peers together.
    pub tcp_connections: usize,
    /// TCP connections of one source address.
    pub tcp_connections_per_source: usize,
    /// Largest message on a stream, in octets.
    pub stream_message: usize,
    /// Transactions alive in one edge.
    pub transactions: usize,
    /// Messages kept for ladders in one edge.
    pub ladder_messages: usize,
    /// Events buffered for one WatchCalls stream.
    pub watch_buffer: usize,
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
            cluster_token: Secret::default(),
            log: telemetry::logs::Config::default(),
            auth: "digest".into(),
            domain: vec![Domain { name: "localhost".into(), ..Domain::default() }],
            sip: Sip::default(),
            edge: Edge::default(),
            registrar: Registrar::default(),
            presence: Presence::default(),
            call_control: CallControl::default(),
            redis: Redis::default(),
            limits: Limits::default(),
        }
    }
}

impl Default for Sip {
    fn default() -> Self {
        Self {
            listen: vec!["udp://127.0.0.1:5060".into(), "tcp://127.0.0.1:5060".into()],
            t1: Duration::from_millis(500),
            t2: Duration::from_secs(4),
            t4: Duration::from_secs(5),
        }
    }
}

impl Default for Edge {
    fn default() -> Self {
        Self { ring_timeout: Duration::from_secs(60), local_nets: Vec::new(), trusted: Vec::new() }
    }
}

impl Default for Registrar {
    fn default() -> Self {
        Self {
            default_expires: Duration::from_secs(3600),
            min_expires: Duration::from_secs(60),
            max_expires: Duration::from_secs(7200),
            algorithms: registrar::Config::default().algorithms,
        }
    }
}

impl Default for Presence {
    fn default() -> Self {
        Self { min_expires: Duration::from_secs(60), max_expires: Duration::from_secs(7200) }
    }
}

impl Default for CallControl {
    fn default() -> Self {
        Self { ring_timeout: Duration::from_secs(60), guard: Duration::from_secs(20) }
    }
}

impl Default for Redis {
    fn default() -> Self {
        Self { url: String::new(), wait_replicas: 0, wait_timeout: Duration::from_millis(100) }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            tcp_connections: 20_000,
            tcp_connections_per_source: 50,
            stream_message: 320 * 1024,
            transactions: 1_000_000,
            ladder_messages: 20_000,
            watch_buffer: 10_000,
        }
    }
}

/// What is wrong with the settings, in words for the operator.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("cannot read {path}: {why}")]
    Unreadable { path: String, why: String },
    /// The file is not what is expected.
    #[error("{origin}: {why}")]
    Wrong { origin: String, why: String },
}

impl Settings {
    /// Merges flags, environment, file and defaults, in this order of precedence.
    ///
    /// # Errors
    /// The first key or value that is not understood, with its origin.
    pub fn load(
        args: &ServeArgs,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, SettingsError> {
        let mut table = match &args.config {
            Some(path) => read_file(path)?,
            None => toml::Table::new(),
        };
        super::environment::apply(&mut table, environment)?;
        apply_flags(&mut table, args);
        parse(table, "settings")
    }
}

fn read_file(path: &Path) -> Result<toml::Table, SettingsError> {
    let text = std::fs::read_to_string(path)
        .map_err(|e| SettingsError::Unreadable { path: path.display().to_string(), why: e.to_string() })?;
    let origin = path.display().to_string();
    // Parsed on its own first, so that an error carries the line of the file.
    toml::from_str::<Settings>(&text).map_err(|e| wrong(&origin, &e))?;
    toml::from_str(&text).map_err(|e| wrong(&origin, &e))
}

fn parse(table: toml::Table, origin: &str) -> Result<Settings, SettingsError> {
    table.try_into().map_err(|e| wrong(origin, &e))
}

fn wrong(origin: &str, error: &toml::de::Error) -> SettingsError {
    SettingsError::Wrong { origin: origin.into(), why: unknown::with_suggestion(&error.to_string()) }
}

fn apply_flags(table: &mut toml::Table, args: &ServeArgs) {
    let mut put = |key: &str, value: Option<toml::Value>| {
        if let Some(value) = value {
            table.insert(key.into(), value);
        }
    };
    let text = |v: &Option<String>| v.clone().map(toml::Value::String);
    put("id", text(&args.id));
    put("roles", args.roles.clone().map(Into::into));
    put("advertise", text(&args.advertise));
    put("api", text(&args.api));
    put("admin", text(&args.admin));
    put("cluster_url", text(&args.cluster_url));
    put("peers", list(&args.peers));
    put("auth", text(&args.auth));
    put("api_token_file", args.api_token_file.as_ref().map(|p| p.display().to_string().into()));
    if !args.domain.is_empty() {
        table.insert("domain".into(), domains(&args.domain));
    }
    set_in(table, "sip", "listen", list(&args.sip));
    set_in(table, "redis", "url", text(&args.redis));
}

/// `[[domain]]` tables with just a name.
pub(super) fn domains(names: &[String]) -> toml::Value {
    let table = |name: &String| toml::Table::from_iter([("name".to_string(), name.clone().into())]);
    toml::Value::Array(names.iter().map(table).map(toml::Value::Table).collect())
}

/// Sets `section.key` when there is a value.
pub(super) fn set_in(table: &mut toml::Table, section: &str, key: &str, value: Option<toml::Value>) {
    let Some(value) = value else { return };
    let entry = table.entry(section).or_insert_with(|| toml::Table::new().into());
    if let Some(inner) = entry.as_table_mut() {
        inner.insert(key.into(), value);
    }
}

fn list(values: &[String]) -> Option<toml::Value> {
    (!values.is_empty()).then(|| values.to_vec().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn load(file: &str, environment: &[(&str, &str)], args: ServeArgs) -> Result<Settings, SettingsError> {
        let mut f = tempfile::NamedTempFile::new().unwrap();
        f.write_all(file.as_bytes()).unwrap();
        let args = ServeArgs { config: Some(f.path().to_path_buf()), ..args };
        let environment: Vec<_> = environment.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        Settings::load(&args, environment.into_iter())
    }

    #[test]
    fn a_flag_wins_over_the_environment_and_that_over_the_file() {
        let file =
            "api = \"127.0.0.1:1\"\nadmin = \"127.0.0.1:2\"\nadvertise = \"file\"\n[sip]\nt1 = \"100ms\"\n";
        let environment = [("CARILLON_ADMIN", "127.0.0.1:3"), ("CARILLON_API", "127.0.0.1:4")];
        let args = ServeArgs { api: Some("127.0.0.1:5".into()), ..ServeArgs::default() };
        let s = load(file, &environment, args).unwrap();
        assert_eq!(
            (s.api.as_str(), s.admin.as_str(), s.advertise.as_str()),
            ("127.0.0.1:5", "127.0.0.1:3", "file")
        );
        assert_eq!(s.sip.t1, Duration::from_millis(100));
        assert_eq!(s.sip.t2, Duration::from_secs(4));
    }

    #[test]
    fn an_unknown_key_names_the_nearest_known_one_and_its_line() {
        let e = load("[edge]\nring_timeot = \"6s\"\n", &[], ServeArgs::default()).unwrap_err().to_string();
        assert!(e.contains("ring_timeot") && e.contains("did you mean `ring_timeout`"), "{e}");
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
            ("CARILLON_DOMAIN", "a.example,b.example"),
            ("CARILLON_SIP", "udp://127.0.0.1:5070"),
            ("CARILLON_REDIS", "redis://127.0.0.1"),
        ];
        let s = load("", &environment, ServeArgs::default()).unwrap();
        assert_eq!(s.redis.wait_replicas, 1);
        assert_eq!(s.call_control.ring_timeout, Duration::from_secs(7));
        assert_eq!(s.domain.iter().map(|d| d.name.as_str()).collect::<Vec<_>>(), ["a.example", "b.example"]);
        assert_eq!(s.sip.listen, ["udp://127.0.0.1:5070"]);
        assert_eq!(s.redis.url, "redis://127.0.0.1");
    }

    #[test]
    fn a_duration_without_unit_is_an_error_that_names_the_key() {
        let e = load("[sip]\nt1 = \"5\"\n", &[], ServeArgs::default()).unwrap_err().to_string();
        assert!(e.contains("t1"), "{e}");
    }
}
