//! `Location.AnswerChallenge`: what an edge puts on a request that a trunk has challenged.

use cluster_api::registrar::v1::{AnswerChallengeRequest, AnswerChallengeResponse};
use store::StoreError;

use super::secret::{Challenged, Secret};
use crate::Shared;

impl Shared {
    /// Answers a challenge to a call by a trunk.
    pub(crate) async fn answer_challenge(
        &self,
        request: AnswerChallengeRequest,
    ) -> Result<AnswerChallengeResponse, StoreError> {
        let table = self.trunks.table().await?;
        let (mut credentials, mut other_credentials) = (Vec::new(), Vec::new());
        if let Some(secret) = table.secret(&request.trunk) {
            credentials = self.answers(secret, &request, &request.challenges).await;
            other_credentials = self.answers(secret, &request, &request.other_challenges).await;
        }
        let label = match (credentials.is_empty() && other_credentials.is_empty(), request.again) {
            (false, _) => "answered",
            (true, true) => "refused",
            (true, false) => "unanswerable",
        };
        self.meters.trunk_challenges.with_label_values(&[label]).inc();
        Ok(AnswerChallengeResponse { credentials, other_credentials })
    }

    /// An answer to each of these challenges that is worth one.
    async fn answers(
        &self,
        secret: &Secret,
        request: &AnswerChallengeRequest,
        challenges: &[String],
    ) -> Vec<String> {
        let mut answers = Vec::new();
        for challenge in secret.worth(challenges, request.again) {
            let challenged = Challenged {
                method: &request.method,
                request_uri: &request.request_uri,
                body: &request.body,
                again: request.again,
                count: self.trunks.count_nonce(&request.trunk, &challenge).await,
            };
            answers.extend(secret.answer_one(&challenge, challenged, &self.entropy.token(8)));
        }
        answers
    }
}
