//! `carillon transfer`: one rpc, and how it ends.

use anyhow::bail;
use cluster_api::callcontrol::v1::call_control_client::CallControlClient;
use cluster_api::callcontrol::v1::transfer_target::Target;
use cluster_api::callcontrol::v1::{
    TransferRequest, TransferTarget, WatchCallsRequest, call_event, transfer_request,
};
use tonic::Code;

use super::call_view::show_event;
use super::connect::connect;
use super::refusal::Refusal;
use crate::cli::{TransferArgs, TransferMethod};

impl From<TransferMethod> for transfer_request::Method {
    fn from(method: TransferMethod) -> Self {
        match method {
            TransferMethod::Auto => Self::Auto,
            TransferMethod::Refer => Self::Refer,
            TransferMethod::Reinvite => Self::Reinvite,
        }
    }
}

/// Leads the party of a leg elsewhere and waits for the end of that.
///
/// # Errors
/// A refused rpc, or a transfer that failed.
pub async fn transfer(args: TransferArgs) -> anyhow::Result<()> {
    let mut client = CallControlClient::new(connect(&args.api).await?);
    // From the present on: earlier transfers of the call are not this one
    let request = WatchCallsRequest { call_id: Some(args.call_id.clone()), ..WatchCallsRequest::default() };
    let mut events = client.watch_calls(request).await.map_err(Refusal)?.into_inner();
    let is_uri = ["sip:", "sips:", "tel:"].iter().any(|scheme| args.target.starts_with(scheme));
    let named = args.target.clone();
    let target = if is_uri { Target::Uri(args.target) } else { Target::CallId(args.target) };
    let request = TransferRequest {
        request_id: uuid::Uuid::new_v4().to_string(),
        call_id: args.call_id,
        leg_id: args.leg,
        target: Some(TransferTarget { target: Some(target) }),
        method: transfer_request::Method::from(args.method).into(),
    };
    if let Err(refused) = client.transfer(request).await {
        if !is_uri && refused.code() == Code::NotFound && refused.message().contains(&format!("{named:?}")) {
            let taken =
                "was taken for the id of another call; who is to be called begins with sip:, sips: or tel:";
            bail!("{}\n  {named:?} {taken}", Refusal(refused));
        }
        return Err(Refusal(refused).into());
    }
    while let Some(event) = events.message().await.map_err(Refusal)? {
        match event.r#type() {
            call_event::Type::TransferSucceeded => return Ok(show_event(&event, args.api.json)?),
            call_event::Type::TransferFailed => {
                show_event(&event, args.api.json)?;
                bail!("the transfer failed; the call is as it was, unless it ended");
            }
            _ => {}
        }
    }
    bail!("the call ended before the transfer did")
}
