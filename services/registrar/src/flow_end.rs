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
    aors::{Change, ChangeError, Draft, note},
    membership::is_living,
    moved,
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
        let change = self.aors.change(&aor, |draft| match end(draft, &aor, &ended.flow) {
            Some(gone) => Change::Commit(gone),
            None => Change::Keep(0),
        });
        match change.await {
            Ok(gone) => {
                self.count_ended(gone);
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

    /// Ends the flows of an address whose edges have no lease now, so that its user can register over another one; whether there were any.
    ///
    /// An edge without a lease may be cut off from us alone (see [`is_over`](Self::is_over)), but then its user has not come back over
    /// it, and one contact has to give way.
    ///
    /// # Errors
    /// When the store fails.
    pub(crate) async fn make_room(&self, to_uri: &str) -> Result<bool, ChangeError> {
        let Some(aor) = address_of(to_uri) else { return Ok(false) };
        let living = self.living_members().await?;
        let change = self.aors.change(&aor, |draft| {
            let left_behind: HashSet<String> = draft
                .record
                .bindings
                .iter()
                .filter(|binding| binding.life.as_ref().is_some_and(|life| !is_living(life, &living)))
                .map(|binding| binding.flow.clone())
                .collect();
            match left_behind.iter().filter_map(|flow| end(draft, &aor, flow)).sum() {
                0 => Change::Keep(0),
                gone => Change::Commit(gone),
            }
        });
        let gone = change.await?;
        self.count_ended(gone);
        Ok(gone > 0)
    }

    fn count_ended(&self, gone: usize) {
        self.meters.flows_failed.inc_by(u64::try_from(gone).unwrap_or(0));
    }
}

/// Takes out what the flow leads to; how many bindings are gone, where that changes anything.
fn end(draft: &mut Draft<'_>, aor: &str, flow: &str) -> Option<usize> {
    let Ended { gone, slept } = end_flow(draft.record, flow, draft.now_ms);
    if gone.is_empty() && slept.is_empty() {
        return None;
    }
    draft.ops.extend(gone.iter().chain(&slept).filter_map(|of| moved::remember(aor, of, flow)));
    draft.ops.extend(gone.iter().map(|binding| note(aor, Type::FlowFailed, binding)));
    Some(gone.len())
}
