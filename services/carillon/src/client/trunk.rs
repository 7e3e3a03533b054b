//! `carillon trunk …`.

use cluster_api::registrar::v1::trunks_client::TrunksClient;
use cluster_api::registrar::v1::{
    CreateTrunkRequest, DeleteTrunkRequest, GetTrunkRequest, ListTrunksRequest, Trunk, TrunkCredentials,
    TrunkPeer, TrunkPrefix, TrunkProbe, TrunkRegistration, UpdateTrunkRequest, trunk_peer_health::State,
};
use comfy_table::{Table, presets};
use serde_json::json;
use tonic::Status;
use tonic_types::StatusExt as _;

use super::account::read_password;
use super::connect::connect;
use super::pages::all_pages;
use super::refusal::Refusal;
use crate::cli::ApiArgs;
use crate::cli::trunk::{TrunkAddArgs, TrunkCommand, TrunkNameArgs, TrunkServiceArgs, TrunkSetArgs};
use crate::out::{OutputError, say, shown};

/// What `trunk add` without a way out is told.
const NOTHING_GOES_OUT: &str = "no call would go out by this trunk: name numbers with --prefix (--prefix '' is every number) or domains with \
    --domain, or say --by-name when calls only come in by it, or applications name it";

/// Runs a trunk command.
///
/// # Errors
/// A refused rpc.
pub async fn run(command: TrunkCommand) -> anyhow::Result<()> {
    match command {
        TrunkCommand::Add(args) => add(args).await,
        TrunkCommand::List(args) => list(args).await,
        TrunkCommand::Show(args) => show(args).await,
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
    anyhow::ensure!(args.by_name || !args.prefix.is_empty() || !args.domain.is_empty(), NOTHING_GOES_OUT);
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
        max_calls: args.max_calls,
        ..Trunk::default()
    };
    let trunk = with_service(trunk, args.service)?;
    let request = CreateTrunkRequest { request_id: request_id(), trunk: Some(trunk) };
    let trunk = client.create_trunk(request).await.map_err(by_flag)?.into_inner();
    Ok(print(&[trunk], args.api.json)?)
}

async fn set(args: TrunkSetArgs) -> anyhow::Result<()> {
    let mut client = TrunksClient::new(connect(&args.api).await?);
    let trunk = Trunk { trunk_id: args.name, ..Trunk::default() };
    let mut trunk = with_service(trunk, args.service)?;
    let named = [
        ("disabled", args.disabled.is_some()),
        ("max_calls", args.max_calls.is_some()),
        ("credentials", trunk.credentials.is_some()),
        ("registration", trunk.registration.is_some()),
        ("probe", trunk.probe.is_some()),
    ];
    trunk.disabled = args.disabled.unwrap_or_default();
    trunk.max_calls = args.max_calls.unwrap_or_default();
    let paths: Vec<String> =
        named.into_iter().filter(|(_, is_named)| *is_named).map(|(name, _)| name.to_owned()).collect();
    anyhow::ensure!(!paths.is_empty(), "nothing to change: see carillon trunk set --help");
    let request = UpdateTrunkRequest {
        request_id: request_id(),
        trunk: Some(trunk),
        update_mask: Some(prost_types::FieldMask { paths }),
    };
    let trunk = client.update_trunk(request).await.map_err(by_flag)?.into_inner();
    Ok(print(&[trunk], args.api.json)?)
}

/// A refusal with the flag of the first field that is wrong.
fn by_flag(status: Status) -> anyhow::Error {
    let field = status.get_details_bad_request().and_then(|bad| bad.field_violations.into_iter().next());
    let flag = field.and_then(|bad| flag_of(&bad.field));
    let refusal = anyhow::Error::from(Refusal(status));
    match flag {
        Some(flag) => anyhow::anyhow!("{flag}: {refusal}"),
        None => refusal,
    }
}

fn flag_of(field: &str) -> Option<String> {
    let (name, rest) = field.strip_prefix("trunk.")?.split_once(['.', '[']).unwrap_or((&field[6..], ""));
    let part = rest.rsplit('.').next().unwrap_or_default();
    let flag = match (name, part) {
        ("trunk_id", _) => return Some("NAME".to_owned()),
        ("peers", _) => "peer",
        ("domains", _) => "domain",
        ("prefixes", _) => "prefix",
        ("registration", "registrar_uri") => "registrar",
        ("credentials" | "registration", part) => part,
        ("max_calls", _) => "max-calls",
        ("probe", _) => "probe",
        _ => return None,
    };
    let place = rest.split_once(']').and_then(|(index, _)| index.parse::<usize>().ok());
    Some(match place {
        Some(index) => format!("--{flag} ({} of those given)", index + 1),
        None => format!("--{flag}"),
    })
}

/// The trunk with what the flags say of credentials, registration and probe.
fn with_service(mut trunk: Trunk, args: TrunkServiceArgs) -> anyhow::Result<Trunk> {
    let seconds = |seconds: u32| prost_types::Duration { seconds: seconds.into(), nanos: 0 };
    if let Some(username) = args.username {
        let password = args.password.map_or_else(read_password, Ok)?;
        let realm = args.realm.unwrap_or_default();
        trunk.credentials = Some(TrunkCredentials { username, password, realm });
    }
    if let (Some(registrar_uri), Some(aor)) = (args.registrar, args.aor) {
        let (expires, callee) = (args.expires.map(seconds), args.callee.unwrap_or_default());
        trunk.registration = Some(TrunkRegistration { registrar_uri, aor, expires, callee });
    }
    let probe = |interval| TrunkProbe { interval: Some(seconds(interval)), failures: 0 };
    trunk.probe = args.probe.map(probe);
    Ok(trunk)
}

/// Everything that is known of one trunk, a line for each peer and one for the registration.
async fn show(args: TrunkNameArgs) -> anyhow::Result<()> {
    let mut client = TrunksClient::new(connect(&args.api).await?);
    let request = GetTrunkRequest { trunk_id: args.name };
    let trunk = client.get_trunk(request).await.map_err(Refusal)?.into_inner();
    if args.api.json {
        return Ok(print(&[trunk], true)?);
    }
    for peer in &trunk.health {
        let since = peer.since.map(|at| at.to_string()).unwrap_or_default();
        say!("peer {} {} {} {}", shown(&peer.uri), word(peer.state()), peer.sip_status, since)?;
    }
    if let Some(state) = &trunk.registration_state {
        let (status, reason) = (state.sip_status, shown(&state.sip_reason));
        let [until, next] =
            [state.expire_time, state.next_attempt_time].map(|at| at.map(|at| at.to_string()));
        let [until, next] = [until, next].map(Option::unwrap_or_default);
        say!("registration {status} {reason} edge {} until {until} next {next}", shown(&state.edge_id))?;
    }
    Ok(())
}

fn word(state: State) -> &'static str {
    match state {
        State::Unspecified | State::Unknown => "unknown",
        State::Up => "up",
        State::Down => "down",
    }
}

/// How the registration stands: its status, when one is kept up.
fn registered(trunk: &Trunk) -> String {
    match (&trunk.registration, &trunk.registration_state) {
        (None, _) => String::new(),
        (Some(_), _) if trunk.disabled => String::new(),
        (Some(_), None) => "pending".to_owned(),
        (Some(_), Some(state)) => state.sip_status.to_string(),
    }
}

async fn list(args: ApiArgs) -> anyhow::Result<()> {
    let mut client = TrunksClient::new(connect(&args).await?);
    let page = async |page_token| {
        let request = ListTrunksRequest { page_token, ..ListTrunksRequest::default() };
        let page = client.list_trunks(request).await?.into_inner();
        Ok((page.trunks, page.next_page_token))
    };
    Ok(print(&all_pages(page).await?, args.json)?)
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
                       "disabled": trunk.disabled, "max_calls": trunk.max_calls, "registration": registered(trunk),
                       "health": trunk.health.iter().map(|peer| json!({"peer": peer.uri,
                           "state": word(peer.state()), "status": peer.sip_status})).collect::<Vec<_>>()})
            )
        });
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header([
        "TRUNK",
        "PEERS",
        "PREFIXES",
        "DOMAINS",
        "REGISTERED",
        "DOWN",
        "MAX CALLS",
        "DISABLED",
    ]);
    for trunk in trunks {
        // the empty prefix is the one of all numbers
        let all: Vec<String> =
            prefixes(trunk).into_iter().map(|text| if text.is_empty() { "*".into() } else { text }).collect();
        table.add_row([
            shown(&trunk.trunk_id),
            shown(&peers(trunk).join(" ")),
            shown(&all.join(" ")),
            shown(&trunk.domains.join(" ")),
            registered(trunk),
            trunk.health.iter().filter(|peer| peer.state() == State::Down).count().to_string(),
            if trunk.max_calls == 0 { String::new() } else { trunk.max_calls.to_string() },
            if trunk.disabled { "yes" } else { "" }.to_owned(),
        ]);
    }
    say!("{table}")
}

fn request_id() -> String {
    uuid::Uuid::new_v4().to_string()
}
