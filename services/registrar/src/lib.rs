//! The registrar service: accounts, bindings, and routing plans.
//!
//! **Here:** the answer to every REGISTER ([`registration`], with RFC 3261 10.3 as a pure function in [`register`]), the plan
//! for every request outside a dialog ([`routing`], [`plan`]), accounts, static contacts and [`trunks`] over gRPC, what
//! trunks need by time ([`trunks`]), numbers that are lent for one call ([`numbers`]), what the operator's service says of calls that cost
//! money ([`spending`]), and the
//! membership that edges lease through us. One record holds all of one address of record ([`record`], [`aors`]).
//!
//! **Deliberately absent:** sockets toward phones, SIP text, and other services: an edge composes every message.
//!
//! Start reading at [`Registrar`], then `registration.rs`.
#![forbid(unsafe_code)]

mod accounts;
mod answer;
mod aors;
mod auth;
mod bindings;
mod call_slots;
mod callers;
mod config;
mod domains;
mod expiry;
mod features;
mod flow_end;
mod forwarding;
mod forwards;
mod listing;
mod location;
mod membership;
mod meters;
mod moved;
mod numbers;
mod of_presence;
mod plan;
mod preferences;
mod push;
mod record;
mod refusal;
mod register;
mod registration;
mod routing;
mod secrets;
mod spending;
mod tolls;
mod trunks;
mod watch;

use std::sync::Arc;

use ambient::Entropy;
use cluster_api::{
    cluster::v1::membership_server::MembershipServer,
    registrar::v1::{
        accounts_server::AccountsServer, bindings_server::BindingsServer,
        forwarding_server::ForwardingServer, location_server::LocationServer,
        location_stream_server::LocationStreamServer, trunks_server::TrunksServer,
    },
};
use cluster_rpc::{LocationAnswers, SpendingLink};
use lifecycle::Shutdown;
use store::{Partition, Store};
use store_rpc::RequestIds;
use telemetry::Metrics;
use tokio::time::MissedTickBehavior;
use tonic::service::RoutesBuilder;

pub use config::{Algorithm, Auth, Config, ConfigError, DomainConfig};
pub use numbers::{NumberPoolConfig, NumberPoolError};
pub use push::{HttpPush, HttpPushConfig, HttpPushError, Push, PushFailure, PushProvider, check_url};
pub use spending::{MOST_PATIENCE, Silent, SpendingConfig, SpendingService};

use aors::Aors;
use auth::Authority;
use domains::Domains;
use meters::Meters;
use numbers::{Numbers, Pools};
use push::Pushes;
use register::Policy;
use secrets::SecretStore;
use spending::Spending;
use trunks::Trunks;

/// What the registrar needs from its process.
#[derive(Clone)]
pub struct Deps {
    /// Where everything is kept.
    pub store: Arc<dyn Store>,
    /// For keys, nonces and jitter.
    pub entropy: Arc<dyn Entropy>,
    /// Where counts are shown.
    pub metrics: Metrics,
}

/// The registrar. Clones are the same service.
#[derive(Clone)]
pub struct Registrar {
    shared: Arc<Shared>,
}

/// What all rpcs share.
pub(crate) struct Shared {
    domains: Domains,
    policy: Policy,
    authority: Authority,
    config: Config,
    meters: Arc<Meters>,
    requests: RequestIds,
    members: Partition,
    aors: Aors,
    trunks: Trunks,
    numbers: Numbers,
    pushes: Pushes,
    calls: call_slots::Calls,
    spending: Spending,
    secrets: SecretStore,
    entropy: Arc<dyn Entropy>,
    metrics: Metrics,
    /// Whether streams are to end, because the process does.
    ending: tokio::sync::watch::Sender<bool>,
}

impl Registrar {
    /// The same with somebody who pushes phones.
    ///
    /// # Panics
    /// When it was cloned already.
    #[must_use]
    pub fn pushing(mut self, provider: Arc<dyn PushProvider>) -> Self {
        let shared = Arc::get_mut(&mut self.shared).expect("it was built just now");
        shared.pushes.set_provider(provider);
        self
    }

    /// The same with a service of the operator's that is asked before a call leaves by a trunk.
    ///
    /// # Panics
    /// When it was cloned already.
    #[must_use]
    pub fn asking(mut self, spending: SpendingLink) -> Self {
        let shared = Arc::get_mut(&mut self.shared).expect("it was built just now");
        shared.spending.set_service(spending);
        shared.trunks.ask_always();
        self
    }

    /// A registrar that is ready to answer; nothing is read or written yet.
    ///
    /// # Errors
    /// [`ConfigError`] when the settings cannot work.
    pub fn build(config: Config, deps: Deps) -> Result<Self, ConfigError> {
        config.check()?;
        let (domains, pools) = (Domains::new(&config.domains)?, Pools::new(&config.number_pools)?);
        pools.lead_elsewhere(&domains)?;
        let Deps { store, entropy, metrics } = deps;
        let meters = Arc::new(Meters::new(&metrics));
        let shared = Shared {
            domains,
            policy: Policy {
                default_expires: config.default_expires,
                min_expires: config.min_expires,
                max_expires: config.max_expires,
                max_bindings: config.max_bindings,
            },
            authority: Authority {
                lifetime: config.nonce_lifetime,
                hashes: config.hashes(),
                allow_no_qop: config.danger_allow_no_qop,
                entropy: entropy.clone(),
                decoy: auth::decoy(),
                guesses: auth::Guesses::new(&metrics),
            },
            aors: Aors::new(store.clone(), config.cached_aors, config.forget_after, meters.clone()),
            trunks: Trunks::new(store.clone()),
            numbers: Numbers::new(pools, store.clone()),
            pushes: Pushes::new(
                config.push_providers.clone(),
                config.pushes_at_once,
                config.pushes_queued,
                meters.clone(),
            ),
            calls: call_slots::Calls::new(),
            spending: Spending::new(config.spending, &metrics),
            secrets: SecretStore::new(store, entropy.clone(), Partition::new("cluster", 0)),
            entropy,
            metrics,
            ending: tokio::sync::watch::Sender::new(false),
            requests: RequestIds::new("registrar-requests"),
            members: Partition::new("members", 0),
            meters,
            config,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Adds the gRPC services of the registrar to a server.
    pub fn add_routes(&self, routes: &mut RoutesBuilder) {
        let Shared { entropy, metrics, ending, .. } = &*self.shared;
        let location = Arc::new(self.clone());
        let streamed = LocationAnswers::new(location, entropy.clone(), metrics, ending.subscribe());
        routes
            .add_service(LocationServer::new(self.clone()))
            .add_service(LocationStreamServer::new(streamed))
            .add_service(MembershipServer::new(self.clone()))
            .add_service(AccountsServer::new(self.clone()))
            .add_service(BindingsServer::new(self.clone()))
            .add_service(ForwardingServer::new(self.clone()))
            .add_service(TrunksServer::new(self.clone()));
    }

    /// Removes expired bindings, follows changes of the trunks, has phones pushed and calls ended whose time is over until asked to stop. Rpcs are answered without it.
    pub async fn run(self, shutdown: Shutdown) {
        let (kept, pushed) = (self.keep(&shutdown), self.shared.pushes.work(&shutdown));
        futures_util::future::join3(kept, pushed, self.end_overdue_calls(&shutdown)).await;
    }

    async fn keep(&self, shutdown: &Shutdown) {
        let mut rhythm = tokio::time::interval(self.shared.config.expiry_interval);
        rhythm.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut trunk_changes = self.shared.trunks.changes();
        loop {
            tokio::select! {
                // the end comes first: what is due is done by the others
                biased;
                () = shutdown.asked() => {
                    self.shared.ending.send_replace(true);
                    return;
                }
                // the copy in memory stays as it is while the store is away
                _ = trunk_changes.recv() => {
                    if let Ok(table) = self.shared.trunks.refresh().await {
                        self.shared.meters.stand(&table);
                    }
                }
                _ = rhythm.tick() => self.shared.expire().await,
            }
        }
    }
}
