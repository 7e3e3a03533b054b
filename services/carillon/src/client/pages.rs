//! Lists that come in pages.

use tonic::Status;

use super::refusal::Refusal;

/// Everything that is listed; `page` asks for the page of a token, and gives what is on it and the token of the next one.
///
/// # Errors
/// A refused rpc.
pub async fn all_pages<T>(
    mut page: impl AsyncFnMut(String) -> Result<(Vec<T>, String), Status>,
) -> Result<Vec<T>, Refusal> {
    let (mut all, mut page_token) = (Vec::new(), String::new());
    loop {
        let (listed, next) = page(page_token).await.map_err(Refusal)?;
        all.extend(listed);
        if next.is_empty() {
            return Ok(all);
        }
        page_token = next;
    }
}
