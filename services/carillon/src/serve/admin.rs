//! Admin HTTP: `/livez`, `/readyz`, `/metrics`, apart from gRPC so that a probe needs no certificate.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::get;
use lifecycle::Health;

/// Writes the metrics in Prometheus' text form.
pub type Exposition = Arc<dyn Fn() -> String + Send + Sync>;

#[derive(Clone)]
struct Admin {
    health: Health,
    metrics: Exposition,
}

/// The routes.
pub fn routes(health: Health, metrics: Exposition) -> Router {
    Router::new()
        .route("/livez", get(live))
        .route("/readyz", get(ready))
        .route("/metrics", get(exposition))
        .with_state(Admin { health, metrics })
}

/// Fails only when a work loop stands still: never because Redis is away (a restart would not bring it back).
async fn live(State(admin): State<Admin>) -> impl IntoResponse {
    answer(
        "live",
        admin.health.dead(Instant::now()).iter().map(|(name, why)| format!("{name}: {why}")).collect(),
    )
}

/// Fails until everything has started. Stays positive while draining: a pod turned NotReady loses its UDP flows.
async fn ready(State(admin): State<Admin>) -> impl IntoResponse {
    answer("ready", admin.health.unready().iter().map(|(name, why)| format!("{name}: {why}")).collect())
}

async fn exposition(State(admin): State<Admin>) -> impl IntoResponse {
    ([("content-type", "text/plain; version=0.0.4")], (admin.metrics)())
}

fn answer(good: &str, bad: Vec<String>) -> (StatusCode, String) {
    match bad.is_empty() {
        true => (StatusCode::OK, format!("{good}\n")),
        false => (StatusCode::SERVICE_UNAVAILABLE, bad.join("\n") + "\n"),
    }
}
