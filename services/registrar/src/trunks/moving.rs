//! The edges that registrations lead to: chosen anew when one is gone.

use cluster_api::cluster::v1::Member;
use cluster_rpc::EDGE_ROLE;
use prost::Message as _;
use store::{Batch, Expect, StoreError};

use super::registering::registration_ops;
use super::standing::{RegistrationRecord, of_registration};
use super::work::QUEUE;
use crate::{Shared, membership::living};

impl Shared {
    /// The edge that the contact leads to while it lives and stays, else another one.
    pub(super) async fn edge_for(&self, record: &RegistrationRecord) -> Result<Option<Member>, StoreError> {
        let members = living(self.aors.store(), &self.members).await?;
        let mut open: Vec<Member> =
            members.into_iter().filter(|member| member.role == EDGE_ROLE && !member.draining).collect();
        let same = open.iter().position(|edge| edge.id == record.edge_id);
        let at = same.or_else(|| {
            let count = u64::try_from(open.len()).unwrap_or(0);
            (count > 0).then(|| usize::try_from(self.entropy.below(count)).unwrap_or(0))
        });
        Ok(at.map(|at| open.swap_remove(at)))
    }

    /// Registrations whose contact leads to an edge that is gone, or about to go, are made anew through another one at once.
    pub(super) async fn move_from_lost_edges(&self) -> Result<(), StoreError> {
        let table = self.trunks.table().await?;
        if table.standings.registrations.is_empty() {
            return Ok(());
        }
        let members = living(self.aors.store(), &self.members).await?;
        let stays = |id: &str, epoch: u64| {
            let edge = |member: &&Member| member.role == EDGE_ROLE && member.id == id;
            members.iter().find(edge).is_some_and(|edge| edge.epoch == epoch && !edge.draining)
        };
        if !members.iter().any(|member| member.role == EDGE_ROLE && !member.draining) {
            return Ok(());
        }
        for (trunk_id, view) in &table.standings.registrations {
            let edge_id = view.state.as_ref().map_or("", |state| &state.edge_id);
            if !edge_id.is_empty() && !stays(edge_id, view.edge_epoch) {
                self.hurry(trunk_id, edge_id, view.edge_epoch).await?;
            }
        }
        Ok(())
    }

    /// Makes the refresh due, by whoever comes first and once.
    async fn hurry(&self, trunk_id: &str, edge_id: &str, epoch: u64) -> Result<(), StoreError> {
        let (store, name) = (self.aors.store(), of_registration(trunk_id));
        let Some(found) = store.get(&self.trunks.partition().key(&name)).await? else { return Ok(()) };
        let mut record = RegistrationRecord::decode(found.value).unwrap_or_default();
        if (record.edge_id.as_str(), record.edge_epoch) != (edge_id, epoch) {
            return Ok(());
        }
        (record.edge_id, record.edge_epoch) = (String::new(), 0);
        let mut batch = Batch::new(self.trunks.partition());
        batch.ops = registration_ops(trunk_id, &record, Expect::Version(found.version));
        batch.due_add(QUEUE, name, store.now(), "");
        match store.commit(batch).await {
            Ok(_) => {
                tracing::info!(trunk = trunk_id, edge = edge_id, "a registration moves to another edge");
                Ok(())
            }
            Err(StoreError::Conflict) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
