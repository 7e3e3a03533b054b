//! `carillon bindings`.

use cluster_api::registrar::v1::ListBindingsRequest;
use cluster_api::registrar::v1::bindings_client::BindingsClient;
use comfy_table::{Table, presets};
use serde_json::json;
use tonic::Code;

use super::account;
use super::call_view::time;
use super::connect::connect;
use super::pages::all_pages;
use super::refusal::Refusal;
use crate::cli::BindingsArgs;
use crate::out::{say, shown};

/// Lists bindings.
///
/// # Errors
/// A refused rpc.
pub async fn run(args: BindingsArgs) -> anyhow::Result<()> {
    let connection = connect(&args.api).await?;
    let mut client = BindingsClient::new(connection.clone());
    let asked = args.aor.clone();
    let aors = match args.aor {
        Some(aor) => vec![aor],
        None => account::all(connection).await?.into_iter().map(|a| a.aor).collect(),
    };
    let mut bindings = Vec::new();
    for aor in aors {
        let page = async |page_token| {
            let request = ListBindingsRequest { aor: aor.clone(), page_size: 0, page_token };
            let page = client.list_bindings(request).await?.into_inner();
            Ok((page.bindings, page.next_page_token))
        };
        match all_pages(page).await {
            Ok(listed) => bindings.extend(listed),
            // Deleted since the accounts were listed.
            Err(Refusal(status)) if asked.is_none() && status.code() == Code::NotFound => {}
            Err(refusal) => return Err(refusal.into()),
        }
    }
    if args.api.json {
        for b in &bindings {
            say!(
                "{}",
                json!({"aor": b.aor, "contact": b.contact_uri, "expires": time(b.expire_time.as_ref()),
                       "edge": b.edge_id, "received": b.received, "user_agent": b.user_agent})
            )?;
        }
        return Ok(());
    }
    if bindings.is_empty() {
        match asked {
            Some(aor) => say!("no bindings of {}", shown(&aor))?,
            None => say!("no bindings")?,
        }
        return Ok(());
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header([
        "ADDRESS OF RECORD",
        "CONTACT",
        "EXPIRES",
        "RECEIVED",
        "EDGE",
        "USER AGENT",
    ]);
    for b in bindings {
        let expires = time(b.expire_time.as_ref());
        let cells = [b.aor, b.contact_uri, expires, b.received, b.edge_id, b.user_agent];
        table.add_row(cells.map(|cell| shown(&cell)));
    }
    Ok(say!("{table}")?)
}
