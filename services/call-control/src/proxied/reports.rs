//! `ProxiedCalls`: what edges report.

use std::collections::BTreeMap;
use std::sync::Arc;

use cluster_api::callcontrol::v1 as wire;
use cluster_api::callcontrol::v1::proxied_call_event::Type;
use cluster_api::callcontrol::v1::proxied_calls_server::ProxiedCalls;
use futures_util::StreamExt as _;
use futures_util::stream;
use store::StoreError;
use tonic::{Request, Response, Status};

use crate::engine::time::Moment;
use crate::refusal;
use crate::repository::{CALLS_AT_ONCE, Known, Loaded, ProxiedChange, Repository};
use crate::runner::{ApplyError, Runner};

use super::call::ProxiedCall;
use super::check::check;
use super::fold::{Reporter, fold};
use super::overdue::end_overdue;
use super::story::Teller;

/// Events of one report at most.
const MAX_EVENTS: usize = 1000;
/// Calls of one question at most.
const MAX_CALLS: usize = 1000;
/// Commits of one report that are under way at a time.
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

    /// Commits what happened to some calls of one partition.
    async fn take(&self, reporter: &Reporter, number: usize, told: &[Told]) -> Result<(), ApplyError> {
        let repository = &self.runner.repository;
        for attempt in 0..self.runner.config().commit_attempts {
            // What begins here is nearly always new, and the commit shows it; a report that comes again is found out by it.
            let is_known = |told: &&Told| attempt > 0 || !told.begins();
            let ids: Vec<_> = told.iter().filter(is_known).map(|told| told.call_id.as_str()).collect();
            let mut loaded = match ids.is_empty() {
                true => Vec::new(),
                false => repository.load_many(number, &ids).await?,
            }
            .into_iter();
            let found: Vec<_> = told
                .iter()
                .map(|told| if is_known(&told) { loaded.next().unwrap_or(Ok(None)) } else { Ok(None) })
                .collect();
            let now = Moment::from(repository.now());
            let changes = told.iter().zip(&found).filter_map(|(told, found)| {
                let before = found.as_ref().ok()?.as_ref();
                change(reporter, told, before, now)
            });
            let changes: Vec<_> = changes.collect();
            let saved = match changes.is_empty() {
                true => Ok(()),
                false => repository.save_all_proxied(number, changes).await,
            };
            match saved {
                Err(StoreError::Conflict) => self.runner.counts.conflicts.inc(),
                Err(error) => return Err(error.into()),
                // A record that cannot be read is in nobody's way; its call is reported again.
                Ok(()) => return found.into_iter().try_for_each(|found| Ok(found.map(drop)?)),
            }
        }
        Err(ApplyError::Contended)
    }
}

/// What a report tells of one call, in order.
struct Told {
    call_id: String,
    events: Vec<wire::ProxiedCallEvent>,
}

impl Told {
    fn begins(&self) -> bool {
        self.events.first().is_some_and(|event| event.r#type() == Type::Started)
    }
}

/// What becomes of a call; nothing when that is what it was.
fn change<'a>(
    reporter: &Reporter,
    told: &Told,
    before: Option<&'a Loaded>,
    now: Moment,
) -> Option<ProxiedChange<'a>> {
    let mut call = match before.map(|before| &before.known) {
        None => None,
        Some(Known::Proxied(call)) => Some((**call).clone()),
        // Ended long ago, or a call of ours: nothing to learn.
        Some(Known::Over(_) | Known::Live(_)) => return None,
    };
    let mut teller = Teller::default();
    for event in &told.events {
        fold(&mut call, reporter, event, now, &mut teller);
    }
    let call = call.filter(|call| has_changed(before, call))?;
    Some(ProxiedChange { before, call, told: teller, request: None })
}

/// The calls of a report by partition, in commits.
fn commits(repository: &Repository, events: Vec<wire::ProxiedCallEvent>) -> Vec<(usize, Vec<Told>)> {
    let mut by_call: BTreeMap<String, Vec<wire::ProxiedCallEvent>> = BTreeMap::new();
    for event in events {
        match by_call.get_mut(&event.call_id) {
            Some(events) => events.push(event),
            None => {
                by_call.insert(event.call_id.clone(), vec![event]);
            }
        }
    }
    let mut by_partition: BTreeMap<usize, Vec<Told>> = BTreeMap::new();
    for (call_id, events) in by_call {
        let number = repository.partition_number(&call_id);
        by_partition.entry(number).or_default().push(Told { call_id, events });
    }
    let mut commits = Vec::with_capacity(by_partition.len());
    for (number, mut calls) in by_partition {
        while calls.len() > CALLS_AT_ONCE {
            commits.push((number, calls.split_off(calls.len() - CALLS_AT_ONCE)));
        }
        commits.push((number, calls));
    }
    commits
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
        let commits = commits(&self.runner.repository, events);
        let calls: Vec<_> =
            commits.iter().map(|(number, told)| self.take(&reporter, *number, told)).collect();
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

    async fn check_calls(
        &self,
        request: Request<wire::CheckCallsRequest>,
    ) -> Result<Response<wire::CheckCallsResponse>, Status> {
        let wire::CheckCallsRequest { call_ids, mut legs } = request.into_inner();
        let is_bad = call_ids.iter().any(|id| id.is_empty() || id.len() > 128);
        if call_ids.len() > MAX_CALLS || is_bad || legs.iter().any(|leg| leg.len() > 128) {
            return Err(Status::invalid_argument("expected at most 1000 ids of calls"));
        }
        legs.resize(call_ids.len(), String::new());
        let standings = check(&self.runner.repository, &call_ids, &legs).await.map_err(ApplyError::from);
        let standings = standings.map_err(|error| refusal::of(&error))?.into_iter().map(i32::from).collect();
        Ok(Response::new(wire::CheckCallsResponse { standings }))
    }

    async fn end_overdue(
        &self,
        request: Request<wire::EndOverdueRequest>,
    ) -> Result<Response<wire::EndOverdueResponse>, Status> {
        end_overdue(&self.runner, request.into_inner()).await.map(Response::new)
    }
}

/// What only repeats is no commit.
fn has_changed(before: Option<&Loaded>, call: &ProxiedCall) -> bool {
    !matches!(before.map(|before| &before.known), Some(Known::Proxied(before)) if **before == *call)
}
