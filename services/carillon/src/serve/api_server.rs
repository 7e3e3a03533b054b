//! The gRPC server of a process: guard, health, reflection, and the services of its roles.

use std::net::SocketAddr;
use std::sync::Arc;

use ambient::Entropy;
use anyhow::{Context, anyhow};
use axum::body::Body;
use axum::http::Uri;
use cluster_rpc::auth::{Guard, Tokens};
use lifecycle::{Shutdown, Tasks};
use telemetry::Metrics;
use tokio::net::TcpListener;
use tonic::service::{Routes, RoutesBuilder};

use super::elsewhere::Elsewhere;
use super::listeners::unbound;
use super::settings::Settings;

/// A bound listener with its guard.
pub struct ApiServer {
    listener: TcpListener,
    guard: Guard,
    /// The services; add those of the roles.
    pub routes: RoutesBuilder,
}

impl ApiServer {
    /// Binds the listener and reads the tokens.
    ///
    /// # Errors
    /// An address that cannot be bound, a bad token file, or an API that would be open to the world.
    pub async fn bind(settings: &Settings, metrics: &Metrics) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(&settings.api)
            .await
            .map_err(|error| anyhow!("--api {}: cannot listen there: {}", settings.api, unbound(&error)))?;
        let file = &settings.api_token_file;
        let tokens = match file.as_os_str().is_empty() {
            true => None,
            false => {
                Some(Tokens::load(file).with_context(|| format!("--api-token-file {}", file.display()))?)
            }
        };
        let guard = Guard::new(listener.local_addr()?.ip(), tokens, false, metrics)?;
        let mut routes = RoutesBuilder::default();
        let reflection = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(cluster_api::DESCRIPTORS)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        // Both generations of the reflection protocol: most clients still speak the older one.
        routes.add_service(reflection().build_v1()?).add_service(reflection().build_v1alpha()?);
        let (_, health) = tonic_health::server::health_reporter();
        routes.add_service(health);
        Ok(Self { listener, guard, routes })
    }

    /// The bound address.
    ///
    /// # Errors
    /// The socket's.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until the process is told to end.
    ///
    /// # Errors
    /// When the set of tasks is full.
    pub fn serve(
        self,
        entropy: Arc<dyn Entropy>,
        elsewhere: Elsewhere,
        tasks: &Tasks,
        shutdown: &Shutdown,
    ) -> anyhow::Result<()> {
        let end = shutdown.clone();
        let mut server =
            cluster_rpc::server::server(&cluster_rpc::server::Config::default(), self.guard, entropy);
        let unserved = move |uri: Uri| {
            let refused = elsewhere.refuse(&uri);
            async move { refused.into_http::<Body>() }
        };
        let routes = self.routes.routes().into_axum_router().fallback(unserved);
        let router = server.add_routes(Routes::from(routes));
        let incoming = cluster_rpc::server::incoming(self.listener);
        tasks.spawn("api", async move {
            if let Err(e) =
                router.serve_with_incoming_shutdown(incoming, async move { end.forced().await }).await
            {
                tracing::error!("the gRPC server ended: {e}");
            }
        })?;
        Ok(())
    }
}
