//! Trunks whose calls are counted: a call needs room at the trunk before its branch there begins.
//!
//! The registrar has the list, since any edge may be the next one to call. What comes to nothing gives its room back; the end of a call
//! that was answered is told to nobody, and the registrar looks for it where there is no more room.
//!
//! | what is heard                      | the branch                                         |
//! |------------------------------------|----------------------------------------------------|
//! | there is room                      | begins                                             |
//! | there is none                      | fails as 503, so that the next trunk stands in     |
//! | nothing                            | the same, and gives back what it may have got      |
//! | the operator's service denies it   | fails as 403, which no other trunk stands in for   |
//! | that service does not say          | fails as 503, so that the next trunk stands in     |
//! | nobody wants it any more           | ends, and gives the room back that it may have got |

use std::sync::Arc;

use cluster_api::registrar::v1::{
    ReleaseTrunkRequest, SeizeTrunkRequest, SeizeTrunkResponse, seize_trunk_response::State,
};
use sip_message::Method;
use sip_proxy::{BranchFailure, BranchId};
use tonic::Status;

use super::fork::{Fork, ForkId};
use super::obstacle::Obstacle;
use super::upstream::Upstream;
use crate::capture::why;
use crate::edge::{Completion, Cx, Edge};

/// The room of a branch at a trunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seat {
    trunk: Arc<str>,
    name: String,
    /// The branch came to nothing.
    is_over: bool,
}

/// Does the fork begin a call, so that it takes room?
pub(super) fn begins_call(fork: &Fork) -> bool {
    let in_dialog = fork.request.to().is_ok_and(|to| to.tag().is_some());
    fork.request.method() == Method::Invite && !in_dialog
}

impl Edge {
    /// Asks for room for a branch.
    pub(super) fn seize(&mut self, cx: &mut Cx<'_>, id: ForkId, fork: &mut Fork, branch: BranchId) {
        let call_id = fork.counted_as().to_owned();
        // An effect that is carried out twice asks for the same place.
        let name = match &fork.upstream {
            Upstream::Leg(request) => request.branch(branch.0, 0),
            Upstream::Server { .. } | Upstream::Exchange(_) | Upstream::Nobody => self.names.forwarded(),
        };
        let over = fork.branches.iter().filter_map(|branch| branch.seat.as_ref().filter(|seat| seat.is_over));
        let over: Vec<Seat> = over.cloned().collect();
        let Some(running) = fork.branches.get_mut(branch.0 as usize) else { return };
        let trunk = std::mem::replace(&mut running.target.seize, "".into());
        let over = over.into_iter().filter(|seat| seat.trunk == trunk).map(|seat| seat.name).collect();
        let seat = Seat { trunk, name: name.text(), is_over: false };
        let charge = running.target.charge.as_deref().cloned();
        let question = SeizeTrunkRequest {
            trunk: seat.trunk.to_string(),
            call_id,
            branch: seat.name.clone(),
            over,
            charge,
        };
        running.seat = Some(seat);
        let location = self.deps.location.clone();
        let work = async move { Completion::Seized(id, branch, location.seize_trunk(question).await) };
        if cx.spawn(work).is_err() {
            running.seat = None;
            self.fail_branch(cx, fork, branch, BranchFailure::Refused(503));
        }
    }

    /// The registrar has said whether there is room.
    pub(crate) fn take_seized(
        &mut self,
        cx: &mut Cx<'_>,
        id: ForkId,
        branch: BranchId,
        result: Result<SeizeTrunkResponse, Status>,
    ) {
        self.with_fork(cx, id, |edge, cx, fork| {
            let reason = result.as_ref().map_or("", |answer| &answer.reason);
            // what breaks a line is no reason, whoever says it
            let reason = if reason.chars().any(char::is_control) { "" } else { reason };
            let outcome = match result.as_ref().map(SeizeTrunkResponse::state) {
                _ if !fork.context.is_wanted(branch) => "unwanted",
                Ok(State::Seized) => "seized",
                Ok(State::Full) => "full",
                Ok(State::Denied) => "denied",
                Ok(State::Undecided) => "undecided",
                Ok(State::Unspecified) | Err(_) => "unanswered",
            };
            edge.meters.seized.with_label_values(&[outcome]).inc();
            edge.ring.note(&fork.request, || fork.own(why::seized(branch, outcome)));
            match outcome {
                "seized" => {
                    let Some(running) = fork.branches.get(branch.0 as usize) else { return };
                    let target = running.target.clone();
                    let ways = edge.ways_of(cx, fork, &target);
                    edge.take_ways(cx, id, fork, branch, ways);
                }
                "unwanted" => {
                    edge.give_seat_back(cx, fork, branch);
                    // What was cancelled ends as that.
                    fork.context.redirect(cx.now(), branch, Vec::new());
                }
                "denied" => {
                    fork.obstacle = Some(Obstacle::Denied(reason.into()));
                    edge.fail_branch(cx, fork, branch, BranchFailure::Refused(403));
                }
                _ => {
                    if outcome == "undecided" {
                        fork.obstacle = Some(Obstacle::Undecided);
                    }
                    if outcome == "full" {
                        fork.obstacle = Some(Obstacle::TrunkFull);
                        // It has none to give back.
                        if let Some(running) = fork.branches.get_mut(branch.0 as usize) {
                            running.seat = None;
                        }
                    }
                    edge.fail_branch(cx, fork, branch, BranchFailure::Refused(503));
                }
            }
        });
    }

    /// Gives the room of a branch back that came to nothing; also where it is not known to have any. When that is not heard, it is free
    /// with the end of the call.
    pub(super) fn give_seat_back(&mut self, cx: &mut Cx<'_>, fork: &mut Fork, branch: BranchId) {
        let call_id = fork.counted_as().to_owned();
        let seat = fork.branches.get_mut(branch.0 as usize).and_then(|running| running.seat.as_mut());
        let Some(seat) = seat.filter(|seat| !seat.is_over) else { return };
        seat.is_over = true;
        let request =
            ReleaseTrunkRequest { trunk: seat.trunk.to_string(), call_id, branch: seat.name.clone() };
        let location = self.deps.location.clone();
        let work = async move { Completion::Released(location.release_trunk(request).await.is_ok()) };
        if cx.spawn(work).is_err() {
            self.take_released(false);
        }
    }

    /// Room was given back, or was not.
    pub(crate) fn take_released(&self, is_heard: bool) {
        let outcome = if is_heard { "released" } else { "not_released" };
        self.meters.seized.with_label_values(&[outcome]).inc();
    }
}
