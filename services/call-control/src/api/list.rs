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
    let asked = filter.digest();
    let after = read_token(&request.page_token, &asked);
    if after.is_err() {
        let expected = "next_page_token of the page before, with the same filter";
        violations.add(Reason::BadPageToken, "page_token", expected);
    }
    violations.check()?;
    let page = repository.page(&filter, after.unwrap_or_default(), size).await;
    let page = page.map_err(|error| refusal::of_store(&error))?;
    let next_page_token = page.next.as_ref().map(|next| write_token(next, &asked)).unwrap_or_default();
    Ok(wire::ListCallsResponse { calls: page.calls, next_page_token })
}

/// The digest of the filter, and where the next page begins.
fn write_token(position: &Position, asked: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("{asked}:{}", position.as_str()))
}

/// A token belongs to its filter: with another one the pages would not be of one list.
fn read_token(token: &str, asked: &str) -> Result<Option<Position>, ()> {
    if token.is_empty() {
        return Ok(None);
    }
    let octets = URL_SAFE_NO_PAD.decode(token).map_err(drop)?;
    let text = String::from_utf8(octets).map_err(drop)?;
    let text = text.strip_prefix(asked).and_then(|rest| rest.strip_prefix(':')).ok_or(())?;
    let is_position = text.len() <= 200 && text.contains('/') && !text.chars().any(char::is_control);
    if is_position { Ok(Some(Position::from_text(text))) } else { Err(()) }
}
