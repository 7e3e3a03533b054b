//! Phones whose edge is in no list yet: one that has just begun takes registrations before every other edge has heard of it.
//!
//! | what is known of the edge of a flow | a request to it |
//! |---|---|
//! | it is in the list | goes there |
//! | it lives a later life, or was in a list once and is not any more | has lost its flow, at once |
//! | nothing, or an earlier life | asks for the list anew, and waits until that is there, for a second at most |
//! | a list that was asked for since does not have it | has lost its flow, and so has every later one, at once |

use std::time::Duration;

use sip_proxy::{BranchFailure, BranchId};
use tokio::time::timeout;

use super::fork::{Fork, ForkId};
use super::next_hop::Ways;
use crate::edge::{Completion, Cx, Edge};

/// How long the list is waited for: a registrar that is there answers in milliseconds.
const PATIENCE: Duration = Duration::from_secs(1);

impl Edge {
    /// The edge that has the flow of a branch is not in the list: asks for it anew.
    pub(super) fn look_for_edge(&mut self, cx: &mut Cx<'_>, id: ForkId, fork: &mut Fork, branch: BranchId) {
        let Some(running) = fork.branches.get_mut(branch.0 as usize) else { return };
        let is_first = !std::mem::replace(&mut running.is_sought, true);
        if !is_first || self.held >= self.config.limits.held {
            return self.lose_way(cx, id, fork, branch, BranchFailure::FlowFailed);
        }
        let look = self.deps.look_again.clone();
        let work = async move {
            let is_fresh = timeout(PATIENCE, look.look()).await.unwrap_or(false);
            Completion::Listed(id, branch, is_fresh)
        };
        match cx.spawn(work) {
            Ok(()) => self.hold(1),
            Err(_) => self.lose_way(cx, id, fork, branch, BranchFailure::FlowFailed),
        }
    }

    /// The list is there, or did not come in time. What is new in it was learnt before.
    pub(crate) fn take_listed(&mut self, cx: &mut Cx<'_>, id: ForkId, branch: BranchId, is_fresh: bool) {
        self.hold(-1);
        self.with_fork(cx, id, |edge, cx, fork| {
            if !fork.context.is_wanted(branch) {
                return fork.context.redirect(cx.now(), branch, Vec::new());
            }
            let Some(running) = fork.branches.get(branch.0 as usize) else { return };
            let target = running.target.clone();
            let ways = edge.ways_of(cx, fork, &target);
            if is_fresh
                && matches!(ways, Ways::Unlisted)
                && let Ok(token) = edge.cluster.open(&target.flow)
            {
                edge.cluster.note_absent(token.edge_id, token.epoch);
            }
            edge.meters.branches.with_label_values(&[ways.label()]).inc();
            edge.take_ways(cx, id, fork, branch, ways);
        });
    }
}
