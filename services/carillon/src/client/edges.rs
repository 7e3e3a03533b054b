//! `carillon edges`.

use cluster_api::edge::v1::ListEdgesRequest;
use cluster_api::edge::v1::edges_client::EdgesClient;
use comfy_table::{Table, presets};
use serde_json::json;

use super::connect::connect;
use super::refusal::Refusal;
use crate::cli::ApiArgs;
use crate::out::say;

/// Lists the edges of the cluster.
///
/// # Errors
/// A refused rpc.
pub async fn list(args: ApiArgs) -> anyhow::Result<()> {
    let mut client = EdgesClient::new(connect(&args).await?);
    let edges = client.list_edges(ListEdgesRequest::default()).await.map_err(Refusal)?.into_inner().edges;
    if args.json {
        for e in &edges {
            say!("{}", json!({"edge_id": e.edge_id, "draining": e.draining}))?;
        }
        return Ok(());
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["EDGE", "DRAINING"]);
    for e in edges {
        table.add_row([e.edge_id, if e.draining { "yes".into() } else { String::new() }]);
    }
    Ok(say!("{table}")?)
}
