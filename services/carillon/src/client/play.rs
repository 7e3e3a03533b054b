//! `carillon play`: one rpc, and how it ends.

use std::time::Duration;

use anyhow::bail;
use cluster_api::callcontrol::v1::call_control_client::CallControlClient;
use cluster_api::callcontrol::v1::play_announcement_request::Service;
use cluster_api::callcontrol::v1::{Announcement, PlayAnnouncementRequest, WatchCallsRequest, call_event};

use super::call_view::show_event;
use super::connect::connect;
use super::refusal::Refusal;
use crate::cli::PlayArgs;

/// Lets a party listen to a media server, and waits until it does not any more.
///
/// # Errors
/// A refused rpc, or a server that does not play.
pub async fn play(args: PlayArgs) -> anyhow::Result<()> {
    let mut client = CallControlClient::new(connect(&args.api).await?);
    // From the present on: what was played before is not this
    let request = WatchCallsRequest { call_id: Some(args.call_id.clone()), ..WatchCallsRequest::default() };
    let mut events = client.watch_calls(request).await.map_err(Refusal)?.into_inner();
    let time = |time: Option<Duration>| time.and_then(|time| prost_types::Duration::try_from(time).ok());
    let service = match (args.service.play, args.service.voicexml, args.service.uri) {
        (_, Some(script), _) => Service::Voicexml(script),
        (_, _, Some(uri)) => Service::Uri(uri),
        (play, None, None) => Service::Announcement(Announcement {
            play: play.unwrap_or_default(),
            repeat: if args.repeat == 1 { 0 } else { args.repeat },
            repeat_forever: args.forever,
            delay: time(args.delay),
            locale: args.locale,
        }),
    };
    let request = PlayAnnouncementRequest {
        request_id: uuid::Uuid::new_v4().to_string(),
        call_id: args.call_id,
        leg_id: args.leg.clone(),
        server: args.server,
        service: Some(service),
        duration: time(args.duration),
    };
    client.play_announcement(request).await.map_err(Refusal)?;
    while let Some(event) = events.message().await.map_err(Refusal)? {
        let is_it = event.leg_id.as_deref() == Some(args.leg.as_str());
        match event.r#type() {
            call_event::Type::PlayStarted if is_it => show_event(&event, args.api.json)?,
            call_event::Type::PlayEnded if is_it => {
                show_event(&event, args.api.json)?;
                return match event.sip_status() {
                    200 => Ok(()),
                    _ => bail!(
                        "the announcement was not heard to its end; the two talk on, unless the call ended"
                    ),
                };
            }
            _ => {}
        }
    }
    bail!("the call ended before the announcement did")
}
