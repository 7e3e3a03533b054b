//! `carillon forward …`.

use std::time::Duration;

use clap::{ArgGroup, Args, Subcommand};

use super::{AccountNameArgs, ApiArgs, duration};

/// Forwarding commands.
#[derive(Debug, Subcommand)]
pub enum ForwardCommand {
    /// Set rules; those that are not named stay as they are
    Set(ForwardSetArgs),
    /// Show the rules
    Show(AccountNameArgs),
    /// Clear all rules
    Clear(AccountNameArgs),
}

/// Flags of `forward set`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("rule").required(true).multiple(true)
    .args(["unconditional", "busy", "no_answer", "unreachable"]))]
pub struct ForwardSetArgs {
    /// Address of record
    pub aor: String,
    /// Every call, before anything rings
    #[arg(long, value_name = "URI")]
    pub unconditional: Option<String>,
    /// When a phone answers that it is busy
    #[arg(long, value_name = "URI")]
    pub busy: Option<String>,
    /// When nobody answers
    #[arg(long, value_name = "URI")]
    pub no_answer: Option<String>,
    /// How long it rings before, such as 20s [default: 20s]
    #[arg(long, value_parser = duration, value_name = "TIME", requires = "no_answer")]
    pub after: Option<Duration>,
    /// When no phone is registered or none can be reached
    #[arg(long, value_name = "URI")]
    pub unreachable: Option<String>,
    #[command(flatten)]
    pub api: ApiArgs,
}
