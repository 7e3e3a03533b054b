//! `carillon account …`.

use clap::{ArgGroup, Args, Subcommand};

use super::{ApiArgs, Policies};

/// Account commands.
#[derive(Debug, Subcommand)]
pub enum AccountCommand {
    /// Create an account
    Add(AccountAddArgs),
    /// List accounts
    List(ApiArgs),
    /// Change an account
    Set(AccountSetArgs),
    /// Delete an account and its bindings
    Delete(AccountNameArgs),
}

/// Flags of `account add`.
#[derive(Debug, Args)]
pub struct AccountAddArgs {
    /// Address of record, for example sip:alice@localhost
    pub aor: String,
    /// Password; read from standard input when absent
    #[arg(long, env = "CARILLON_ACCOUNT_PASSWORD", hide_env_values = true)]
    pub password: Option<String>,
    /// Display name
    #[arg(long, default_value = "")]
    pub display_name: String,
    /// Carry the account's calls on through call-control, so that they can be held and ended like dialled ones
    #[arg(long)]
    pub anchor: bool,
    #[command(flatten)]
    pub policies: Policies,
    #[command(flatten)]
    pub api: ApiArgs,
}

/// Flags of `account set`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("change").required(true).multiple(true)
    .args(["password", "display_name", "disabled", "anchor", "redirect_only", "moved_permanently", "allowed_callers"])
    .args(["refused_callers_info", "allowed_from", "registrars", "max_bindings", "max_calls", "max_call_rate"])
    .args(["allowed_prefixes", "denied_prefixes"]))]
pub struct AccountSetArgs {
    /// Address of record
    pub aor: String,
    /// New password
    #[arg(long, env = "CARILLON_ACCOUNT_PASSWORD", hide_env_values = true)]
    pub password: Option<String>,
    /// New display name
    #[arg(long)]
    pub display_name: Option<String>,
    /// Disable or enable the account
    #[arg(long, value_name = "true|false")]
    pub disabled: Option<bool>,
    /// Carry the account's new calls on through call-control, or proxy them
    #[arg(long, value_name = "true|false")]
    pub anchor: Option<bool>,
    #[command(flatten)]
    pub policies: Policies,
    #[command(flatten)]
    pub api: ApiArgs,
}

/// One account by name.
#[derive(Debug, Args)]
pub struct AccountNameArgs {
    /// Address of record
    pub aor: String,
    #[command(flatten)]
    pub api: ApiArgs,
}
