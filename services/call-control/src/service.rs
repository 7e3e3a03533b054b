//! Composition: what the service needs, what it offers, and how it runs.

use std::sync::Arc;
use std::time::Duration;

use ambient::Entropy;
use cluster_api::callcontrol::v1::call_control_server::CallControlServer;
use cluster_api::callcontrol::v1::leg_events_server::LegEventsServer;
use cluster_api::callcontrol::v1::proxied_calls_server::ProxiedCallsServer;
use cluster_rpc::{ConferencesLink, LocationLink};
use lifecycle::{Drain, Tasks, TooManyTasks};
use store::Store;
use telemetry::Metrics;
use tonic::service::RoutesBuilder;

use crate::api::CallControlApi;
use crate::config::Config;
use crate::counts::Counts;
use crate::deliver::Deliver;
use crate::edges::Edges;
use crate::proxied::Reports;
use crate::repository::Repository;
use crate::runner::Runner;
use crate::watch::Watches;

/// What the service needs from outside.
pub struct Deps {
    /// Where calls live.
    pub store: Arc<dyn Store>,
    /// The way to the edges.
    pub edges: Arc<dyn Edges>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// Metrics of the process.
    pub metrics: Metrics,
    /// Says when nothing new is taken.
    pub drain: Drain,
}

/// The service. Clones are the same.
#[derive(Clone)]
pub struct Service {
    runner: Arc<Runner>,
    watches: Arc<Watches>,
    tasks: Tasks,
    /// The face toward applications.
    pub api: CallControlApi,
    /// The face toward edges.
    pub leg_events: Deliver,
    /// Where edges report the calls that they merely proxy.
    pub proxied_calls: Reports,
}

/// Puts the service together. Does nothing yet.
pub fn build(config: Config, deps: Deps) -> Service {
    let tasks = Tasks::new("call-control", config.tasks);
    let repository = Repository::new(deps.store, &config);
    let counts = Counts::new(&deps.metrics);
    let runner = Runner::new(repository, deps.edges, config, tasks.clone(), counts);
    let watches = Watches::new(Arc::clone(&runner));
    let entropy = Arc::clone(&deps.entropy);
    let api = CallControlApi::new(Arc::clone(&runner), Arc::clone(&watches), deps.entropy, deps.drain);
    let leg_events = Deliver::new(Arc::clone(&runner), entropy);
    let proxied_calls = Reports::new(Arc::clone(&runner));
    Service { runner, watches, tasks, api, leg_events, proxied_calls }
}

impl Service {
    /// The same service, which asks this registrar whether the trunks that applications name are there, and whether phones may call the
    /// numbers that they refer to.
    #[must_use]
    pub fn asking(mut self, location: LocationLink) -> Self {
        self.runner.asks(location.clone());
        self.api.asks(location);
        self
    }

    /// The same service, which tells this presence service who is in its conferences.
    #[must_use]
    pub fn telling(self, conferences: ConferencesLink) -> Self {
        self.runner.tells(conferences);
        self
    }

    /// Adds the gRPC services of call-control to a server.
    pub fn add_routes(&self, routes: &mut RoutesBuilder) {
        routes
            .add_service(CallControlServer::new(self.api.clone()))
            .add_service(LegEventsServer::new(self.leg_events.clone()))
            .add_service(ProxiedCallsServer::new(self.proxied_calls.clone()));
    }

    /// Starts the work in the background: due work, lost edges, event streams. Needs a runtime.
    ///
    /// # Errors
    /// When `tasks` of the settings is too small for it.
    pub fn start(&self) -> Result<(), TooManyTasks> {
        self.runner.start()?;
        self.watches.run(&self.tasks)
    }

    /// Ends the work in the background: what is under way is finished within `patience`, or taken over by another replica
    /// after the lease. Returns how many tasks had to be stopped.
    pub async fn stop(&self, patience: Duration) -> usize {
        self.tasks.stop(patience).await
    }
}
