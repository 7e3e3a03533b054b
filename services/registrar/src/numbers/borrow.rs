//! A number of a gateway elsewhere: asked for by ALLOCATE through an edge, and lent on.
//!
//! The ask is a line of the pool's book before anything is sent, and says by which edge and with what Call-ID, tag and branch. So
//! whichever replica is asked goes on with the same request, and the edge, or the gateway, with the same answer. A question is answered
//! within two thirds of a second, with a number or without: who still wants one asks again, of any replica. When nobody does, the line
//! goes by itself, and a number that the gateway gave lapses there: the draft has no other way to give one back (ALLOCATE draft 3.3).

use std::time::Duration;

use cluster_api::edge::v1::ExchangeResponse;
use cluster_api::registrar::v1::{AllocateRequest, AllocateResponse};
use cluster_rpc::EDGE_ROLE;
use store::{Op, StoreError};
use tokio::time::{sleep, timeout};
use tonic::Code;

use super::asked::Asked;
use super::book::{Full, Line, Way, Wish};
use super::gateway::{Question, failed, granted, request};
use super::lend::{empty, lent, millis, quota};
use super::pool::Pool;
use super::stored::{Loan, Read, borrowed_name};
use super::{ATTEMPTS, Numbers};
use crate::{Shared, membership::living};

/// How long one question waits: less than one attempt between services (800 ms), after which another replica would be asked.
const PATIENCE: Duration = Duration::from_millis(600);
/// Before the next try, when no edge takes the request.
const PAUSE: Duration = Duration::from_millis(200);
/// How long a gateway is asked: a transaction (RFC 3261 17.1.2.2, 32 s), and who answers it.
const ASKED_FOR: Duration = Duration::from_secs(36);
/// Numbers of one gateway at a time: each commit writes the whole book.
const MOST_BORROWED: u32 = 1_000;

/// What a pool asks its gateway.
pub(super) struct Wanted<'a> {
    pub pool: &'a Pool,
    pub request: &'a AllocateRequest,
    pub asked: &'a Asked,
    pub life: Duration,
}

/// How far an ask is.
enum Begun {
    /// To be sent by this edge, or again.
    Asking(Line),
    /// Over, or never begun.
    Answered(Box<AllocateResponse>),
}

impl Shared {
    /// Asks the gateway of the pool, or goes on with that.
    pub(super) async fn borrow(
        &self,
        wanted: &Wanted<'_>,
        keep: impl Fn(&AllocateResponse) -> Vec<Op>,
    ) -> Result<AllocateResponse, StoreError> {
        let ask = ask_of(wanted.request);
        let line = match self.begin(wanted, &ask).await? {
            Begun::Asking(line) => line,
            Begun::Answered(answer) => return Ok(*answer),
        };
        let Some(response) = self.ask_gateway(wanted, &line).await else { return Ok(pending()) };
        let seconds = u32::try_from(wanted.life.as_secs()).unwrap_or(u32::MAX);
        let found = granted(&response, seconds);
        for _ in 0..ATTEMPTS {
            match self.end_ask(wanted, &line.token, &found, &keep).await {
                Err(StoreError::Conflict) => self.meters.conflicts.inc(),
                other => return other,
            }
        }
        Err(StoreError::Conflict)
    }

    async fn begin(&self, wanted: &Wanted<'_>, ask: &str) -> Result<Begun, StoreError> {
        for _ in 0..ATTEMPTS {
            match self.try_begin(wanted, ask).await {
                Err(StoreError::Conflict) => self.meters.conflicts.inc(),
                other => return other,
            }
        }
        Err(StoreError::Conflict)
    }

    async fn try_begin(&self, wanted: &Wanted<'_>, ask: &str) -> Result<Begun, StoreError> {
        let Wanted { pool, request, .. } = wanted;
        let numbers = &self.numbers;
        let over = |answer| Ok(Begun::Answered(Box::new(answer)));
        let mut book = numbers.book(&pool.config.name).await?;
        let now_ms = self.aors.now_ms();
        let known = book.value.of_ask(ask, now_ms).cloned();
        if let Some(line) = known.as_ref().filter(|line| !line.is_asked_for()) {
            let loan = numbers.borrowed(&pool.config.name, &line.number).await?;
            return over(lent(pool, &line.number, &loan.value, now_ms));
        }
        let before = known.as_ref().map(|line| line.edge_id.as_str());
        let has_way = numbers.requests.get().is_some();
        let Some(edge_id) = self.edge_to_ask(before).await?.filter(|_| has_way) else {
            return over(failed(503, 0, "No edge takes the request to the gateway of the pool".to_owned()));
        };
        let line = match known {
            Some(line) if line.edge_id == edge_id => return Ok(Begun::Asking(line)),
            Some(line) => {
                if let Some(moved) = book.value.of_token(&line.token) {
                    moved.edge_id.clone_from(&edge_id);
                }
                Line { edge_id, ..line }
            }
            None => {
                let wish = Wish {
                    requester: &request.requester,
                    ask,
                    life_ms: millis(ASKED_FOR),
                    rest_ms: 0,
                    size: MOST_BORROWED,
                    quota: pool.config.quota,
                    from: 0,
                };
                let way = Way { token: self.entropy.token(24), edge_id };
                match book.value.begin(wish, way, now_ms) {
                    Ok(begun) => begun,
                    Err(Full::Quota) => return over(quota()),
                    Err(Full::Pool(wait_ms)) => return over(empty(wait_ms)),
                }
            }
        };
        let mut batch = numbers.batch();
        numbers.put_book(&mut batch, &pool.config.name, book, now_ms);
        numbers.store.commit(batch).await?;
        Ok(Begun::Asking(line))
    }

    /// The answer of the gateway, as soon as there is one.
    async fn ask_gateway(&self, wanted: &Wanted<'_>, line: &Line) -> Option<ExchangeResponse> {
        let Wanted { pool, request: wish, asked, life } = wanted;
        let requests = self.numbers.requests.get()?;
        let exchange = request(&Question {
            config: &pool.config,
            from: format!("sip:carillon@{}", self.domains.home().name),
            token: &line.token,
            asked,
            allocate_for: &wish.allocate_for,
            seconds: u32::try_from(life.as_secs()).unwrap_or(u32::MAX),
        });
        match timeout(PATIENCE, requests.exchange(Some(&line.edge_id), exchange)).await {
            Ok(Ok(response)) => Some(response),
            Ok(Err(status)) if status.code() == Code::InvalidArgument => {
                tracing::warn!(pool = pool.config.name, %status, "an ALLOCATE cannot be sent");
                Some(ExchangeResponse { status: 500, local: true, ..ExchangeResponse::default() })
            }
            Ok(Err(status)) => {
                tracing::debug!(pool = pool.config.name, %status, "an ALLOCATE is not sent yet");
                sleep(PAUSE).await;
                None
            }
            Err(_) => None,
        }
    }

    async fn end_ask(
        &self,
        wanted: &Wanted<'_>,
        token: &str,
        found: &Result<(String, u32), Box<AllocateResponse>>,
        keep: impl Fn(&AllocateResponse) -> Vec<Op>,
    ) -> Result<AllocateResponse, StoreError> {
        let Wanted { pool, request, asked, .. } = wanted;
        let numbers = &self.numbers;
        let name = &pool.config.name;
        let mut book = numbers.book(name).await?;
        let now_ms = self.aors.now_ms();
        let mut batch = numbers.batch();
        let answer = match found {
            Err(refused) => {
                book.value.forget(token);
                AllocateResponse::clone(refused)
            }
            Ok((number, seconds)) => {
                let ends_ms = now_ms.saturating_add(u64::from(*seconds) * 1_000);
                let Some(line) = book.value.of_token(token) else {
                    // another replica had the same answer
                    return match book.value.of_ask(&ask_of(request), now_ms) {
                        Some(line) => {
                            let loan = numbers.borrowed(name, &line.number).await?;
                            Ok(lent(pool, &line.number, &loan.value, now_ms))
                        }
                        None => Ok(failed(504, 0, "The gateway of the pool answered too late".to_owned())),
                    };
                };
                line.number.clone_from(number);
                line.ends_ms = ends_ms;
                (line.token, line.edge_id) = (String::new(), String::new());
                let loan = Loan {
                    contacts: asked.contacts.clone(),
                    requester: request.requester.clone(),
                    ends_ms,
                    ..Loan::default()
                };
                let before = numbers.borrowed(name, number).await?;
                let answer = lent(pool, number, &loan, now_ms);
                let loan = Read { value: loan, version: before.version };
                let kept = Duration::from_secs((*seconds).into());
                numbers.put_loan(&mut batch, borrowed_name(name, number), loan, kept);
                batch.ops.extend(keep(&answer));
                answer
            }
        };
        numbers.put_book(&mut batch, name, book, now_ms);
        numbers.store.commit(batch).await?;
        Ok(answer)
    }

    /// The edge that has the request while it lives and stays, else another one.
    async fn edge_to_ask(&self, before: Option<&str>) -> Result<Option<String>, StoreError> {
        let members = living(self.aors.store(), &self.members).await?;
        let mut edges: Vec<_> = members.into_iter().filter(|member| member.role == EDGE_ROLE).collect();
        // one that drains still waits for what it has sent
        if let Some(same) = edges.iter().position(|edge| Some(edge.id.as_str()) == before) {
            return Ok(Some(edges.swap_remove(same).id));
        }
        edges.retain(|edge| !edge.draining);
        let drawn = self.entropy.below(u64::try_from(edges.len()).unwrap_or(0).max(1));
        let at = usize::try_from(drawn).unwrap_or(0);
        Ok((at < edges.len()).then(|| edges.swap_remove(at).id))
    }
}

impl Numbers {
    pub(super) async fn borrowed(&self, pool: &str, number: &str) -> Result<Read<Loan>, StoreError> {
        self.loan_at(borrowed_name(pool, number)).await
    }
}

/// What names an ask: that of a request id is good for whoever asks again by it.
fn ask_of(request: &AllocateRequest) -> String {
    match request.ask.as_str() {
        "" => ["id ", &request.request_id].concat(),
        ask => ask.to_owned(),
    }
}

fn pending() -> AllocateResponse {
    AllocateResponse { pending: true, ..AllocateResponse::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ALC-02: who asks from another process has an answer before a replica that waits is taken for a dead one.
    #[test]
    fn a_question_is_answered_within_one_attempt() {
        let one_attempt = cluster_rpc::remote::Config::default().attempt;
        assert!(PATIENCE + Duration::from_millis(100) < one_attempt, "{PATIENCE:?} of {one_attempt:?}");
    }
}
