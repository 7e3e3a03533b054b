//! An edge dies while its leg rings, with real leases: how long until the call is told, and what it is told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use call_control::Config;
use call_control::edges::{Edges, LinkedEdges};
use cluster_api::callcontrol::v1::call::State;
use cluster_api::callcontrol::v1::outcome::Kind;
use cluster_api::cluster::v1::membership_server::Membership as Service;
use cluster_api::cluster::v1::{LeaseRequest, LeaseResponse, LeaveRequest, LeaveResponse, Member};
use cluster_rpc::{LegsLink, Membership, MembershipLink, RequestsLink};
use lifecycle::Tasks;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};
use tonic::{Request, Response, Status};

use crate::edges::{NoLegs, World};
use crate::rig::{Replica, dial_request, replica_by, store};

/// The registrar's default.
const LEASE: Duration = Duration::from_secs(2);
/// Design 5: "its legs end with a clear event within 3 s".
const WITHIN: Duration = Duration::from_secs(3);

/// F1: at whatever moment between two renewals the edge dies.
#[tokio::test(start_paused = true)]
async fn a_leg_that_rings_on_a_dead_edge_has_ended_within_three_seconds() {
    for after in (0..2_000).step_by(77).map(Duration::from_millis) {
        let rig = Rig::start(&["edge-0"]).await;
        let call = rig.replica.dial(dial_request("ring", "bob")).await.expect("committed");
        rig.replica.wait_for(&call.call_id, State::Ringing).await;
        sleep(after).await;
        let died = Instant::now();
        rig.kill("edge-0").await;
        let ended = rig.replica.wait_for(&call.call_id, State::Ended).await;
        let took = died.elapsed();
        assert!(took <= WITHIN, "virtual time, died {after:?} later: {took:?}");
        assert!(took >= LEASE - LEASE / 3, "a lease must end first: {took:?}");
        let outcome = ended.outcome.expect("outcome");
        let found = (outcome.kind(), outcome.sip_status, outcome.ended_by.as_str());
        assert_eq!(found, (Kind::Failed, 503, "carillon"), "died {after:?} later");
    }
}

/// F8: the store stands still for longer than a lease; no edge could renew, and none is dead.
#[tokio::test(start_paused = true)]
async fn edges_that_could_not_renew_during_an_outage_are_not_lost() {
    for outage in (500..6_000).step_by(331).map(Duration::from_millis) {
        let rig = Rig::start(&["edge-0"]).await;
        let call = rig.replica.dial(dial_request("ring", "bob")).await.expect("committed");
        rig.replica.wait_for(&call.call_id, State::Ringing).await;
        rig.registrar.set_down(true);
        sleep(outage).await;
        rig.registrar.set_down(false);
        sleep(Duration::from_secs(10)).await;
        let state = rig.replica.get(&call.call_id).await.expect("known").state();
        assert_eq!(state, State::Ringing, "after an outage of {outage:?}");
    }
}

/// One replica of call-control, edges and a registrar.
struct Rig {
    replica: Replica,
    registrar: Arc<Registrar>,
    world: Arc<World>,
    lives: BTreeMap<String, (Tasks, Membership)>,
    _own: Membership,
}

impl Rig {
    async fn start(edges: &[&str]) -> Rig {
        let registrar = Arc::new(Registrar::default());
        let mut lives = BTreeMap::new();
        for (n, id) in edges.iter().enumerate() {
            // Processes do not start at the same time.
            sleep(Duration::from_millis(230 * n as u64)).await;
            lives.insert((*id).to_owned(), registrar.admit("edge", id).await);
        }
        sleep(Duration::from_millis(410)).await;
        let (_, own) = registrar.admit("call-control", "call-control-0").await;
        // Lists have come for a while.
        sleep(Duration::from_secs(5)).await;
        let world = World::new(edges);
        let legs = LegsLink::local(edges[0], Arc::new(NoLegs));
        let requests = RequestsLink::local(edges[0], Arc::new(NoLegs));
        let members: Arc<dyn Edges> = Arc::new(LinkedEdges::new(legs, requests, own.watch()));
        let replica = replica_by(store(), &world, Config::default(), members);
        Rig { replica, registrar, world, lives, _own: own }
    }

    /// The process is gone, without a word.
    async fn kill(&self, id: &str) {
        self.world.lose_edge(id);
        self.lives[id].0.stop(Duration::ZERO).await;
    }
}

/// Leases as the registrar keeps them.
#[derive(Default)]
struct Registrar {
    leases: Mutex<BTreeMap<String, (Member, Instant)>>,
    down: Mutex<bool>,
}

impl Registrar {
    fn set_down(&self, down: bool) {
        *self.down.lock() = down;
    }

    async fn admit(self: &Arc<Self>, role: &str, id: &str) -> (Tasks, Membership) {
        let member = Member { role: role.into(), id: id.into(), epoch: 1, ..Member::default() };
        let tasks = Tasks::new("process", 10);
        let link = MembershipLink::Local(self.clone());
        let joined = Membership::join(link, &tasks, move || member.clone()).expect("there is room");
        joined.joined().await;
        (tasks, joined)
    }
}

#[tonic::async_trait]
impl Service for Registrar {
    async fn lease(&self, request: Request<LeaseRequest>) -> Result<Response<LeaseResponse>, Status> {
        // The network and the store.
        sleep(Duration::from_millis(10)).await;
        if *self.down.lock() {
            return Err(Status::unavailable("the store is away"));
        }
        let member = request.into_inner().member.expect("who asks");
        let mut leases = self.leases.lock();
        let now = Instant::now();
        leases.insert(member.id.clone(), (member, now + LEASE));
        let living = leases.values().filter(|(_, end)| *end > now).map(|(member, _)| member.clone());
        Ok(Response::new(LeaseResponse {
            members: living.collect(),
            ttl: Some(LEASE.try_into().expect("a short time")),
            flow_key: vec![1; 32].into(),
            ..LeaseResponse::default()
        }))
    }

    async fn leave(&self, _: Request<LeaveRequest>) -> Result<Response<LeaveResponse>, Status> {
        Ok(Response::new(LeaveResponse {}))
    }
}
