//! `carillon forward …`.

use std::time::Duration;

use cluster_api::registrar::v1::forwarding_client::ForwardingClient;
use cluster_api::registrar::v1::{ForwardingRules, GetForwardingRequest, NoAnswer, SetForwardingRequest};
use comfy_table::{Table, presets};
use serde_json::json;

use super::connect::{Connection, connect};
use super::refusal::Refusal;
use crate::cli::{ForwardCommand, ForwardSetArgs};
use crate::out::{OutputError, say, shown};

/// Runs a forwarding command.
///
/// # Errors
/// A refused rpc.
pub async fn run(command: ForwardCommand) -> anyhow::Result<()> {
    match command {
        ForwardCommand::Set(args) => set(args).await,
        ForwardCommand::Show(args) => {
            let mut client = ForwardingClient::new(connect(&args.api).await?);
            let rules = get(&mut client, &args.aor).await?;
            Ok(print(&args.aor, &rules, args.api.json)?)
        }
        ForwardCommand::Clear(args) => {
            let mut client = ForwardingClient::new(connect(&args.api).await?);
            replace(&mut client, &args.aor, ForwardingRules::default()).await?;
            Ok(())
        }
    }
}

/// The rules that are named are put among those that there are. Somebody who changes them meanwhile is not undone: the etag
/// is that of the rules that were read.
async fn set(args: ForwardSetArgs) -> anyhow::Result<()> {
    let mut client = ForwardingClient::new(connect(&args.api).await?);
    let mut rules = get(&mut client, &args.aor).await?;
    rules.unconditional = args.unconditional.or(rules.unconditional);
    rules.busy = args.busy.or(rules.busy);
    rules.unreachable = args.unreachable.or(rules.unreachable);
    if let Some(target) = args.no_answer {
        let after = args.after.map(prost_types::Duration::try_from).transpose()?;
        rules.no_answer = Some(NoAnswer { target, after });
    }
    let rules = replace(&mut client, &args.aor, rules).await?;
    Ok(print(&args.aor, &rules, args.api.json)?)
}

async fn get(client: &mut ForwardingClient<Connection>, aor: &str) -> Result<ForwardingRules, Refusal> {
    let request = GetForwardingRequest { aor: aor.to_owned() };
    Ok(client.get_forwarding(request).await.map_err(Refusal)?.into_inner())
}

async fn replace(
    client: &mut ForwardingClient<Connection>,
    aor: &str,
    rules: ForwardingRules,
) -> Result<ForwardingRules, Refusal> {
    let request_id = uuid::Uuid::new_v4().to_string();
    let request = SetForwardingRequest { request_id, aor: aor.to_owned(), rules: Some(rules) };
    Ok(client.set_forwarding(request).await.map_err(Refusal)?.into_inner())
}

fn print(aor: &str, rules: &ForwardingRules, as_json: bool) -> Result<(), OutputError> {
    let no_answer = rules.no_answer.as_ref();
    let after = no_answer.and_then(|rule| Duration::try_from(rule.after?).ok()).map(|after| {
        let after = humantime_serde::re::humantime::format_duration(after);
        after.to_string()
    });
    if as_json {
        return say!(
            "{}",
            json!({"aor": aor, "unconditional": rules.unconditional, "busy": rules.busy,
                   "no_answer": no_answer.map(|rule| &rule.target), "after": after,
                   "unreachable": rules.unreachable})
        );
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["WHEN", "AFTER", "TO"]);
    for (when, after, to) in [
        ("unconditional", "", rules.unconditional.as_deref()),
        ("busy", "", rules.busy.as_deref()),
        ("no answer", after.as_deref().unwrap_or_default(), no_answer.map(|rule| &*rule.target)),
        ("unreachable", "", rules.unreachable.as_deref()),
    ] {
        if let Some(to) = to {
            table.add_row([when.to_owned(), after.to_owned(), shown(to)]);
        }
    }
    say!("{table}")
}
