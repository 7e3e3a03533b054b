//! What a process runs with: flag over environment over file over default.
//!
//! Every key has its default and its reason here and in the two files below; `layers` puts them together, `problems` says what cannot work.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use telemetry::Redacted;

pub use super::domain::Domain;
use super::environment;
use super::internal_tls::InternalTls;
use super::layers::{Layers, Problems};
use super::limits::Limits;
use super::name_servers::Dns;
use super::push::Push;
use super::spending::Spending;
use crate::cli::ServeArgs;

mod services;
mod sip;

pub use services::{CallControl, ConferenceEnd, Presence, Redirects, Redis, Registrar};
pub use sip::{Edge, Sip, Tls};

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
    use super::super::wait_replicas::WaitReplicas;
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
