//! Puts the services of a process together: each role in-process where it runs here, over gRPC where it does not.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use ambient::{Entropy, SystemClock, SystemEntropy, WallClock};
use anyhow::{Context, anyhow};
use cluster_rpc::membership::View;
use cluster_rpc::{
    Address, BindingsLink, CallsLink, ConferencesLink, EdgeDirectory, IntakeLink, LegEventsLink, LegsLink,
    LocationLink, MembershipLink, ProxiedCallsLink, Replicas, RequestsLink, Wiring,
};
use lifecycle::{Drain, Health, Shutdown, Tasks};
use presence::Presence;
use presence::edges::LinkedEdges;
use registrar::{HttpPush, Registrar};
use store::Store;
use telemetry::Metrics;
use tokio::sync::watch;

use super::api_server::ApiServer;
use super::elsewhere::Elsewhere;
use super::late::LateEdge;
use super::listeners::unbound;
use super::members::{Joined, Myself};
use super::roles::{self, Role};
use super::running::Running;
use super::settings::Settings;
use super::tls::{self, Renewal};
use super::{admin, edge_role, inside, internal_tls, name_servers, services, store as stores};

/// Starts the services that the settings name, and returns once they serve.
///
/// # Errors
/// A setting that cannot work, or an address that cannot be bound.
pub async fn start(settings: &Settings) -> anyhow::Result<Running> {
    let roles = roles::roles(&settings.roles).map_err(anyhow::Error::msg)?;
    let parts = Parts::new(settings, roles)?;
    // Before anybody can ask: not ready until the registrar and the store behind it have answered.
    let ready = parts.health.component("cluster", Instant::now(), None);
    let admin = parts.serve_admin(&settings.admin).await?;
    let mut api = ApiServer::bind(settings, &parts.metrics).await?;
    let store = match parts.roles.iter().any(|r| r.has_store()) {
        true => Some(stores::open(settings, &parts.tasks, &parts.metrics, &parts.health)?),
        false => None,
    };
    let registrar = parts.registrar(settings, store.clone())?;
    let myself = Myself::new(settings, api.address()?, parts.epoch, parts.drain.clone());
    let membership = parts.membership_link(settings, registrar.as_ref())?;
    let joined = Joined::all(&parts.roles, &membership, &parts.tasks, &myself)?;
    let late = Arc::new(LateEdge::default());
    let location = parts.location_link(settings, registrar.as_ref())?;
    let calls = parts.call_control(settings, store.clone(), &joined, &late, location.clone())?;
    if let Some(registrar) = registrar.as_ref().filter(|_| parts.knows(settings, Role::CallControl)) {
        registrar.count_calls(parts.proxied_calls_link(settings, calls.as_ref())?);
    }
    let presence = parts.presence(settings, store, &joined, &late, (registrar.as_ref(), calls.as_ref()))?;

    let calls = match calls {
        Some(calls) if parts.knows(settings, Role::Presence) => {
            Some(calls.telling(parts.conferences_link(settings, presence.as_ref())?))
        }
        calls => calls,
    };

    let (mut listening, mut streams) = (Vec::new(), Vec::new());
    if parts.roles.contains(&Role::Edge) {
        let deps = edge::Deps {
            location,
            leg_events: parts.leg_events_link(settings, calls.as_ref())?,
            proxied_calls: parts.proxied_calls_link(settings, calls.as_ref())?,
            intake: parts.intake_link(settings, presence.as_ref())?,
            members: joined.view(Role::Edge)?,
            look_again: joined.membership(Role::Edge)?.look_again(),
            dns: Arc::new(parts.resolver(settings)?),
            clock: Arc::new(SystemClock),
            entropy: parts.entropy.clone(),
            metrics: parts.metrics.clone(),
            drain: parts.drain.clone(),
            tasks: parts.tasks.clone(),
        };
        let mut config = edge_role::config(settings, &myself).await?;
        if let Some(tls) = tls::load(settings).map_err(anyhow::Error::msg)? {
            config.endpoint.tls = Some(tls.clone());
            let renewal = Renewal::new(tls, settings.tls.reload, parts.metrics.clone());
            parts.tasks.spawn_loop("tls certificates", renewal.run())?;
        }
        config.endpoint.siblings = settings.internal_tls.load().map_err(anyhow::Error::msg)?;
        if let Some(siblings) = &config.endpoint.siblings {
            let renewal = Renewal::new(siblings.tls.clone(), settings.tls.reload, parts.metrics.clone());
            parts.tasks.spawn_loop("tls certificates between edges", renewal.run())?;
        }
        config.inside = inside::addresses(settings, [api.address()?, admin]).await;
        let bound = edge::build(config, deps).bind().await;
        let edge = bound.map_err(|error| anyhow!("--sip: {}", unbound(&error)))?;
        (listening, streams) = (edge.listening(), edge.listening_streams());
        let internal = edge_role::internal(settings, &listening).await?;
        let by_tls = edge.listening_siblings().map(|at| internal_tls::reached(at, internal));
        let by_tls = by_tls.transpose()?;
        if let Some(at) = by_tls {
            tracing::info!("other edges reach this one by TLS at {at}");
        }
        myself.is_at(internal, by_tls);
        late.is(&edge);
        let others = EdgeDirectory::new(joined.view(Role::Edge)?, parts.wiring.clone());
        edge.add_routes(&mut api.routes, &others);
        let (end, alive) = (parts.end.clone(), parts.health.component("edge", Instant::now(), None));
        parts.tasks.spawn("edge", async move {
            alive.ready();
            if let Err(e) = edge.run(async move { end.asked().await }).await {
                tracing::error!("the edge ended: {e}");
            }
        })?;
    }
    if let Some(registrar) = registrar.filter(|_| parts.roles.contains(&Role::Registrar)) {
        parts.tasks.spawn("registrar", registrar.clone().run(parts.end.clone()))?;
        let requests = parts.requests_link(settings, joined.view(Role::Registrar)?, &late);
        parts.tasks.spawn_loop("trunks", registrar.clone().keep_trunks(requests, parts.end.clone()))?;
        registrar.add_routes(&mut api.routes);
    }
    if let Some(presence) = &presence {
        presence.start()?;
        presence.add_routes(&mut api.routes);
    }
    if let Some(calls) = &calls {
        calls.start()?;
        calls.add_routes(&mut api.routes);
    }
    let api_address = api.address()?;
    let of_all = joined.view(*parts.roles.first().context("a process without roles")?)?;
    let elsewhere = Elsewhere::new(settings, parts.roles.clone(), of_all);
    api.serve(parts.entropy.clone(), elsewhere, &parts.tasks, &parts.end)?;
    joined.everywhere().await;
    ready.ready();
    Ok(Running {
        listening,
        streams,
        api: api_address,
        admin,
        drain: parts.drain,
        end: parts.end,
        tasks: parts.tasks,
        calls,
        presence,
        joined,
        is_alone: settings.redis.url.is_empty(),
    })
}

/// What every role of the process shares.
struct Parts {
    roles: BTreeSet<Role>,
    metrics: Metrics,
    tasks: Tasks,
    health: Health,
    drain: Drain,
    end: Shutdown,
    entropy: Arc<dyn Entropy>,
    wiring: Wiring,
    epoch: u64,
}

impl Parts {
    fn new(settings: &Settings, roles: BTreeSet<Role>) -> anyhow::Result<Self> {
        let (metrics, tasks) = (Metrics::new(), Tasks::new("carillon", settings.limits.tasks));
        settings.limits.show(&metrics);
        let token = &settings.cluster_token;
        let config = cluster_rpc::remote::Config {
            token: (!token.expose().is_empty()).then(|| token.clone()),
            ..cluster_rpc::remote::Config::default()
        };
        Ok(Self {
            roles,
            wiring: Wiring::new(config, tasks.clone(), metrics.clone()),
            metrics,
            tasks,
            health: Health::new(),
            drain: Drain::new(),
            end: Shutdown::new(),
            entropy: Arc::new(SystemEntropy),
            epoch: SystemClock.unix_millis(),
        })
    }

    async fn serve_admin(&self, address: &str) -> anyhow::Result<std::net::SocketAddr> {
        let listener = tokio::net::TcpListener::bind(address)
            .await
            .map_err(|error| anyhow!("--admin {address}: cannot listen there: {}", unbound(&error)))?;
        let bound = listener.local_addr()?;
        tracing::info!("admin HTTP at {bound}");
        let metrics = self.metrics.clone();
        let routes = admin::routes(self.health.clone(), Arc::new(move || metrics.text()));
        self.tasks.spawn_loop("admin", async move {
            if let Err(e) = axum::serve(listener, routes).await {
                tracing::error!("the admin server ended: {e}");
            }
        })?;
        Ok(bound)
    }

    fn resolver(&self, settings: &Settings) -> anyhow::Result<sip_endpoint::Resolver> {
        let config = name_servers::resolver(settings).map_err(anyhow::Error::msg)?;
        Ok(sip_endpoint::Resolver::new(&config, &self.metrics)?)
    }

    fn registrar(
        &self,
        settings: &Settings,
        store: Option<Arc<dyn Store>>,
    ) -> anyhow::Result<Option<Registrar>> {
        let Some(store) = store.filter(|_| self.roles.contains(&Role::Registrar)) else { return Ok(None) };
        let deps = registrar::Deps { store, entropy: self.entropy.clone(), metrics: self.metrics.clone() };
        let config = services::registrar_config(settings);
        let asked = config.spending;
        let mut registrar = Registrar::build(config, deps)?;
        let spending = settings.spending.service().map_err(|(key, why)| anyhow!("{key}: {why}"))?;
        if let Some(service) = spending {
            registrar = registrar.asking(service.link(&asked, &self.wiring)?);
        }
        if settings.push.url.is_empty() {
            return Ok(Some(registrar));
        }
        let service = HttpPush::new(settings.push.service()).context("push")?;
        Ok(Some(registrar.pushing(Arc::new(service))))
    }

    fn call_control(
        &self,
        settings: &Settings,
        store: Option<Arc<dyn Store>>,
        joined: &Joined,
        late: &Arc<LateEdge>,
        location: LocationLink,
    ) -> anyhow::Result<Option<call_control::Service>> {
        let Some(store) = store.filter(|_| self.roles.contains(&Role::CallControl)) else { return Ok(None) };
        let membership = joined.membership(Role::CallControl)?;
        let directory = EdgeDirectory::new(membership.watch(), self.wiring.clone());
        let id = super::members::process_id(settings);
        let (legs, requests) = match self.roles.contains(&Role::Edge) {
            true => (
                LegsLink::mixed(id.clone(), late.clone(), directory.clone()),
                RequestsLink::mixed(id, late.clone(), directory),
            ),
            false => (LegsLink::remote(directory.clone()), RequestsLink::remote(directory)),
        };
        let deps = call_control::Deps {
            store,
            edges: Arc::new(call_control::edges::LinkedEdges::of_membership(
                legs,
                requests,
                membership.clone(),
            )),
            entropy: self.entropy.clone(),
            metrics: self.metrics.clone(),
            drain: self.drain.clone(),
        };
        Ok(Some(call_control::build(services::call_control_config(settings), deps).asking(location)))
    }

    fn presence(
        &self,
        settings: &Settings,
        store: Option<Arc<dyn Store>>,
        joined: &Joined,
        late: &Arc<LateEdge>,
        (registrar, calls): (Option<&Registrar>, Option<&call_control::Service>),
    ) -> anyhow::Result<Option<Presence>> {
        let Some(store) = store.filter(|_| self.roles.contains(&Role::Presence)) else { return Ok(None) };
        let view = joined.view(Role::Presence)?;
        let requests = self.requests_link(settings, view.clone(), late);
        let edges = Arc::new(LinkedEdges::new(requests, view));
        let deps = presence::Deps {
            store,
            edges,
            registrations: Arc::new(match registrar {
                Some(registrar) => BindingsLink::Local(Arc::new(registrar.clone())),
                None => BindingsLink::Remote(self.replicas(settings, Role::Registrar)?),
            }),
            calls: match (calls, self.knows(settings, Role::CallControl)) {
                (Some(calls), _) => Arc::new(CallsLink::Local(Arc::new(calls.api.clone()))),
                (None, true) => Arc::new(CallsLink::Remote(self.replicas(settings, Role::CallControl)?)),
                (None, false) => Arc::new(presence::calls::NoCalls),
            },
            entropy: self.entropy.clone(),
            location: self.location_link(settings, registrar)?,
            metrics: self.metrics.clone(),
        };
        Ok(Some(presence::build(services::presence_config(settings), deps)))
    }

    /// How the registrar and presence send through edges.
    fn requests_link(
        &self,
        settings: &Settings,
        view: watch::Receiver<View>,
        late: &Arc<LateEdge>,
    ) -> RequestsLink {
        let directory = EdgeDirectory::new(view, self.wiring.clone());
        match self.roles.contains(&Role::Edge) {
            true => RequestsLink::mixed(super::members::process_id(settings), late.clone(), directory),
            false => RequestsLink::remote(directory),
        }
    }

    fn membership_link(&self, s: &Settings, local: Option<&Registrar>) -> anyhow::Result<MembershipLink> {
        Ok(match local {
            Some(registrar) => MembershipLink::Local(Arc::new(registrar.clone())),
            None => MembershipLink::Remote(self.replicas(s, Role::Registrar)?),
        })
    }

    fn location_link(&self, s: &Settings, local: Option<&Registrar>) -> anyhow::Result<LocationLink> {
        Ok(match local {
            Some(registrar) => LocationLink::Local(Arc::new(registrar.clone())),
            None => LocationLink::Remote(self.replicas(s, Role::Registrar)?),
        })
    }

    fn leg_events_link(
        &self,
        s: &Settings,
        local: Option<&call_control::Service>,
    ) -> anyhow::Result<LegEventsLink> {
        Ok(match local {
            Some(calls) => LegEventsLink::Local(Arc::new(calls.leg_events.clone())),
            None => LegEventsLink::Remote(self.replicas(s, Role::CallControl)?),
        })
    }

    fn proxied_calls_link(
        &self,
        s: &Settings,
        local: Option<&call_control::Service>,
    ) -> anyhow::Result<ProxiedCallsLink> {
        Ok(match local {
            Some(calls) => ProxiedCallsLink::Local(Arc::new(calls.proxied_calls.clone())),
            None => ProxiedCallsLink::Remote(self.replicas(s, Role::CallControl)?),
        })
    }

    fn intake_link(&self, s: &Settings, local: Option<&Presence>) -> anyhow::Result<IntakeLink> {
        Ok(match local {
            Some(presence) => IntakeLink::Local(Arc::new(presence.clone())),
            None => IntakeLink::Remote(self.replicas(s, Role::Presence)?),
        })
    }

    fn conferences_link(&self, s: &Settings, local: Option<&Presence>) -> anyhow::Result<ConferencesLink> {
        Ok(match local {
            Some(presence) => ConferencesLink::Local(Arc::new(presence.clone())),
            None => ConferencesLink::Remote(self.replicas(s, Role::Presence)?),
        })
    }

    /// Whether the role runs here, or it is said where it does.
    fn knows(&self, settings: &Settings, role: Role) -> bool {
        let peers = roles::peers(&settings.peers).unwrap_or_default();
        self.roles.contains(&role) || peers.iter().any(|(of, _)| *of == role)
    }

    fn replicas(&self, settings: &Settings, role: Role) -> anyhow::Result<Replicas> {
        Ok(Replicas::new(role.name(), &addresses(settings, role)?, &self.wiring)?)
    }
}

fn addresses(settings: &Settings, role: Role) -> anyhow::Result<Vec<Address>> {
    let peers = roles::peers(&settings.peers).map_err(anyhow::Error::msg)?;
    Ok(peers.into_iter().filter(|(of, _)| *of == role).map(|(_, address)| address).collect())
}
