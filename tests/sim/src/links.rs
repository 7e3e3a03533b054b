//! The links between the services of a run: the generated server traits, called directly, to whichever replica is alive.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;
use call_control::Service;
use call_control::edges::{EdgeLife, EdgeView, Edges, LinkedEdges};
use cluster_api::callcontrol::v1::check_calls_response::Standing;
use cluster_api::callcontrol::v1::leg_events_server::LegEvents;
use cluster_api::callcontrol::v1::proxied_calls_server::ProxiedCalls;
use cluster_api::callcontrol::v1::{
    CheckCallsRequest, CheckCallsResponse, DeliverRequest, DeliverResponse, EndOverdueRequest,
    EndOverdueResponse, NotifyRequest, NotifyResponse, ReportRequest, ReportResponse,
};
use cluster_api::edge::v1::carry_request::What;
use cluster_api::edge::v1::legs_server::Legs;
use cluster_api::edge::v1::requests_server::Requests;
use cluster_api::edge::v1::{
    CancelProxiedRequest, CancelProxiedResponse, CarryRequest, CarryResponse, ExchangeRequest,
    ExchangeResponse, ReleaseLeg,
};
use cluster_api::presence::v1::intake_server::Intake;
use cluster_api::presence::v1::{HandleRequest, HandleResponse};
use cluster_rpc::membership::View;
use cluster_rpc::{LegsLink, RequestsLink};
use edge::{LegsService, RequestsService};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use crate::chance::Chance;
use crate::records::Records;
use crate::sabotage::{Sabotage, Saboteur};
use crate::trouble::Trouble;

/// A living replica of call-control.
#[derive(Clone)]
pub struct Replica {
    /// The service.
    pub service: Service,
    /// What comes between it and the others.
    pub trouble: Trouble,
    /// Set when the process dies; whatever asked it something never learns what became of it.
    pub dead: CancellationToken,
}

impl Replica {
    /// Asks the replica something.
    ///
    /// # Errors
    /// What it answers, or `UNAVAILABLE` when it dies before.
    pub async fn ask<T>(&self, question: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
        match self.dead.run_until_cancelled(self.trouble.over(question)).await {
            Some(answer) => answer,
            None => Err(Status::unavailable("the connection broke")),
        }
    }
}

/// All replicas of a service behind one name. A place without a replica is one that died.
pub struct Places<R> {
    places: Mutex<Vec<Option<R>>>,
    chance: Mutex<Chance>,
}

/// The replicas of call-control.
pub type Replicas = Places<Replica>;

impl<R: Clone> Places<R> {
    /// Places for so many replicas.
    pub fn new(count: usize, chance: Chance) -> Arc<Self> {
        let places = Mutex::new((0..count).map(|_| None).collect());
        Arc::new(Self { places, chance: Mutex::new(chance) })
    }

    /// Puts a replica into a place, or takes it away.
    pub fn put(&self, place: usize, replica: Option<R>) -> Option<R> {
        std::mem::replace(&mut self.places.lock()[place], replica)
    }

    /// Any of the replicas, dead or alive.
    ///
    /// # Errors
    /// `UNAVAILABLE` when a dead one was drawn.
    pub fn any(&self) -> Result<R, Status> {
        let places = self.places.lock();
        let drawn = self.chance.lock().below(places.len() as u64) as usize;
        places[drawn].clone().ok_or_else(|| Status::unavailable("connection refused"))
    }

    /// The replica in a place.
    pub fn at(&self, place: usize) -> Option<R> {
        self.places.lock()[place].clone()
    }
}

/// What edges see of call-control.
#[async_trait]
impl LegEvents for Replicas {
    async fn deliver(&self, request: Request<DeliverRequest>) -> Result<Response<DeliverResponse>, Status> {
        let replica = self.any()?;
        replica.ask(replica.service.leg_events.deliver(request)).await
    }

    async fn notify(&self, request: Request<NotifyRequest>) -> Result<Response<NotifyResponse>, Status> {
        let replica = self.any()?;
        replica.ask(replica.service.leg_events.notify(request)).await
    }
}

#[async_trait]
impl ProxiedCalls for Replicas {
    async fn report(&self, request: Request<ReportRequest>) -> Result<Response<ReportResponse>, Status> {
        let replica = self.any()?;
        replica.ask(replica.service.proxied_calls.report(request)).await
    }

    async fn check_calls(
        &self,
        request: Request<CheckCallsRequest>,
    ) -> Result<Response<CheckCallsResponse>, Status> {
        let replica = self.any()?;
        replica.ask(replica.service.proxied_calls.check_calls(request)).await
    }

    async fn end_overdue(
        &self,
        request: Request<EndOverdueRequest>,
    ) -> Result<Response<EndOverdueResponse>, Status> {
        let replica = self.any()?;
        replica.ask(replica.service.proxied_calls.end_overdue(request)).await
    }
}

/// What registrars see of call-control, which they ask whether the calls that they count go on.
pub struct CountedCalls {
    /// The replicas.
    pub calls: Arc<Replicas>,
    /// Who may have them say something else.
    pub saboteur: Arc<Saboteur>,
}

#[async_trait]
impl ProxiedCalls for CountedCalls {
    async fn report(&self, request: Request<ReportRequest>) -> Result<Response<ReportResponse>, Status> {
        self.calls.report(request).await
    }

    async fn check_calls(
        &self,
        request: Request<CheckCallsRequest>,
    ) -> Result<Response<CheckCallsResponse>, Status> {
        let mut answer = self.calls.check_calls(request).await?;
        if self.saboteur.does(Sabotage::KeepsPlaces, 100) {
            answer.get_mut().standings.fill(Standing::Live.into());
        }
        Ok(answer)
    }

    async fn end_overdue(
        &self,
        request: Request<EndOverdueRequest>,
    ) -> Result<Response<EndOverdueResponse>, Status> {
        self.calls.end_overdue(request).await
    }
}

/// What call-control sees of the edge in one place.
#[derive(Default)]
pub struct EdgePlace {
    /// The edge, while it is alive.
    pub edge: Mutex<Option<(LegsService, RequestsService)>>,
}

impl EdgePlace {
    fn edge(&self) -> Result<(LegsService, RequestsService), Status> {
        self.edge.lock().clone().ok_or_else(|| Status::unavailable("connection refused"))
    }
}

#[async_trait]
impl Legs for EdgePlace {
    async fn carry(&self, request: Request<CarryRequest>) -> Result<Response<CarryResponse>, Status> {
        self.edge()?.0.carry(request).await
    }
}

#[async_trait]
impl Requests for EdgePlace {
    async fn exchange(
        &self,
        request: Request<ExchangeRequest>,
    ) -> Result<Response<ExchangeResponse>, Status> {
        self.edge()?.1.exchange(request).await
    }

    async fn cancel_proxied(
        &self,
        request: Request<CancelProxiedRequest>,
    ) -> Result<Response<CancelProxiedResponse>, Status> {
        self.edge()?.1.cancel_proxied(request).await
    }
}

/// What one replica of call-control sees of the edges.
pub struct ReachableEdges {
    by_id: BTreeMap<String, LinkedEdges>,
    listed: Arc<Notify>,
    trouble: Trouble,
    records: Records,
    saboteur: Arc<Saboteur>,
}

impl ReachableEdges {
    /// These edges, alive as the member list says; `listed` tells of each new list, and wakes replicas in the order of their waiting.
    pub fn new(
        edges: &BTreeMap<String, Arc<EdgePlace>>,
        members: &watch::Receiver<View>,
        listed: Arc<Notify>,
        trouble: Trouble,
        records: Records,
        saboteur: Arc<Saboteur>,
    ) -> Self {
        let linked = |(id, place): (&String, &Arc<EdgePlace>)| {
            let legs = LegsLink::local(id.clone(), place.clone());
            let requests = RequestsLink::local(id.clone(), place.clone());
            (id.clone(), LinkedEdges::new(legs, requests, members.clone()))
        };
        Self { by_id: edges.iter().map(linked).collect(), listed, trouble, records, saboteur }
    }
}

#[async_trait]
impl Edges for ReachableEdges {
    fn view(&self) -> Arc<EdgeView> {
        // All know the same list.
        let nobody = || Arc::new(EdgeView { edges: Vec::new(), listed: None });
        self.by_id.values().next().map_or_else(nobody, LinkedEdges::view)
    }

    async fn changed(&self) {
        self.listed.notified().await;
    }

    async fn carry(&self, edge: &EdgeLife, request: CarryRequest) -> Result<CarryResponse, Status> {
        self.trouble.thawed().await;
        self.records.see_effect(&request).await;
        if is_hangup(&request) && self.saboteur.does(Sabotage::LosesHangups, 20) {
            return Ok(CarryResponse { edge_id: edge.id.clone(), edge_epoch: edge.epoch });
        }
        if self.saboteur.does(Sabotage::InventsEffects, 10) {
            // Of a leg that nobody has: nothing comes of it.
            let what = Some(What::Release(ReleaseLeg::default()));
            let effect = request.effect + 1_000;
            let invented = CarryRequest { leg_id: "z".into(), effect, what, ..request.clone() };
            self.records.see_effect(&invented).await;
        }
        if is_hangup(&request) && self.saboteur.does(Sabotage::RepeatsHangups, 100) {
            for again in 1..=u64::from(u8::MAX) {
                let again = CarryRequest { effect: request.effect + 1_000 * again, ..request.clone() };
                if let Some(linked) = self.by_id.get(&edge.id) {
                    let _ = linked.carry(edge, again).await;
                }
            }
        }
        match self.by_id.get(&edge.id) {
            Some(linked) => self.trouble.over(linked.carry(edge, request)).await,
            None => Err(Status::not_found("no such edge")),
        }
    }

    async fn exchange(&self, edge: &EdgeLife, request: ExchangeRequest) -> Result<ExchangeResponse, Status> {
        self.trouble.thawed().await;
        match self.by_id.get(&edge.id) {
            Some(linked) => self.trouble.over(linked.exchange(edge, request)).await,
            None => Err(Status::not_found("no such edge")),
        }
    }

    async fn cancel_proxied(
        &self,
        edge: &EdgeLife,
        request: CancelProxiedRequest,
    ) -> Result<CancelProxiedResponse, Status> {
        self.trouble.thawed().await;
        match self.by_id.get(&edge.id) {
            Some(linked) => self.trouble.over(linked.cancel_proxied(edge, request)).await,
            None => Err(Status::not_found("no such edge")),
        }
    }
}

/// In the place of presence: there is none in a run, and no phone here subscribes.
pub(crate) struct NoPresence;

#[async_trait]
impl Intake for NoPresence {
    async fn handle(&self, _: Request<HandleRequest>) -> Result<Response<HandleResponse>, Status> {
        Err(Status::unavailable("no replica of presence runs here"))
    }
}

fn is_hangup(request: &CarryRequest) -> bool {
    match &request.what {
        Some(What::Send(send)) => send.method == "BYE",
        Some(What::Cancel(_)) => true,
        _ => false,
    }
}
