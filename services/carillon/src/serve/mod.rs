//! `carillon serve`: settings, and the composition of services into one process.
//!
//! All-in-one and separate processes are the same composition: each service is linked in-process where its role runs here
//! and over gRPC where it does not. Start reading at `compose.rs`.

mod admin;
mod api_server;
mod cluster_url;
mod compose;
mod credential;
mod domain;
mod domain_tables;
mod edge_role;
mod elsewhere;
mod environment;
mod expected;
mod inside;
mod internal_tls;
mod late;
mod layers;
mod limits;
mod listeners;
mod members;
mod name_servers;
mod number_pool;
mod problems;
mod push;
mod roles;
mod running;
mod services;
pub mod settings;
mod spending;
mod store;
mod streams;
mod tls;
mod unknown;
mod wait_replicas;

#[cfg(test)]
mod every_key;

use lifecycle::{Shutdown, Tasks};

pub use compose::start;
pub use running::Running;
use settings::Settings;

use crate::out::say;

/// Serves until the process is asked to end.
///
/// # Errors
/// A setting that cannot work, or an address that cannot be bound.
pub async fn run(settings: Settings) -> anyhow::Result<()> {
    let _log = telemetry::logs::init(&settings.log)?;
    lifecycle::log_panics();
    let signals = Shutdown::new();
    signals.ask_on_signals(&Tasks::new("signals", 4))?;
    let running = tokio::select! {
        biased; // an end that is asked for while Redis is awaited is an end
        () = signals.asked() => return Ok(()),
        started = start(&settings) => started?,
    };
    // A service goes on when nobody reads what it prints.
    if let Err(e) = say!("{}", running.ready_line()) {
        tracing::info!("{:#}", anyhow::Error::from(e));
    }
    signals.asked().await;
    running.drain(&signals, settings.drain).await;
    Ok(())
}
