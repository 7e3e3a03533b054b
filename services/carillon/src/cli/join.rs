//! The flags of `carillon join`.

use clap::{Args, ValueEnum};

use super::ApiArgs;

/// Flags of `join`.
#[derive(Debug, Args)]
pub struct JoinArgs {
    /// Carillon's id of the call
    pub call_id: String,
    /// Who comes in: a sip, sips or tel URI
    pub party: String,
    /// Name to show for who comes in
    #[arg(long, default_value = "")]
    pub display_name: String,
    /// Who mixes: a phone of the call, the configured conference server, or whichever can
    #[arg(long, value_enum, default_value_t = JoinMixer::Auto)]
    pub mixer: JoinMixer,
    #[command(flatten)]
    pub api: ApiArgs,
}

/// Who mixes the media of three.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum JoinMixer {
    /// A phone that can, else the conference server
    Auto,
    /// A phone of the call
    Local,
    /// The conference server
    Central,
}
