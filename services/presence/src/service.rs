//! Composition: what the service needs, what it offers, and how it runs.

use std::sync::Arc;
use std::time::Duration;

use ambient::Entropy;
use cluster_api::presence::v1::{
    conferences_server::ConferencesServer, intake_server::IntakeServer,
    message_summary_server::MessageSummaryServer, messages_server::MessagesServer,
    presence_server::PresenceServer, resource_lists_server::ResourceListsServer,
};
use cluster_rpc::LocationLink;
use lifecycle::{Tasks, TooManyTasks};
use store::Store;
use store_rpc::RequestIds;
use telemetry::Metrics;
use tokio::sync::watch;
use tonic::service::RoutesBuilder;

use crate::calls::Calls;
use crate::config::Config;
use crate::counts::Counts;
use crate::edges::Edges;
use crate::registrations::Registrations;
use crate::repository::Repository;
use crate::runner::Runner;

/// What the service needs from outside.
pub struct Deps {
    /// Where everything is kept.
    pub store: Arc<dyn Store>,
    /// The way to the phones.
    pub edges: Arc<dyn Edges>,
    /// Who knows where users are registered.
    pub registrations: Arc<dyn Registrations>,
    /// Who knows the calls of users.
    pub calls: Arc<dyn Calls>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// Who knows the accounts.
    pub location: LocationLink,
    /// Metrics of the process.
    pub metrics: Metrics,
}

/// The presence service. Clones are the same.
#[derive(Clone)]
pub struct Presence {
    pub(crate) runner: Arc<Runner>,
    pub(crate) requests: Arc<RequestIds>,
    pub(crate) location: LocationLink,
    pub(crate) entropy: Arc<dyn Entropy>,
    tasks: Tasks,
    ending: Arc<watch::Sender<bool>>,
}

/// Puts the service together. Does nothing yet.
pub fn build(config: Config, deps: Deps) -> Presence {
    let tasks = Tasks::new("presence", config.tasks);
    let repository = Repository::new(deps.store, &config);
    let counts = Counts::new(&deps.metrics);
    Presence {
        runner: Runner::new(
            repository,
            (deps.edges, deps.registrations, deps.calls),
            deps.entropy.clone(),
            config,
            tasks.clone(),
            counts,
        ),
        requests: Arc::new(RequestIds::new("presence-requests")),
        location: deps.location,
        entropy: deps.entropy,
        tasks,
        ending: Arc::new(watch::Sender::new(false)),
    }
}

impl Presence {
    /// Becomes true when the replica ends.
    pub(crate) fn ending(&self) -> watch::Receiver<bool> {
        self.ending.subscribe()
    }

    /// Adds the gRPC services of presence to a server.
    pub fn add_routes(&self, routes: &mut RoutesBuilder) {
        routes
            .add_service(IntakeServer::new(self.clone()))
            .add_service(ConferencesServer::new(self.clone()))
            .add_service(PresenceServer::new(self.clone()))
            .add_service(MessageSummaryServer::new(self.clone()))
            .add_service(ResourceListsServer::new(self.clone()))
            .add_service(MessagesServer::new(self.clone()));
    }

    /// Starts the work in the background. Needs a runtime.
    ///
    /// # Errors
    /// When `tasks` of the settings is too small for it.
    pub fn start(&self) -> Result<(), TooManyTasks> {
        self.runner.start()
    }

    /// Ends the work in the background: what is under way is finished within `patience`, or taken over by another replica. Watches
    /// end at once, to be resumed there. Returns how many tasks had to be stopped.
    pub async fn stop(&self, patience: Duration) -> usize {
        self.ending.send_replace(true);
        self.tasks.stop(patience).await
    }
}
