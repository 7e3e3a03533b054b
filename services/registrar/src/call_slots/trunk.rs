//! The calls of a trunk: each leg by it has a place, those that come in as well as those that go out.
//!
//! A leg that goes out gets its place when its branch begins, and not with the plan: which of several trunks carries the call shows only
//! then. An edge that gets no answer has none, so that no trunk ever carries more than it may.

use std::time::Duration;

use cluster_api::registrar::v1::{
    ReleaseTrunkRequest, ReleaseTrunkResponse, SeizeTrunkRequest, SeizeTrunkResponse,
    seize_trunk_response::State,
};
use store::StoreError;

use super::{
    LONGEST_ID,
    list::{Seized, Wish},
};
use crate::{Shared, aors::ChangeError, spending::Verdict};

/// The leg of a call that comes in by a trunk.
const INCOMING: &str = "in";
/// Branches of one call that came to nothing, as an edge may name them.
const MOST_OVER: usize = 64;

impl Shared {
    /// Gives a branch room among the calls of its trunk, and asks the operator's service about it. Who is denied gives the room back.
    pub(crate) async fn seize_trunk(
        &self,
        request: SeizeTrunkRequest,
    ) -> Result<SeizeTrunkResponse, ChangeError> {
        let state = self.room_for(&request).await?;
        let (state, reason) = match state {
            // who has no room costs nothing
            State::Seized => match self.may_spend(&request).await {
                Verdict::Allowed(most) => match self.may_last(&request, most).await? {
                    true => (State::Seized, String::new()),
                    false => (State::Undecided, String::new()),
                },
                Verdict::Denied(reason) => (State::Denied, reason),
                Verdict::Undecided => (State::Undecided, String::new()),
            },
            other => (other, String::new()),
        };
        Ok(SeizeTrunkResponse { state: state.into(), reason })
    }

    /// Sees to the limit of a call that may go out. `false` when nobody could keep it and the settings do not let such calls go out.
    async fn may_last(
        &self,
        request: &SeizeTrunkRequest,
        most: Option<Duration>,
    ) -> Result<bool, ChangeError> {
        if !self.spending.is_set() {
            return Ok(true);
        }
        let is_kept = self.calls.get().is_some() && is_named(request);
        if most.is_some() && !is_kept {
            return Ok(matches!(self.spending.undecided("failed"), Verdict::Allowed(_)));
        }
        let over = &request.over[..request.over.len().min(MOST_OVER)];
        self.limit_call(request, over, most).await?;
        Ok(true)
    }

    async fn room_for(&self, request: &SeizeTrunkRequest) -> Result<State, ChangeError> {
        let SeizeTrunkRequest { trunk, call_id, branch, over, charge: _ } = request;
        let over = &over[..over.len().min(MOST_OVER)];
        let most = self.trunks.table().await?.trunk(trunk).map(|trunk| trunk.max_calls);
        Ok(match most {
            Some(0) => State::Seized,
            // a call whose end nobody would know of would count for ever
            Some(most) if is_named(request) => {
                let wish = Wish { call_id, leg: branch, over };
                match self.seize_leg(trunk, most, wish).await? {
                    Seized::Taken | Seized::Held => State::Seized,
                    Seized::Full => State::Full,
                }
            }
            Some(_) | None => State::Full,
        })
    }

    /// Gives the room of a branch back.
    pub(crate) async fn release_trunk(
        &self,
        request: ReleaseTrunkRequest,
    ) -> Result<ReleaseTrunkResponse, StoreError> {
        let ReleaseTrunkRequest { trunk, call_id, branch } = request;
        if self.spending.is_set() {
            let of_call = SeizeTrunkRequest { call_id: call_id.clone(), ..SeizeTrunkRequest::default() };
            self.limit_call(&of_call, std::slice::from_ref(&branch), None).await?;
        }
        self.release(&list_of(&trunk), &call_id, &branch).await?;
        Ok(ReleaseTrunkResponse {})
    }

    /// Gives a call that comes in by a trunk room there.
    pub(super) async fn seize_incoming(
        &self,
        trunk: &str,
        most: u32,
        wish: Wish<'_>,
    ) -> Result<Seized, ChangeError> {
        self.seize_leg(trunk, most, incoming(wish)).await
    }

    /// Takes out a call that did not come in after all.
    pub(super) async fn release_incoming(&self, trunk: &str, wish: Wish<'_>) -> Result<(), StoreError> {
        let Wish { call_id, leg, .. } = incoming(wish);
        self.release(&list_of(trunk), call_id, leg).await
    }

    async fn seize_leg(&self, trunk: &str, most: u32, wish: Wish<'_>) -> Result<Seized, ChangeError> {
        let seized = self.seize(&list_of(trunk), most, wish).await?;
        if seized == Seized::Full {
            self.meters.call_slots.with_label_values(&["trunk"]).inc();
        }
        Ok(seized)
    }
}

/// Each leg by a trunk has its place: that of who called, unless the call has several of them.
fn incoming(wish: Wish<'_>) -> Wish<'_> {
    if wish.leg.is_empty() { Wish { leg: INCOMING, ..wish } } else { wish }
}

/// Whether a call and its branch can be told from others.
fn is_named(request: &SeizeTrunkRequest) -> bool {
    [&request.call_id, &request.branch].iter().all(|id| !id.is_empty() && id.len() <= LONGEST_ID)
}

/// No address of record begins so.
fn list_of(trunk: &str) -> String {
    ["trunk:", trunk].concat()
}
