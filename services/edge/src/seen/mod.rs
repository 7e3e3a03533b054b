//! Calls that this edge merely proxies, told to call-control, so that lists, watches and Hangup know them too.
//!
//! - `what.rs`: which requests tell something of a call, and whose they are.
//! - `event.rs`: a message as an event.
//! - `moves.rs`: what is known here before call-control has heard of it.
//! - `reports.rs`: the queue of events; `shell.rs`: how they reach call-control. Off the hot path: no call waits for it.
//!
//! Only the edge that a request of a phone reaches first tells it: what a sibling relays here it has told itself. An established
//! call is nothing that an edge keeps; any edge tells its end by the mark of the dialog.

pub(crate) mod event;
mod moves;
mod reports;
mod shell;
mod what;

use std::sync::Arc;

use cluster_api::callcontrol::v1::ReportResponse;
use hashbrown::HashMap;
use tonic::Status;

use crate::forward::fork::ForkId;
use moves::Moves;
use reports::Reports;
pub(crate) use what::{Party, Seen};

/// What this edge tells of the calls that it proxies.
pub(crate) struct SeenCalls {
    reports: Reports,
    /// INVITEs that wait for their final response, by the id of their call: what Hangup cancels.
    waiting: HashMap<Arc<str>, ForkId>,
    moves: Moves,
}

impl SeenCalls {
    pub(crate) fn new(most: usize) -> Self {
        Self { reports: Reports::new(most), waiting: HashMap::new(), moves: Moves::default() }
    }

    /// Events that call-control has not confirmed.
    pub(crate) fn unconfirmed(&self) -> usize {
        self.reports.len()
    }
}

/// What became of a report.
pub(crate) struct Reported(Result<ReportResponse, Status>);
