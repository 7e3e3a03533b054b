//! `carillon callback …`.

use std::time::{Duration, SystemTime};

use cluster_api::callcontrol::v1::call_control_client::CallControlClient;
use cluster_api::callcontrol::v1::callback::State;
use cluster_api::callcontrol::v1::{
    Callback, CallbackFilter, CancelCallbackRequest, GetCallbackRequest, ListCallbacksRequest, Party,
    RequestCallbackRequest,
};
use comfy_table::{Table, presets};
use serde_json::{Value, json};

use super::call_view::{name_of, shown_outcome, time};
use super::connect::connect;
use super::pages::all_pages;
use super::refusal::Refusal;
use crate::cli::callback::{CallbackCommand, CallbackListArgs, CallbackRequestArgs};
use crate::out::{OutputError, say, shown};

/// Runs a callback command.
///
/// # Errors
/// A refused rpc.
pub async fn run(command: CallbackCommand) -> anyhow::Result<()> {
    match command {
        CallbackCommand::Request(args) => request(args).await,
        CallbackCommand::List(args) => list(args).await,
        CallbackCommand::Show(args) => {
            let mut client = CallControlClient::new(connect(&args.api).await?);
            let request = GetCallbackRequest { callback_id: args.callback_id };
            let callback = client.get_callback(request).await.map_err(Refusal)?.into_inner();
            Ok(print(&callback, args.api.json)?)
        }
        CallbackCommand::Cancel(args) => {
            let mut client = CallControlClient::new(connect(&args.api).await?);
            let request_id = uuid::Uuid::new_v4().to_string();
            let request = CancelCallbackRequest { request_id, callback_id: args.callback_id };
            let callback = client.cancel_callback(request).await.map_err(Refusal)?.into_inner();
            Ok(print(&callback, args.api.json)?)
        }
    }
}

async fn request(args: CallbackRequestArgs) -> anyhow::Result<()> {
    let mut client = CallControlClient::new(connect(&args.api).await?);
    let party = |uri: String| Some(Party { uri, ..Party::default() });
    let later = |after: Duration| prost_types::Timestamp::from(SystemTime::now() + after);
    let request = RequestCallbackRequest {
        request_id: uuid::Uuid::new_v4().to_string(),
        from: party(args.from),
        to: party(args.to),
        not_before: args.after.map(later),
        expires: args.expires.map(prost_types::Duration::try_from).transpose()?,
        attempts: args.attempts,
    };
    let callback = client.request_callback(request).await.map_err(Refusal)?.into_inner();
    Ok(print(&callback, args.api.json)?)
}

async fn list(args: CallbackListArgs) -> anyhow::Result<()> {
    let mut client = CallControlClient::new(connect(&args.api).await?);
    let states = args.state.into_iter().map(|state| State::from(state).into()).collect();
    let filter = CallbackFilter { states, party: args.party };
    let page = async |page_token| {
        let request = ListCallbacksRequest { filter: Some(filter.clone()), page_size: 0, page_token };
        let page = client.list_callbacks(request).await?.into_inner();
        Ok((page.callbacks, page.next_page_token))
    };
    let callbacks = all_pages(page).await?;
    if args.api.json {
        return Ok(callbacks.iter().try_for_each(|callback| say!("{}", as_json(callback)))?);
    }
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_header(["CALLBACK", "STATE", "FROM", "TO", "CREATED", "UNTIL", "LEFT", "LATEST"]);
    for callback in &callbacks {
        table.add_row([
            callback.callback_id.clone(),
            state(callback),
            shown(uri(callback.from.as_ref())),
            shown(uri(callback.to.as_ref())),
            time(callback.create_time.as_ref()),
            time(callback.expire_time.as_ref()),
            callback.attempts_left.to_string(),
            shown_outcome(callback.outcome.as_ref()),
        ]);
    }
    Ok(say!("{table}")?)
}

fn print(callback: &Callback, is_json: bool) -> Result<(), OutputError> {
    if is_json {
        return say!("{}", as_json(callback));
    }
    let (from, to) = (shown(uri(callback.from.as_ref())), shown(uri(callback.to.as_ref())));
    say!("{}  {}  {from} to {to}", callback.callback_id, state(callback))?;
    say!("  created {}", time(callback.create_time.as_ref()))?;
    if callback.not_before.is_some() {
        say!("  not before {}", time(callback.not_before.as_ref()))?;
    }
    say!("  until {}, {} attempts left", time(callback.expire_time.as_ref()), callback.attempts_left)?;
    if !callback.call_id.is_empty() {
        say!("  call {}  {}", callback.call_id, shown_outcome(callback.outcome.as_ref()))?;
    }
    Ok(())
}

fn as_json(callback: &Callback) -> Value {
    json!({
        "callback_id": callback.callback_id,
        "state": state(callback),
        "from": uri(callback.from.as_ref()),
        "to": uri(callback.to.as_ref()),
        "create_time": time(callback.create_time.as_ref()),
        "not_before": callback.not_before.as_ref().map(|at| time(Some(at))),
        "expire_time": time(callback.expire_time.as_ref()),
        "attempts_left": callback.attempts_left,
        "call_id": callback.call_id,
        "outcome": callback.outcome.as_ref().map(|outcome| shown_outcome(Some(outcome))),
    })
}

fn state(callback: &Callback) -> String {
    name_of(callback.state, |state: State| state.as_str_name())
}

fn uri(party: Option<&Party>) -> &str {
    party.map_or("", |party| &party.uri)
}
