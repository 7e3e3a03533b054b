//! `carillon account …`.

use std::io::{BufRead, IsTerminal, Write};

use cluster_api::registrar::v1::accounts_client::AccountsClient;
use cluster_api::registrar::v1::{
    Account, CreateAccountRequest, DeleteAccountRequest, ListAccountsRequest, UpdateAccountRequest,
};
use comfy_table::{Table, presets};
use serde_json::json;

use super::connect::{Connection, connect};
use super::pages::all_pages;
use super::refusal::Refusal;
use crate::cli::{AccountAddArgs, AccountCommand, AccountSetArgs, ApiArgs, Policies};
use crate::out::{OutputError, say, shown};

/// Runs an account command.
///
/// # Errors
/// A refused rpc.
pub async fn run(command: AccountCommand) -> anyhow::Result<()> {
    match command {
        AccountCommand::Add(args) => add(args).await,
        AccountCommand::List(args) => list(args).await,
        AccountCommand::Set(args) => set(args).await,
        AccountCommand::Delete(args) => {
            let mut client = AccountsClient::new(connect(&args.api).await?);
            let request = DeleteAccountRequest { request_id: request_id(), aor: args.aor };
            client.delete_account(request).await.map_err(Refusal)?;
            Ok(())
        }
    }
}

async fn add(args: AccountAddArgs) -> anyhow::Result<()> {
    let mut client = AccountsClient::new(connect(&args.api).await?);
    let password = match args.password {
        Some(password) => password,
        None => read_password()?,
    };
    let mut account = Account {
        aor: args.aor,
        password,
        display_name: args.display_name,
        anchor: args.anchor,
        ..Account::default()
    };
    set_policies(&mut account, args.policies);
    let request = CreateAccountRequest { request_id: request_id(), account: Some(account) };
    let account = client.create_account(request).await.map_err(Refusal)?.into_inner();
    Ok(print(&[account], args.api.json)?)
}

async fn set(args: AccountSetArgs) -> anyhow::Result<()> {
    let mut client = AccountsClient::new(connect(&args.api).await?);
    let mut paths = Vec::new();
    let mut account = Account { aor: args.aor, ..Account::default() };
    if let Some(password) = args.password {
        account.password = password;
        paths.push("password".to_string());
    }
    if let Some(name) = args.display_name {
        account.display_name = name;
        paths.push("display_name".into());
    }
    if let Some(disabled) = args.disabled {
        account.disabled = disabled;
        paths.push("disabled".into());
    }
    if let Some(anchor) = args.anchor {
        account.anchor = anchor;
        paths.push("anchor".into());
    }
    paths.extend(set_policies(&mut account, args.policies));
    let request = UpdateAccountRequest {
        request_id: request_id(),
        account: Some(account),
        update_mask: Some(prost_types::FieldMask { paths }),
    };
    let account = client.update_account(request).await.map_err(Refusal)?.into_inner();
    Ok(print(&[account], args.api.json)?)
}

/// Puts the policies that are named into an account; returns their names.
fn set_policies(account: &mut Account, policies: Policies) -> Vec<String> {
    let Policies {
        redirect_only,
        moved_permanently,
        allowed_callers,
        refused_callers_info,
        allowed_from,
        registrars,
        max_bindings,
        max_calls,
        max_call_rate,
        allowed_prefixes,
        denied_prefixes,
    } = policies;
    let mut named = Vec::new();
    if let Some(redirect_only) = redirect_only {
        account.redirect_only = redirect_only;
        named.push("redirect_only".to_owned());
    }
    if let Some(moved) = moved_permanently {
        account.moved_permanently = moved;
        named.push("moved_permanently".to_owned());
    }
    if let Some(info) = refused_callers_info {
        account.refused_callers_info = info;
        named.push("refused_callers_info".to_owned());
    }
    if let Some(most) = max_bindings {
        account.max_bindings = most;
        named.push("max_bindings".to_owned());
    }
    if let Some(most) = max_calls {
        account.max_calls = most;
        named.push("max_calls".to_owned());
    }
    if let Some(most) = max_call_rate {
        account.max_call_rate = most;
        named.push("max_call_rate".to_owned());
    }
    let lists = [
        ("allowed_prefixes", allowed_prefixes, &mut account.allowed_prefixes),
        ("denied_prefixes", denied_prefixes, &mut account.denied_prefixes),
        ("allowed_callers", allowed_callers, &mut account.allowed_callers),
        ("allowed_from", allowed_from, &mut account.allowed_from),
        ("registrars", registrars, &mut account.registrars),
    ];
    for (name, list, place) in lists {
        if let Some(list) = list {
            // The empty text clears a list.
            *place = list.into_iter().filter(|one| !one.is_empty()).collect();
            named.push(name.to_owned());
        }
    }
    named
}

/// What is not usual about an account, in a few words.
fn policies(account: &Account) -> String {
    let counted = |list: &[String], what: &str| (!list.is_empty()).then(|| format!("{} {what}", list.len()));
    let most = |most: u32, what: &str| (most != 0).then(|| format!("{most} {what}"));
    let found = [
        account.redirect_only.then(|| "redirects".to_owned()),
        account.moved_permanently.then(|| "moved".to_owned()),
        counted(&account.allowed_callers, "callers"),
        counted(&account.allowed_from, "names"),
        counted(&account.registrars, "registrars"),
        most(account.max_bindings, "phones"),
        most(account.max_calls, "calls"),
        most(account.max_call_rate, "calls a minute"),
        counted(&account.allowed_prefixes, "prefixes"),
        counted(&account.denied_prefixes, "prefixes denied"),
    ];
    found.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

async fn list(args: ApiArgs) -> anyhow::Result<()> {
    Ok(print(&all(connect(&args).await?).await?, args.json)?)
}

/// Every account, page by page.
///
/// # Errors
/// A refused rpc.
pub async fn all(connection: Connection) -> anyhow::Result<Vec<Account>> {
    let mut client = AccountsClient::new(connection);
    let page = async |page_token| {
        let request = ListAccountsRequest { page_token, ..ListAccountsRequest::default() };
        let page = client.list_accounts(request).await?.into_inner();
        Ok((page.accounts, page.next_page_token))
    };
    Ok(all_pages(page).await?)
}

fn print(accounts: &[Account], as_json: bool) -> Result<(), OutputError> {
    if as_json {
        return accounts.iter().try_for_each(|a| {
            let line = json!({
                "aor": a.aor,
                "display_name": a.display_name,
                "disabled": a.disabled,
                "anchor": a.anchor,
                "redirect_only": a.redirect_only,
                "moved_permanently": a.moved_permanently,
                "allowed_callers": a.allowed_callers,
                "allowed_from": a.allowed_from,
                "registrars": a.registrars,
                "max_bindings": a.max_bindings,
                "max_calls": a.max_calls,
                "max_call_rate": a.max_call_rate,
                "allowed_prefixes": a.allowed_prefixes,
                "denied_prefixes": a.denied_prefixes,
            });
            say!("{line}")
        });
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["ACCOUNT", "NAME", "DISABLED", "ANCHORED", "POLICIES"]);
    for a in accounts {
        table.add_row([
            shown(&a.aor),
            shown(&a.display_name),
            if a.disabled { "yes" } else { "" }.to_string(),
            if a.anchor { "yes" } else { "" }.to_string(),
            policies(a),
        ]);
    }
    say!("{table}")
}

pub(super) fn read_password() -> anyhow::Result<String> {
    if std::io::stdin().is_terminal() {
        // Nobody can be asked where standard error is closed; the line is read all the same.
        let _ = write!(std::io::stderr(), "password: ");
    }
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    let password = line.trim_end_matches(['\r', '\n']).to_string();
    anyhow::ensure!(
        !password.is_empty(),
        "a password is needed: give --password, or a line on standard input"
    );
    Ok(password)
}

fn request_id() -> String {
    uuid::Uuid::new_v4().to_string()
}
