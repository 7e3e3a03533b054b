//! How each process of a run is put together.

use std::sync::Arc;

use ambient::SeededEntropy;
use cluster_api::cluster::v1::Member;
use cluster_rpc::{
    EDGE_ROLE, IntakeLink, LegEventsLink, LocationLink, Membership, MembershipLink, ProxiedCallsLink,
};
use edge::{LegsService, RequestsService};
use lifecycle::{Drain, Shutdown, Tasks};
use registrar::Registrar;
use sip_endpoint::SystemDns;
use store::MemoryStore;
use telemetry::Metrics;
use tokio_util::sync::CancellationToken;

use crate::chance::Chance;
use crate::cluster::{Cluster, DOMAIN, call_control_config, edge_address, edge_id, registrar_config};
use crate::links::{CountedCalls, NoPresence, ReachableEdges, Replicas};
use crate::registrars::{RegistrarReplica, Registrars};
use crate::sabotage::Saboteur;
use crate::store::distant;
use crate::trouble::Trouble;

pub(crate) fn call_control(cluster: &Cluster, life: u64, trouble: &Trouble) -> call_control::Service {
    let chance = Chance::new(cluster.seed + life, "store");
    let (memory, saboteur) = (cluster.memory.clone(), cluster.saboteur.clone());
    let edges = ReachableEdges::new(
        &cluster.edges,
        &cluster.members.watch(),
        cluster.listed.clone(),
        trouble.clone(),
        cluster.records.clone(),
        saboteur.clone(),
    );
    let deps = call_control::Deps {
        store: Arc::new(distant(memory, chance, trouble.clone(), saboteur)),
        edges: Arc::new(edges),
        entropy: Arc::new(SeededEntropy::new(cluster.seed.wrapping_mul(31).wrapping_add(life))),
        metrics: Metrics::new(),
        drain: Drain::new(),
    };
    call_control::build(call_control_config(), deps).asking(LocationLink::Local(cluster.registrars.clone()))
}

pub(crate) fn registrar(
    seed: u64,
    memory: &Arc<MemoryStore>,
    saboteur: &Arc<Saboteur>,
    calls: &Arc<Replicas>,
) -> RegistrarReplica {
    let trouble = Trouble::new(Chance::new(seed, "trouble of the registrar"));
    let chance = Chance::new(seed, "registrar");
    let store = distant(memory.clone(), chance, trouble.clone(), saboteur.clone());
    let deps = registrar::Deps {
        store: Arc::new(store),
        entropy: Arc::new(SeededEntropy::new(seed ^ 0x5eed)),
        metrics: Metrics::new(),
    };
    let service = Registrar::build(registrar_config(), deps).expect("the settings work");
    let calls = CountedCalls { calls: calls.clone(), saboteur: saboteur.clone() };
    service.count_calls(ProxiedCallsLink::Local(Arc::new(calls)));
    let tasks = Tasks::new("registrar", 100);
    tasks.spawn("registrar", service.clone().run(Shutdown::new())).expect("room for the registrar");
    RegistrarReplica { service, tasks, trouble, dead: CancellationToken::new() }
}

pub(crate) async fn edge(
    cluster: &Cluster,
    place: usize,
    epoch: u64,
    tasks: &Tasks,
) -> (LegsService, RequestsService) {
    let address = edge_address(place);
    let member = move || Member {
        id: edge_id(place),
        role: EDGE_ROLE.to_owned(),
        epoch,
        sip: address.to_string(),
        ..Member::default()
    };
    let members = join(&cluster.registrars, tasks, member).await;
    let mut endpoint = sip_endpoint::Config::listening_on([address]);
    // There is no TCP here.
    endpoint.max_datagram_request = usize::from(u16::MAX);
    let config = edge::Config {
        domains: vec![DOMAIN.to_owned()],
        ..edge::Config::new(edge_id(place), epoch, endpoint)
    };
    let deps = edge::Deps {
        location: LocationLink::Local(cluster.registrars.clone()),
        leg_events: LegEventsLink::Local(cluster.replicas.clone()),
        proxied_calls: ProxiedCallsLink::Local(cluster.replicas.clone()),
        intake: IntakeLink::Local(Arc::new(NoPresence)),
        members: members.watch(),
        look_again: members.look_again(),
        // Every address here is a number.
        dns: Arc::new(SystemDns),
        clock: Arc::new(cluster.clock),
        entropy: Arc::new(SeededEntropy::new(cluster.seed.wrapping_mul(17).wrapping_add(epoch))),
        metrics: Metrics::new(),
        drain: Drain::new(),
        tasks: tasks.clone(),
    };
    let bound = edge::build(config, deps).bind_over(vec![Box::new(cluster.network.bind(address))]);
    let bound = bound.expect("its names can be read");
    let faces = (bound.legs(), bound.requests());
    let run = async move {
        // While it runs, its lease is renewed.
        let _members = members;
        bound.run(std::future::pending()).await.expect("virtual sockets do not fail");
    };
    tasks.spawn("edge", run).expect("room for the edge");
    faces
}

pub(crate) async fn join(
    registrars: &Arc<Registrars>,
    tasks: &Tasks,
    myself: impl Fn() -> Member + Send + Sync + 'static,
) -> Membership {
    let link = MembershipLink::Local(registrars.clone());
    let members = Membership::join(link, tasks, myself).expect("room for the membership");
    members.joined().await;
    members
}
