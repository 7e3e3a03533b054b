//! `ProxiedCalls`: what edges report.

use std::collections::HashMap;
use std::sync::Arc;

use cluster_api::callcontrol::v1 as wire;
use cluster_api::callcontrol::v1::proxied_calls_server::ProxiedCalls;
use futures_util::StreamExt as _;
use futures_util::stream;
use store::StoreError;
use tonic::{Request, Response, Status};

use crate::engine::time::Moment;
use crate::refusal;
use crate::repository::{Known, Loaded, ProxiedChange};
use crate::runner::{ApplyError, Runner};

use super::call::ProxiedCall;
use super::fold::{Reporter, fold};

/// Events of one report at most.
const MAX_EVENTS: usize = 1000;
/// Calls of one report that are committed at a time.
const AT_A_TIME: usize = 32;

/// The server of `ProxiedCalls`.
#[derive(Clone)]
pub struct Reports {
    runner: Arc<Runner>,
}

impl Reports {
    /// Serves with this runner.
    pub fn new(runner: Arc<Runner>) -> Reports {
        Reports { runner }
    }

    /// Commits the events of one call.
    async fn take(
        &self,
        reporter: &Reporter,
        call_id: &str,
        events: &[wire::ProxiedCallEvent],
    ) -> Result<(), ApplyError> {
        let repository = &self.runner.repository;
        for _ in 0..self.runner.config().commit_attempts {
            let before = repository.load(call_id).await?;
            let mut call = match before.as_ref().map(|before| &before.known) {
                None => None,
                Some(Known::Proxied(call)) => Some((**call).clone()),
                // Ended long ago, or a call of ours: nothing to learn.
                Some(Known::Over(_) | Known::Live(_)) => return Ok(()),
            };
            let now = Moment::from(repository.now());
            let mut public = Vec::new();
            for event in events {
                public.extend(fold(&mut call, reporter, event, now));
            }
            let Some(call) = call.filter(|call| has_changed(before.as_ref(), call)) else { return Ok(()) };
            let change = ProxiedChange { before: before.as_ref(), call, events: public, request: None };
            match repository.save_proxied(change).await {
                Err(StoreError::Conflict) => self.runner.counts.conflicts.inc(),
                result => return Ok(result?),
            }
        }
        Err(ApplyError::Contended)
    }
}

#[async_trait::async_trait]
impl ProxiedCalls for Reports {
    async fn report(
        &self,
        request: Request<wire::ReportRequest>,
    ) -> Result<Response<wire::ReportResponse>, Status> {
        let wire::ReportRequest { edge_id, edge_epoch, events } = request.into_inner();
        let is_usable =
            |event: &wire::ProxiedCallEvent| !event.call_id.is_empty() && event.call_id.len() <= 128;
        if edge_id.is_empty() || events.len() > MAX_EVENTS || !events.iter().all(is_usable) {
            return Err(Status::invalid_argument("expected edge_id and at most 1000 events with a call_id"));
        }
        let reporter = Reporter { edge_id, edge_epoch };
        let mut by_call: HashMap<String, Vec<wire::ProxiedCallEvent>> = HashMap::new();
        for event in events {
            by_call.entry(event.call_id.clone()).or_default().push(event);
        }
        let calls: Vec<_> =
            by_call.iter().map(|(call_id, events)| self.take(&reporter, call_id, events)).collect();
        let failed = stream::iter(calls)
            .buffer_unordered(AT_A_TIME)
            .filter_map(|result| std::future::ready(result.err()))
            .collect::<Vec<_>>()
            .await;
        // What is committed is recognised when the report comes again.
        match failed.first() {
            Some(error) => Err(refusal::of(error)),
            None => Ok(Response::new(wire::ReportResponse {})),
        }
    }
}

/// What only repeats is no commit.
fn has_changed(before: Option<&Loaded>, call: &ProxiedCall) -> bool {
    !matches!(before.map(|before| &before.known), Some(Known::Proxied(before)) if **before == *call)
}
