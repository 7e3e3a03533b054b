//! Flags of `carillon message …`.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::{AccountNameArgs, ApiArgs};

/// Message commands.
#[derive(Debug, Subcommand)]
pub enum MessageCommand {
    /// Send a message; it is kept while its user is away
    Send(MessageSendArgs),
    /// List the messages of a user
    List(AccountNameArgs),
    /// Print messages and what becomes of them, as it happens
    Watch(MessageWatchArgs),
    /// Delete a message that is kept
    Delete(MessageIdArgs),
}

/// Flags of `message send`.
#[derive(Debug, Args)]
pub struct MessageSendArgs {
    /// Who sends, for example sip:support@localhost
    pub from: String,
    /// Whom to: address of record
    pub to: String,
    /// What it says
    pub text: String,
    /// How long it is kept for somebody who is away [default: 7days]
    #[arg(long, value_name = "TIME", value_parser = humantime_serde::re::humantime::parse_duration)]
    pub expires: Option<Duration>,
    #[command(flatten)]
    pub api: ApiArgs,
}

/// Flags of `message watch`.
#[derive(Debug, Args)]
pub struct MessageWatchArgs {
    /// Address of record; absent means everybody's
    pub aor: Option<String>,
    /// Go on behind this cursor, without loss or repetition
    #[arg(long, value_name = "CURSOR")]
    pub after: Option<String>,
    #[command(flatten)]
    pub api: ApiArgs,
}

/// One message by its id.
#[derive(Debug, Args)]
pub struct MessageIdArgs {
    /// Id, as `message list` shows it
    pub id: String,
    #[command(flatten)]
    pub api: ApiArgs,
}
