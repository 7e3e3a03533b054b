//! Which callback calls a party now: at most one, so that whoever is free is called once.
//!
//! | in the partition of the party (its address of record) | what |
//! |---|---|
//! | record `w/PARTY` | the callback that calls it, for [`LASTS`] from when that was said last |
//!
//! The two parties of a callback may live in two partitions, and the callback in a third: no commit spans them (ADR 1). So both are claimed
//! before the commit that dials, one after the other in the order of their names, and given back when the attempt is over. A replica that
//! dies between leaves a claim that lapses; by then the call is in the list of calls, or there is none.

use std::time::Duration;

use store::{Batch, Expect, StoreError};

use super::Repository;
use super::names;
use crate::callback::machine::record::Callback;
use crate::engine::claim::takers::address_of_record;

/// How long a claim holds that nobody renews: several times as long as a callback that calls goes without being looked at.
const LASTS: Duration = Duration::from_secs(45);

impl Repository {
    /// Claims the parties of a callback for its call, or says once more that it calls them. `false` when another one calls one of them.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn claim_parties(&self, callback: &Callback) -> Result<bool, StoreError> {
        let id = callback.callback_id.as_str();
        let parties = parties_of(callback);
        for (at, party) in parties.iter().enumerate() {
            if !self.claim_party(party, id).await? {
                self.leave_parties(&parties[..at], id).await?;
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Gives the parties of a callback back.
    ///
    /// # Errors
    /// When the store fails; the claims lapse.
    pub async fn release_parties(&self, callback: &Callback) -> Result<(), StoreError> {
        self.leave_parties(&parties_of(callback), &callback.callback_id).await
    }

    async fn claim_party(&self, party: &str, id: &str) -> Result<bool, StoreError> {
        let partition = &self.partitions()[self.partitions.number_of(party)];
        let name = names::called_back(party);
        loop {
            let expect = match self.store.get(&partition.key(name.clone())).await? {
                Some(found) if found.value != id.as_bytes() => return Ok(false),
                Some(found) => Expect::Version(found.version),
                None => Expect::Absent,
            };
            let mut batch = Batch::new(partition);
            batch.put_for(name.clone(), id.to_owned(), expect, LASTS);
            match self.store.commit(batch).await {
                Ok(_) => return Ok(true),
                // Whoever was faster has it
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error),
            }
        }
    }

    async fn leave_parties(&self, parties: &[String], id: &str) -> Result<(), StoreError> {
        for party in parties {
            let partition = &self.partitions()[self.partitions.number_of(party)];
            let name = names::called_back(party);
            let found = self.store.get(&partition.key(name.clone())).await?;
            let Some(found) = found.filter(|found| found.value == id.as_bytes()) else { continue };
            let mut batch = Batch::new(partition);
            batch.delete(name, Expect::Version(found.version));
            match self.store.commit(batch).await {
                // It has lapsed, and may be another one's
                Ok(_) | Err(StoreError::Conflict) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// The parties of a callback, in an order that is the same for all.
fn parties_of(callback: &Callback) -> Vec<String> {
    let mut parties = [&callback.from, &callback.to].map(|party| address_of_record(&party.uri)).to_vec();
    parties.sort();
    parties.dedup();
    parties
}
