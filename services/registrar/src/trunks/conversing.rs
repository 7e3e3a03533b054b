//! The REGISTERs of one attempt: until there is an answer that no other one can follow at once.

use std::time::Duration;

use cluster_api::edge::v1::{ExchangeRequest, ExchangeResponse, SendRequest};
use cluster_api::sip::v1::Header;
use cluster_rpc::RequestsLink;
use tokio::time::timeout;

use super::reply::longer;
use super::secret::Challenged;
use super::standing::RegistrationRecord;
use crate::Shared;

/// Messages of one attempt at most: three for the asked time, and three for the time that a 423 asks for.
pub(super) const SENDS: u32 = 6;
/// All of one attempt: less than the lease, with time to commit.
pub(super) const PATIENCE: Duration = Duration::from_secs(36);

impl Shared {
    /// Sends REGISTERs until there is an answer to keep.
    pub(super) async fn exchange_register(
        &self,
        requests: &RequestsLink,
        record: &RegistrationRecord,
        ask: Ask<'_>,
    ) -> ExchangeResponse {
        let local = |status| ExchangeResponse { status, local: true, ..ExchangeResponse::default() };
        timeout(PATIENCE, self.converse(requests, record, ask)).await.unwrap_or_else(|_| local(408))
    }

    pub(super) async fn converse(
        &self,
        requests: &RequestsLink,
        record: &RegistrationRecord,
        ask: Ask<'_>,
    ) -> ExchangeResponse {
        let (mut expires, mut answers, mut header) = (ask.expires, 0, None);
        let mut last = ExchangeResponse { status: 503, local: true, ..ExchangeResponse::default() };
        for cseq in ask.first..ask.first + SENDS {
            let request = register(record, &ask, cseq, expires, header.take(), self.entropy.token(6));
            last = match requests.exchange(Some(&record.edge_id), request).await {
                Ok(response) => response,
                Err(status) => {
                    tracing::debug!(%status, edge = record.edge_id, "the edge has no answer to a REGISTER");
                    let is_silence = status.code() == tonic::Code::DeadlineExceeded;
                    let status = if is_silence { 408 } else { 503 };
                    return ExchangeResponse { status, local: true, ..ExchangeResponse::default() };
                }
            };
            if let (401 | 407, false, Some(secret)) = (last.status, last.local, &record.secret) {
                let request = Challenged {
                    method: "REGISTER",
                    request_uri: &record.registrar_uri,
                    body: b"",
                    again: answers > 0,
                };
                let given = secret.answer(&last.challenges, request, &self.entropy.token(8));
                answers += 1;
                let name = if last.status == 401 { "Authorization" } else { "Proxy-Authorization" };
                match given.into_iter().next().filter(|_| answers <= 2) {
                    Some(value) => header = Some(Header { name: name.to_owned(), value }),
                    None => return last,
                }
            } else if let Some(least) =
                longer(&last, expires).filter(|_| expires == ask.expires && expires > 0)
            {
                (expires, answers) = (least, 0);
            } else {
                return last;
            }
        }
        last
    }
}

/// One attempt.
pub(super) struct Ask<'a> {
    /// The first sequence number that is reserved for it.
    pub(super) first: u32,
    /// 0 to take leave.
    pub(super) expires: u32,
    /// A whole Contact value, where it is known.
    pub(super) contact: String,
    /// User part of the contact otherwise.
    pub(super) user: &'a str,
}

fn register(
    record: &RegistrationRecord,
    ask: &Ask<'_>,
    cseq: u32,
    expires: u32,
    credentials: Option<Header>,
    tag: String,
) -> ExchangeRequest {
    let mut headers = vec![Header { name: "Expires".to_owned(), value: expires.to_string() }];
    headers.extend(credentials);
    let request = SendRequest {
        method: "REGISTER".to_owned(),
        request_uri: record.registrar_uri.clone(),
        route: record.route.clone(),
        from_uri: record.aor.clone(),
        from_tag: tag,
        to_uri: record.aor.clone(),
        sip_call_id: record.call_id.clone(),
        cseq,
        headers,
        contact_user: ask.user.to_owned(),
        contact: ask.contact.clone(),
        ..SendRequest::default()
    };
    ExchangeRequest { exchange_id: format!("{}-{cseq}", record.call_id), request: Some(request) }
}
