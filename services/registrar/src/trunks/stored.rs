//! Where trunks are kept: one record with all of them, and a copy of it in the memory of every replica, which follows the store.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use cluster_api::registrar::v1::Trunk;
use parking_lot::RwLock;
use prost::Message as _;
use sip_digest::Challenge;
use store::{Batch, Expect, Op, Partition, Store, StoreError, Wakeups};
use store_rpc::read_record;

use super::nonces::Nonces;
use super::secret::Secret;
use super::standing::{INDEX, Standings};
use super::table::Table;
use crate::aors::ChangeError;

const NAME: &str = "all";
const SCHEMA: u32 = 1;
/// Attempts of one change, when others change trunks at the same time.
const ATTEMPTS: usize = 10;
/// Two for each trunk, and some of trunks that are being taken leave of.
const MOST_STANDINGS: usize = 2_000;

#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
struct TrunksRecord {
    #[prost(uint32, tag = "1")]
    schema: u32,
    #[prost(message, repeated, tag = "2")]
    trunks: Vec<Trunk>,
    /// Counts the changes of all trunks: no etag comes again, not even that of a trunk made anew.
    #[prost(uint64, tag = "3")]
    revision: u64,
    /// What of them nobody is shown.
    #[prost(message, repeated, tag = "4")]
    secrets: Vec<Secret>,
}

/// Shows no trunk: they have passwords.
impl std::fmt::Debug for TrunksRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TrunksRecord({} trunks, revision {})", self.trunks.len(), self.revision)
    }
}

/// All trunks.
pub(crate) struct Trunks {
    store: Arc<dyn Store>,
    partition: Partition,
    known: RwLock<Option<Known>>,
    /// Counts the readings, so that an earlier one never replaces a later one.
    readings: AtomicU64,
    nonces: Nonces,
    asks_always: bool,
}

/// What the table was made of.
#[derive(Clone)]
struct Known {
    reading: u64,
    /// 0 for a store without trunks.
    version: u64,
    standings: Vec<(String, Bytes)>,
    table: Arc<Table>,
}

/// What a change of the trunks is allowed to see and do.
pub(crate) struct Draft<'a> {
    /// By name.
    pub trunks: &'a mut Vec<Trunk>,
    /// What belongs to them, in any order.
    pub secrets: &'a mut Vec<Secret>,
    /// The etag of what is changed now.
    pub revision: u64,
    /// What is committed with it.
    pub ops: &'a mut Vec<Op>,
}

impl Trunks {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        let partition = Partition::new("trunks", 0);
        Self {
            store,
            partition,
            known: RwLock::new(None),
            readings: AtomicU64::new(1),
            nonces: Nonces::new(),
            asks_always: false,
        }
    }

    /// Has the edges ask about every call by a trunk when it goes out.
    pub(crate) fn ask_always(&mut self) {
        self.asks_always = true;
    }

    pub(crate) fn partition(&self) -> &Partition {
        &self.partition
    }

    /// The count of the next request that answers this challenge of a trunk.
    pub(super) async fn count_nonce(&self, trunk: &str, challenge: &Challenge<'_>) -> u32 {
        self.nonces.next(&*self.store, trunk, challenge).await
    }

    /// Wakes when the copy may be old.
    pub(crate) fn changes(&self) -> Wakeups {
        self.store.watch(&self.partition)
    }

    /// The table as this replica knows it; read from the store when it was not yet.
    pub(crate) async fn table(&self) -> Result<Arc<Table>, StoreError> {
        let known = self.known.read().as_ref().map(|known| known.table.clone());
        match known {
            Some(table) => Ok(table),
            None => self.refresh().await,
        }
    }

    /// Takes over what the store has.
    pub(crate) async fn refresh(&self) -> Result<Arc<Table>, StoreError> {
        let reading = self.readings.fetch_add(1, Ordering::Relaxed);
        let found = self.store.get(&self.partition.key(NAME)).await?;
        let standings = self.store.index(&self.partition, INDEX, None, MOST_STANDINGS).await?.entries;
        let version = found.as_ref().map_or(0, |found| found.version);
        if let Some(known) = &mut *self.known.write()
            && known.version == version
            && known.standings == standings
        {
            known.reading = known.reading.max(reading);
            return Ok(known.table.clone());
        }
        let record = found.map_or(Ok(TrunksRecord::default()), |found| read(found.value))?;
        Ok(self.learn(reading, version, record, standings))
    }

    /// All trunks as stored, by name, and how they stand.
    pub(crate) async fn all(&self) -> Result<(Vec<Trunk>, Standings), StoreError> {
        let found = self.store.get(&self.partition.key(NAME)).await?;
        let standings = self.store.index(&self.partition, INDEX, None, MOST_STANDINGS).await?;
        let trunks = found.map_or(Ok(TrunksRecord::default()), |found| read(found.value))?.trunks;
        Ok((trunks, Standings::read(&standings.entries)))
    }

    /// Changes the trunks together with what else the draft wants committed. An error of `act` changes nothing.
    pub(crate) async fn change<T, E>(
        &self,
        mut act: impl FnMut(Draft<'_>) -> Result<T, E>,
    ) -> Result<Result<T, E>, ChangeError> {
        for _ in 0..ATTEMPTS {
            let found = self.store.get(&self.partition.key(NAME)).await?;
            let expect = found.as_ref().map_or(Expect::Absent, |found| Expect::Version(found.version));
            let mut record = found.map_or(Ok(TrunksRecord::default()), |found| read(found.value))?;
            record.schema = SCHEMA;
            record.revision += 1;
            let mut batch = Batch::new(&self.partition);
            let TrunksRecord { trunks, secrets, revision, .. } = &mut record;
            let draft = Draft { trunks, secrets, revision: *revision, ops: &mut batch.ops };
            let done = match act(draft) {
                Ok(done) => done,
                Err(refused) => return Ok(Err(refused)),
            };
            record.trunks.sort_by(|one, two| one.trunk_id.cmp(&two.trunk_id));
            batch.put(NAME, record.encode_to_vec(), expect);
            match self.store.commit(batch).await {
                Ok(outcome) => {
                    let reading = self.readings.fetch_add(1, Ordering::Relaxed);
                    let standings = self.known.read().as_ref().map(|known| known.standings.clone());
                    self.learn(reading, outcome.version, record, standings.unwrap_or_default());
                    return Ok(Ok(done));
                }
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(ChangeError::Store(StoreError::Conflict))
    }

    fn learn(
        &self,
        reading: u64,
        version: u64,
        record: TrunksRecord,
        standings: Vec<(String, Bytes)>,
    ) -> Arc<Table> {
        let table =
            Arc::new(Table::of(record.trunks, record.secrets, Standings::read(&standings), self.asks_always));
        let mut known = self.known.write();
        match &*known {
            // versions of one record only grow; a store that lost it begins again at nothing
            Some(newer) if newer.version > version && version != 0 => newer.table.clone(),
            Some(newer) if newer.reading > reading => newer.table.clone(),
            Some(_) | None => {
                *known = Some(Known { reading, version, standings, table: table.clone() });
                table
            }
        }
    }
}

fn read(value: Bytes) -> Result<TrunksRecord, StoreError> {
    read_record(value, SCHEMA, "the trunks", |read: &TrunksRecord| read.schema)
}
