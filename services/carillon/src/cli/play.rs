//! `play`.

use std::time::Duration;

use clap::Args;

use super::{ApiArgs, duration};

/// Flags of `play`.
#[derive(Debug, Args)]
#[group(id = "service", required = true, multiple = false)]
pub struct PlayService {
    /// URL of what the media server plays, as `http://files.example.com/welcome.wav` (RFC 4240: annc)
    pub play: Option<String>,
    /// URL of a VoiceXML script that it runs instead (RFC 4240: dialog)
    #[arg(long, value_name = "URL")]
    pub voicexml: Option<String>,
    /// A whole sip or sips URI that is called instead
    #[arg(long, value_name = "URI")]
    pub uri: Option<String>,
}

/// Flags of `play`.
#[derive(Debug, Args)]
pub struct PlayArgs {
    /// Carillon's id of the call
    pub call_id: String,
    #[command(flatten)]
    pub service: PlayService,
    /// The leg whose party listens; the other one is on hold meanwhile
    #[arg(long, default_value = "a")]
    pub leg: String,
    /// The media server, as sip:media.example.com [default: the server's call_control.media_server]
    #[arg(long, value_name = "URI")]
    pub server: Option<String>,
    /// How often it is played
    #[arg(long, default_value_t = 1, conflicts_with = "forever")]
    pub repeat: u32,
    /// Play it until the call is taken off hold, or until --duration is over
    #[arg(long)]
    pub forever: bool,
    /// Pause between repetitions
    #[arg(long, value_parser = duration, value_name = "TIME")]
    pub delay: Option<Duration>,
    /// Longest time in all
    #[arg(long, value_parser = duration, value_name = "TIME")]
    pub duration: Option<Duration>,
    /// Language, as de-CH [default: that of the media server]
    #[arg(long, default_value = "", value_name = "TAG")]
    pub locale: String,
    #[command(flatten)]
    pub api: ApiArgs,
}
