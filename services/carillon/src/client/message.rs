//! `carillon message …`.

use cluster_api::presence::v1::messages_client::MessagesClient;
use cluster_api::presence::v1::{
    DeleteMessageRequest, InstantMessage, ListMessagesRequest, MessageFilter, SendMessageRequest,
    WatchMessagesRequest,
};
use serde_json::{Value, json};

use super::call_view::time;
use super::connect::connect;
use super::pages::all_pages;
use super::refusal::Refusal;
use crate::cli::message::{MessageCommand, MessageSendArgs, MessageWatchArgs};
use crate::out::{OutputError, say, shown};

/// Runs a message command.
///
/// # Errors
/// A refused rpc.
pub async fn run(command: MessageCommand) -> anyhow::Result<()> {
    match command {
        MessageCommand::Send(args) => send(args).await,
        MessageCommand::List(args) => {
            let mut client = MessagesClient::new(connect(&args.api).await?);
            let page = async |page_token| {
                let aor = args.aor.clone();
                let request = ListMessagesRequest { aor, page_token, ..ListMessagesRequest::default() };
                let page = client.list_messages(request).await?.into_inner();
                Ok((page.messages, page.next_page_token))
            };
            let messages = all_pages(page).await?;
            Ok(messages.iter().try_for_each(|message| print(message, None, args.api.json))?)
        }
        MessageCommand::Watch(args) => watch(args).await,
        MessageCommand::Delete(args) => {
            let mut client = MessagesClient::new(connect(&args.api).await?);
            let request_id = uuid::Uuid::new_v4().to_string();
            let request = DeleteMessageRequest { request_id, message_id: args.id };
            client.delete_message(request).await.map_err(Refusal)?;
            Ok(())
        }
    }
}

async fn send(args: MessageSendArgs) -> anyhow::Result<()> {
    let mut client = MessagesClient::new(connect(&args.api).await?);
    let request = SendMessageRequest {
        request_id: uuid::Uuid::new_v4().to_string(),
        from: args.from,
        to: args.to,
        content_type: String::new(),
        body: args.text.into_bytes().into(),
        expires: args.expires.map(prost_types::Duration::try_from).transpose()?,
    };
    let message = client.send_message(request).await.map_err(Refusal)?.into_inner();
    Ok(print(&message, None, args.api.json)?)
}

async fn watch(args: MessageWatchArgs) -> anyhow::Result<()> {
    let mut client = MessagesClient::new(connect(&args.api).await?);
    let filter = args.aor.map(|to| MessageFilter { to, ..MessageFilter::default() });
    let request = WatchMessagesRequest { filter, after_cursor: args.after };
    let mut events = client.watch_messages(request).await.map_err(Refusal)?.into_inner();
    while let Some(event) = events.message().await.map_err(Refusal)? {
        if let Some(message) = &event.message {
            print(message, Some(&event.cursor), args.api.json)?;
        }
    }
    Ok(())
}

fn print(message: &InstantMessage, cursor: Option<&str>, as_json: bool) -> Result<(), OutputError> {
    let state = message.state().as_str_name().to_lowercase();
    let text = String::from_utf8_lossy(&message.body);
    if as_json {
        let mut value = json!({"id": message.message_id, "from": message.from, "to": message.to, "state": state,
                               "content_type": message.content_type, "text": text,
                               "sip_status": message.sip_status, "created": time(message.create_time.as_ref())});
        if let Some(cursor) = cursor {
            value["cursor"] = Value::from(cursor);
        }
        return say!("{value}");
    }
    let (from, to, text) = (shown(&message.from), shown(&message.to), shown(&text));
    say!("{}  {state:<9}  {from} -> {to}  {text}", message.message_id)
}
