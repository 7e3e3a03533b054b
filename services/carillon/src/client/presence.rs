//! `carillon presence …`.

use cluster_api::presence::v1::presence_client::PresenceClient;
use cluster_api::presence::v1::watcher_policy::{Action, Rule};
use cluster_api::presence::v1::{
    Basic, GetPresenceRequest, GetWatcherPolicyRequest, ListWatchersRequest, PresenceState,
    PublishPresenceRequest, SetWatcherPolicyRequest, WatchPresenceRequest, WatcherPolicy,
};
use serde_json::{Value, json};

use super::call_view::time;
use super::connect::connect;
use super::pages::all_pages;
use super::refusal::Refusal;
use crate::cli::presence::{
    PolicyAction, PolicyCommand, PolicySetArgs, PresenceCommand, PresencePublishArgs, PresenceStateArg,
    PresenceWatchArgs, PresenceWatchersArgs,
};
use crate::out::{OutputError, say, shown};

/// Runs a presence command.
///
/// # Errors
/// A refused rpc.
pub async fn run(command: PresenceCommand) -> anyhow::Result<()> {
    match command {
        PresenceCommand::Show(args) => {
            let mut client = PresenceClient::new(connect(&args.api).await?);
            let request = GetPresenceRequest { aor: args.aor };
            let state = client.get_presence(request).await.map_err(Refusal)?.into_inner();
            Ok(print_state(&state, None, args.api.json)?)
        }
        PresenceCommand::Watch(args) => watch(args).await,
        PresenceCommand::Publish(args) => publish(args).await,
        PresenceCommand::Watchers(args) => watchers(args).await,
        PresenceCommand::Policy(PolicyCommand::Show(args)) => {
            let mut client = PresenceClient::new(connect(&args.api).await?);
            let request = GetWatcherPolicyRequest { aor: args.aor };
            let policy = client.get_watcher_policy(request).await.map_err(Refusal)?.into_inner();
            Ok(print_policy(&policy, args.api.json)?)
        }
        PresenceCommand::Policy(PolicyCommand::Set(args)) => set_policy(args).await,
    }
}

async fn publish(args: PresencePublishArgs) -> anyhow::Result<()> {
    let mut client = PresenceClient::new(connect(&args.api).await?);
    let basic = match args.state {
        Some(PresenceStateArg::Open) => Basic::Open,
        Some(PresenceStateArg::Closed) => Basic::Closed,
        None => Basic::Unspecified,
    };
    let request = PublishPresenceRequest {
        request_id: uuid::Uuid::new_v4().to_string(),
        aor: args.aor,
        basic: basic.into(),
        note: args.note,
        expires: args.expires.map(prost_types::Duration::try_from).transpose()?,
        etag: args.etag,
        ..PublishPresenceRequest::default()
    };
    let published = client.publish_presence(request).await.map_err(Refusal)?.into_inner();
    if args.api.json {
        return Ok(say!(
            "{}",
            json!({"etag": published.etag, "expires": time(published.expire_time.as_ref())})
        )?);
    }
    Ok(say!("{}", published.etag)?)
}

async fn watchers(args: PresenceWatchersArgs) -> anyhow::Result<()> {
    let mut client = PresenceClient::new(connect(&args.api).await?);
    let page = async |page_token| {
        let (aor, package) = (args.aor.clone(), args.package.clone());
        let request = ListWatchersRequest { aor, package, page_size: 0, page_token };
        let page = client.list_watchers(request).await?.into_inner();
        Ok((page.watchers, page.next_page_token))
    };
    for watcher in &all_pages(page).await? {
        let state = watcher.state().as_str_name().to_lowercase();
        let until = time(watcher.expire_time.as_ref());
        match args.api.json {
            true => say!(
                "{}",
                json!({"id": watcher.watcher_id, "watcher": watcher.watcher, "state": state, "expires": until})
            )?,
            false => say!("{}  {state:<10}  until {until}", shown(&watcher.watcher))?,
        }
    }
    Ok(())
}

async fn set_policy(args: PolicySetArgs) -> anyhow::Result<()> {
    let mut client = PresenceClient::new(connect(&args.api).await?);
    let named = [
        (Action::Allow, args.allow),
        (Action::Confirm, args.confirm),
        (Action::PoliteBlock, args.polite_block),
        (Action::Block, args.block),
    ];
    let rule = |(action, watchers): (Action, Vec<String>)| {
        watchers.into_iter().map(move |watcher| Rule { watcher, action: action.into() })
    };
    let default_action = match args.default {
        None => Action::Unspecified,
        Some(PolicyAction::Allow) => Action::Allow,
        Some(PolicyAction::Confirm) => Action::Confirm,
        Some(PolicyAction::PoliteBlock) => Action::PoliteBlock,
        Some(PolicyAction::Block) => Action::Block,
    };
    let policy = WatcherPolicy {
        aor: args.aor,
        default_action: default_action.into(),
        rules: named.into_iter().flat_map(rule).collect(),
        etag: String::new(),
    };
    let request_id = uuid::Uuid::new_v4().to_string();
    let request = SetWatcherPolicyRequest { request_id, policy: Some(policy) };
    let policy = client.set_watcher_policy(request).await.map_err(Refusal)?.into_inner();
    Ok(print_policy(&policy, args.api.json)?)
}

async fn watch(args: PresenceWatchArgs) -> anyhow::Result<()> {
    let mut client = PresenceClient::new(connect(&args.api).await?);
    let request = WatchPresenceRequest { aors: args.aors, after_cursor: args.after };
    let mut events = client.watch_presence(request).await.map_err(Refusal)?.into_inner();
    while let Some(event) = events.message().await.map_err(Refusal)? {
        if let Some(state) = &event.presence {
            print_state(state, Some(&event.cursor), args.api.json)?;
        }
    }
    Ok(())
}

fn print_state(state: &PresenceState, cursor: Option<&str>, as_json: bool) -> Result<(), OutputError> {
    let name = |basic: Basic| basic.as_str_name().trim_start_matches("BASIC_").to_lowercase();
    if as_json {
        let tuples: Vec<Value> = state
            .tuples
            .iter()
            .map(
                |t| json!({"id": t.tuple_id, "basic": name(t.basic()), "contact": t.contact, "note": t.note}),
            )
            .collect();
        let (basic, note) = (name(state.basic()), &state.note);
        let mut value = json!({"aor": state.aor, "basic": basic, "note": note, "tuples": tuples});
        if let Some(cursor) = cursor {
            value["cursor"] = Value::from(cursor);
        }
        return say!("{value}");
    }
    say!("{} is {}  {}", shown(&state.aor), name(state.basic()), shown(&state.note))?;
    for tuple in &state.tuples {
        say!("  {:<8}  {}  {}", name(tuple.basic()), shown(&tuple.contact), shown(&tuple.note))?;
    }
    Ok(())
}

fn print_policy(policy: &WatcherPolicy, as_json: bool) -> Result<(), OutputError> {
    let name = |action: Action| match action {
        Action::Unspecified => "confirm".to_owned(),
        action => action.as_str_name().to_lowercase(),
    };
    if as_json {
        let rule = |rule: &Rule| json!({"watcher": rule.watcher, "action": name(rule.action())});
        let rules: Vec<Value> = policy.rules.iter().map(rule).collect();
        let default = name(policy.default_action());
        return say!(
            "{}",
            json!({"aor": policy.aor, "default": default, "rules": rules, "etag": policy.etag})
        );
    }
    for rule in &policy.rules {
        say!("{:<12}  {}", name(rule.action()), shown(&rule.watcher))?;
    }
    say!("{:<12}  everybody else", name(policy.default_action()))
}
