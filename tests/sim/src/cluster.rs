//! The composition: two edges, two replicas of call-control, a registrar and presence, one store, and phones.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ambient::{SeededEntropy, WallClock as _};
use cluster_api::cluster::v1::Member;
use cluster_api::registrar::v1::accounts_server::Accounts as _;
use cluster_api::registrar::v1::{Account, CreateAccountRequest};
use cluster_rpc::{EDGE_ROLE, IntakeLink, LegEventsLink, LocationLink, Membership, MembershipLink};
use edge::LegsService;
use lifecycle::{Drain, Shutdown, Tasks};
use presence::Presence;
use registrar::{Auth, DomainConfig, Registrar};
use scripted_phone::Identity;
use sip_endpoint::SystemDns;
use store::MemoryStore;
use telemetry::Metrics;
use tokio_util::sync::CancellationToken;
use tonic::Request;

use crate::chance::Chance;
use crate::clock::VirtualClock;
use crate::links::{ReachableEdges, Replica, Replicas};
use crate::network::Network;
use crate::phones::VirtualPhone;
use crate::store::DistantStore;
use crate::trace::Trace;
use crate::watcher::Watcher;

/// The domain of every phone.
pub const DOMAIN: &str = "example.com";
const PASSWORD: &str = "zanzibar";
const EDGES: u8 = 2;
/// Places for replicas of call-control.
pub const REPLICAS: usize = 2;

/// How long an ended call and a request id are kept in a run: long enough to be looked at, short enough to see them go.
pub const RETENTION: Duration = Duration::from_secs(900);

/// A whole cluster.
pub struct Cluster {
    /// The network between phones and edges, and between edges.
    pub network: Network,
    /// The replicas of call-control.
    pub replicas: Arc<Replicas>,
    /// The phones.
    pub phones: Vec<VirtualPhone>,
    /// The application that watches.
    pub watcher: Watcher,
    /// What is kept.
    pub memory: Arc<MemoryStore>,
    /// What happened.
    pub trace: Trace,
    seed: u64,
    lives: AtomicU64,
    tasks: Tasks,
    edges: BTreeMap<String, LegsService>,
    members: Membership,
}

impl Cluster {
    /// Starts everything and so many phones, which are not registered yet.
    ///
    /// # Panics
    /// When a part of the cluster does not start.
    pub async fn start(seed: u64, phones: u8) -> Self {
        let clock = VirtualClock::start();
        let trace = Trace::new(clock);
        let tasks = Tasks::new("sim", 1_000);
        let network = Network::new(Chance::new(seed, "network"), trace.clone());
        tasks.spawn("network", network.clone().run()).expect("room for the network");
        let memory = Arc::new(MemoryStore::new(move || clock.now()));
        let registrar = start_registrar(seed, &memory, &tasks);
        let replicas = Replicas::new(REPLICAS, Chance::new(seed, "replicas"));
        let mut edges = BTreeMap::new();
        for number in 0..EDGES {
            let legs = start_edge(number, seed, &network, &registrar, &replicas, clock, &tasks).await;
            edges.insert(edge_id(number), legs);
        }
        let myself =
            || Member { id: "call-control".into(), role: "call-control".into(), ..Member::default() };
        let members = join(&registrar, &tasks, myself).await;
        let mut cluster = Self {
            network,
            replicas,
            phones: Vec::new(),
            watcher: Watcher::default(),
            memory,
            trace,
            seed,
            lives: AtomicU64::new(0),
            tasks,
            edges,
            members,
        };
        (0..REPLICAS).for_each(|place| cluster.start_replica(place));
        let watching = cluster.watcher.clone().run(cluster.replicas.clone());
        cluster.tasks.spawn("watcher", watching).expect("room for the watcher");
        cluster.watcher.watching().await;
        for number in 0..phones {
            let phone = cluster.start_phone(number, &registrar).await;
            cluster.phones.push(phone);
        }
        cluster
    }

    /// Starts a replica of call-control in a place that has none.
    ///
    /// # Panics
    /// When its tasks do not fit.
    pub fn start_replica(&self, place: usize) {
        let lives = self.lives.fetch_add(1, Ordering::Relaxed) + 1;
        let chance = Chance::new(self.seed + lives, "store");
        let deps = call_control::Deps {
            store: Arc::new(DistantStore::new(self.memory.clone(), chance)),
            edges: Arc::new(ReachableEdges::new(&self.edges, &self.members.watch())),
            entropy: Arc::new(SeededEntropy::new(self.seed.wrapping_mul(31).wrapping_add(lives))),
            metrics: Metrics::new(),
            drain: Drain::new(),
        };
        let config = call_control::Config {
            ended_retention: RETENTION,
            request_retention: RETENTION,
            controller_uri: format!("sip:carillon@{DOMAIN}"),
            host: DOMAIN.to_owned(),
            ..call_control::Config::default()
        };
        let service = call_control::build(config, deps);
        service.start().expect("room for its tasks");
        self.replicas.put(place, Some(Replica { service, dead: CancellationToken::new() }));
        self.trace.note(format_args!("call-control {place} starts"));
    }

    /// Kills the replica in a place, wherever it is in its work.
    pub async fn kill_replica(&self, place: usize) {
        let Some(replica) = self.replicas.put(place, None) else { return };
        self.trace.note(format_args!("call-control {place} dies"));
        replica.dead.cancel();
        replica.service.stop(Duration::ZERO).await;
    }

    /// Ends everything.
    pub async fn stop(self) {
        for place in 0..REPLICAS {
            self.kill_replica(place).await;
        }
        self.tasks.stop(Duration::ZERO).await;
    }

    async fn start_phone(&self, number: u8, registrar: &Registrar) -> VirtualPhone {
        let user = format!("phone{number}");
        let aor = format!("sip:{user}@{DOMAIN}");
        let account = Account { aor: aor.clone(), password: PASSWORD.to_owned(), ..Account::default() };
        let request = CreateAccountRequest { account: Some(account), ..CreateAccountRequest::default() };
        registrar.create_account(Request::new(request)).await.expect("an account");
        let identity = Identity::new(&aor, PASSWORD).expect("an address of record");
        let socket = self.network.bind(SocketAddr::from(([10, 1, 0, number + 1], 5060)));
        let server = edge_address(number % EDGES);
        let seed = self.seed.wrapping_mul(1_000).wrapping_add(u64::from(number));
        VirtualPhone::start(socket, server, identity, seed, &self.tasks, self.trace.clone())
    }
}

impl Drop for Cluster {
    /// A run that fails shows what happened in it.
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{}", self.trace.lines().join("\n"));
        }
    }
}

fn start_registrar(seed: u64, memory: &Arc<MemoryStore>, tasks: &Tasks) -> Registrar {
    let domain = DomainConfig { name: DOMAIN.to_owned(), auth: Auth::Digest, realm: None };
    let config = registrar::Config { domains: vec![domain], ..registrar::Config::default() };
    let deps = registrar::Deps {
        store: Arc::new(DistantStore::new(memory.clone(), Chance::new(seed, "registrar"))),
        entropy: Arc::new(SeededEntropy::new(seed ^ 0x5eed)),
        metrics: Metrics::new(),
    };
    let registrar = Registrar::build(config, deps).expect("the settings work");
    tasks.spawn("registrar", registrar.clone().run(Shutdown::new())).expect("room for the registrar");
    registrar
}

async fn start_edge(
    number: u8,
    seed: u64,
    network: &Network,
    registrar: &Registrar,
    replicas: &Arc<Replicas>,
    clock: VirtualClock,
    tasks: &Tasks,
) -> LegsService {
    let address = edge_address(number);
    let member = move || Member {
        id: edge_id(number),
        role: EDGE_ROLE.to_owned(),
        epoch: 1,
        sip: address.to_string(),
        ..Member::default()
    };
    let members = join(registrar, tasks, member).await;
    let mut endpoint = sip_endpoint::Config::listening_on([address]);
    // There is no TCP here.
    endpoint.max_datagram_request = usize::from(u16::MAX);
    let config =
        edge::Config { domains: vec![DOMAIN.to_owned()], ..edge::Config::new(edge_id(number), 1, endpoint) };
    let deps = edge::Deps {
        location: LocationLink::Local(Arc::new(registrar.clone())),
        leg_events: LegEventsLink::Local(replicas.clone()),
        intake: IntakeLink::Local(Arc::new(Presence::build(presence::Config::default()))),
        members: members.watch(),
        // Every address here is a number.
        dns: Arc::new(SystemDns),
        clock: Arc::new(clock),
        entropy: Arc::new(SeededEntropy::new(seed.wrapping_add(1 + u64::from(number)))),
        metrics: Metrics::new(),
        drain: Drain::new(),
        tasks: tasks.clone(),
    };
    let bound = edge::build(config, deps).bind_over(vec![Box::new(network.bind(address))]);
    let bound = bound.expect("its names can be read");
    let legs = bound.legs();
    let run = async move { bound.run(std::future::pending()).await.expect("virtual sockets do not fail") };
    tasks.spawn("edge", run).expect("room for the edge");
    legs
}

async fn join(
    registrar: &Registrar,
    tasks: &Tasks,
    myself: impl Fn() -> Member + Send + Sync + 'static,
) -> Membership {
    let link = MembershipLink::Local(Arc::new(registrar.clone()));
    let members = Membership::join(link, tasks, myself).expect("room for the membership");
    members.joined().await;
    members
}

fn edge_id(number: u8) -> String {
    format!("edge-{number}")
}

fn edge_address(number: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, number + 1], 5060))
}
