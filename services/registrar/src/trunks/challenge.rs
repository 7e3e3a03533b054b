//! `Location.AnswerChallenge`: what an edge puts on a request that a trunk has challenged.

use cluster_api::registrar::v1::{AnswerChallengeRequest, AnswerChallengeResponse};
use store::StoreError;

use super::secret::Challenged;
use crate::Shared;

impl Shared {
    /// Answers a challenge to a call by a trunk.
    pub(crate) async fn answer_challenge(
        &self,
        request: AnswerChallengeRequest,
    ) -> Result<AnswerChallengeResponse, StoreError> {
        let table = self.trunks.table().await?;
        let challenged = Challenged {
            method: &request.method,
            request_uri: &request.request_uri,
            body: &request.body,
            again: request.again,
            count: 1,
        };
        let cnonce = self.entropy.token(8);
        let secret = table.secret(&request.trunk);
        let credentials = secret.map(|secret| secret.answer(&request.challenges, challenged, &cnonce));
        let credentials = credentials.unwrap_or_default();
        let label = match (credentials.is_empty(), request.again) {
            (false, _) => "answered",
            (true, true) => "refused",
            (true, false) => "unanswerable",
        };
        self.meters.trunk_challenges.with_label_values(&[label]).inc();
        Ok(AnswerChallengeResponse { credentials })
    }
}
