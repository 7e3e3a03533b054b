//! The links between the services of a run: the generated server traits, called directly, to whichever replica is alive.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;
use call_control::Service;
use call_control::edges::{EdgeLife, EdgeView, Edges, LinkedEdges};
use cluster_api::callcontrol::v1::leg_events_server::LegEvents;
use cluster_api::callcontrol::v1::{DeliverRequest, DeliverResponse};
use cluster_api::edge::v1::{CarryRequest, CarryResponse};
use cluster_rpc::LegsLink;
use cluster_rpc::membership::View;
use edge::LegsService;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use crate::chance::Chance;

/// A living replica of call-control.
#[derive(Clone)]
pub struct Replica {
    /// The service.
    pub service: Service,
    /// Set when the process dies; whatever asked it something never learns what became of it.
    pub dead: CancellationToken,
}

impl Replica {
    /// Asks the replica something.
    ///
    /// # Errors
    /// What it answers, or `UNAVAILABLE` when it dies before.
    pub async fn ask<T>(&self, question: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
        match self.dead.run_until_cancelled(question).await {
            Some(answer) => answer,
            None => Err(Status::unavailable("the connection broke")),
        }
    }
}

/// All replicas of call-control behind one name. A place without a replica is one that died.
pub struct Replicas {
    places: Mutex<Vec<Option<Replica>>>,
    chance: Mutex<Chance>,
}

impl Replicas {
    /// Places for so many replicas.
    pub fn new(count: usize, chance: Chance) -> Arc<Self> {
        Arc::new(Self { places: Mutex::new(vec![None; count]), chance: Mutex::new(chance) })
    }

    /// Puts a replica into a place, or takes it away.
    pub fn put(&self, place: usize, replica: Option<Replica>) -> Option<Replica> {
        std::mem::replace(&mut self.places.lock()[place], replica)
    }

    /// Any of the replicas, dead or alive.
    ///
    /// # Errors
    /// `UNAVAILABLE` when a dead one was drawn.
    pub fn any(&self) -> Result<Replica, Status> {
        let places = self.places.lock();
        let drawn = self.chance.lock().below(places.len() as u64) as usize;
        places[drawn].clone().ok_or_else(|| Status::unavailable("connection refused"))
    }

    /// The replica in a place.
    pub fn at(&self, place: usize) -> Option<Replica> {
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
}

/// What call-control sees of the edges.
pub struct ReachableEdges {
    by_id: BTreeMap<String, LinkedEdges>,
}

impl ReachableEdges {
    /// These edges, alive as the member list says.
    pub fn new(edges: &BTreeMap<String, LegsService>, members: &watch::Receiver<View>) -> Self {
        let linked = |(id, legs): (&String, &LegsService)| {
            let link = LegsLink::local(id.clone(), Arc::new(legs.clone()));
            (id.clone(), LinkedEdges::new(link, members.clone()))
        };
        Self { by_id: edges.iter().map(linked).collect() }
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
        match self.by_id.values().next() {
            Some(linked) => linked.changed().await,
            None => std::future::pending().await,
        }
    }

    async fn carry(&self, edge: &EdgeLife, request: CarryRequest) -> Result<CarryResponse, Status> {
        match self.by_id.get(&edge.id) {
            Some(linked) => linked.carry(edge, request).await,
            None => Err(Status::not_found("no such edge")),
        }
    }
}
