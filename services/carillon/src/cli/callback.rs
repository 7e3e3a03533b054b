//! Flags of `carillon callback …`.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use cluster_api::callcontrol::v1::callback::State;

use super::{ApiArgs, duration};

/// Callback commands.
#[derive(Debug, Subcommand)]
pub enum CallbackCommand {
    /// Ask for a call from FROM to TO as soon as TO is free
    Request(CallbackRequestArgs),
    /// List callbacks, newest first
    List(CallbackListArgs),
    /// Show one callback
    Show(CallbackIdArgs),
    /// Give a callback up; a call that it made goes on
    Cancel(CallbackIdArgs),
}

/// Flags of `callback request`.
#[derive(Debug, Args)]
pub struct CallbackRequestArgs {
    /// Who is rung first
    pub from: String,
    /// Who is to be reached
    pub to: String,
    /// No attempt before so long from now
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub after: Option<Duration>,
    /// How long to try [default: 1h]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub expires: Option<Duration>,
    /// How often to try, 1 to 10 [default: 3]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub attempts: u32,
    #[command(flatten)]
    pub api: ApiArgs,
}

/// Flags of `callback list`.
#[derive(Debug, Args)]
pub struct CallbackListArgs {
    /// Only those in these states, separated by commas
    #[arg(long, value_enum, value_delimiter = ',')]
    pub state: Vec<CallbackState>,
    /// Only those of which this URI is a party
    #[arg(long, value_name = "URI", default_value = "", hide_default_value = true)]
    pub party: String,
    #[command(flatten)]
    pub api: ApiArgs,
}

/// One callback by id.
#[derive(Debug, Args)]
pub struct CallbackIdArgs {
    /// The id of the callback
    pub callback_id: String,
    #[command(flatten)]
    pub api: ApiArgs,
}

/// How far a callback is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CallbackState {
    /// For its time, or for somebody to be free
    Waiting,
    /// A call is being made
    Calling,
    /// The two talked
    Done,
    /// Time or attempts were used up
    Expired,
    /// Given up, or refused
    Cancelled,
}

impl From<CallbackState> for State {
    fn from(state: CallbackState) -> Self {
        match state {
            CallbackState::Waiting => Self::Waiting,
            CallbackState::Calling => Self::Calling,
            CallbackState::Done => Self::Done,
            CallbackState::Expired => Self::Expired,
            CallbackState::Cancelled => Self::Cancelled,
        }
    }
}
