//! `Location.Allocate`: a number for whoever may have one.
//!
//! | the wish                                   | answer                        |
//! |--------------------------------------------|-------------------------------|
//! | names no usable contact, or a broken number | 400                          |
//! | no pool is for it, and none for all others | 404                           |
//! | several contacts, and the pool calls one   | 488 (ALC-05)                  |
//! | a shorter time than the pool lends for     | 423 with Min-Expires (ALC-04) |
//! | the borrower has all that it may           | 403 with Warning (ALC-09)     |
//! | every number is lent, or rests             | 503 with Retry-After (ALC-09) |
//! | else                                       | 200 with the number (ALC-03)  |
//!
//! Of a pool whose numbers a gateway elsewhere has, [`super::gateway`] says what the answer is from there on.

use std::time::Duration;

use cluster_api::convert::timestamp;
use cluster_api::registrar::v1::{AllocateRequest, AllocateResponse, LentNumber};
use cluster_rpc::Refusal;
use sip_message::{NameAddr, Uri};
use store::{Op, StoreError};

use super::asked::{self, Asked};
use super::book::{Wish, Wished};
use super::borrow::Wanted;
use super::pool::Pool;
use super::stored::{CALL_KEPT, Loan, Read, loan_name};
use super::{ATTEMPTS, Numbers};
use crate::refusal::of_store;
use crate::trunks::number_of;
use crate::{Shared, answer::header};

/// What is advised to who says nothing (ALLOCATE draft 3.1).
const USUAL_SECONDS: u32 = 180;

impl Shared {
    /// Lends a number. OK: everything that the answer says is committed.
    pub(crate) async fn allocate(&self, request: AllocateRequest) -> Result<AllocateResponse, Refusal> {
        let store = self.aors.store();
        let claimed = self.requests.claim(store, "Allocate", &request.request_id, &request).await?;
        if let Some(earlier) = claimed.result(store, &self.numbers.partition).await? {
            return Ok(earlier);
        }
        let keep = |answer: &AllocateResponse| {
            let mut ops = Vec::new();
            claimed.keep(answer, &mut ops);
            ops
        };
        let answer = self.try_allocate(&request, keep).await.map_err(of_store)?;
        if answer.pending {
            return Ok(answer);
        }
        self.meters.numbers.with_label_values(&[outcome_of(answer.status)]).inc();
        Ok(answer)
    }

    async fn try_allocate(
        &self,
        request: &AllocateRequest,
        keep: impl Fn(&AllocateResponse) -> Vec<Op>,
    ) -> Result<AllocateResponse, StoreError> {
        let asked = match asked::contacts(&request.contacts) {
            Ok(asked) => asked,
            Err(why) => return Ok(bare(400, why)),
        };
        let wanted = match asked::allocate_for(&request.allocate_for) {
            Ok(wanted) => wanted,
            Err(why) => return Ok(bare(400, why)),
        };
        if asked.contacts.iter().any(|contact| self.leads_to_pool(contact)) {
            return Ok(bare(400, "Contact Leads Back To This Server"));
        }
        let Some(pool) = self.numbers.pools.for_number(wanted.as_deref()) else {
            return Ok(bare(404, "No Pool For This Number"));
        };
        if pool.config.one_contact && asked.contacts.len() > 1 {
            return Ok(warned(488, "Numbers of this pool lead to one contact"));
        }
        let seconds = asked.expires.or(request.expires).unwrap_or(USUAL_SECONDS);
        let least = pool.config.min_ttl.as_secs();
        if u64::from(seconds) < least {
            let headers = vec![header("Min-Expires", least.to_string())];
            return Ok(AllocateResponse { headers, ..bare(423, "") });
        }
        let life = Duration::from_secs(seconds.into()).min(pool.config.max_ttl);
        if !pool.config.gateway.is_empty() {
            return self.borrow(&Wanted { pool, request, asked: &asked, life }, keep).await;
        }
        for _ in 0..ATTEMPTS {
            match self.lend(pool, request, &asked, life, &keep).await {
                Err(StoreError::Conflict) => self.meters.conflicts.inc(),
                other => return other,
            }
        }
        Err(StoreError::Conflict)
    }

    async fn lend(
        &self,
        pool: &Pool,
        request: &AllocateRequest,
        asked: &Asked,
        life: Duration,
        keep: impl Fn(&AllocateResponse) -> Vec<Op>,
    ) -> Result<AllocateResponse, StoreError> {
        let numbers = &self.numbers;
        let mut book = numbers.book(&pool.config.name).await?;
        let now_ms = self.aors.now_ms();
        let size = pool.size();
        let wish = Wish {
            requester: &request.requester,
            ask: &request.ask,
            life_ms: millis(life),
            rest_ms: millis(pool.config.max_ttl.saturating_mul(2)),
            size,
            quota: pool.config.quota,
            from: u32::try_from(self.entropy.below(size.into())).unwrap_or(0),
        };
        let place = match book.value.lend(wish, now_ms) {
            Wished::Lent(place) => place,
            Wished::Repeated(place) => return self.lent_before(pool, place, now_ms).await,
            Wished::Quota => return Ok(quota()),
            Wished::Empty(wait_ms) => return Ok(empty(wait_ms)),
        };
        let number = pool.number_at(place).unwrap_or_default();
        let name = loan_name(&number);
        let before = numbers.loan(&number).await?;
        let loan = Loan {
            contacts: asked.contacts.clone(),
            requester: request.requester.clone(),
            ends_ms: now_ms.saturating_add(millis(life)),
            ..Loan::default()
        };
        let answer = lent(pool, &number, &loan, now_ms);
        let mut batch = numbers.batch();
        numbers.put_book(&mut batch, &pool.config.name, book, now_ms);
        numbers.put_loan(&mut batch, name, Read { value: loan, version: before.version }, life + CALL_KEPT);
        batch.ops.extend(keep(&answer));
        numbers.store.commit(batch).await?;
        Ok(answer)
    }

    /// The same ask again: a retransmission at another edge, or one whose answer was lost.
    async fn lent_before(
        &self,
        pool: &Pool,
        place: u32,
        now_ms: u64,
    ) -> Result<AllocateResponse, StoreError> {
        let number = pool.number_at(place).unwrap_or_default();
        let loan = self.numbers.loan(&number).await?;
        Ok(lent(pool, &number, &loan.value, now_ms))
    }

    /// A call to such a contact would come to a number that is lent, and perhaps in a circle.
    fn leads_to_pool(&self, contact: &str) -> bool {
        let contact = NameAddr::parse(contact.as_bytes()).ok();
        let uri = contact.and_then(|contact| Uri::parse(contact.uri).ok());
        uri.is_some_and(|uri| {
            self.domains.of(&uri).is_some()
                && number_of(&uri).is_some_and(|number| self.numbers.pools.of(&number).is_some())
        })
    }
}

/// A loan as others see it.
pub(super) fn shown(pool: &str, number: &str, loan: &Loan) -> LentNumber {
    LentNumber {
        number: number.to_owned(),
        pool: pool.to_owned(),
        contacts: loan.contacts.clone(),
        expire_time: Some(timestamp(std::time::UNIX_EPOCH + Duration::from_millis(loan.ends_ms))),
        requester: loan.requester.clone(),
    }
}

pub(super) fn quota() -> AllocateResponse {
    warned(403, "You have as many numbers as you may: give one back")
}

pub(super) fn empty(wait_ms: u64) -> AllocateResponse {
    let headers = vec![header("Retry-After", wait_ms.div_ceil(1_000).max(1).to_string())];
    AllocateResponse { headers, ..bare(503, "No Number Is Free") }
}

pub(super) fn lent(pool: &Pool, number: &str, loan: &Loan, now_ms: u64) -> AllocateResponse {
    // a part of a second is not promised
    let left = loan.ends_ms.saturating_sub(now_ms) / 1_000;
    AllocateResponse {
        lent: Some(shown(&pool.config.name, number, loan)),
        expires: u32::try_from(left).unwrap_or(u32::MAX),
        ..bare(200, "")
    }
}

fn bare(status: u32, reason: &str) -> AllocateResponse {
    AllocateResponse { status, reason: reason.to_owned(), ..AllocateResponse::default() }
}

fn warned(status: u32, why: &str) -> AllocateResponse {
    let headers = vec![header("Warning", format!("399 carillon \"{why}\""))];
    AllocateResponse { headers, ..bare(status, "") }
}

pub(super) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn outcome_of(status: u32) -> &'static str {
    match status {
        200 => "lent",
        403 => "quota",
        503 => "empty",
        502 | 504 => "gateway",
        _ => "refused",
    }
}

impl Numbers {
    /// Whether a number belongs to a pool, lent or not.
    pub(super) fn pool_of(&self, number: &str) -> Option<(&Pool, u32)> {
        self.pools.of(number)
    }
}
