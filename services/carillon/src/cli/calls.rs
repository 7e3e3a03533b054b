//! Calls: `dial`, `calls`, `call`, `hangup`, `transfer`.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use cluster_api::callcontrol::v1::CallFilter;

use super::{ApiArgs, duration};

/// Third-party call control flows (RFC 3725 section 4, and ringback by UPDATE).
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Flow {
    /// Ringback where the peer allows it, else IV
    Auto,
    /// FROM offers at once; only for callees that answer at once
    I,
    /// FROM makes its own offer and is held meanwhile
    Iii,
    /// FROM is offered no media until TO answers
    Iv,
    /// As IV, and FROM hears ringback while TO rings
    Ringback,
}

/// Flags of `dial`.
#[derive(Debug, Args)]
pub struct DialArgs {
    /// Who is rung first: a sip, sips or tel URI
    pub from: String,
    /// Who is rung then
    pub to: String,
    /// Flow to use
    #[arg(long, value_enum, default_value_t = Flow::Auto)]
    pub flow: Flow,
    /// Give a leg up that rings longer than this [default: the server's]
    #[arg(long, value_parser = duration, value_name = "TIME")]
    pub ring_timeout: Option<Duration>,
    /// End the call after this time [default: never]
    #[arg(long, value_parser = duration, value_name = "TIME")]
    pub max_duration: Option<Duration>,
    /// What the phones show as caller
    #[arg(long, default_value = "")]
    pub caller_id: String,
    /// Makes the rpc idempotent [default: a fresh one]
    #[arg(long)]
    pub request_id: Option<String>,
    /// Print events until the call ends; the exit status tells the outcome
    #[arg(long)]
    pub watch: bool,
    #[command(flatten)]
    pub api: ApiArgs,
}

/// Flags of `calls`.
#[derive(Debug, Args)]
pub struct CallsArgs {
    /// For example: state=ANSWERED party=sip:alice@localhost metadata.order=17
    #[arg(long, default_value = "", value_parser = crate::client::call_filter)]
    pub filter: CallFilter,
    #[command(flatten)]
    pub api: ApiArgs,
}

/// Commands on one call.
#[derive(Debug, Subcommand)]
pub enum CallCommand {
    /// Show a call
    Show(CallIdArgs),
}

/// One call by id.
#[derive(Debug, Args)]
pub struct CallIdArgs {
    /// Carillon's id of the call
    pub call_id: String,
    #[command(flatten)]
    pub api: ApiArgs,
}

/// Flags of `hangup`.
#[derive(Debug, Args)]
pub struct HangupArgs {
    /// Carillon's id of the call
    pub call_id: String,
    /// Text for the Reason header
    #[arg(long, default_value = "")]
    pub reason: String,
    #[command(flatten)]
    pub api: ApiArgs,
}

/// Flags of `transfer`.
#[derive(Debug, Args)]
pub struct TransferArgs {
    /// Carillon's id of the call
    pub call_id: String,
    /// Where to: a sip, sips or tel URI, or the id of another call, whose far party then comes
    pub target: String,
    /// The leg whose party is led there; the other one is let go when that has succeeded
    #[arg(long, default_value = "a")]
    pub leg: String,
    /// How: by REFER to the phone, by Carillon itself, or by REFER where the phone allows it
    #[arg(long, value_enum, default_value_t = TransferMethod::Auto)]
    pub method: TransferMethod,
    #[command(flatten)]
    pub api: ApiArgs,
}

/// How a party is led elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TransferMethod {
    /// REFER where the phone allows it, else as `reinvite`
    Auto,
    /// The phone is asked to call the target itself
    Refer,
    /// Carillon calls the target and connects the phone with it
    Reinvite,
}
