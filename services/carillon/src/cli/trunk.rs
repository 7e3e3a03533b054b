//! Flags of `carillon trunk …`.

use clap::{Args, Subcommand};

use super::ApiArgs;

/// Trunk commands.
#[derive(Debug, Subcommand)]
pub enum TrunkCommand {
    /// Create a trunk
    Add(TrunkAddArgs),
    /// List trunks
    List(ApiArgs),
    /// Show what is known of each peer of a trunk and of the registration there
    Show(TrunkNameArgs),
    /// Change a trunk: take it out of use or back, its most calls, credentials, registration or probe
    Set(TrunkSetArgs),
    /// Delete a trunk; its calls go on
    Delete(TrunkNameArgs),
}

/// Flags of `trunk add`.
#[derive(Debug, Args)]
pub struct TrunkAddArgs {
    /// Name, for example carrier-1
    pub name: String,
    /// Where it is reached, for example sip:gw.example.net;transport=tcp (repeatable)
    #[arg(long, value_name = "URI", required = true)]
    pub peer: Vec<String>,
    /// Numbers that go out by it begin with this, for example +49; "" is every number (repeatable)
    #[arg(long, value_name = "DIGITS")]
    pub prefix: Vec<String>,
    /// A domain of others that is reached by it (repeatable)
    #[arg(long, value_name = "NAME")]
    pub domain: Vec<String>,
    /// No number and no domain goes out by it: it is for those who call in, and for what an application dials by its name
    #[arg(long, conflicts_with_all = ["prefix", "domain"])]
    pub by_name: bool,
    /// Among trunks of the same prefix: lower is tried first
    #[arg(long, default_value_t = 0)]
    pub priority: u32,
    /// Among trunks of the same priority: share of the calls
    #[arg(long, default_value_t = 1)]
    pub weight: u32,
    /// Most calls at a time, out and in together; 0 means any number
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub max_calls: u32,
    #[command(flatten)]
    pub service: TrunkServiceArgs,
    #[command(flatten)]
    pub api: ApiArgs,
}

/// What a trunk asks of us and we of it.
#[derive(Debug, Args)]
pub struct TrunkServiceArgs {
    /// User name for its challenges
    #[arg(long, value_name = "NAME")]
    pub username: Option<String>,
    /// Password for its challenges; without it, it is read from standard input
    #[arg(long, value_name = "TEXT", requires = "username")]
    pub password: Option<String>,
    /// Realm that the credentials are for; without it they are for any, and the password itself is stored
    #[arg(long, value_name = "TEXT", requires = "username")]
    pub realm: Option<String>,
    /// Register there, for example sip:carrier.example
    #[arg(long, value_name = "URI", requires = "aor")]
    pub registrar: Option<String>,
    /// Address of record to register, for example sip:+49301234@carrier.example
    #[arg(long, value_name = "AOR", requires = "registrar")]
    pub aor: Option<String>,
    /// Own user who gets the calls that come to the registered contact [default: the user part of --aor in the first domain]
    #[arg(long, value_name = "AOR", requires = "registrar")]
    pub callee: Option<String>,
    /// Registration time to ask for, in seconds [default: 3600]
    #[arg(long, value_name = "SECONDS", requires = "registrar")]
    pub expires: Option<u32>,
    /// Ask each peer by OPTIONS whether it answers, every so many seconds
    #[arg(long, value_name = "SECONDS")]
    pub probe: Option<u32>,
}

/// Flags of `trunk set`.
#[derive(Debug, Args)]
pub struct TrunkSetArgs {
    /// Name
    pub name: String,
    /// Whether it carries no new calls in either direction
    #[arg(long, value_name = "true|false")]
    pub disabled: Option<bool>,
    /// Most calls at a time, out and in together; 0 means any number
    #[arg(long, value_name = "N")]
    pub max_calls: Option<u32>,
    #[command(flatten)]
    pub service: TrunkServiceArgs,
    #[command(flatten)]
    pub api: ApiArgs,
}

/// One trunk by name.
#[derive(Debug, Args)]
pub struct TrunkNameArgs {
    /// Name
    pub name: String,
    #[command(flatten)]
    pub api: ApiArgs,
}
