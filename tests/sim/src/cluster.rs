//! The composition: two edges, two replicas of call-control and of the registrar, one store, and phones.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use call_control::engine::Redirects;
use call_control::engine::claim::takers::Takers;
use call_control::engine::conference::Mixing;
use cluster_api::cluster::v1::Member;
use cluster_api::registrar::v1::accounts_server::Accounts as _;
use cluster_api::registrar::v1::location_server::Location as _;
use cluster_api::registrar::v1::seize_trunk_response::State;
use cluster_api::registrar::v1::trunks_server::Trunks as _;
use cluster_api::registrar::v1::{
    Account, CreateAccountRequest, CreateTrunkRequest, ReleaseTrunkRequest, SeizeTrunkRequest, Trunk,
    TrunkPeer, TrunkPrefix,
};
use cluster_rpc::Membership;
use lifecycle::Tasks;
use parking_lot::Mutex;
use registrar::{DomainConfig, NumberPoolConfig};
use scripted_phone::Identity;
use store::MemoryStore;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Status};

use crate::bindings::Bindings;
use crate::chance::Chance;
use crate::clock::VirtualClock;
use crate::lines::{Desk, Lines};
use crate::links::{EdgePlace, Places, Replica, Replicas};
use crate::network::Network;
use crate::phones::VirtualPhone;
use crate::records::Records;
use crate::registrars::Registrars;
use crate::sabotage::{Sabotage, Saboteur};
use crate::start;
use crate::trace::Trace;
use crate::trouble::Trouble;
use crate::watcher::Watcher;

/// The domain of every phone.
pub const DOMAIN: &str = "example.com";
const PASSWORD: &str = "zanzibar";
/// Places for edges.
pub const EDGES: usize = 2;
/// Places for replicas of call-control.
pub const REPLICAS: usize = 2;
/// Places for replicas of the registrar.
pub const REGISTRARS: usize = 2;

/// Where conferences are mixed.
pub const MIXERS: [SocketAddr; 2] = [desk_at(1), desk_at(2)];
/// The other end of the trunk.
const CARRIER: SocketAddr = desk_at(3);
const TRUNK: &str = "pstn";
/// Calls that the trunk carries.
pub const TRUNK_CALLS: u32 = 3;
/// Who calls this makes a conference.
pub const FACTORY: &str = "meet";
/// Who calls this is called back.
pub const CALLBACK: &str = "later";

const fn desk_at(number: u8) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 2, 0, number)), 5060)
}

/// How long an ended call and a request id are kept in a run: long enough to be looked at, short enough to see them go.
pub const RETENTION: Duration = Duration::from_secs(400);

/// A whole cluster.
pub struct Cluster {
    /// The network between phones and edges, and between edges.
    pub network: Network,
    /// The replicas of call-control.
    pub replicas: Arc<Replicas>,
    /// The replicas of the registrar.
    pub registrars: Arc<Registrars>,
    /// The phones.
    pub phones: Vec<VirtualPhone>,
    /// Where conferences are mixed: the second one is asked when the first refuses.
    pub mixers: Vec<Desk>,
    /// The other end of the trunk.
    pub carrier: Desk,
    /// The application that watches.
    pub watcher: Watcher,
    /// What is kept.
    pub memory: Arc<MemoryStore>,
    /// What is kept of calls, and what went out without being kept.
    pub records: Records,
    /// What phones were promised.
    pub bindings: Bindings,
    /// What happened.
    pub trace: Trace,
    pub(crate) seed: u64,
    pub(crate) clock: VirtualClock,
    pub(crate) saboteur: Arc<Saboteur>,
    pub(crate) edges: BTreeMap<String, Arc<EdgePlace>>,
    pub(crate) members: Membership,
    /// There is another list of members. A watch channel wakes those who wait in an order of chance, and no run could be repeated.
    pub(crate) listed: Arc<Notify>,
    lives: AtomicU64,
    tasks: Tasks,
    /// The tasks of each living edge, and which of its lives it is.
    living: Mutex<BTreeMap<usize, (Tasks, u64)>>,
}

impl Cluster {
    /// Starts everything and so many phones, which are not registered yet.
    ///
    /// # Panics
    /// When a part of the cluster does not start.
    pub async fn start(seed: u64, phones: u8, sabotage: Sabotage) -> Self {
        Self::with_anchored(seed, phones, 0, sabotage).await
    }

    /// The same; the calls of so many of the phones run through call-control whoever calls.
    ///
    /// # Panics
    /// As [`Self::start`].
    pub async fn with_anchored(seed: u64, phones: u8, anchored: u8, sabotage: Sabotage) -> Self {
        let clock = VirtualClock::start();
        let trace = Trace::new(clock);
        let saboteur = Arc::new(Saboteur::new(sabotage, Chance::new(seed, "sabotage")));
        let tasks = Tasks::new("sim", 5_000);
        let network = Network::new(Chance::new(seed, "network"), trace.clone(), saboteur.clone());
        tasks.spawn("network", network.clone().run()).expect("room for the network");
        let memory = Arc::new(MemoryStore::new(move || ambient::WallClock::now(&clock)));
        let registrars = Places::new(REGISTRARS, Chance::new(seed, "registrars"));
        let replicas = Places::new(REPLICAS, Chance::new(seed, "replicas"));
        let first = start::registrar(seed, &memory, &saboteur, &replicas);
        registrars.put(0, Some(first.clone()));
        registrars.put(1, Some(first));
        let myself =
            || Member { id: "call-control".into(), role: "call-control".into(), ..Member::default() };
        let members = start::join(&registrars, &tasks, myself).await;
        let (listed, mut lists) = (Arc::new(Notify::new()), members.watch());
        let told = listed.clone();
        let tell = async move {
            while lists.changed().await.is_ok() {
                told.notify_waiters();
            }
        };
        tasks.spawn("lists", tell).expect("room for the lists");
        let desk = |name: &str, address: SocketAddr| {
            let identity = Identity::new(&format!("sip:{name}@{address}"), "").expect("an address of record");
            let lines = Lines::new(identity, address, edge_address(0), seed ^ u64::from(address.port()));
            Desk::start(network.bind(address), lines, &tasks, trace.clone())
        };
        let (mixers, carrier) = (MIXERS.map(|at| desk("mixer", at)).to_vec(), desk("carrier", CARRIER));
        let mut cluster = Self {
            network,
            replicas,
            registrars,
            phones: Vec::new(),
            mixers,
            carrier,
            watcher: Watcher::new(saboteur.clone()),
            records: Records::new(memory.clone(), trace.clone()),
            bindings: Bindings::new(memory.clone(), trace.clone()),
            memory,
            trace,
            seed,
            clock,
            saboteur,
            edges: (0..EDGES).map(|place| (edge_id(place), Arc::default())).collect(),
            members,
            listed,
            lives: AtomicU64::new(0),
            tasks,
            living: Mutex::default(),
        };
        cluster.start_registrar(1);
        for place in 0..EDGES {
            cluster.start_edge(place).await;
        }
        (0..REPLICAS).for_each(|place| cluster.start_replica(place));
        let watching = cluster.watcher.clone().run(cluster.replicas.clone());
        cluster.tasks.spawn("watcher", watching).expect("room for the watcher");
        cluster.watcher.watching().await;
        if anchored > 0 {
            cluster.create_trunk().await;
        }
        for number in 0..phones {
            let phone = cluster.start_phone(number, number < anchored).await;
            cluster.phones.push(phone);
        }
        cluster
    }

    async fn create_trunk(&self) {
        let peer = TrunkPeer { uri: format!("sip:{CARRIER}"), ..TrunkPeer::default() };
        let trunk = Trunk {
            trunk_id: TRUNK.into(),
            peers: vec![peer],
            prefixes: vec![TrunkPrefix { prefix: "+".into(), ..TrunkPrefix::default() }],
            max_calls: TRUNK_CALLS,
            ..Trunk::default()
        };
        let request = CreateTrunkRequest { trunk: Some(trunk), ..CreateTrunkRequest::default() };
        let registrar = self.registrars.at(0).expect("a registrar").service;
        registrar.create_trunk(Request::new(request)).await.expect("a trunk");
    }

    /// Whether a call gets a place at the trunk now; it is given back at once.
    ///
    /// # Errors
    /// When the registrar does not answer.
    pub async fn places_at_trunk(&self) -> Result<u32, Status> {
        let registrar = self.registrars.any()?;
        let (mut taken, mut free) = (Vec::new(), 0);
        for number in 0..TRUNK_CALLS {
            let (call_id, branch) = (format!("place-{number}"), "in".to_owned());
            let wish =
                SeizeTrunkRequest { trunk: TRUNK.into(), call_id, branch, ..SeizeTrunkRequest::default() };
            let answer = registrar.service.seize_trunk(Request::new(wish.clone())).await?.into_inner();
            free += u32::from(answer.state() == State::Seized);
            taken.push(wish);
        }
        for SeizeTrunkRequest { trunk, call_id, branch, .. } in taken {
            let back = ReleaseTrunkRequest { trunk, call_id, branch };
            registrar.service.release_trunk(Request::new(back)).await?;
        }
        Ok(free)
    }

    /// A number that no other life of a process has.
    fn next_life(&self) -> u64 {
        self.lives.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Starts a replica of call-control in a place that has none.
    ///
    /// # Panics
    /// When its tasks do not fit.
    pub fn start_replica(&self, place: usize) {
        let life = self.next_life();
        let trouble = Trouble::new(Chance::new(self.seed + life, "trouble"));
        let service = start::call_control(self, life, &trouble);
        service.start().expect("room for its tasks");
        self.replicas.put(place, Some(Replica { service, trouble, dead: CancellationToken::new() }));
        self.trace.note(format_args!("call-control {place} starts"));
    }

    /// Kills the replica in a place, wherever it is in its work.
    pub async fn kill_replica(&self, place: usize) {
        let Some(replica) = self.replicas.put(place, None) else { return };
        self.trace.note(format_args!("call-control {place} dies"));
        replica.dead.cancel();
        replica.service.stop(Duration::ZERO).await;
    }

    /// Starts a replica of the registrar in a place.
    pub fn start_registrar(&self, place: usize) {
        let replica =
            start::registrar(self.seed + self.next_life(), &self.memory, &self.saboteur, &self.replicas);
        self.registrars.put(place, Some(replica));
        self.trace.note(format_args!("registrar {place} starts"));
    }

    /// Kills the replica of the registrar in a place.
    pub async fn kill_registrar(&self, place: usize) {
        let Some(replica) = self.registrars.put(place, None) else { return };
        self.trace.note(format_args!("registrar {place} dies"));
        replica.dead.cancel();
        replica.tasks.stop(Duration::ZERO).await;
    }

    /// Whether the edge in a place is alive.
    pub fn has_edge(&self, place: usize) -> bool {
        self.living.lock().contains_key(&place)
    }

    /// Every life that an edge had: its name as lists show it, and whether it lasts.
    pub fn edge_lives(&self) -> Vec<(String, bool)> {
        let living = self.living.lock();
        let lives = 1..=self.lives.load(Ordering::Relaxed);
        let of_place = |place: usize| {
            let now = living.get(&place).map(|(_, epoch)| *epoch);
            lives.clone().map(move |epoch| (format!("{}/{epoch}", edge_id(place)), now == Some(epoch)))
        };
        (0..EDGES).flat_map(of_place).collect()
    }

    /// Starts an edge in a place that has none: another life of the edge that was there.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start_edge(&self, place: usize) {
        let (tasks, epoch) = (Tasks::new("edge", 1_000), self.next_life());
        let edge = start::edge(self, place, epoch, &tasks).await;
        *self.edges[&edge_id(place)].edge.lock() = Some(edge);
        self.living.lock().insert(place, (tasks, epoch));
        self.trace.note(format_args!("edge {place} starts"));
    }

    /// Kills the edge in a place.
    pub async fn kill_edge(&self, place: usize) {
        let Some((tasks, _)) = self.living.lock().remove(&place) else { return };
        self.trace.note(format_args!("edge {place} dies"));
        *self.edges[&edge_id(place)].edge.lock() = None;
        self.network.unbind(edge_address(place));
        tasks.stop(Duration::ZERO).await;
    }

    /// Ends everything.
    pub async fn stop(self) {
        for place in 0..REPLICAS {
            self.kill_replica(place).await;
        }
        for place in 0..EDGES {
            self.kill_edge(place).await;
        }
        for place in 0..REGISTRARS {
            self.kill_registrar(place).await;
        }
        self.tasks.stop(Duration::ZERO).await;
    }

    async fn start_phone(&self, number: u8, anchor: bool) -> VirtualPhone {
        let user = format!("phone{number}");
        let aor = format!("sip:{user}@{DOMAIN}");
        let account =
            Account { aor: aor.clone(), password: PASSWORD.to_owned(), anchor, ..Account::default() };
        let request = CreateAccountRequest { account: Some(account), ..CreateAccountRequest::default() };
        let registrar = self.registrars.at(0).expect("a registrar").service;
        registrar.create_account(Request::new(request)).await.expect("an account");
        let identity = Identity::new(&aor, PASSWORD).expect("an address of record");
        let socket = self.network.bind(SocketAddr::from(([10, 1, 0, number + 1], 5060)));
        let server = edge_address(usize::from(number) % EDGES);
        let seed = self.seed.wrapping_mul(1_000).wrapping_add(u64::from(number));
        let (bindings, trace) = (self.bindings.clone(), self.trace.clone());
        VirtualPhone::start(socket, server, identity, seed, &self.tasks, bindings, trace)
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

/// The settings of every registrar.
pub fn registrar_config() -> registrar::Config {
    let domain = DomainConfig { name: DOMAIN.to_owned(), ..DomainConfig::default() };
    let pool = NumberPoolConfig {
        name: "lent".to_owned(),
        numbers: vec!["+19005550100..+19005550109".to_owned()],
        // It rests twice as long: over before a run is.
        max_ttl: Duration::from_secs(20),
        ..NumberPoolConfig::default()
    };
    registrar::Config {
        domains: vec![domain],
        call_control_users: vec![FACTORY.to_owned(), CALLBACK.to_owned()],
        conferences: true,
        number_pools: vec![pool],
        ..registrar::Config::default()
    }
}

/// The settings of every replica of call-control.
pub fn call_control_config() -> call_control::Config {
    call_control::Config {
        // Each is looked at all the time, and most of a run is waiting.
        partitions: 3,
        ended_retention: RETENTION,
        request_retention: RETENTION,
        controller_uri: format!("sip:carillon@{DOMAIN}"),
        host: DOMAIN.to_owned(),
        mixing: Mixing {
            mixers: MIXERS.map(|at| format!("sip:{at}")).to_vec(),
            factory: FACTORY.to_owned(),
            ..Mixing::default()
        },
        takers: Takers::new([format!("sip:*@{DOMAIN}")]).expect("all users of a domain"),
        redirects: Redirects::within([DOMAIN]),
        callback_user: CALLBACK.to_owned(),
        callback_target: format!("sip:phone0@{DOMAIN}"),
        ..call_control::Config::default()
    }
}

pub(crate) fn edge_id(place: usize) -> String {
    format!("edge-{place}")
}

pub(crate) fn edge_address(place: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, place as u8 + 1], 5060))
}
