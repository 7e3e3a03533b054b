//! `Location.Release` and `Location.ListLent`.

use cluster_api::registrar::v1::{ListLentRequest, ListLentResponse, ReleaseRequest, ReleaseResponse};
use cluster_rpc::{Reason, Refusal};
use sip_message::Uri;
use store::{Expect, StoreError};

use super::ATTEMPTS;
use super::lend::shown;
use super::stored::{borrowed_name, loan_name, read_loan};
use crate::Shared;
use crate::refusal::of_store;
use crate::trunks::{is_number, number_of};

impl Shared {
    /// Takes a number back.
    pub(crate) async fn release_number(&self, request: ReleaseRequest) -> Result<ReleaseResponse, Refusal> {
        let store = self.aors.store();
        let claimed = self.requests.claim(store, "Release", &request.request_id, &request).await?;
        if let Some(earlier) = claimed.result(store, &self.numbers.partition).await? {
            return Ok(earlier);
        }
        let Some(number) = plain(&request.number) else {
            return Err(Refusal::field(Reason::BadUri, "number", "a number as AllocateNumber returned it"));
        };
        let not_lent = || Refusal::new(Reason::NumberNotFound, format!("{number} is not lent"));
        let Some((pool, place)) = self.numbers.pool_of(&number) else {
            return Err(self.is_borrowed(&number).await?.unwrap_or_else(not_lent));
        };
        for _ in 0..ATTEMPTS {
            let mut book = self.numbers.book(&pool.config.name).await.map_err(of_store)?;
            let now_ms = self.aors.now_ms();
            if !book.value.end(place, now_ms) {
                return Err(not_lent());
            }
            let mut batch = self.numbers.batch();
            self.numbers.put_book(&mut batch, &pool.config.name, book, now_ms);
            batch.delete(loan_name(&number), Expect::Any);
            claimed.keep(&ReleaseResponse {}, &mut batch.ops);
            match store.commit(batch).await {
                Ok(_) => {
                    self.meters.numbers.with_label_values(&["released"]).inc();
                    return Ok(ReleaseResponse {});
                }
                Err(StoreError::Conflict) => self.meters.conflicts.inc(),
                Err(error) => return Err(of_store(error)),
            }
        }
        Err(of_store(StoreError::Conflict))
    }

    /// Why a number of a gateway elsewhere cannot be taken back, when it is one that is lent.
    async fn is_borrowed(&self, number: &str) -> Result<Option<Refusal>, Refusal> {
        for (pool, gateway) in self.numbers.pools.gateways() {
            let book = self.numbers.book(pool).await.map_err(of_store)?;
            let now_ms = self.aors.now_ms();
            if let Some(line) = book.value.lent(now_ms).find(|line| line.number == number) {
                let left = line.ends_ms.saturating_sub(now_ms).div_ceil(1_000);
                let text = format!(
                    "{number} is of {gateway}, and ALLOCATE has no way to give a number back: it lapses in {left} s"
                );
                return Ok(Some(Refusal::new(Reason::WrongState, text)));
            }
        }
        Ok(None)
    }

    /// Lists what is lent, by pool and number.
    pub(crate) async fn list_lent(&self, request: ListLentRequest) -> Result<ListLentResponse, Refusal> {
        let size = usize::try_from(request.page_size.clamp(1, 1_000)).unwrap_or(1);
        let after = request.after.split_once(' ');
        let mut found = Vec::new();
        for pool in self.numbers.pools.iter() {
            let name = pool.config.name.as_str();
            let is_wanted = request.pool.is_empty() || request.pool == name;
            if !is_wanted || after.is_some_and(|(last, _)| name < last) {
                continue;
            }
            let book = self.numbers.book(name).await.map_err(of_store)?;
            let now_ms = self.aors.now_ms();
            let lent = book.value.lent(now_ms);
            let mine =
                lent.filter(|line| request.requester.is_empty() || line.requester == request.requester);
            let mut numbers: Vec<String> = mine.filter_map(|line| pool.number_of(line)).collect();
            numbers.sort_unstable();
            if let Some((_, last)) = after.filter(|(last, _)| *last == name) {
                numbers.retain(|number| number.as_str() > last);
            }
            found.extend(numbers.into_iter().map(|number| (name, number)));
            if found.len() > size {
                break;
            }
        }
        let more = found.len() > size;
        found.truncate(size);
        let name_of = |(pool, number): &(&str, String)| match self.numbers.pool_of(number) {
            Some((of, _)) if of.config.name == *pool => loan_name(number),
            Some(_) | None => borrowed_name(pool, number),
        };
        let names: Vec<String> = found.iter().map(name_of).collect();
        let loans = match names.is_empty() {
            true => Vec::new(),
            false => self.numbers.store.get_many(&self.numbers.partition, &names).await.map_err(of_store)?,
        };
        let mut numbers = Vec::with_capacity(loans.len());
        for ((pool, number), loan) in found.iter().zip(loans) {
            // it may have been used since
            let Some(loan) = loan else { continue };
            let loan = read_loan(loan.value).map_err(of_store)?;
            numbers.push(shown(pool, number, &loan));
        }
        Ok(ListLentResponse { numbers, more })
    }
}

fn plain(text: &str) -> Option<String> {
    if is_number(text) {
        return Some(text.to_owned());
    }
    number_of(&Uri::parse(text.as_bytes()).ok()?)
}
