//! `Location.EndFlows`: bindings go with the flow that led to them, and are not called in vain until they expire.

use std::collections::HashSet;

use cluster_api::registrar::v1::{
    EdgeLife, EndFlowsRequest, EndFlowsResponse, EndedFlow, binding_event::Type,
};
use cluster_rpc::{Reason, Refusal};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use store::StoreError;

use crate::{
    Shared,
    aors::{Change, ChangeError, note},
    refusal::{of_change, of_store},
    register::ended::{Ended, end_flow},
    registration::address_of,
};

/// Most flows of one request; edges tell a few hundred at a time.
const MOST: usize = 1_000;
/// Records that are changed at a time, so that a lost access network leaves the store room for those who come back.
const AT_ONCE: usize = 16;

impl Shared {
    /// Removes the bindings of flows that have ended.
    ///
    /// # Errors
    /// When not all of it could be done; all may be asked again.
    pub(crate) async fn end_flows(&self, request: EndFlowsRequest) -> Result<EndFlowsResponse, Refusal> {
        if request.flows.len() > MOST {
            return Err(Refusal::field(Reason::BadField, "flows", format!("at most {MOST}")));
        }
        let lasting = self.lasting(&request.flows).await?;
        let is_over = |ended: &EndedFlow| ended.life.as_ref().is_none_or(|life| !lasting.contains(life));
        stream::iter(request.flows.into_iter().filter(is_over))
            .map(|ended| self.end_one(ended))
            .buffer_unordered(AT_ONCE)
            .try_for_each(|()| std::future::ready(Ok(())))
            .await?;
        Ok(EndFlowsResponse {})
    }

    /// The lives of edges that may last, whatever another edge says: of one that lasts its own ends of flows are believed alone. A batch
    /// names few.
    async fn lasting(&self, flows: &[EndedFlow]) -> Result<HashSet<EdgeLife>, Refusal> {
        let lives: HashSet<&EdgeLife> = flows.iter().filter_map(|ended| ended.life.as_ref()).collect();
        let mut lasting = HashSet::new();
        for life in lives {
            if !self.is_over(life).await.map_err(of_store)? {
                lasting.insert(life.clone());
            }
        }
        Ok(lasting)
    }

    async fn end_one(&self, ended: EndedFlow) -> Result<(), Refusal> {
        let aor = address_of(&ended.to_uri).filter(|aor| self.domains.of_aor(aor).is_some());
        // Nothing was ever bound there.
        let Some(aor) = aor else { return Ok(()) };
        let change = self.aors.change(&aor, |draft| {
            let Ended { gone, asleep } = end_flow(draft.record, &ended.flow, draft.now_ms);
            if gone.is_empty() && asleep == 0 {
                return Change::Keep(0);
            }
            draft.ops.extend(gone.iter().map(|binding| note(&aor, Type::FlowFailed, binding)));
            Change::Commit(gone.len())
        });
        match change.await {
            Ok(gone) => {
                self.meters.flows_failed.inc_by(u64::try_from(gone).unwrap_or(0));
                Ok(())
            }
            // It will not be readable the next time either, and the others of the batch wait for it.
            Err(ChangeError::Store(error @ (StoreError::Corrupt { .. } | StoreError::Invalid { .. }))) => {
                tracing::warn!(%error, "the bindings of an ended flow were left to expire");
                Ok(())
            }
            Err(error) => Err(of_change(error)),
        }
    }
}
