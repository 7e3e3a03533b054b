//! What an edge hands to presence.

mod answer;
mod asking;
mod message;
mod publish;
mod subscribe;

use cluster_api::presence::v1::{HandleRequest, HandleResponse, intake_server::Intake};
use tonic::{Request, Response, Status};

pub use self::answer::{bad_event, refuse, refuse_with};
pub use self::asking::{Asking, user_aor};
pub use self::message::{LONGEST_BODY, USUAL_EXPIRES_S};
use crate::Presence;
use crate::refusal::of_store;
use crate::runner::ApplyError;

#[tonic::async_trait]
impl Intake for Presence {
    async fn handle(&self, request: Request<HandleRequest>) -> Result<Response<HandleResponse>, Status> {
        let request = request.into_inner();
        let method = request.method.clone();
        let answer = match self.answer(&request).await {
            Ok(answer) => answer,
            Err(ApplyError::Contended) => refuse(500),
            Err(ApplyError::Unknown) => refuse(481),
            Err(ApplyError::Store(error)) => {
                tracing::debug!(%error, "a request is not answered");
                // The edge says 503 with Retry-After, and asks another replica where there is one.
                return Err(of_store(error));
            }
        };
        let known = ["SUBSCRIBE", "PUBLISH", "MESSAGE", "NOTIFY"].into_iter().find(|known| *known == method);
        let status = answer.status.to_string();
        self.runner.counts.answers.with_label_values(&[known.unwrap_or("other"), &status]).inc();
        Ok(Response::new(answer))
    }
}

impl Presence {
    async fn answer(&self, request: &HandleRequest) -> Result<HandleResponse, ApplyError> {
        let asking = Asking(request);
        match request.method.as_str() {
            "SUBSCRIBE" if request.to_tag.is_empty() => self.begin_subscription(&asking).await,
            "SUBSCRIBE" => self.go_on_with_subscription(&asking).await,
            "NOTIFY" => self.take_notify(&asking).await,
            "PUBLISH" => self.publish(&asking).await,
            "MESSAGE" => self.keep_message(&asking).await,
            _ => Ok(refuse(501)),
        }
    }
}
