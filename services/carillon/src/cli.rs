//! The command line: every command, flag and default that an operator sees.
//!
//! Flags of `serve` mirror the configuration file; `settings` merges flag, environment, file and default.

mod account;
pub mod callback;
mod calls;
mod forward;
pub mod join;
pub mod message;
pub mod mwi;
pub mod play;
mod policies;
pub mod presence;
pub mod trunk;

use std::path::PathBuf;
use std::time::Duration;

use axum::http::Uri;
use clap::{Args, Parser, Subcommand};

pub use self::account::{AccountAddArgs, AccountCommand, AccountNameArgs, AccountSetArgs};
use self::callback::CallbackCommand;
pub use self::calls::{
    CallCommand, CallIdArgs, CallsArgs, DialArgs, Flow, HangupArgs, TransferArgs, TransferMethod,
};
pub use self::forward::{ForwardCommand, ForwardSetArgs};
pub use self::join::{JoinArgs, JoinMixer};
use self::message::MessageCommand;
use self::mwi::MwiCommand;
pub use self::play::PlayArgs;
pub use self::policies::Policies;
use self::presence::PresenceCommand;
use self::trunk::TrunkCommand;

/// SIP signaling that business applications control by gRPC.
#[derive(Debug, Parser)]
#[command(name = "carillon", version, propagate_version = true, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the services (all four, or those named by --roles)
    Serve(Box<ServeArgs>),
    /// Start everything, let one rpc ring two scripted phones, draw what happened, and check each step
    Demo(DemoArgs),
    /// Be a scripted phone: register, and answer calls as told
    Phone(PhoneArgs),
    #[command(flatten)]
    Client(Box<ClientCommand>),
    /// Ask the process on this machine whether it is alive and ready (for container health checks)
    Healthcheck(HealthcheckArgs),
}

/// What is asked of a running Carillon by its API.
#[derive(Debug, Subcommand)]
pub enum ClientCommand {
    /// Accounts of users
    #[command(subcommand)]
    Account(AccountCommand),
    /// Where the calls of an account go instead
    #[command(subcommand)]
    Forward(ForwardCommand),
    /// Ways out for telephone numbers and to other domains
    #[command(subcommand)]
    Trunk(TrunkCommand),
    /// Click-to-dial: ring FROM, then TO, and connect them
    Dial(DialArgs),
    /// List calls
    Calls(CallsArgs),
    /// Look at one call
    #[command(subcommand)]
    Call(CallCommand),
    /// End a call
    Hangup(HangupArgs),
    /// Lead a party of a call elsewhere
    Transfer(TransferArgs),
    /// Calls that are made when somebody is free
    #[command(subcommand)]
    Callback(CallbackCommand),
    /// Bring a third party into a call
    Join(JoinArgs),
    /// Let a party of a call listen to a media server, and connect it again
    Play(PlayArgs),
    /// Draw the messages of a call, across all edges
    Ladder(LadderArgs),
    /// List where users are registered
    Bindings(BindingsArgs),
    /// Who is there, who watches, and who may
    #[command(subcommand)]
    Presence(PresenceCommand),
    /// Messages for users, kept while they are away
    #[command(subcommand)]
    Message(MessageCommand),
    /// What waits in mailboxes: the lamp of a phone
    #[command(subcommand)]
    Mwi(MwiCommand),
    /// List the edges
    Edges(ApiArgs),
}

/// How a client command reaches the API.
#[derive(Debug, Clone, Args)]
pub struct ApiArgs {
    /// gRPC endpoint of Carillon
    #[arg(
        long,
        env = "CARILLON_API_URL",
        default_value = "http://127.0.0.1:50051",
        value_name = "URL",
        value_parser = api_url
    )]
    pub api: String,
    /// Bearer token
    #[arg(long, env = "CARILLON_TOKEN", hide_env_values = true, value_parser = token)]
    pub token: Option<String>,
    /// Print JSON, one object a line
    #[arg(long)]
    pub json: bool,
}

/// Flags of `serve`; absent ones come from the environment, the file, or the default.
#[derive(Debug, Clone, Default, Args)]
pub struct ServeArgs {
    /// Services this process runs, separated by commas [default: edge,registrar,presence,call-control]
    #[arg(long, value_delimiter = ',', value_name = "ROLE,…")]
    pub roles: Option<Vec<String>>,
    /// A domain served (repeatable) [default: localhost]
    #[arg(long, value_name = "NAME")]
    pub domain: Vec<String>,
    /// A SIP listener, udp://ADDR:PORT or tcp://ADDR:PORT (each is served by both), tls://…, ws://… or wss://… (repeatable)
    /// [default: UDP and TCP 127.0.0.1:5060]
    #[arg(long, value_name = "URI")]
    pub sip: Vec<String>,
    /// What Via, Contact and Record-Route show
    #[arg(long, value_name = "HOST[:PORT]")]
    pub advertise: Option<String>,
    /// gRPC listener [default: 127.0.0.1:50051]
    #[arg(long, value_name = "ADDR:PORT")]
    pub api: Option<String>,
    /// Admin HTTP listener: /livez /readyz /metrics [default: 127.0.0.1:9090]
    #[arg(long, value_name = "ADDR:PORT")]
    pub admin: Option<String>,
    /// Redis; absent means the embedded store of this process
    #[arg(long, value_name = "URL")]
    pub redis: Option<String>,
    /// Where another service is: ROLE=http://HOST:PORT or ROLE=dns://NAME:PORT (repeatable)
    #[arg(long, value_name = "ROLE=URL")]
    pub peers: Vec<String>,
    /// File of API tokens with scopes; without one the API is open on loopback and refused elsewhere
    #[arg(long, value_name = "FILE")]
    pub api_token_file: Option<PathBuf>,
    /// Certificate chain for SIP over TLS and WebSocket, in PEM; a domain may have its own in the file
    #[arg(long, value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// Its key
    #[arg(long, value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// Authorities to believe when SIP peers show certificates
    #[arg(long, value_name = "FILE")]
    pub tls_ca: Option<PathBuf>,
    /// Configuration file (TOML)
    #[arg(long, env = "CARILLON_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// How phones authenticate; "none" only with loopback listeners [default: digest]
    #[arg(long, value_name = "digest|none")]
    pub auth: Option<String>,
    /// Stable name of this process [default: host name]
    #[arg(long, value_name = "NAME")]
    pub id: Option<String>,
    /// Check the settings, say what is wrong with them, and start nothing
    #[arg(long)]
    pub check: bool,
    /// Where the other services reach this process's gRPC server [default: the --api address]
    #[arg(long, value_name = "URL")]
    pub cluster_url: Option<String>,
}

/// Flags of `demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// The flow to show
    #[arg(long, value_enum, default_value_t = Flow::Ringback)]
    pub flow: Flow,
}

/// Flags of `phone`.
#[derive(Debug, Args)]
pub struct PhoneArgs {
    /// Address of record, for example sip:alice@localhost
    #[arg(value_parser = phone_aor)]
    pub aor: String,
    /// Password of the account
    #[arg(long, env = "CARILLON_PHONE_PASSWORD", hide_env_values = true, default_value = "")]
    pub password: String,
    /// Registrar or outbound proxy to use
    #[arg(long, default_value = "127.0.0.1:5060", value_name = "ADDR:PORT", value_parser = place)]
    pub server: String,
    /// Local address; port 0 lets the system choose [default: the one on the way to the server]
    #[arg(long, value_name = "ADDR:PORT", value_parser = place)]
    pub listen: Option<String>,
    /// Ring this long before answering, for example 2s or 500ms
    #[arg(long, value_parser = duration, default_value = "1s", value_name = "TIME")]
    pub answer_after: Duration,
    /// Answer every call 486 Busy Here
    #[arg(long, conflicts_with = "no_answer")]
    pub busy: bool,
    /// Ring and never answer
    #[arg(long)]
    pub no_answer: bool,
    /// Do without reliable provisional responses and UPDATE, as simple phones do
    #[arg(long)]
    pub plain: bool,
    /// Hang up this long after the call was answered
    #[arg(long, value_parser = duration, value_name = "TIME")]
    pub hangup_after: Option<Duration>,
}

/// Flags of `ladder`.
#[derive(Debug, Args)]
pub struct LadderArgs {
    /// Carillon's id of the call, or a SIP Call-ID
    pub call: String,
    /// Leave the decisions between the messages out of the drawing
    #[arg(long, conflicts_with = "json")]
    pub arrows: bool,
    /// Write the messages to this file for Wireshark, tshark or sngrep instead of drawing them; - is standard output
    #[arg(long, value_name = "FILE", conflicts_with_all = ["json", "arrows"])]
    pub pcap: Option<PathBuf>,
    #[command(flatten)]
    pub api: ApiArgs,
}

/// Flags of `bindings`.
#[derive(Debug, Args)]
pub struct BindingsArgs {
    /// Only this address of record
    pub aor: Option<String>,
    #[command(flatten)]
    pub api: ApiArgs,
}

/// Flags of `healthcheck`.
#[derive(Debug, Args)]
pub struct HealthcheckArgs {
    /// Admin HTTP listener of the process
    #[arg(
        long,
        env = "CARILLON_ADMIN",
        default_value = "127.0.0.1:9090",
        value_name = "ADDR:PORT",
        value_parser = place
    )]
    pub admin: String,
}

/// Reads "500ms", "6s", "2m".
fn duration(text: &str) -> Result<Duration, String> {
    humantime_serde::re::humantime::parse_duration(text)
        .map_err(|e| format!("expected a duration such as 500ms, 6s or 2m: {e}"))
}

/// Where the API is: a URL, or HOST:PORT, which is what a listener is called by.
fn api_url(text: &str) -> Result<String, String> {
    const EXPECTED: &str = "expected http://HOST:PORT or HOST:PORT, as http://127.0.0.1:50051 or [::1]:50051";
    let url = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let Ok(uri) = url.parse::<Uri>() else {
        let is_bare = text.rsplit_once("//").map_or(text, |(_, host)| host).matches(':').count() > 1;
        let brackets = if is_bare { "; an IPv6 address stands in brackets" } else { "" };
        return Err(format!("{EXPECTED}{brackets}"));
    };
    match uri.scheme_str() {
        Some("http") => {}
        Some("https") => return Err("the API is not served over TLS yet: write http://HOST:PORT".to_owned()),
        _ => return Err(EXPECTED.to_owned()),
    }
    if uri.host().is_none_or(str::is_empty) || uri.path().len() > 1 || uri.query().is_some() {
        return Err(EXPECTED.to_owned());
    }
    match uri.port_u16() {
        Some(_) => Ok(url),
        None => Err(format!("{EXPECTED}; the port is missing, `carillon serve` says it in the line `ready`")),
    }
}

/// What a header may carry.
fn token(text: &str) -> Result<String, &'static str> {
    let good = text.bytes().all(|octet| (0x20..0x7f).contains(&octet));
    if good { Ok(text.to_owned()) } else { Err("expected printable ASCII") }
}

/// A host and a port.
fn place(text: &str) -> Result<String, &'static str> {
    let parts = text.rsplit_once(':');
    let good = parts.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    if good { Ok(text.to_owned()) } else { Err("expected ADDR:PORT") }
}

fn phone_aor(text: &str) -> Result<String, String> {
    scripted_phone::Identity::new(text, "").map(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    /// Exit status 2 is wrong usage, and nothing was asked of anybody.
    #[test]
    fn what_cannot_be_meant_is_wrong_usage() {
        for wrong in [
            &["calls", "--filter", "nonsense"][..],
            &["calls", "--filter", "state=UP"],
            &["phone", "foo"],
            &["phone", "sip:a@b", "--server", "here"],
            &["phone", "sip:a@b", "--listen", ":x"],
            &["calls", "--api", "foo"],
            &["calls", "--api", "127.0.0.1"],
            &["calls", "--api", "http://127.0.0.1"],
            &["calls", "--api", "http://127.0.0.1:99999"],
            &["calls", "--api", "https://127.0.0.1:50051"],
            &["calls", "--api", "ftp://127.0.0.1:50051"],
            &["calls", "--api", "::1:50051"],
            &["calls", "--api", "http://127.0.0.1:50051/calls"],
            &["calls", "--api", ""],
            &["calls", "--token", "t\n"],
            &["healthcheck", "--admin", "9090"],
            &["account", "set", "sip:a@b"],
            &["forward", "set", "sip:a@b"],
            &["forward", "set", "sip:a@b", "--busy", "sip:c@d", "--after", "5s"],
        ] {
            let error = Cli::try_parse_from(["carillon"].iter().chain(wrong)).expect_err(&wrong.join(" "));
            assert_eq!(error.exit_code(), 2, "{error}");
        }
        for good in [
            &["calls", "--filter", "state=ANSWERED party=sip:a@b", "--api", "http://[::1]:50051"][..],
            &["phone", "sip:a@b", "--server", "sip.example:5060", "--listen", "[::1]:0"],
            &["account", "set", "sip:a@b", "--disabled", "true"],
            &["forward", "set", "sip:a@b", "--no-answer", "sip:c@d", "--after", "5s"],
        ] {
            Cli::try_parse_from(["carillon"].iter().chain(good)).expect("well meant");
        }
    }

    #[test]
    fn the_api_is_named_by_url_or_as_a_listener_is_and_a_mistake_says_how() {
        for (given, url) in [
            ("127.0.0.1:50051", "http://127.0.0.1:50051"),
            ("carillon.example:50051", "http://carillon.example:50051"),
            ("[::1]:50051", "http://[::1]:50051"),
            ("http://[::1]:50051", "http://[::1]:50051"),
            ("http://carillon.example:50051/", "http://carillon.example:50051/"),
        ] {
            assert_eq!(api_url(given).as_deref(), Ok(url));
        }
        for (given, why) in [
            ("https://a:50051", "not served over TLS yet"),
            ("a", "the port is missing"),
            ("::1:50051", "in brackets"),
            ("http://::1:50051", "in brackets"),
            ("a b:50051", "expected http://HOST:PORT or HOST:PORT"),
            ("sip:a@b", "expected http://HOST:PORT or HOST:PORT"),
        ] {
            let told = api_url(given).unwrap_err();
            assert!(told.contains(why), "{given}: {told}");
        }
    }

    /// Whatever can be changed can be changed alone.
    #[test]
    fn each_policy_of_an_account_may_be_set_alone() {
        let policies = Policies::augment_args(clap::Command::new("policies"));
        let flags: Vec<String> =
            policies.get_arguments().map(|flag| format!("--{}", flag.get_id()).replace('_', "-")).collect();
        assert!(flags.len() > 5, "{flags:?}");
        for flag in &flags {
            let with = |value| Cli::try_parse_from(["carillon", "account", "set", "sip:a@b", flag, value]);
            with("true").or_else(|_| with("1")).unwrap_or_else(|error| panic!("{flag}: {error}"));
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_duration_without_a_unit_is_refused_with_an_example() {
        assert!(duration("5").unwrap_err().contains("500ms"));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
    }
}
