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
    /// Take a trunk out of use, or back
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
    /// Among trunks of the same prefix: lower is tried first
    #[arg(long, default_value_t = 0)]
    pub priority: u32,
    /// Among trunks of the same priority: share of the calls
    #[arg(long, default_value_t = 1)]
    pub weight: u32,
    #[command(flatten)]
    pub api: ApiArgs,
}

/// Flags of `trunk set`.
#[derive(Debug, Args)]
pub struct TrunkSetArgs {
    /// Name
    pub name: String,
    /// Whether it carries no new calls in either direction
    #[arg(long, value_name = "true|false", action = clap::ArgAction::Set)]
    pub disabled: bool,
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
