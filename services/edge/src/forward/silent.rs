//! Targets that say nothing at all where another one can take the request: they are given up before Timer B or F. RFC 3263 4.3
//!
//! | while an attempt has heard nothing | it |
//! |---|---|
//! | for `target_timeout`, and another address or trunk is left | is given up; the next one is tried, and the address is avoided |
//! | and nothing is left to try | waits for Timer B or F, as if it were the only one |
//! | for its ring time | has come to nothing, and its address is avoided |
//!
//! | what comes of an attempt that was given up | |
//! |---|---|
//! | a provisional response | is followed by the CANCEL that was held back (RFC 3261 9.1) |
//! | 2xx | goes up, and what is tried in its place is cancelled; after the end of the fork it goes up too (16.7 step 5) |
//! | anything else | is too late |

use sip_endpoint::{ClientKey, Destination};
use sip_message::{Message, Method};
use sip_proxy::{BranchFailure, BranchId};

use super::fork::{ClientUse, Fork, ForkId};
use crate::edge::{Cx, Edge, Timer};

const SILENT: &[u8] = b"SIP;cause=408;text=\"No response in time\"";
const ELSEWHERE: &[u8] = b"SIP;cause=200;text=\"Call completed elsewhere\"";

impl Edge {
    /// An attempt was sent: it has its time, if there is anything else to try.
    pub(super) fn bound_silence(
        &self,
        cx: &mut Cx<'_>,
        id: ForkId,
        fork: &Fork,
        branch: BranchId,
        key: ClientKey,
    ) {
        if self.config.target_timeout.is_zero() || !has_other(fork, branch) {
            return;
        }
        cx.set_timer(self.config.target_timeout, Timer::Silent(id, branch, key));
    }

    /// The time of an attempt is over.
    pub(crate) fn give_up_if_silent(
        &mut self,
        cx: &mut Cx<'_>,
        id: ForkId,
        branch: BranchId,
        key: ClientKey,
    ) {
        self.with_fork(cx, id, |edge, cx, fork| {
            // what it was for may have been tried and lost meanwhile, and the caller may not want it any more
            if !has_other(fork, branch) || !fork.context.is_wanted(branch) {
                return;
            }
            let Some(running) = fork.branches.get_mut(branch.0 as usize) else { return };
            if running.heard || running.key != Some(key) {
                return;
            }
            running.key = None;
            running.given_up.push(key);
            edge.clients.insert(key, ClientUse::GivenUp(id, branch));
            let at = running.at;
            if fork.request.method() == Method::Invite {
                // it is sent when something comes back
                let _ = cx.cancel(key, &[("Reason", SILENT)]);
            }
            if let Some(at) = at {
                edge.avoid(cx, at, "silent", None);
            }
            // Without another address the branch ends there.
            edge.try_next(cx, id, fork, branch, BranchFailure::Timeout);
        });
    }

    /// The ring time of a fork is over: who said nothing in it is tried last for a while.
    pub(super) fn avoid_given_up(&mut self, cx: &Cx<'_>, fork: &Fork, unheard: &[(BranchId, Destination)]) {
        for (branch, at) in unheard {
            if !fork.context.is_wanted(*branch) {
                self.avoid(cx, *at, "silent", None);
            }
        }
    }

    /// A 2xx of an attempt that was given up.
    pub(super) fn take_late_answer(
        &mut self,
        cx: &mut Cx<'_>,
        fork: &mut Fork,
        branch: BranchId,
        response: Message,
    ) {
        let Some(running) = fork.branches.get_mut(branch.0 as usize) else { return };
        running.left.clear();
        running.beyond = None;
        let instead = running.key.filter(|_| fork.request.method() == Method::Invite);
        if let Some(key) = instead {
            let _ = cx.cancel(key, &[("Reason", ELSEWHERE)]);
        }
        fork.heard = Some(branch);
        fork.context.handle_response(cx.now(), branch, response);
    }
}

/// Branches that were sent to servers and trunks, and have heard nothing.
pub(super) fn unheard(fork: &Fork) -> Vec<(BranchId, Destination)> {
    let numbered = (0..).map(BranchId).zip(&fork.branches);
    let unheard = numbered.filter(|(branch, running)| {
        running.key.is_some() && !running.heard && fork.context.is_wanted(*branch)
    });
    unheard.filter_map(|(branch, running)| Some((branch, running.at?))).collect()
}

/// Is there anything to try in place of this branch's attempt?
fn has_other(fork: &Fork, branch: BranchId) -> bool {
    let has_left = fork.branches.get(branch.0 as usize).is_some_and(|running| !running.left.is_empty());
    has_left || fork.context.has_stand_in()
}
