//! What an edge hands to presence: SUBSCRIBE and PUBLISH to packages that this version does not carry.

use cluster_api::presence::v1::{HandleRequest, HandleResponse, intake_server::Intake};
use tonic::{Request, Response, Status};

use crate::Presence;

#[tonic::async_trait]
impl Intake for Presence {
    async fn handle(&self, request: Request<HandleRequest>) -> Result<Response<HandleResponse>, Status> {
        Ok(Response::new(refuse(&request.into_inner())))
    }
}

/// The answer that a phone understands: the package is not carried, or the method is not.
fn refuse(request: &HandleRequest) -> HandleResponse {
    match request.method.as_str() {
        // RFC 6665 4.2.1.1, RFC 3903 6: a package that is not supported
        "SUBSCRIBE" | "PUBLISH" => HandleResponse { status: 489, ..HandleResponse::default() },
        _ => HandleResponse { status: 501, ..HandleResponse::default() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_that_is_not_carried_is_a_bad_event() {
        for (method, status) in [("SUBSCRIBE", 489), ("PUBLISH", 489), ("MESSAGE", 501), ("FOO", 501)] {
            let request = HandleRequest { method: method.to_owned(), ..HandleRequest::default() };
            assert_eq!(refuse(&request).status, status);
        }
    }
}
