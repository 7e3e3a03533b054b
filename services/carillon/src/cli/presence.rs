//! Flags of `carillon presence …`.

use std::time::Duration;

use clap::{ArgGroup, Args, Subcommand, ValueEnum};

use super::{AccountNameArgs, ApiArgs};

/// Presence commands.
#[derive(Debug, Subcommand)]
pub enum PresenceCommand {
    /// Show who can be reached, and how
    Show(AccountNameArgs),
    /// Publish a state for a user
    Publish(PresencePublishArgs),
    /// Print who can be reached, and what changes, as it happens
    Watch(PresenceWatchArgs),
    /// List who watches a user
    Watchers(PresenceWatchersArgs),
    /// Who may watch a user
    #[command(subcommand)]
    Policy(PolicyCommand),
}

/// Flags of `presence watch`.
#[derive(Debug, Args)]
pub struct PresenceWatchArgs {
    /// Addresses of record
    #[arg(required = true)]
    pub aors: Vec<String>,
    /// Go on behind this cursor, without loss or repetition
    #[arg(long, value_name = "CURSOR")]
    pub after: Option<String>,
    #[command(flatten)]
    pub api: ApiArgs,
}

/// Policy commands.
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Show it
    Show(AccountNameArgs),
    /// Replace it
    Set(PolicySetArgs),
}

/// Flags of `presence publish`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").required(true).args(["state", "etag"]).multiple(true))]
pub struct PresencePublishArgs {
    /// Address of record
    pub aor: String,
    /// Whether the user can be reached
    #[arg(long, value_enum)]
    pub state: Option<PresenceStateArg>,
    /// Note for people
    #[arg(long, default_value = "")]
    pub note: String,
    /// How long it holds; 0s removes the publication of --etag [default: 1h]
    #[arg(long, value_name = "TIME", value_parser = humantime_serde::re::humantime::parse_duration)]
    pub expires: Option<Duration>,
    /// The publication to refresh, change or remove
    #[arg(long, default_value = "")]
    pub etag: String,
    #[command(flatten)]
    pub api: ApiArgs,
}

/// Whether somebody can be reached.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum PresenceStateArg {
    /// Reachable
    Open,
    /// Not reachable
    Closed,
}

/// Flags of `presence watchers`.
#[derive(Debug, Args)]
pub struct PresenceWatchersArgs {
    /// Address of record
    pub aor: String,
    /// Event package
    #[arg(long, default_value = "presence")]
    pub package: String,
    #[command(flatten)]
    pub api: ApiArgs,
}

/// Flags of `presence policy set`.
#[derive(Debug, Args)]
pub struct PolicySetArgs {
    /// Address of record
    pub aor: String,
    /// Who gets the state: an address of record, or *@domain (repeatable)
    #[arg(long, value_name = "WATCHER")]
    pub allow: Vec<String>,
    /// Who waits for a decision (repeatable)
    #[arg(long, value_name = "WATCHER")]
    pub confirm: Vec<String>,
    /// Who sees nobody there (repeatable)
    #[arg(long, value_name = "WATCHER")]
    pub polite_block: Vec<String>,
    /// Who is refused (repeatable)
    #[arg(long, value_name = "WATCHER")]
    pub block: Vec<String>,
    /// What everybody else gets [default: confirm]
    #[arg(long, value_enum)]
    pub default: Option<PolicyAction>,
    #[command(flatten)]
    pub api: ApiArgs,
}

/// What a watcher gets.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum PolicyAction {
    /// The state
    Allow,
    /// A neutral state until decided
    Confirm,
    /// A state that always says closed
    PoliteBlock,
    /// A refusal
    Block,
}
