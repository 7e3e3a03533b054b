//! The REGISTERs of one attempt: until there is an answer that no other one can follow at once.

use std::time::Duration;

use cluster_api::edge::v1::{ExchangeRequest, ExchangeResponse, SendRequest};
use cluster_api::sip::v1::Header;
use cluster_rpc::RequestsLink;
use sip_digest::Challengers;
use tokio::time::timeout;

use super::reply::longer;
use super::secret::{Challenged, Secret};
use super::standing::RegistrationRecord;
use crate::Shared;

/// Messages of one attempt at most: four for the asked time, and four for the time that a 423 asks for.
pub(super) const SENDS: u32 = 8;
/// All of one attempt: less than the lease, with time to commit.
pub(super) const PATIENCE: Duration = Duration::from_secs(36);

impl Shared {
    /// Sends REGISTERs until there is an answer to keep, and puts the number of the last one into the record.
    pub(super) async fn exchange_register(
        &self,
        requests: &RequestsLink,
        record: &mut RegistrationRecord,
        ask: Ask<'_>,
    ) -> ExchangeResponse {
        let mut last = ask.first - 1;
        let local = |status| ExchangeResponse { status, local: true, ..ExchangeResponse::default() };
        let answered = timeout(PATIENCE, self.converse(requests, record, ask, &mut last)).await;
        record.cseq = last;
        answered.unwrap_or_else(|_| local(408))
    }

    /// `sent` is the number of the last request, also when nobody waits for the answer any more.
    pub(super) async fn converse(
        &self,
        requests: &RequestsLink,
        record: &RegistrationRecord,
        ask: Ask<'_>,
        sent: &mut u32,
    ) -> ExchangeResponse {
        let (mut expires, mut credentials) = (ask.expires, Credentials::default());
        let mut last = ExchangeResponse { status: 503, local: true, ..ExchangeResponse::default() };
        for cseq in ask.first..ask.first + SENDS {
            let secret = record.secret.as_ref();
            let given = secret
                .map(|secret| credentials.headers(secret, &record.registrar_uri, &self.entropy.token(8)));
            let given = given.unwrap_or_default();
            let request = register(record, &ask, cseq, expires, given, self.entropy.token(6));
            *sent = cseq;
            last = match requests.exchange(Some(&record.edge_id), request).await {
                Ok(response) => response,
                Err(status) => {
                    tracing::debug!(%status, edge = record.edge_id, "the edge has no answer to a REGISTER");
                    let is_silence = status.code() == tonic::Code::DeadlineExceeded;
                    let status = if is_silence { 408 } else { 503 };
                    return ExchangeResponse { status, local: true, ..ExchangeResponse::default() };
                }
            };
            if let (401 | 407, false, Some(secret)) = (last.status, last.local, secret) {
                if !credentials.learn(secret, &last) {
                    return last;
                }
            } else if let Some(least) =
                longer(&last, expires).filter(|_| expires == ask.expires && expires > 0)
            {
                (expires, credentials) = (least, Credentials::default());
            } else {
                return last;
            }
        }
        last
    }
}

/// What the challengers on the way of a REGISTER are answered with: with each repetition all of them (RFC 3261 22.3).
#[derive(Default)]
struct Credentials {
    challengers: Challengers,
    /// Challenges with the names of their answers.
    answered: Vec<Answered>,
}

struct Answered {
    header: &'static str,
    realm: Vec<u8>,
    challenge: String,
    /// Requests with its nonce (RFC 7616 3.4).
    count: u32,
}

impl Credentials {
    /// Takes over what a response asks for; whether there is an answer to any of it.
    fn learn(&mut self, secret: &Secret, response: &ExchangeResponse) -> bool {
        let is_proxy = response.status == 407;
        let header = if is_proxy { "Proxy-Authorization" } else { "Authorization" };
        let worth = self.challengers.worth(is_proxy, &response.challenges);
        let can = worth.into_iter().filter(|challenge| secret.can_answer(challenge));
        let fresh: Vec<Answered> = can
            .filter_map(|challenge| {
                let (realm, value) =
                    (challenge.realm.to_vec(), String::from_utf8(challenge.to_bytes()).ok()?);
                Some(Answered { header, realm, challenge: value, count: 0 })
            })
            .collect();
        let is_old = |known: &Answered| {
            fresh.iter().any(|fresh| (fresh.header, &fresh.realm) == (known.header, &known.realm))
        };
        self.answered.retain(|known| !is_old(known));
        let is_answered = !fresh.is_empty();
        self.answered.extend(fresh);
        is_answered
    }

    /// The headers of the next request.
    fn headers(&mut self, secret: &Secret, request_uri: &str, cnonce: &str) -> Vec<Header> {
        let answers = self.answered.iter_mut().flat_map(|answered| {
            answered.count += 1;
            let request = Challenged {
                method: "REGISTER",
                request_uri,
                body: b"",
                again: false,
                count: answered.count,
            };
            let values = secret.answer(std::slice::from_ref(&answered.challenge), request, cnonce);
            let name = answered.header;
            values.into_iter().map(move |value| Header { name: name.to_owned(), value })
        });
        answers.collect()
    }
}

/// One attempt.
pub(super) struct Ask<'a> {
    /// The first sequence number that is reserved for it. Those that were not used are for what follows, so that they rise by one
    /// (RFC 3261 10.2) but where a replica dies at it.
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
    credentials: Vec<Header>,
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
