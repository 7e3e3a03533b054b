//! Putting an edge together, and running it.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use cluster_api::edge::v1::edges_server::EdgesServer;
use cluster_api::edge::v1::legs_server::LegsServer;
use cluster_api::edge::v1::requests_server::RequestsServer;
use cluster_api::trace::v1::capture_server::CaptureServer;
use cluster_api::trace::v1::traces_server::TracesServer;
use cluster_rpc::{CaptureLink, EdgeDirectory, EdgesLink};
use hashbrown::HashMap;
use sip_endpoint::{DatagramSocket, Endpoint, Transport};
use sip_proxy::Own;
use tonic::service::RoutesBuilder;

use crate::answer::LocalTags;
use crate::arrive::early::Early;
use crate::arrive::merged::Begun;
use crate::arrive::proved::Proved;
use crate::arrive::registered::Registered;
use crate::arrive::sources::Sources;
use crate::capture::{CaptureService, Ring, TracesService};
use crate::cluster::Cluster;
use crate::config::Config;
use crate::deps::Deps;
use crate::edge::{Command, Edge, IN_HAND};
use crate::exchange::RequestsService;
use crate::flow_token::FlowKey;
use crate::forward::astray_cancel::Asked;
use crate::forward::avoided::Avoided;
use crate::forward::branch_name::BranchNames;
use crate::forward::callers::Callers;
use crate::forward::fork::ForkId;
use crate::forward::moved::Moved;
use crate::forward::off_limits::OffLimits;
use crate::legs::{Legs, LegsService};
use crate::operate::capabilities::Asking;
use crate::operate::meters::{CaptureMeters, Meters};
use crate::operate::operation::{EdgesService, Myself};
use crate::operate::pressure::Pressure;
use crate::seen::SeenCalls;

/// An edge that is put together and not yet bound to its sockets.
pub struct EdgeService {
    config: Config,
    deps: Deps,
}

/// An edge that holds its sockets; what peers send waits in the kernel until it runs.
pub struct BoundEdge {
    endpoint: Endpoint<Edge>,
    edge: Edge,
}

/// Puts an edge together. Nothing is opened and nobody is asked.
pub fn build(config: Config, deps: Deps) -> EdgeService {
    EdgeService { config, deps }
}

impl EdgeService {
    /// Binds the sockets.
    ///
    /// # Errors
    /// When an address cannot be bound, or a name of this edge cannot be read; the message says which.
    pub async fn bind(self) -> io::Result<BoundEdge> {
        let Self { config, deps } = self.named();
        let endpoint = Endpoint::bind(config.endpoint.clone(), deps.dns.clone(), deps.tasks.clone()).await?;
        finish(config, deps, endpoint)
    }

    /// Runs over sockets of the caller, one for each address of the configuration, without connections.
    ///
    /// # Errors
    /// When a name of this edge cannot be read; the message says which.
    pub fn bind_over(self, sockets: Vec<Box<dyn DatagramSocket>>) -> io::Result<BoundEdge> {
        let Self { config, deps } = self.named();
        let endpoint =
            Endpoint::over(config.endpoint.clone(), deps.dns.clone(), deps.tasks.clone(), sockets)?;
        finish(config, deps, endpoint)
    }

    /// The aliases are names of ours in a Via too.
    fn named(mut self) -> Self {
        self.config.endpoint.own_names.extend(self.config.aliases.iter().cloned());
        self
    }
}

fn finish(config: Config, deps: Deps, endpoint: Endpoint<Edge>) -> io::Result<BoundEdge> {
    // Until the driver has counted, a drain is not complete.
    deps.drain.left(IN_HAND, 1);
    let mut own = Own::new();
    for domain in &config.domains {
        own.add_domain(domain);
    }
    for (listen, address) in config.endpoint.listen.iter().zip(endpoint.listening()) {
        own.add_address(&address.ip().to_string(), address.port());
        if let Some(advertised) = &listen.advertise {
            add_name(&mut own, advertised, address.port())?;
        }
    }
    for (_, address) in endpoint.listening_streams() {
        own.add_address(&address.ip().to_string(), address.port());
    }
    // Where siblings reach this edge by TLS: at the port of that listener, under any name of this host.
    if let Some(address) = endpoint.listening_siblings() {
        own.add_address(&address.ip().to_string(), address.port());
        let named = endpoint.shown().chain(config.aliases.iter().map(String::as_str));
        for host in named.filter_map(|name| sip_message::host_ip(host_of(name)).map(|_| host_of(name))) {
            own.add_address(host, address.port());
        }
    }
    for name in endpoint.shown() {
        add_name(&mut own, name, 5060)?;
    }
    for alias in config.aliases.iter().chain(Some(&config.internal).filter(|name| !name.is_empty())) {
        add_name(&mut own, alias, 5060)?;
    }
    let off_limits = OffLimits {
        inside: config.inside.clone(),
        listening: known_as(&config, &endpoint),
        reach: config.danger_reach.clone(),
    };
    let counters = endpoint.counters().clone();
    let help = "What the SIP endpoint counted, by event";
    deps.metrics.mirror("edge_sip_total", help, "event", move || counters.snapshot());
    let mut key = [0; 32];
    deps.entropy.fill(&mut key);
    let mut secret = [0; 32];
    deps.entropy.fill(&mut secret);
    let mut cluster = Cluster::alone(FlowKey::new(key));
    let early = Early::new(tokio::time::Instant::now().into_std(), &deps.members.borrow());
    // Nobody was known before, so nobody is gone.
    let _ = cluster.learn(&deps.members.borrow());
    let capture_meters = CaptureMeters::new(&deps.metrics);
    let ring = Arc::new(Ring::new(&config.limits, deps.clock.clone(), capture_meters));
    let most_reports = config.limits.call_reports;
    let edge = Edge {
        ring,
        cluster,
        early,
        off_limits,
        proved: Proved::default(),
        registered: Registered::default(),
        asked: Asked::default(),
        meters: Meters::new(&deps.metrics),
        tags: LocalTags::new(deps.entropy.number()),
        names: BranchNames::new(secret),
        sources: Sources::new(config.limits.source_requests, config.limits.sources),
        moved: Moved::default(),
        avoided: Avoided::new(config.avoid_failed, config.target_timeout, config.limits.failed_servers),
        trunk_addresses: false,
        avoided_trunks: Avoided::new(
            config.avoid_failed,
            config.target_timeout,
            config.limits.failed_servers,
        ),
        config: Arc::new(config),
        own,
        deps,
        servers: HashMap::new(),
        clients: HashMap::new(),
        forks: HashMap::new(),
        last_fork: ForkId::FIRST,
        callers: Callers::default(),
        unanswered: HashMap::new(),
        legs: Legs::default(),
        begun: Begun::default(),
        exchanges: HashMap::new(),
        pressure: Pressure::default(),
        leaving: None,
        seen: SeenCalls::new(most_reports),
        held: 0,
    };
    Ok(BoundEdge { endpoint, edge })
}

impl BoundEdge {
    /// The addresses that are bound.
    pub fn listening(&self) -> Vec<SocketAddr> {
        self.endpoint.listening().collect()
    }

    /// The addresses that are bound for TLS and WebSocket.
    pub fn listening_streams(&self) -> Vec<(Transport, SocketAddr)> {
        self.endpoint.listening_streams().collect()
    }

    /// The address that is bound for what siblings may not send in clear.
    pub fn listening_siblings(&self) -> Option<SocketAddr> {
        self.endpoint.listening_siblings()
    }

    /// Adds the gRPC services of the edge to a server; `others` leads to the edges of the other processes.
    pub fn add_routes(&self, routes: &mut RoutesBuilder, others: &EdgeDirectory) {
        routes
            .add_service(LegsServer::new(self.legs()))
            .add_service(RequestsServer::new(self.requests()))
            .add_service(CaptureServer::new(self.capture()))
            .add_service(TracesServer::new(self.traces(Some(others.clone()))))
            .add_service(EdgesServer::new(self.edges_service(Some(others.clone()))));
    }

    /// The gRPC service that carries call-control's legs.
    pub fn legs(&self) -> LegsService {
        LegsService {
            handle: self.endpoint.handle(),
            edge_id: self.edge.config.id.clone(),
            edge_epoch: self.edge.config.epoch,
        }
    }

    /// The gRPC service that sends single requests for other services.
    pub fn requests(&self) -> RequestsService {
        RequestsService { handle: self.endpoint.handle() }
    }

    /// The gRPC service that reads what this edge saw of a call.
    pub fn capture(&self) -> CaptureService {
        CaptureService { ring: self.edge.ring.clone(), edge_id: self.edge.config.id.clone() }
    }

    /// The gRPC service that shows calls as all edges saw them. Without a directory there is only this edge.
    pub fn traces(&self, others: Option<EdgeDirectory>) -> TracesService {
        let (edge_id, myself) = (self.edge.config.id.clone(), Arc::new(self.capture()));
        let captures = match others {
            Some(directory) => CaptureLink::mixed(&edge_id, myself, directory),
            None => CaptureLink::local(&edge_id, myself),
        };
        TracesService { edge_id, captures, members: self.edge.deps.members.clone() }
    }

    /// The gRPC service that lists and drains edges. Without a directory there is only this edge.
    pub fn edges_service(&self, others: Option<EdgeDirectory>) -> EdgesService {
        let config = &self.edge.config;
        let listeners = self.listening();
        let both = listeners.iter().flat_map(|at| [format!("udp://{at}"), format!("tcp://{at}")]);
        let streams = self.endpoint.listening_streams();
        let listeners =
            both.chain(streams.map(|(kind, at)| format!("{}://{at}", kind.as_str().to_ascii_lowercase())));
        let advertised = config.endpoint.listen.iter().find_map(|listen| listen.advertise.clone());
        let myself = Arc::new(Myself {
            id: config.id.clone(),
            epoch: config.epoch,
            listeners: listeners.collect(),
            advertised: advertised.unwrap_or_default(),
            drain: self.edge.deps.drain.clone(),
            handle: self.endpoint.handle(),
            known_requests: Default::default(),
        });
        let host = config.domains.first().map_or("localhost", String::as_str);
        let asking = Asking {
            requests: self.requests(),
            entropy: self.edge.deps.entropy.clone(),
            from_uri: format!("sip:carillon@{host}"),
        };
        EdgesService {
            myself,
            asking,
            members: self.edge.deps.members.clone(),
            others: others.map(EdgesLink::remote),
        }
    }

    /// Runs until `shutdown` comes. Draining comes before that and is told by the [`Drain`](lifecycle::Drain) of the
    /// dependencies.
    ///
    /// # Errors
    /// When a socket cannot be prepared.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> io::Result<()> {
        let (drain, handle) = (self.edge.deps.drain.clone(), self.endpoint.handle());
        let (mut members, listening) = (self.edge.deps.members.clone(), self.endpoint.handle());
        let mut shutdown = pin!(shutdown);
        let mut running =
            pin!(self.endpoint.run(self.edge, std::future::poll_fn(move |cx| shutdown.as_mut().poll(cx))));
        let announce = async move {
            drain.begun().await;
            while handle.send(Command::Drain).is_err() {
                tokio::task::yield_now().await;
            }
            std::future::pending::<()>().await;
        };
        let watch = async move {
            while members.changed().await.is_ok() {
                // When too many commands wait, the first of them has the list learnt.
                let _ = listening.send(Command::Learn);
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            biased; // the end of the edge ends the watches of its drain and of the members
            end = &mut running => end.map(drop),
            () = announce => unreachable!("the watch of the drain has no end of its own"),
            () = watch => unreachable!("the watch of the members has no end of its own"),
        }
    }
}

/// The SIP listeners by address: as they are bound, and as the names that are numbers say.
fn known_as(config: &Config, endpoint: &Endpoint<Edge>) -> Vec<SocketAddr> {
    let port = endpoint.listening().next().map_or(5060, |address| address.port());
    let advertised = config.endpoint.listen.iter().filter_map(|listen| listen.advertise.as_deref());
    let names = endpoint.shown().chain(advertised).chain(config.aliases.iter().map(String::as_str));
    let numbers = names.chain([config.internal.as_str()]).filter_map(|name| {
        let named: Result<SocketAddr, _> = name.parse();
        named.ok().or_else(|| Some(SocketAddr::new(sip_message::host_ip(name)?, port)))
    });
    let streams = endpoint.listening_streams().map(|(_, address)| address);
    endpoint.listening().chain(streams).chain(endpoint.listening_siblings()).chain(numbers).collect()
}

/// The host of `host` or `host:port`.
fn host_of(name: &str) -> &str {
    match name.rsplit_once(':') {
        Some((host, _)) if !host.contains(':') || host.ends_with(']') => host,
        Some(_) | None => name,
    }
}

/// Adds `host` or `host:port`; without a port it is the one given and the default one.
fn add_name(own: &mut Own, name: &str, port: u16) -> io::Result<()> {
    let bad = || io::Error::new(io::ErrorKind::InvalidInput, format!("{name:?} is no host or host:port"));
    let uri = format!("sip:{name}");
    let uri = sip_message::Uri::parse(uri.as_bytes()).map_err(|_| bad())?;
    if uri.user.is_some() || !uri.params.is_empty() {
        return Err(bad());
    }
    match uri.port {
        Some(port) => own.add_address(uri.host, port),
        None => own.add_address(uri.host, port).add_address(uri.host, 5060),
    };
    Ok(())
}
