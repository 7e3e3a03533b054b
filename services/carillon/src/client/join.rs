//! `carillon join`: one rpc, and how it ends.

use anyhow::bail;
use cluster_api::callcontrol::v1::call_control_client::CallControlClient;
use cluster_api::callcontrol::v1::{
    CallEvent, JoinRequest, Party, WatchCallsRequest, call_event, join_request,
};

use super::call_view::show_event;
use super::connect::connect;
use super::refusal::Refusal;
use crate::cli::{JoinArgs, JoinMixer};

impl From<JoinMixer> for join_request::Mixer {
    fn from(mixer: JoinMixer) -> Self {
        match mixer {
            JoinMixer::Auto => Self::Auto,
            JoinMixer::Local => Self::Local,
            JoinMixer::Central => Self::Central,
        }
    }
}

/// Brings a party into a call, and waits until it is in or does not come.
///
/// # Errors
/// A refused rpc, or a party that does not come.
pub async fn join(args: JoinArgs) -> anyhow::Result<()> {
    let mut client = CallControlClient::new(connect(&args.api).await?);
    let request = WatchCallsRequest { call_id: Some(args.call_id.clone()), ..WatchCallsRequest::default() };
    let mut events = client.watch_calls(request).await.map_err(Refusal)?.into_inner();
    let party = Party { uri: args.party, display_name: args.display_name, ..Party::default() };
    let request = JoinRequest {
        request_id: uuid::Uuid::new_v4().to_string(),
        call_id: args.call_id,
        party: Some(party.clone()),
        mixer: join_request::Mixer::from(args.mixer).into(),
    };
    client.join(request).await.map_err(Refusal)?;
    while let Some(event) = events.message().await.map_err(Refusal)? {
        if !is_about(&event, &party.uri) {
            continue;
        }
        match event.r#type() {
            call_event::Type::PartyJoined => return Ok(show_event(&event, args.api.json)?),
            call_event::Type::LegEnded => {
                show_event(&event, args.api.json)?;
                bail!("{} does not come; the others talk as before, unless the call ended", party.uri);
            }
            _ => {}
        }
    }
    bail!("the call ended before anybody joined")
}

/// Whether an event is about a leg of this party.
fn is_about(event: &CallEvent, uri: &str) -> bool {
    let legs = event.call.iter().flat_map(|call| &call.legs);
    let is_it = |leg: &cluster_api::callcontrol::v1::Leg| {
        event.leg_id.as_ref() == Some(&leg.leg_id) && leg.party.as_ref().is_some_and(|party| party.uri == uri)
    };
    legs.into_iter().any(is_it)
}
