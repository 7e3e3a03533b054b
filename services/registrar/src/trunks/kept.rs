//! Where trunks are kept: one record with all of them, and a copy of it in the memory of every replica, which follows the store.

use std::sync::Arc;

use bytes::Bytes;
use cluster_api::registrar::v1::Trunk;
use parking_lot::RwLock;
use prost::Message as _;
use store::{Batch, Expect, Op, Partition, Store, StoreError, Wakeups};

use super::table::Table;
use crate::aors::ChangeError;

const NAME: &str = "all";
const SCHEMA: u32 = 1;
/// Attempts of one change, when others change trunks at the same time.
const ATTEMPTS: usize = 10;

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
    /// The version that the table was made of, 0 for a store without trunks; nothing before the first reading.
    known: RwLock<Option<(u64, Arc<Table>)>>,
}

/// What a change of the trunks is allowed to see and do.
pub(crate) struct Draft<'a> {
    /// By name.
    pub trunks: &'a mut Vec<Trunk>,
    /// The etag of what is changed now.
    pub revision: u64,
    /// What is committed with it.
    pub ops: &'a mut Vec<Op>,
}

impl Trunks {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, partition: Partition::new("trunks", 0), known: RwLock::new(None) }
    }

    pub(crate) fn partition(&self) -> &Partition {
        &self.partition
    }

    /// Wakes when the copy may be old.
    pub(crate) fn changes(&self) -> Wakeups {
        self.store.watch(&self.partition)
    }

    /// The table as this replica knows it; read from the store when it was not yet.
    pub(crate) async fn table(&self) -> Result<Arc<Table>, StoreError> {
        let known = self.known.read().as_ref().map(|(_, table)| table.clone());
        match known {
            Some(table) => Ok(table),
            None => self.refresh().await,
        }
    }

    /// Takes over what the store has.
    pub(crate) async fn refresh(&self) -> Result<Arc<Table>, StoreError> {
        let found = self.store.get(&self.partition.key(NAME)).await?;
        let version = found.as_ref().map_or(0, |found| found.version);
        if let Some((known, table)) = &*self.known.read()
            && *known == version
        {
            return Ok(table.clone());
        }
        let record = found.map_or(Ok(TrunksRecord::default()), |found| read(found.value))?;
        Ok(self.learn(version, record.trunks))
    }

    /// All trunks as stored, by name.
    pub(crate) async fn all(&self) -> Result<Vec<Trunk>, StoreError> {
        let found = self.store.get(&self.partition.key(NAME)).await?;
        Ok(found.map_or(Ok(TrunksRecord::default()), |found| read(found.value))?.trunks)
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
            let draft = Draft { trunks: &mut record.trunks, revision: record.revision, ops: &mut batch.ops };
            let done = match act(draft) {
                Ok(done) => done,
                Err(refused) => return Ok(Err(refused)),
            };
            record.trunks.sort_by(|one, two| one.trunk_id.cmp(&two.trunk_id));
            batch.put(NAME, record.encode_to_vec(), expect);
            match self.store.commit(batch).await {
                Ok(outcome) => {
                    self.learn(outcome.version, record.trunks);
                    return Ok(Ok(done));
                }
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(ChangeError::Store(StoreError::Conflict))
    }

    fn learn(&self, version: u64, trunks: Vec<Trunk>) -> Arc<Table> {
        let table = Arc::new(Table::of(trunks));
        let mut known = self.known.write();
        match &*known {
            // versions of one record only grow; a store that lost it begins again at nothing
            Some((newer, table)) if *newer > version && version != 0 => table.clone(),
            Some(_) | None => {
                *known = Some((version, table.clone()));
                table
            }
        }
    }
}

fn read(value: Bytes) -> Result<TrunksRecord, StoreError> {
    let record =
        TrunksRecord::decode(value).map_err(|error| StoreError::Corrupt { reason: error.to_string() })?;
    if record.schema > SCHEMA {
        let reason = format!("the trunks are of schema {}, this version reads {SCHEMA}", record.schema);
        return Err(StoreError::Corrupt { reason });
    }
    Ok(record)
}
