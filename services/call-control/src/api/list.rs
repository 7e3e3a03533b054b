//! ListCalls: pages and their tokens.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cluster_api::callcontrol::v1 as wire;
use cluster_rpc::Reason;
use tonic::Status;

use crate::refusal;
use crate::repository::{Filter, Position, Repository};
use crate::violations::Violations;

/// A page of calls.
///
/// # Errors
/// For a bad page size or token, and when the store fails.
pub async fn list(
    repository: &Repository,
    request: wire::ListCallsRequest,
) -> Result<wire::ListCallsResponse, Status> {
    let filter = Filter::new(request.filter)?;
    let mut violations = Violations::default();
    let size = violations.page(request.page_size);
    let after = read_token(&request.page_token);
    if after.is_err() {
        violations.add(Reason::BadPageToken, "page_token", "next_page_token of the page before");
    }
    violations.check()?;
    let page = repository.page(&filter, after.unwrap_or_default(), size).await;
    let page = page.map_err(|error| refusal::of_store(&error))?;
    let next_page_token = page.next.as_ref().map(write_token).unwrap_or_default();
    Ok(wire::ListCallsResponse { calls: page.calls, next_page_token })
}

fn write_token(position: &Position) -> String {
    URL_SAFE_NO_PAD.encode(position.as_str())
}

fn read_token(token: &str) -> Result<Option<Position>, ()> {
    if token.is_empty() {
        return Ok(None);
    }
    let octets = URL_SAFE_NO_PAD.decode(token).map_err(drop)?;
    let text = String::from_utf8(octets).map_err(drop)?;
    let is_position = text.len() <= 200 && text.contains('/') && !text.chars().any(char::is_control);
    if is_position { Ok(Some(Position::from_text(&text))) } else { Err(()) }
}
