//! Leases of all processes, kept in the store, so that an edge needs no store of its own.
//!
//! One index holds every lease with its end; an own record per member carries the boot epoch, so that an earlier life of
//! the same name cannot overwrite a later one.

use std::time::Duration;

use cluster_api::cluster::v1::{
    LeaseRequest, LeaseResponse, LeaveRequest, LeaveResponse, Member, membership_server::Membership,
};
use cluster_api::registrar::v1::EdgeLife;
use cluster_rpc::{EDGE_ROLE, Reason, Refusal};
use prost::Message as _;
use store::{Batch, Expect, Partition, Store, StoreError};
use tonic::{Request, Response, Status};

use crate::{Registrar, Shared, aors::millis, refusal::of_store};

const INDEX: &str = "members";
const ATTEMPTS: u32 = 5;
/// A lease this much past its end is removed by whoever sees it.
const LINGER: Duration = Duration::from_secs(60);
const MAX_MEMBERS: usize = 1_000;

#[derive(Clone, PartialEq, prost::Message)]
struct LeaseRecord {
    #[prost(message, optional, tag = "1")]
    member: Option<Member>,
    /// Store time in milliseconds since 1970.
    #[prost(uint64, tag = "2")]
    end_ms: u64,
}

impl Shared {
    async fn lease(&self, member: Member) -> Result<LeaseResponse, Refusal> {
        if member.id.is_empty() || member.role.is_empty() {
            return Err(Refusal::field(Reason::BadField, "member", "a member with id and role"));
        }
        let secrets = self.secrets.load().await.map_err(of_store)?.clone();
        self.secrets.restore().await.map_err(of_store)?;
        let lease = self.config.membership_lease;
        write(self.aors.store(), &self.members, &member, lease).await?;
        let members = living(self.aors.store(), &self.members).await.map_err(of_store)?;
        let ttl = prost_types::Duration::try_from(lease).ok();
        let gateways = self.trunks.table().await.map_err(of_store)?.gateways();
        Ok(LeaseResponse { members, ttl, flow_key: secrets.flow_key.to_vec().into(), gateways })
    }

    /// Whether a life of an edge is over for certain: it has left, a later one has begun, or its lease ran out so long ago that nothing is
    /// left of it. One that merely did not renew in time may be cut off from us alone, with phones that are well.
    pub(crate) async fn is_over(&self, life: &EdgeLife) -> Result<bool, StoreError> {
        let name = name_of(EDGE_ROLE, &life.edge_id);
        let known = self.aors.store().get(&self.members.key(&name)).await?;
        Ok(known.is_none_or(|known| read(&known.value).epoch > life.epoch))
    }

    /// Who lives now.
    pub(crate) async fn living_members(&self) -> Result<Vec<Member>, StoreError> {
        living(self.aors.store(), &self.members).await
    }

    async fn leave(&self, request: &LeaveRequest) -> Result<(), Refusal> {
        let (store, name) = (self.aors.store(), name_of(&request.role, &request.id));
        for _ in 0..ATTEMPTS {
            let Some(found) = store.get(&self.members.key(&name)).await.map_err(of_store)? else {
                return Ok(());
            };
            if read(&found.value).epoch > request.epoch {
                return Ok(());
            }
            let mut batch = Batch::new(&self.members);
            batch.delete(&name, Expect::Version(found.version)).index_remove(INDEX, &name);
            match store.commit(batch).await {
                Ok(_) => return Ok(()),
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(of_store(error)),
            }
        }
        Err(Refusal::new(Reason::Contention, "the lease was renewed while it was given up"))
    }
}

async fn write(
    store: &dyn Store,
    partition: &Partition,
    member: &Member,
    lease: Duration,
) -> Result<(), Refusal> {
    let name = name_of(&member.role, &member.id);
    for _ in 0..ATTEMPTS {
        let known = store.get(&partition.key(&name)).await.map_err(of_store)?;
        let expect = known.as_ref().map_or(Expect::Absent, |known| Expect::Version(known.version));
        if known.is_some_and(|known| read(&known.value).epoch > member.epoch) {
            let message = format!("a later life of {name} holds the lease");
            return Err(Refusal::new(Reason::WrongState, message));
        }
        let end_ms = millis(store.now() + lease);
        let value = LeaseRecord { member: Some(member.clone()), end_ms }.encode_to_vec();
        let mut batch = Batch::new(partition);
        batch.put_for(&name, member.encode_to_vec(), expect, lease + LINGER).index_add(INDEX, &name, value);
        match store.commit(batch).await {
            Ok(_) => return Ok(()),
            Err(StoreError::Conflict) => {}
            Err(error) => return Err(of_store(error)),
        }
    }
    Err(Refusal::new(Reason::Contention, "another life of the same name renews at the same time"))
}

/// Everybody whose lease runs.
pub(crate) async fn living(store: &dyn Store, partition: &Partition) -> Result<Vec<Member>, StoreError> {
    let page = store.index(partition, INDEX, None, MAX_MEMBERS).await?;
    let now_ms = millis(store.now());
    let mut members = Vec::with_capacity(page.entries.len());
    let mut stale = Batch::new(partition);
    for (name, value) in page.entries {
        let lease = LeaseRecord::decode(value).unwrap_or_default();
        let linger_ms = millis(std::time::UNIX_EPOCH + LINGER);
        match lease.member {
            Some(member) if lease.end_ms > now_ms => members.push(member),
            Some(_) if lease.end_ms.saturating_add(linger_ms) > now_ms => {}
            // its record has gone by itself; the check keeps a lease that is taken just now
            _ if stale.ops.len() < 64 => {
                stale.check(&name, Expect::Absent).index_remove(INDEX, name);
            }
            _ => {}
        }
    }
    if !stale.ops.is_empty() {
        // tidying may fail: the next one does it
        let _ = store.commit(stale).await;
    }
    Ok(members)
}

/// Has this life of an edge one of these leases?
pub(crate) fn is_living(life: &EdgeLife, living: &[Member]) -> bool {
    let is_it =
        |member: &Member| member.role == EDGE_ROLE && member.id == life.edge_id && member.epoch == life.epoch;
    living.iter().any(is_it)
}

fn read(value: &[u8]) -> Member {
    Member::decode(value).unwrap_or_default()
}

fn name_of(role: &str, id: &str) -> String {
    format!("{role}/{id}")
}

#[tonic::async_trait]
impl Membership for Registrar {
    async fn lease(&self, request: Request<LeaseRequest>) -> Result<Response<LeaseResponse>, Status> {
        let member = request.into_inner().member.unwrap_or_default();
        Ok(Response::new(self.shared.lease(member).await?))
    }

    async fn leave(&self, request: Request<LeaveRequest>) -> Result<Response<LeaveResponse>, Status> {
        self.shared.leave(&request.into_inner()).await?;
        Ok(Response::new(LeaveResponse {}))
    }
}
