//! Numbers that are lent for one call. The pools are the registrar's, which routes the calls to them; here is only their face.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cluster_api::callcontrol::v1 as wire;
use cluster_api::registrar::v1 as registrar;
use cluster_rpc::{LocationLink, Reason, Refusal};
use tonic::Status;

use super::CallControlApi;
use crate::refusal;
use crate::violations::Violations;

/// Contacts of one number.
const MOST_CONTACTS: usize = 10;
/// Octets of a value.
const LONGEST: usize = 1_024;

impl CallControlApi {
    /// Lends a number to the holder of a token.
    pub(super) async fn allocate_number(
        &self,
        requester: String,
        request: wire::AllocateNumberRequest,
    ) -> Result<wire::Number, Status> {
        let mut violations = Violations::default();
        violations.line("request_id", &request.request_id, 64);
        if !(1..=MOST_CONTACTS).contains(&request.contacts.len()) {
            violations.add(Reason::BadField, "contacts", "1 to 10 of them");
        }
        for (index, contact) in request.contacts.iter().enumerate() {
            violations.line(&format!("contacts[{index}]"), contact, LONGEST);
        }
        let allocate_for = request.allocate_for.unwrap_or_default();
        violations.line("allocate_for", &allocate_for, LONGEST);
        let expires = seconds(request.ttl, &mut violations);
        violations.check()?;
        // Without an id of the client's every request is one of its own; but not every repetition of ours.
        let ask = match request.request_id.is_empty() {
            true => format!("grpc {}", self.entropy.token(16)),
            false => String::new(),
        };
        let mut answer = self
            .numbers()?
            .borrow(registrar::AllocateRequest {
                requester,
                ask,
                request_id: request.request_id,
                contacts: request.contacts,
                allocate_for,
                expires,
            })
            .await?;
        answer.lent.take().map(shown).ok_or_else(|| {
            let text = |name: &str| {
                let found = answer.headers.iter().find(|header| header.name == name);
                found.map_or("", |header| header.value.as_str())
            };
            elsewhere(&answer).unwrap_or_else(|| refused(answer.status, &answer.reason, text))
        })
    }

    /// Takes a number back.
    pub(super) async fn release_number(
        &self,
        request: wire::ReleaseNumberRequest,
    ) -> Result<wire::ReleaseNumberResponse, Status> {
        let mut violations = Violations::default();
        violations.line("request_id", &request.request_id, 64);
        violations.line("number", &request.number, 64);
        violations.check()?;
        let wire::ReleaseNumberRequest { request_id, number } = request;
        self.numbers()?.release(registrar::ReleaseRequest { request_id, number }).await?;
        Ok(wire::ReleaseNumberResponse {})
    }

    /// A page of the numbers that are lent.
    pub(super) async fn list_numbers(
        &self,
        request: wire::ListNumbersRequest,
    ) -> Result<wire::ListNumbersResponse, Status> {
        let filter = request.filter.unwrap_or_default();
        let mut violations = Violations::default();
        violations.line("filter.pool", &filter.pool, 64);
        violations.line("filter.requester", &filter.requester, LONGEST);
        let size = violations.page(request.page_size);
        let after = read_token(&request.page_token);
        if after.is_none() {
            violations.add(Reason::BadPageToken, "page_token", "next_page_token of the page before");
        }
        violations.check()?;
        let question = registrar::ListLentRequest {
            pool: filter.pool,
            requester: filter.requester,
            page_size: u32::try_from(size).unwrap_or(u32::MAX),
            after: after.unwrap_or_default(),
        };
        let page = self.numbers()?.list_lent(question).await?;
        let last = page.numbers.last().filter(|_| page.more);
        let next = last.map(|last| URL_SAFE_NO_PAD.encode(format!("{} {}", last.pool, last.number)));
        Ok(wire::ListNumbersResponse {
            numbers: page.numbers.into_iter().map(shown).collect(),
            next_page_token: next.unwrap_or_default(),
        })
    }

    fn numbers(&self) -> Result<&LocationLink, Status> {
        self.location.as_ref().ok_or_else(|| {
            refusal::refuse(Reason::ServiceUnavailable, "no registrar is known, which has the numbers")
        })
    }
}

fn seconds(ttl: Option<prost_types::Duration>, violations: &mut Violations) -> Option<u32> {
    let span = Duration::try_from(ttl?).ok().map(|span| span.as_secs()).filter(|seconds| *seconds > 0);
    let seconds = span.and_then(|seconds| u32::try_from(seconds).ok());
    if seconds.is_none() {
        violations.add(Reason::BadField, "ttl", "at least a second");
    }
    seconds
}

fn shown(lent: registrar::LentNumber) -> wire::Number {
    wire::Number {
        number: format!("tel:{}", lent.number),
        contacts: lent.contacts,
        pool: lent.pool,
        expire_time: lent.expire_time,
        requester: lent.requester,
    }
}

/// The refusal that is a gateway's elsewhere, unless it is one as of a pool of our own.
fn elsewhere(answer: &registrar::AllocateResponse) -> Option<Status> {
    let refusal = match (answer.status, answer.gateway_status) {
        (502, status @ 300..) => Refusal::sip(Reason::SipFailure, status, ""),
        (502, _) => Refusal::new(
            Reason::ServiceUnavailable,
            "the gateway of the pool answered, but with no number in global form",
        ),
        (504, _) => Refusal::new(
            Reason::DeadlineExceeded,
            "the gateway of the pool did not answer; a number that it gave nevertheless lapses by itself",
        ),
        // a pool that is empty says so in its reason phrase
        (503, 0) if answer.reason.is_empty() => Refusal::new(
            Reason::ServiceUnavailable,
            "there is no way to the gateway of the pool: look at its URI and trunk in the settings, and at DNS",
        ),
        _ => return None,
    };
    Some(refusal.into())
}

/// The refusal that belongs to the answer that an ALLOCATE would get.
fn refused<'a>(status: u32, reason: &str, header: impl Fn(&str) -> &'a str) -> Status {
    match status {
        403 => Refusal::new(Reason::NumberQuota, "you have as many numbers as you may: give one back").into(),
        404 => Refusal::new(
            Reason::PoolEmpty,
            "no pool of numbers is for this request: give [[number_pool]] in the settings of the registrar",
        )
        .into(),
        423 => {
            let expected = format!("at least {} s", header("Min-Expires"));
            Refusal::field(Reason::TtlTooShort, "ttl", expected).into()
        }
        488 => Refusal::field(Reason::BadField, "contacts", "one: numbers of this pool lead to one").into(),
        503 => {
            let seconds = header("Retry-After").parse().unwrap_or(1);
            let refusal = Refusal::new(Reason::PoolEmpty, "every number of the pool is lent, or rests");
            refusal.retry_after(Duration::from_secs(seconds)).into()
        }
        _ if reason.contains("Allocate-For") => {
            Refusal::field(Reason::BadUri, "allocate_for", "a tel URI with a global number").into()
        }
        _ => Refusal::field(
            Reason::BadUri,
            "contacts",
            "sip or sips URIs that lead elsewhere, with q from 0 to 1",
        )
        .into(),
    }
}

fn read_token(token: &str) -> Option<String> {
    if token.is_empty() {
        return Some(String::new());
    }
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
    let is_position = text.len() <= 128 && text.contains(' ') && !text.chars().any(char::is_control);
    is_position.then_some(text)
}
