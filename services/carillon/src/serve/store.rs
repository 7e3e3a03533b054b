//! The store of a process: embedded, or Redis.

use std::collections::BTreeSet;
use std::sync::Arc;

use ambient::{SystemClock, WallClock};
use anyhow::{Context, bail};
use lifecycle::Tasks;
use store::{MemoryStore, RedisOptions, RedisStore, Store};

use super::roles::Role;
use super::settings::Settings;

/// Opens the store that the settings name.
///
/// # Errors
/// A URL that cannot be used, or services on their own without a store to share.
pub fn open(settings: &Settings, roles: &BTreeSet<Role>, tasks: &Tasks) -> anyhow::Result<Arc<dyn Store>> {
    let url = &settings.redis.url;
    if url.is_empty() {
        if roles.len() < Role::ALL.len() && roles.iter().any(|r| r.has_store()) {
            bail!("the embedded store is not shared: services that run apart need --redis URL");
        }
        let clock = SystemClock;
        return Ok(Arc::new(MemoryStore::new(move || clock.now())));
    }
    let options = RedisOptions {
        wait_replicas: settings.redis.wait_replicas,
        wait_timeout: settings.redis.wait_timeout,
        ..RedisOptions::default()
    };
    // The URL may hold a password, so the error does not repeat it.
    let redis = Arc::new(RedisStore::connect(url, options).context("--redis")?);
    let waiting = redis.clone();
    tasks.spawn("redis-start", async move {
        if !waiting.is_ready() {
            tracing::warn!("waiting for Redis: nothing is ready until it answers");
        }
        waiting.wait_ready().await;
        tracing::info!("Redis is there");
    })?;
    Ok(redis)
}
