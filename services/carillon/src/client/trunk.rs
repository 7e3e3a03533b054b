//! `carillon trunk …`.

use cluster_api::registrar::v1::trunks_client::TrunksClient;
use cluster_api::registrar::v1::{
    CreateTrunkRequest, DeleteTrunkRequest, ListTrunksRequest, Trunk, TrunkPeer, TrunkPrefix,
    UpdateTrunkRequest,
};
use comfy_table::{Table, presets};
use serde_json::json;

use super::connect::connect;
use super::refusal::Refusal;
use crate::cli::ApiArgs;
use crate::cli::trunk::{TrunkAddArgs, TrunkCommand, TrunkSetArgs};
use crate::out::{OutputError, say, shown};

/// Runs a trunk command.
///
/// # Errors
/// A refused rpc.
pub async fn run(command: TrunkCommand) -> anyhow::Result<()> {
    match command {
        TrunkCommand::Add(args) => add(args).await,
        TrunkCommand::List(args) => list(args).await,
        TrunkCommand::Set(args) => set(args).await,
        TrunkCommand::Delete(args) => {
            let mut client = TrunksClient::new(connect(&args.api).await?);
            let request = DeleteTrunkRequest { request_id: request_id(), trunk_id: args.name };
            client.delete_trunk(request).await.map_err(Refusal)?;
            Ok(())
        }
    }
}

async fn add(args: TrunkAddArgs) -> anyhow::Result<()> {
    let mut client = TrunksClient::new(connect(&args.api).await?);
    let peer = |uri| TrunkPeer { uri, ..TrunkPeer::default() };
    let prefix = |prefix| TrunkPrefix { prefix, ..TrunkPrefix::default() };
    let trunk = Trunk {
        trunk_id: args.name,
        peers: args.peer.into_iter().map(peer).collect(),
        domains: args.domain,
        prefixes: args.prefix.into_iter().map(prefix).collect(),
        priority: args.priority,
        weight: args.weight,
        ..Trunk::default()
    };
    let request = CreateTrunkRequest { request_id: request_id(), trunk: Some(trunk) };
    let trunk = client.create_trunk(request).await.map_err(Refusal)?.into_inner();
    Ok(print(&[trunk], args.api.json)?)
}

async fn set(args: TrunkSetArgs) -> anyhow::Result<()> {
    let mut client = TrunksClient::new(connect(&args.api).await?);
    let trunk = Trunk { trunk_id: args.name, disabled: args.disabled, ..Trunk::default() };
    let request = UpdateTrunkRequest {
        request_id: request_id(),
        trunk: Some(trunk),
        update_mask: Some(prost_types::FieldMask { paths: vec!["disabled".to_owned()] }),
    };
    let trunk = client.update_trunk(request).await.map_err(Refusal)?.into_inner();
    Ok(print(&[trunk], args.api.json)?)
}

async fn list(args: ApiArgs) -> anyhow::Result<()> {
    let mut client = TrunksClient::new(connect(&args).await?);
    let mut trunks = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListTrunksRequest { page_token, ..ListTrunksRequest::default() };
        let page = client.list_trunks(request).await.map_err(Refusal)?.into_inner();
        trunks.extend(page.trunks);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(print(&trunks, args.json)?);
        }
    }
}

fn print(trunks: &[Trunk], as_json: bool) -> Result<(), OutputError> {
    let peers = |trunk: &Trunk| trunk.peers.iter().map(|peer| peer.uri.clone()).collect::<Vec<_>>();
    let prefixes = |trunk: &Trunk| trunk.prefixes.iter().map(|rule| rule.prefix.clone()).collect::<Vec<_>>();
    if as_json {
        return trunks.iter().try_for_each(|trunk| {
            say!(
                "{}",
                json!({"trunk": trunk.trunk_id, "peers": peers(trunk), "prefixes": prefixes(trunk),
                       "domains": trunk.domains, "priority": trunk.priority, "weight": trunk.weight,
                       "disabled": trunk.disabled})
            )
        });
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["TRUNK", "PEERS", "PREFIXES", "DOMAINS", "DISABLED"]);
    for trunk in trunks {
        // the empty prefix is the one of all numbers
        let all: Vec<String> =
            prefixes(trunk).into_iter().map(|text| if text.is_empty() { "*".into() } else { text }).collect();
        table.add_row([
            shown(&trunk.trunk_id),
            shown(&peers(trunk).join(" ")),
            shown(&all.join(" ")),
            shown(&trunk.domains.join(" ")),
            if trunk.disabled { "yes" } else { "" }.to_owned(),
        ]);
    }
    say!("{table}")
}

fn request_id() -> String {
    uuid::Uuid::new_v4().to_string()
}
